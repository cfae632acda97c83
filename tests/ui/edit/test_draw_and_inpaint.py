"""Draw and Inpaint: what is kept of a picture, and what is made anew."""

import asyncio

import numpy as np
import pytest
import torch
from helpers.edits import LEFT, SEVEN, X0, Tab, text
from helpers.latents import with_latents
from helpers.pages import picture

from ddpm import Guided, ddim_step, make_schedule, q_sample
from ddpm.data import from_uint8, to_uint8
from ddpm.networks import build_model
from ddpm.samplers import predict
from ddpm.seeding import seeded
from ddpm.ui.generation.models import wrap
from ddpm.ui.tabs.edit import draw
from ddpm.ui.tabs.edit.editor import settings

DRAWN = from_uint8(torch.from_numpy(SEVEN.copy()).permute(2, 0, 1)[None])
QUESTION = {"x0": X0["x0"], "choice": "7", "t0": 600, "seed": 3, "guidance": 2, "weights": "mnist", "pen": "mine"}


@pytest.fixture
def drawing(registry):
    return Tab("draw", registry)


@pytest.fixture
def inpainting(registry):
    return Tab("inpaint", registry)


def pictures_of(frame, n=4):
    return picture(frame).reshape(n, 32, 32).astype(int)


@pytest.mark.parametrize("t0", [0, 1, 300, 600, 999])
def test_a_stroke_is_answered_by_few_steps_from_the_drawing_at_exactly_t0(drawing, registry, t0):
    weights, calls = registry.get("mnist"), []
    hook = weights.model.model.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    answer = drawing.ask("look", QUESTION | {"t0": t0})
    hook.remove()
    assert answer["t"] == t0 and len(calls) == min(draw.GLANCE, t0 + 1)
    generators = [seeded(3, k) for k in range(4)]
    noise = torch.stack([torch.randn(1, 32, 32, generator=g) for g in generators])
    x_t = q_sample(DRAWN.expand(4, -1, -1, -1), torch.full((4,), t0), noise, weights.sched)
    assert np.array_equal(picture(answer["x_t"]), to_uint8(x_t).numpy().ravel())
    assert answer["signal"] == pytest.approx(weights.sched.sqrt_alphas_bar[t0].item(), abs=1e-4)
    if t0 == 600:  # by hand: guided where it counts, from 600 to 300 and on to clean data
        sampling = settings(registry, "mnist", 4, "7", 3, draw.STEPS, 2, draw.ETA).sampling
        guided, y = Guided(weights.model, 2, sampling.interval(1000)), torch.full((4,), 7)
        for now, then in ((600, 299), (299, -1)):
            t, s = torch.full((4,), now), torch.full((4,), then)
            x0_hat, eps_hat = predict(guided, x_t, t, y, weights.sched, True)
            z = torch.stack([torch.randn(1, 32, 32, generator=g) for g in generators])
            x_t = ddim_step(x0_hat, eps_hat, t, s, weights.sched, draw.ETA, z)
        assert np.array_equal(picture(answer["x0_hat"]), to_uint8(x_t).numpy().ravel())


def test_at_the_top_it_is_generating_and_at_the_bottom_the_drawing(drawing, registry):
    _, frames = drawing.made(t0=999)
    s = settings(registry, "mnist", 4, "7", 3, draw.STEPS, 2, draw.ETA)
    *_, generated = s.sampler().steps(4, s.y(), 3)
    far = np.abs(picture(frames[-1]["x_t"]).astype(int) - to_uint8(generated.x_t).numpy().ravel())
    assert far.mean() < 4 and len(frames) == draw.STEPS + 1
    _, frames = drawing.made(t0=0)
    assert [frame["t"] for frame in frames] == [0, -1]
    assert np.abs(pictures_of(frames[-1]["x_t"]) - SEVEN[..., 0]).mean() < 6


def test_six_strengths_are_six_answers_to_one_drawing_and_noise(drawing):
    answer = drawing.ask("strengths", QUESTION)
    assert answer["times"] == sorted(answer["times"]) and len(set(answer["answers"])) == 6
    _, frames = drawing.made(t0=answer["times"][2])
    assert np.array_equal(picture(answer["answers"][2]), pictures_of(frames[-1]["x_t"])[0].ravel())
    strayed = [np.abs(picture(one).astype(int) - SEVEN.ravel()).mean() for one in answer["answers"]]
    assert strayed[0] < strayed[-1]


def test_the_newest_stroke_of_a_pen_takes_the_place_of_the_older(drawing):
    async def three():
        look = drawing.view.look
        other = QUESTION | {"pen": "another"}
        return await asyncio.gather(look(QUESTION), look(other), look(QUESTION | {"t0": 300}))

    older, another, newest = asyncio.run(three())
    assert older == {"replaced": True} and another["t"] > newest["t"]
    assert drawing.engine.count() == 0


