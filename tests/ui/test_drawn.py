"""Of a model whose training pictures are not on the server, the views show what it draws itself."""

from __future__ import annotations

import asyncio
import base64
import gc
import weakref
from threading import get_ident

import numpy as np
import pytest
import torch
from helpers.pages import TINY, alone, handler, picture

from ddpm import save_checkpoint
from ddpm.config import Config, ScheduleConfig
from ddpm.networks import build_model
from ddpm.ui.components import pictures
from ddpm.ui.components.pictures import FIRST_DIGIT, NOT_HERE, Pictures
from ddpm.ui.generation import drawn
from ddpm.ui.generation.models import ModelRegistry, dataset, pictures_of
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.forward import latent, noising

NAMES = [f"kind {k}" for k in range(10)]


@pytest.fixture
def strangers(registry, tmp_path, monkeypatch):
    """A registry with a tiny model of CIFAR-10 beside the one of digits; the data set is not here."""
    monkeypatch.setenv("DDPM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    dataset.cache_clear()
    torch.manual_seed(0)
    model = build_model(TINY)
    for p in model.parameters():  # as built it says hardly anything of labels
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    info = {"dataset": "cifar10", "class_names": NAMES}
    save_checkpoint(registry.folder / "strange", model, Config(TINY, ScheduleConfig(kind="cosine")), info)
    registry.folder.rename(tmp_path / "checkpoints")
    yield ModelRegistry(tmp_path / "checkpoints")
    dataset.cache_clear()


def test_it_draws_the_same_for_a_number_and_its_classes_in_turn(strangers):
    shown = Pictures(Engine(), strangers)
    packets = [asyncio.run(shown.packet("strange", i)) for i in (3, 13, 4)]
    assert [each["label"] for each in packets] == ["kind 3", "kind 3", "kind 4"]
    assert all(each["drawn"] and each["picture"] == i for each, i in zip(packets, (3, 13, 4), strict=True))
    assert len({each["x0"] for each in packets}) == 3
    assert asyncio.run(Pictures(Engine(), strangers).packet("strange", 13)) == packets[1]
    assert {asyncio.run(shown.another("strange", "kind 6"))["label"] for _ in range(3)} == {"kind 6"}
    assert shown.offered("strange") == ("random", *NAMES)
    assert not asyncio.run(shown.packet("mnist", 3))["drawn"]
    with pytest.raises(ValueError, match="Picture"):
        asyncio.run(shown.another("strange", "kind"))


def test_what_many_views_ask_for_is_drawn_once(strangers, monkeypatch):
    begun = []
    settings_of = drawn.settings_of
    monkeypatch.setattr(drawn, "settings_of", lambda *of: begun.append(of[2]) or settings_of(*of))
    shown = Pictures(Engine(), strangers)

    async def at_once():
        return await asyncio.gather(*(shown.first("strange", which) for which in (0, 1, 0, 0)))

    packets = asyncio.run(at_once())
    assert begun == [FIRST_DIGIT, FIRST_DIGIT + 1]
    assert packets[0] == packets[2] == packets[3] != packets[1]


def test_an_address_names_one_by_its_number_or_its_class(strangers):
    shown = Pictures(Engine(), strangers)
    values = {"picture": 12_345, "digit": "random", "noise": 2}
    packet = asyncio.run(shown.asked_for("strange", values, {"picture": 12_345}))
    assert packet["picture"] == 12_345 and packet["label"] == "kind 5" and packet["seed"] == 2
    packet = asyncio.run(shown.asked_for("strange", values | {"digit": "kind 8"}, {"digit": "kind 8"}))
    assert packet["label"] == "kind 8" and packet["drawn"]


def test_the_view_is_told_and_the_choice_says_why(strangers):
    demo, _, _ = alone(noising, strangers)
    weights = next(b for b in demo.blocks.values() if getattr(b, "value", None) == "mnist")
    changed = next(f.fn for f in demo.fns.values() if f.fn and (weights._id, "change") in f.targets)
    packet, choice = asyncio.run(changed("strange"))
    assert packet["drawn"] and packet["label"] == f"kind {FIRST_DIGIT}" and packet["weights"] == "strange"
    assert len(picture(packet["x0"])) == 32 * 32 and len(base64.b64decode(packet["eps"])) == 2 * 32 * 32
    assert choice["choices"] == ["random", *NAMES] and choice["info"] == NOT_HERE
    packet, choice = asyncio.run(changed("mnist"))
    assert not packet["drawn"] and choice["info"] == ""
    another = handler(demo, "forward-another")
    assert asyncio.run(another("kind 2", "strange"))["label"] == "kind 2"
    assert "no longer on the server" in asyncio.run(another("kind 2", "gone"))["error"]


@pytest.mark.parametrize(("tab", "view", "more"), [
    (noising, "forward", {"schedule": "cosine"}),
    (latent, "latent", {"schedule": "cosine", "k": 32, "other_picture": 8}),
])  # fmt: skip
def test_copied_lines_draw_it_again(strangers, tab, view, more):
    _, parts, shared = alone(tab, strangers)
    packet = asyncio.run(shared.pictures.packet("strange", 7))
    python = parts[f"{view}-view"].python
    lines = python({"weights": "strange", "picture": 7, "seed": 1, "t": 10} | more)["text"]
    names = {}
    exec(compile(lines, "copied", "exec"), names)
    assert "clone of this project" in lines and "kind 7" in lines
    assert np.array_equal(names["pixels"][0].permute(1, 2, 0).ravel(), picture(packet["x0"]))
    if "other_picture" in more:
        other = asyncio.run(shared.pictures.packet("strange", 8))
        assert np.array_equal(drawn.to_uint8(names["other"])[0].permute(1, 2, 0).ravel(), picture(other["x0"]))


def test_one_that_fails_is_said_and_tried_again(strangers, monkeypatch):
    shown, model = Pictures(Engine(), strangers), strangers.get("strange").model
    monkeypatch.setattr(type(model), "__call__", lambda *_: (_ for _ in ()).throw(ValueError("too much")))
    with pytest.raises(ValueError, match="too much"):
        asyncio.run(shown.packet("strange", 1))
    monkeypatch.undo()
    assert asyncio.run(shown.packet("strange", 1))["drawn"]


def test_a_page_that_has_only_such_a_model_opens_with_what_it_draws(strangers):
    only = strangers.folder / "mnist"
    for each in only.iterdir():
        each.unlink()
    only.rmdir()
    start, names = Pictures(Engine(), ModelRegistry(strangers.folder)).opening(lambda packet: {"other": packet["x0"]})
    assert start["drawn"] and start["weights"] == "strange" and start["other"] != start["x0"]
    assert names == tuple(NAMES)


def test_what_a_model_drew_goes_with_it(strangers):
    shown = Pictures(Engine(), strangers)
    model = strangers.get("strange")
    strangers.put("trained", model)
    asyncio.run(shown.packet("trained", 1))
    gone = weakref.ref(model)
    strangers._loaded.clear()
    strangers._trained.drop("trained")
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["mnist", "strange"])
def test_a_data_set_is_not_read_on_the_thread_that_answers_everybody(strangers, monkeypatch, name):
    shown, first = Pictures(Engine(), strangers), []
    monkeypatch.setattr(pictures, "pictures_of", lambda weights: first.append(get_ident()) or pictures_of(weights))
    values = {"picture": 1, "digit": "random"}
    for answer in (lambda: shown.first(name), lambda: shown.another(name), lambda: shown.asked_for(name, values, {})):
        first.clear()
        asyncio.run(answer())
        assert first[0] != get_ident()
