"""Interpolate, Invert and Compose: what a page is sent is what the package computes."""

import asyncio
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.edits import SEVEN, TWO, Tab, text
from helpers.latents import with_latents
from helpers.pages import picture

from ddpm import make_schedule
from ddpm.compose import Composed, classes, guidance, hybrid, illusion, upside_down
from ddpm.data import from_uint8, to_uint8
from ddpm.evaluation import classifiers
from ddpm.inversion import invert
from ddpm.networks import build_model
from ddpm.samplers import reverse_process
from ddpm.seeding import seeded
from ddpm.ui.generation.models import wrap
from ddpm.ui.tabs.edit import compose, interpolate
from ddpm.ui.tabs.edit.editor import settings

DIGITS = {"page": TWO, "ends": "digits"}


def pictures_of(text, n):
    return picture(text).reshape(n, 32, 32).astype(int)


@pytest.fixture
def walking(registry):
    return Tab("interpolate", registry)


@pytest.fixture
def plain(registry):
    """A model without classes, under that name."""
    config = type(registry.get("mnist").model.model.config)(base=8, mults=(1,), patch_size=4)
    registry.put("plain", wrap(build_model(config), make_schedule(), "linear", "mine", "mnist"))
    return registry


def test_the_ends_are_what_their_seeds_and_classes_draw(walking, registry):
    _, frames = walking.made()
    for i, seed, y in ((0, 1, 3), (8, 2, 8)):
        noise = torch.randn(1, 1, 32, 32, generator=seeded(seed, 0))
        first = pictures_of(frames[0]["x_t"], 9)[i]
        assert np.array_equal(first.ravel(), to_uint8(noise).numpy().ravel())
        sampler = settings(registry, "mnist", 1, str(y), 0, interpolate.STEPS, interpolate.GUIDANCE).sampler()
        *_, last = sampler.steps(1, torch.tensor([y]), start=(0, noise))
        shown = pictures_of(frames[-1]["x_t"], 9)[i].ravel()
        assert np.abs(shown - to_uint8(last.x_t).numpy().ravel()).max() <= 1


@pytest.mark.parametrize(("way", "middle"), [("slerp", 1.0), ("straight", math.sqrt(0.5))])
def test_along_the_sphere_noise_keeps_its_length_and_straight_through_it_does_not(walking, way, middle):
    _, frames = walking.made(way=way)
    lengths = frames[0]["lengths"]
    assert lengths[0] == pytest.approx(1, abs=0.06) and lengths[8] == pytest.approx(1, abs=0.06)
    assert lengths[4] == pytest.approx(middle, abs=0.06)


def test_pictures_mixed_pixel_by_pixel_are_the_mean_in_the_middle(walking):
    _, frames = walking.made(way="pixels")
    nine = pictures_of(frames[-1]["x_t"], 9)
    assert np.abs(nine[4] - (nine[0] + nine[8]) / 2).max() <= 1


def test_pictures_mixed_in_latent_space_are_the_autoencoders(walking):
    _, frames = walking.made(way="latents")
    mixed, straight = pictures_of(frames[-1]["x_t"], 9), walking.made(way="pixels")[1]
    assert np.abs(mixed[4] - pictures_of(straight[-1]["x_t"], 9)[4]).mean() > 5


@pytest.mark.parametrize("way", ["slerp", "straight", "pixels"])
def test_what_lies_between_is_drawn_while_the_path_is_dragged(walking, way):
    run, frames = walking.made(way=way)
    nine = pictures_of(frames[-1]["x_t"], 9)
    for share, i in ((0, 0), (0.5, 4), (1, 8)):
        answer = walking.ask("between", {"run": run["run"], "share": share, "pen": "a"})
        assert np.abs(picture(answer["picture"]) - nine[i].ravel()).max() <= 1
        expected = frames[0]["lengths"][i] if way != "pixels" else None
        assert answer["length"] == (pytest.approx(expected, abs=0.01) if expected else None)
    for bad in ({"share": 2}, {"share": None}, {"run": "gone"}):
        assert walking.ask("between", {"run": run["run"], "share": 0.5} | bad)["error"]


