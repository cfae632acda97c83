"""Name the mistake: each slip changes the step as its lines say, and no packet tells which was drawn with."""

import asyncio

import numpy as np
import pytest
import torch
from helpers.pages import Window, alone, handler, picture

from ddpm import data, make_schedule
from ddpm.samplers import predict
from ddpm.schedule import gather
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.tabs.forward.mistakes import mistakes, naming, sampling
from ddpm.ui.tabs.forward.mistakes.mistakes import SIGN
from ddpm.ui.tabs.forward.mistakes.sampling import LATE, NONE, READING, SLIPS, STRIDE

SCHED = make_schedule(60, 1e-3, 0.15)
TIMES = torch.tensor([50, 20]), torch.tensor([37, -1])  # t, s


@pytest.fixture
def parts(registry):
    g = torch.Generator().manual_seed(2)
    x_t, z = torch.randn(2, 2, 1, 32, 32, generator=g)
    return registry.get("mnist").model, x_t, *TIMES, torch.tensor([3, 4]), SCHED, z


@pytest.mark.parametrize("slip", [NONE, SIGN])
def test_the_step_is_that_of_algorithm_2_or_its_sign_is_flipped(parts, slip):
    model, x_t, t, s, y, sched, z = parts
    _, eps = predict(model, x_t, t, y, sched, clip=False)
    ab_t, ab_s = gather(sched.alphas_bar, t), gather(sched.alphas_bar_prev, s + 1)
    alpha, sign = ab_t / ab_s, -1 if slip == NONE else 1
    mean = (x_t + sign * (1 - alpha) / (1 - ab_t).sqrt() * eps) / alpha.sqrt()
    expected = mean + ((1 - alpha) * (1 - ab_s) / (1 - ab_t)).sqrt() * z
    assert torch.allclose(sampling.step(*parts, slip), expected, atol=1e-5)


def test_a_long_step_has_the_tables_of_one_of_a_thousand(parts):
    model, x_t, t, _, y, sched, z = parts
    _, eps = predict(model, x_t, t, y, sched, clip=False)
    scale = gather(sched.betas, t) / gather(sched.sqrt_one_minus_alphas_bar, t)
    expected = gather(sched.sqrt_recip_alphas, t) * (x_t - scale * eps) + gather(sched.posterior_variance, t).sqrt() * z
    assert torch.allclose(sampling.step(*parts, STRIDE), expected, atol=1e-4)


def test_v_is_taken_for_eps_and_the_network_is_told_s(parts):
    model, x_t, t, s, y, sched, z = parts
    _, late = predict(model, x_t, s.clamp(min=0), y, sched, clip=False)
    for slip, eps in ((READING, model(x_t, t, y).float()), (LATE, late)):
        mean, variance = mistakes.mean_of_step(x_t, eps, t, s, sched)
        assert torch.allclose(sampling.step(*parts, slip), mean + variance.sqrt() * z, atol=1e-5), slip


def test_without_a_mistake_it_draws_as_common_mistakes_does(registry):
    w = registry.get("mnist")
    args = w.model, w.sched, torch.arange(4), 5, 9
    right, drawn = list(mistakes.draw(*args, set())), list(sampling.draw(*args, NONE))
    assert [t for t, _ in drawn][-1] == -1 and len(drawn) == 6
    assert all(torch.allclose(a, b, atol=1e-6) for a, (_, b) in zip(right, drawn, strict=True))


@pytest.mark.parametrize("slip", SLIPS)
def test_a_round_is_drawn_live_and_answered_only_when_asked(registry, monkeypatch, slip):
    monkeypatch.setattr(naming.random, "choice", lambda choices: slip if slip in choices else None)
    monkeypatch.setattr(naming.random, "randrange", lambda _: 6)
    demo, named, _ = alone(naming, registry)
    view = named["naming-view"]

    async def drawn():
        return [packet async for packet in handler(demo, "naming-draw")(Window("a"))]

    sent = asyncio.run(drawn())
    frames = [frame for packet in sent for frame in packet["frames"]]
    assert sent[-1]["done"] and len(frames) == sent[-1]["total"] == naming.DRAW_STEPS + 1
    assert set().union(*sent) & {"slip", "broken", "seed"} == set().union(*frames) & {"slip", "broken", "seed"} == set()
    w = registry.get("mnist")
    *_, (_, x) = sampling.draw(w.model, w.sched, torch.arange(10), naming.DRAW_STEPS, 6, slip)
    assert np.array_equal(picture(frames[-1]["pictures"]), data.to_uint8(x).numpy().ravel())
    assert view.answer({"run": sent[0]["run"]}) == {"slip": slip}
    for question in (None, {}, {"run": 3}, {"run": "gone"}):
        assert view.answer(question)["error"].startswith("The server has let go")


def test_v_is_not_taken_for_eps_where_eps_is_predicted(registry, monkeypatch):
    offered = []
    monkeypatch.setattr(naming.random, "choice", lambda choices: offered.append(choices) or NONE)
    monkeypatch.setattr(naming, "prediction_of", lambda model: "eps")
    demo, *_ = alone(naming, registry)

    async def first():
        stream = handler(demo, "naming-draw")(Window("a"))
        await anext(stream)
        await stream.aclose()

    asyncio.run(first())
    assert offered == [[NONE, SIGN, STRIDE, LATE]]


@pytest.mark.slow
def test_what_is_said_to_recognise_them_by_is_so():
    """With the weights that ship: shares of pixels, and the variance."""
    w = ModelRegistry().get("mnist")
    out, grey, white, std = {}, {}, {}, {}
    for slip in SLIPS:
        *_, (_, x) = sampling.draw(w.model, w.sched, torch.arange(10), naming.DRAW_STEPS, 1, slip)
        out[slip] = (x.abs() > 1.1).float().mean().item()
        grey[slip] = (x.abs() < 0.9).float().mean().item()
        white[slip] = (x > 0).float().mean().item()
        std[slip] = x.std().item()
    assert out[NONE] < 0.01 and grey[NONE] < 0.3
    assert out[SIGN] > 0.99 and 0.4 < white[SIGN] < 0.6
    assert 0.8 < std[STRIDE] < 1.2 and grey[STRIDE] > 0.5
    assert std[READING] > 3 and out[READING] > 0.9 and 0.1 < white[READING] < 0.4
    assert out[LATE] > 0.3 and grey[LATE] < grey[NONE]