BAD = [
    ({"x0": text(SEVEN * 0)}, {}, "nothing drawn"),
    ({"x0": text(SEVEN * 0 + 255)}, {}, "nothing drawn"),
    ({"x0": text(SEVEN[:16])}, {}, "not of the size"),
    ({"x0": text(np.zeros((2000, 2000), np.uint8))}, {}, "not of the size"),
    ({"x0": None}, {}, "not of the size"),
    ({}, {"choice": "10"}, "Class"),
    ({}, {"t0": 1000}, "Strength"),
    ({}, {"t0": None}, "Strength"),
    ({}, {"seed": -1}, "Seed"),
    ({}, {"guidance": "much"}, "Guidance"),
]


@pytest.mark.parametrize(("page", "changes", "words"), BAD)
def test_what_cannot_be_drawn_from_is_one_sentence(drawing, page, changes, words):
    assert words in drawing.refused(page, **changes)
    for name in ("look", "strengths"):
        assert words in drawing.ask(name, QUESTION | page | changes)["error"]


def test_of_two_questions_that_change_places_on_their_way_the_later_one_counts(drawing):
    async def two():
        look = drawing.view.look
        return await asyncio.gather(look(QUESTION | {"number": 8}), look(QUESTION | {"number": 7, "t0": 300}))

    later, sooner = asyncio.run(two())
    assert later["t"] == 600 and sooner == {"replaced": True}
    assert "Number" in drawing.ask("look", QUESTION | {"number": "x"})["error"]


def test_a_question_that_is_none_is_one_sentence(drawing):
    for question in (None, [], {}, "x", {"pen": [1], "t0": 3}):
        assert drawing.ask("look", question)["error"]


@pytest.mark.parametrize("r", [1, 3])
def test_what_is_known_comes_back_exactly_and_the_rest_is_drawn(inpainting, r):
    run, frames = inpainting.made(resamplings=r)
    for one in pictures_of(frames[-1]["x_t"]):
        assert np.array_equal(one[:, 16:], SEVEN[:, 16:, 0])
        assert np.abs(one[:, :16] - SEVEN[:, :16, 0]).mean() > 10
    ups = [b - a for a, b in zip(run["places"], run["places"][1:], strict=False)]
    assert ups.count(-1) == 3 * (r - 1) and ups.count(1) == len(ups) - ups.count(-1), "each step but the last"
    assert len(frames[-1]["read"]) == 4 and "read" not in frames[0]


def test_its_own_class_is_the_pictures_and_none_of_an_unlabelled_one(inpainting):
    def filled(choice, **page):
        run, frames = inpainting.made(page, choice=choice)
        return frames[-1]["x_t"], run["evaluations"]

    own = filled("its own")
    assert filled("7", label="3") == filled("7", label="") == own
    none = filled("none")
    assert none != own and none[1] < own[1], "without a class nothing is guided"
    assert filled("its own", label="") == filled("its own", label="a shoe") == none


@pytest.mark.parametrize(
    ("page", "changes", "words"),
    [
        ({"erased": text(LEFT * 0)}, {}, "Nothing is erased"),
        ({"erased": text(LEFT * 0 + 1)}, {}, "Everything is erased"),
        ({"erased": text(LEFT[:9])}, {}, "does not fit"),
        ({"erased": None}, {}, "does not fit"),
        ({"x0": text(SEVEN * 0)}, {}, "empty"),
        ({"x0": text(SEVEN[:9])}, {}, "not of the size"),
        ({}, {"resamplings": 11}, "Resamplings"),
        ({}, {"resamplings": 0}, "Resamplings"),
        ({}, {"choice": "12"}, "Class"),
        ({}, {"steps": 0}, "Steps"),
    ],
)
def test_what_cannot_be_filled_is_one_sentence(inpainting, page, changes, words):
    assert words in inpainting.refused(page, **changes)


def test_a_digit_is_generated_in_place_of_a_bundled_one(inpainting):
    generated = next(f.fn for f in inpainting.demo.fns.values() if f.name == "generated")
    made = asyncio.run(generated("4", "mnist", 3))
    assert made["label"] == "4" and picture(made["x0"]).size == 1024
    assert asyncio.run(generated("random", "mnist", 13)) == asyncio.run(generated("3", "mnist", 13))
    assert "Seed" in asyncio.run(generated("4", "mnist", -1))["error"]


def test_of_latents_a_drawing_is_encoded_and_inpainting_says_that_it_needs_pixels(registry):
    both = with_latents(registry)
    run, frames = Tab("draw", both).made(weights="latent")
    assert run["latent"] and picture(frames[-1]["x_t"]).size == 4 * 1024
    assert "pixels" in Tab("inpaint", both).refused(weights="latent")
    assert len(Tab("draw", both).ask("strengths", QUESTION | {"weights": "latent"})["answers"]) == 6


def test_weights_without_classes_draw_and_fill_without(registry):
    config = type(registry.get("mnist").model.model.config)(base=8, mults=(1,), patch_size=4)
    registry.put("plain", wrap(build_model(config), make_schedule(), "linear", "mine", "mnist"))
    Tab("draw", registry).made(weights="plain", choice="none")
    Tab("inpaint", registry).made(weights="plain")
    assert "Class" in Tab("draw", registry).refused(weights="plain", choice="3")
