"""What the Forward tab computes, without a browser."""

import asyncio
import base64
import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers.pages import alone, picture

from ddpm.data import from_uint8, load_dataset
from ddpm.ui.components import pictures
from ddpm.ui.generation.labels import ALL, ANY, NONE, choices
from ddpm.ui.generation.request import Settings
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.forward import noising


def test_the_page_and_the_server_speak_of_the_same_eps(registry):
    packet = pictures.noise_packet(registry.get("mnist"), 5)
    sent = np.frombuffer(base64.b64decode(packet["eps"]), np.float16).astype(float)
    assert np.array_equal(sent, pictures.noise(5, 1, 32).numpy().ravel())
    assert not np.array_equal(sent, pictures.noise(6, 1, 32).numpy().ravel())
    assert abs(sent.mean()) < 4 / 32 and abs(sent.std() - 1) < 4 / 32 / math.sqrt(2)


@pytest.fixture
def another(registry):
    """Another picture of a class of the model mnist."""
    shown = pictures.Pictures(Engine(), registry)
    return lambda choice: asyncio.run(shown.another("mnist", choice))


def test_another_digit_is_of_the_class_asked_for(another):
    images = load_dataset("bundled").images
    for choice in ("0", "9"):
        packet = another(choice)
        assert packet["label"] == choice
        assert (images.reshape(len(images), -1) == torch.tensor(picture(packet["x0"]))).all(1).any()
    assert len({another("random")["label"] for _ in range(60)}) > 3
    with pytest.raises(ValueError, match="Picture"):
        another("seven")


def test_a_class_may_be_called_as_what_is_chosen_instead_of_one(registry, another, monkeypatch):
    names = ("none", "random", "all in turn", "class none", "class class random", "class", "None", "nonesuch", "a", "b")
    weights = dataclasses.replace(registry.get("mnist"), class_names=names)
    offered = choices(weights)
    assert len(set(offered)) == len(offered) == 12 and offered[:2] == (ALL, NONE)
    registry.put("mine", weights)
    sampling = {"sampler": "ddim", "steps": 2, "guidance": 1, "middle": False, "eta": 0}
    found = [Settings.check(registry, n=2, choice=choice, seed=0, weights_id="mine", **sampling) for choice in offered]
    assert [s.labels for s in found] == [tuple(range(10)), (-1,), *((k,) for k in range(10))]
    assert offered[2:6] == ("class none", "class random", "class all in turn", "class class none")
    data = dataclasses.replace(load_dataset("bundled"), class_names=names)
    monkeypatch.setattr(pictures, "pictures_of", lambda _: data)
    for choice, name in zip(offered[2:], names, strict=True):
        assert another(choice)["label"] == name
    assert len({another(ANY)["label"] for _ in range(60)}) > 3
    assert pictures.Pictures(Engine(), registry).opening()[1] == offered[2:]


def test_the_guess_of_a_model_that_knows_the_answer_is_the_digit(registry):
    weights, x0 = registry.get("mnist"), from_uint8(load_dataset("bundled").images[:1])

    class Oracle:
        prediction, device = "x0", torch.device("cpu")

        def __call__(self, x, t, y):
            assert (y == -1).all()  # it is not told which digit it is
            return x0.expand(x.shape)

    oracle = dataclasses.replace(weights, model=Oracle())
    (hat,) = noising.predicted_x0(torch.randn(2, 1, 32, 32), [400, 600], oracle)
    assert torch.equal(hat, x0.expand(2, -1, -1, -1))


def test_a_linear_t_is_asked_at_the_models_own_noise_level(registry):
    weights = registry.get("mnist")
    assert noising.same_noise_level(400, "cosine", weights) == 400
    t = noising.same_noise_level(400, "linear", weights)
    ours, theirs = pictures.schedule("linear").alphas_bar[400], weights.sched.alphas_bar[t]
    assert t != 400 and abs(ours - theirs) < 2e-3


def test_a_question_from_the_page_is_answered_or_refused_in_words(registry):
    demo, _, _ = alone(noising, registry)
    ask = next(b.x0_hat for b in demo.blocks.values() if getattr(b, "elem_id", None) == "forward-view")
    x0 = protocol.b64(load_dataset("bundled").images[0].numpy())
    good = {"x0": x0, "seed": 1, "t": 10, "schedules": ["cosine", "linear"], "weights": "mnist"}
    answer = asyncio.run(ask(good))
    assert [len(picture(hat)) for hat in answer["x0_hat"]] == [1024, 1024]
    bad = [None, [], "x", {}]
    bad += [good | {"t": v} for v in (-1, 1000, math.nan, "9", None, True)]
    bad += [good | {"seed": v} for v in (-1, 2**31, 0.5, None)]
    bad += [good | {"x0": v} for v in ("", "AAAA", "%%%", None, 7, x0 + "AAAA")]
    bad += [good | {"schedules": v} for v in ([], ["sigmoid"], "cosine", None, ["cosine"] * 4)]
    bad += [good | {"weights": v} for v in ("../mnist", None, ["mnist"])]
    for question in bad:
        refused = asyncio.run(ask(question))
        assert set(refused) == {"error"} and "\n" not in refused["error"]
