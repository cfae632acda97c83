"""What an address asks for is set, and a model of the browser's own is chosen again after a reload."""

import asyncio
import dataclasses

import pytest

from ddpm.ui import page
from ddpm.ui.components import restoring
from ddpm.ui.generation.models import ModelRegistry


@pytest.fixture
def restored(registry, monkeypatch):
    """What the page sets: restored(address, model that is chosen, own models, **more that is asked)."""
    monkeypatch.setattr(page, "ModelRegistry", lambda: registry)
    demo = page.build()
    answer = next(f for f in demo.fns.values() if f.name == "restored").fn

    def ask(address, now, own, **more):
        *_, model, said = asyncio.run(answer({"address": address, "number": 1, **more}, now, own))
        return model, said

    return ask


def keep(registry: ModelRegistry, *names: str) -> list[list[str]]:
    for name in names:
        registry.put(name, dataclasses.replace(registry.get("mnist"), label=f"trained here: {name}"))
    return [["whatever it says", name] for name in names]


def test_an_own_model_is_chosen_again_while_it_is_here(restored, registry):
    own = keep(registry, "first", "second")
    model, said = restored("#reverse?model=own&steps=9", "mnist", own, model="first")
    assert model["value"] == "first" and said["wait"]
    assert model["choices"][-2:] == [("trained here: first", "first"), ("trained here: second", "second")]
    assert restored("#reverse?model=own", "mnist", own)[0]["value"] == "second", "the latest, where none is said"
    _, said = restored("#reverse?model=own", "first", own)
    assert not said["wait"] and said["problems"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("own", [[], None, 7, ["gone"], [["label", "gone"]], [["mnist", "mnist"]], [["x", {}]]])
def test_one_that_is_gone_is_said(restored, own):
    _, said = restored("#reverse?model=own", "mnist", own, model="gone")
    assert not said["wait"] and "is no longer here" in said["problems"]


def test_what_was_set_before_a_reload_changes_no_model(restored, registry):
    own = keep(registry, "first")
    for address in ("#reverse?steps=9", "#reverse?steps=9&model=latent", "#reverse?steps=9&model=own"):
        _, said = restored(address, "first", own, stay=True)
        assert not said["wait"] and said["view"] == "reverse"


def test_what_is_wrong_with_a_link_ends_in_one_full_stop():
    said = restoring.sentence(["compare/vary: no such view", "They are not here. Draw or upload one."])
    assert "no such view; They are not here. Draw or upload one. The defaults" in said
