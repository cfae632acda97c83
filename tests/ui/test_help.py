"""The header's menu: the model's card and the papers."""

import asyncio
import inspect

import pytest

from ddpm import ui
from ddpm.ui.components import help as help_of_page
from ddpm.ui.components.source import bibliography
from ddpm.ui.generation import card
from ddpm.ui.generation.models import ModelRegistry


@pytest.fixture(scope="module")
def shipped():
    return ModelRegistry()


def test_the_card_of_a_model_that_ships(shipped):
    rows = dict(card.rows(shipped, "mnist"))
    assert rows["Model"] == "mnist" and rows["Draws"] == "mnist, 32 × 32"
    assert rows["Network"] == "1,628,372 parameters, predicts v" and rows["Trained on"] == "mnist, 60,000 pictures"
    assert rows["Steps"] == "13,172 of 128 pictures each"
    assert rows["Training time"] == "60 minutes, 2 CPU cores, bfloat16"
    assert rows["Evaluated"].endswith("w = 1.25, 2,000 drawn") and "99.0% classified as asked" in rows["Evaluated"]


def test_every_model_that_ships_has_a_card(shipped):
    for name in shipped.shipped:
        rows = card.rows(shipped, name)
        assert {"Draws", "Network", "Trained on", "Training time"} <= dict(rows).keys(), name
        assert "None" not in str(rows) and "nan" not in str(rows), name


def test_of_another_model_it_says_what_is_known(shipped):
    shipped.put("mine", shipped.get("mnist"))
    assert [what for what, _ in card.rows(shipped, "mine")] == [
        *("Model", "Draws", "Can be asked for", "Network", "Schedule")
    ]
    with pytest.raises(ValueError, match="no longer"):
        card.rows(shipped, "gone")


def test_every_title_is_of_a_paper_that_the_package_cites():
    cited = set().union(*bibliography().values())
    assert set(help_of_page.TITLES) <= cited
    assert ["Ho et al. 2020", "Denoising Diffusion Probabilistic Models", "2006.11239"] in help_of_page.papers()


def test_the_page_answers_with_the_card_and_says_why_there_is_none():
    bar = next(b for b in ui.build().blocks.values() if getattr(b, "elem_id", None) == "help")

    def ask(question):
        answer = bar.described(question)
        return asyncio.run(answer) if inspect.isawaitable(answer) else answer

    assert ask({"model": "mnist"})["rows"][0] == ("Model", "mnist")
    for strange in (None, {"model": ["x"]}, {"model": "../mnist"}):
        assert "error" in ask(strange)