def test_two_real_digits_are_inverted_first(walking, registry):
    w = registry.get("mnist")
    _, frames = walking.made(**DIGITS)
    x0 = from_uint8(torch.from_numpy(np.stack([SEVEN, SEVEN[::-1]])).permute(0, 3, 1, 2))
    *_, last = invert(w.model, w.sched, x0, y=torch.tensor([7, 2]), num_steps=interpolate.STEPS)
    shown = pictures_of(frames[0]["x_t"], 9)[[0, 8]]
    assert np.abs(shown.ravel() - to_uint8(last.x_t).numpy().ravel()).max() <= 1
    assert frames[0]["lengths"][0] == pytest.approx(last.x_t[0].norm().item() / 32, abs=0.01)


@pytest.mark.parametrize(
    ("page", "changes", "words"),
    [
        ({}, {"ends": "both"}, "Ends"),
        ({}, {"way": "round"}, "Way"),
        ({}, {"a": "10"}, "Class"),
        ({}, {"seed": -1}, "Seed"),
        ({}, {"other_seed": None}, "Seed"),
        (TWO | {"other": text(SEVEN * 0)}, {"ends": "digits"}, "empty"),
        (TWO | {"x0": ""}, {"ends": "digits"}, "not of the size"),
    ],
)
def test_what_cannot_be_walked_is_one_sentence(walking, page, changes, words):
    assert words in walking.refused(page, **changes)


def test_a_digit_goes_to_noise_in_all_tiles_alike_and_back_as_each_class(registry):
    inverting, w = Tab("invert", registry), registry.get("mnist")
    run, frames = inverting.made()
    assert run["places"] == list(range(7)) and [frame["t"] for frame in frames] == [-1, 0, 500, 999, 500, 0, -1]
    assert all(np.array_equal(one, SEVEN[..., 0]) for one in pictures_of(frames[0]["x_t"], 10))
    for frame in frames[:4]:
        tiles = pictures_of(frame["x_t"], 10)
        assert (tiles == tiles[0]).all()
    back = pictures_of(frames[-1]["x_t"], 10)
    assert len({one.tobytes() for one in back}) == 10 and run["own"] == 7
    x0 = from_uint8(torch.from_numpy(SEVEN.copy()).permute(2, 0, 1)[None])
    *_, there = invert(w.model, w.sched, x0, y=torch.tensor([7]), num_steps=3)
    *_, again = reverse_process(w.model, w.sched, 1, y=torch.tensor([7]), num_steps=3, clip=False, start=(0, there.x_t))
    assert np.abs(back[7].ravel() - to_uint8(again.x_t).numpy().ravel()).max() <= 1
    error = (again.x_t.clamp(-1, 1) - x0).square().mean().sqrt().item()
    assert error > 0 and len(run["errors"]) == len(run["measured"]) and run["errors"][-1] < run["errors"][0]


def test_what_cannot_be_inverted_is_one_sentence(registry, plain):
    inverting = Tab("invert", registry)
    for page, changes, words in (
        ({"x0": text(SEVEN * 0)}, {}, "empty"),
        ({"x0": 3}, {}, "not of the size"),
        ({}, {"steps": 101}, "Steps"),
        ({}, {"choice": "eleven"}, "Class"),
    ):
        assert words in inverting.refused(page, **changes)
    run, frames = inverting.made(weights="plain")
    assert run["n"] == 1 and run["own"] is None and frames[-1]["t"] == -1


SUMS = {
    "both": classes({6: 3, 9: 0.5}),
    "without": classes({6: 3, 9: -0.5}),
    "illusion": illusion(6, 9, 3),
    "hybrid": hybrid(6, 9, 3),
}


@pytest.mark.parametrize("kind", SUMS)
def test_each_sum_is_what_is_drawn(registry, kind, monkeypatch):
    def read(x, by="first"):  # of what no training has drawn the classifier would say the same whichever way up
        digits = (1000 * x[:, 0, :9].mean((1, 2))).long() % 10
        return SimpleNamespace(digits=digits, names=[str(k) for k in digits.tolist()])

    monkeypatch.setattr(classifiers, "read", read)
    w, tab = registry.get("mnist"), Tab("compose", registry)
    run, frames = tab.made(kind=kind, v=0.5)
    *_, last = reverse_process(
        Composed(w.model, SUMS[kind]), w.sched, compose.N, num_steps=compose.STEPS, eta=compose.ETA, seed=3
    )
    shown = pictures_of(frames[-1]["x_t"], 9).ravel()
    assert np.abs(shown - to_uint8(last.x_t).numpy().ravel()).max() <= 1
    assert run["evaluations"] == compose.STEPS * len(SUMS[kind])
    assert frames[-1]["read"] == [str(k) for k in read(last.x_t).digits.tolist()]
    turned = [str(k) for k in read(upside_down(last.x_t)).digits.tolist()] if kind == "illusion" else None
    assert frames[-1].get("turned") == turned != frames[-1]["read"]


def test_with_no_weight_of_the_other_it_is_guidance(registry):
    w, tab = registry.get("mnist"), Tab("compose", registry)
    _, frames = tab.made(kind="both", w=2, v=0)
    how = {"num_steps": compose.STEPS, "eta": compose.ETA, "seed": 3}
    *_, last = reverse_process(Composed(w.model, guidance(2, 6)), w.sched, compose.N, **how)
    assert np.abs(picture(frames[-1]["x_t"]).astype(int) - to_uint8(last.x_t).numpy().ravel()).max() <= 1


def test_what_cannot_be_composed_is_one_sentence(registry, plain):
    tab = Tab("compose", registry)
    for changes, words in (
        ({"kind": "product"}, "Sum"),
        ({"a": "10"}, "Class A"),
        ({"b": None}, "Class B"),
        ({"w": 6}, "Weight of A"),
        ({"v": "x"}, "Weight of B"),
        ({"seed": 1.5}, "Seed"),
    ):
        assert words in tab.refused(**changes)
    assert "no classes" in tab.refused(weights="plain")


def test_a_sum_is_suggested_with_classes_that_show_it(registry):
    tab = Tab("compose", registry)
    suited = next(f.fn for f in tab.demo.fns.values() if f.name == "suited")
    a, b, w, v = suited("hybrid", "mnist")
    assert (a, b) == ("3", "8") and w["label"] == "Guidance w" and not v["visible"]
    assert suited("both", "mnist")[3]["visible"] and suited("nothing", "gone")[3]["visible"]


def test_of_latents_classes_compose_and_noise_is_walked_but_pixels_are_not(registry):
    both = with_latents(registry)
    run, _ = Tab("compose", both).made(weights="latent", kind="both")
    assert run["latent"] and run["n"] == 9
    for kind in ("illusion", "hybrid"):
        assert "pixels" in Tab("compose", both).refused(weights="latent", kind=kind)
    walking = Tab("interpolate", both)
    assert "pixels" in walking.refused(weights="latent", way="pixels")
    for way in ("slerp", "latents"):
        assert walking.made(weights="latent", way=way)[0]["latent"]
    inverted, frames = Tab("invert", both).made(weights="latent")
    assert inverted["latent"] and len(frames) == 7


def test_other_weights_bring_another_second_digit(registry):
    walking = Tab("interpolate", registry)
    second = next(f.fn for f in walking.demo.fns.values() if f.name == "second")
    assert asyncio.run(second("4", "mnist"))["other_label"] == "4"
    assert "error" in asyncio.run(second("4", "gone"))
