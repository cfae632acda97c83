"""Forward, the posterior: the pictures, the numbers beside them, and Bayes' rule drawn for one pixel."""

import asyncio
import math

import numpy as np
import pytest
import torch
from helpers.pages import alone, picture

from ddpm import make_schedule, q_sample
from ddpm import posterior as exact
from ddpm.data import load_dataset, to_uint8
from ddpm.seeding import seeded
from ddpm.ui.generation import recording
from ddpm.ui.server import protocol
from ddpm.ui.tabs.forward import posterior

TIMES = [(500, 300), (500, 499), (950, 450), (20, 10), (1, 0), (999, 998)]
KINDS = ("linear", "cosine", "log_snr")


def moments(x, height):
    """Mean and standard deviation of a curve over x, by the trapezoid rule."""
    x, height = torch.tensor(x), torch.tensor(height)
    total = torch.trapezoid(height, x)
    mean = torch.trapezoid(height * x, x) / total
    return mean.item(), (torch.trapezoid(height * (x - mean) ** 2, x) / total).sqrt().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("t", "s"), TIMES)
def test_the_product_that_is_drawn_is_the_posterior_of_equation_7(kind, t, s):
    """The product knows nothing of the posterior's formula: its mean and its width are found by integration."""
    sched = make_schedule(kind=kind)
    curves = posterior.densities(0.9, -0.4, t, s, sched)
    mean, variance = exact(
        torch.full((1, 1, 1, 1), 0.9), torch.full((1, 1, 1, 1), -0.4), torch.tensor([t]), torch.tensor([s]), sched
    )
    sd = variance.sqrt().item()
    assert moments(curves["x"], curves["product"]) == pytest.approx((mean.item(), sd), rel=2e-3, abs=1e-3)
    assert curves["x"] == sorted(curves["x"]) and max(curves["product"]) == 1


def test_what_is_multiplied_is_the_forward_process_twice():
    sched = make_schedule()
    ab_t, ab_s = sched.alphas_bar[500].item(), sched.alphas_bar[300].item()
    curves = posterior.densities(0.9, -0.2, 500, 300, sched)
    assert moments(curves["x"], curves["prior"]) == pytest.approx(
        (0.9 * math.sqrt(ab_s), math.sqrt(1 - ab_s)), rel=0.01
    )
    for x, seen in zip(curves["x"], curves["seen"], strict=True):
        a = math.sqrt(ab_t / ab_s)  # q(x_t | x_s) = N(a x_s, 1 - a^2), as high as 1
        assert seen == pytest.approx(math.exp(-((-0.2 - a * x) ** 2) / (2 * (1 - a * a))), abs=1e-4)


@pytest.mark.parametrize("t", [1, 300, 999])
def test_the_numbers_of_one_step_are_those_of_the_paper(t):
    """Ho et al. Eq. 7, from the betas alone."""
    betas = make_schedule(dtype=torch.float64).betas.tolist()
    ab, before = math.prod(1 - b for b in betas[: t + 1]), math.prod(1 - b for b in betas[:t])
    on_x0 = math.sqrt(before) * betas[t] / (1 - ab)
    on_x_t = math.sqrt(1 - betas[t]) * (1 - before) / (1 - ab)
    sd = math.sqrt((1 - before) / (1 - ab) * betas[t])
    assert posterior.coefficients(t, t - 1, make_schedule()) == pytest.approx([on_x0, on_x_t, sd], rel=2e-3)


def test_what_is_shown_is_the_mean_and_a_draw_of_the_x_t_that_the_page_mixes():
    x0, eps = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8), torch.randn(1, 1, 8, 8, generator=seeded(1))
    t, s, sched = torch.tensor([600]), torch.tensor([400]), make_schedule(kind="cosine")
    x_t = q_sample(x0, t, eps, sched)
    mean, variance = exact(x0, x_t, t, s, sched)
    draw = mean + variance.sqrt() * torch.randn(x0.shape, generator=seeded(7))
    shown = posterior.look(x0, eps, 600, 400, "cosine", 7, (2, 5))
    assert np.array_equal(picture(shown["mean"]), to_uint8(mean).numpy().ravel())
    assert np.array_equal(picture(shown["draw"]), to_uint8(draw).numpy().ravel())
    here = {"x0": x0, "xt": x_t, "mean": mean, "draw": draw}
    assert shown["here"] == pytest.approx({name: v[0, 0, 2, 5].item() for name, v in here.items()}, abs=1e-4)
    assert shown["curves"] == posterior.densities(shown["here"]["x0"], shown["here"]["xt"], 600, 400, sched)
    assert posterior.look(x0, eps, 600, 400, "cosine", 8, (2, 5))["draw"] != shown["draw"]


def test_clean_data_are_known():
    x0 = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    shown = posterior.look(x0, torch.zeros_like(x0), 10, -1, "linear", 0, (0, 0))
    assert shown["coefficients"] == [1, 0, 0] and shown["curves"] is None
    assert shown["mean"] == shown["draw"] == protocol.b64(recording.frame(x0))


def test_a_question_from_the_page_is_answered_or_refused_in_words(registry):
    demo, _, _ = alone(posterior, registry)
    answer = next(b.posterior_of for b in demo.blocks.values() if getattr(b, "elem_id", None) == "posterior-view")

    def ask(question):
        return asyncio.run(answer(question))

    x0 = protocol.b64(load_dataset("bundled").images[0].numpy())
    good = {"x0": x0, "seed": 1, "t": 500, "stride": 200, "schedule": "cosine", "draw": 0, "pixel": [3, 4]}
    good |= {"weights": "mnist"}
    assert ask(good)["s"] == 300 and ask(good | {"t": 100})["s"] == -1
    assert ask(good)["curves"] != ask(good | {"pixel": [16, 16]})["curves"]
    bad = [None, [], "x", {}]
    bad += [good | {"t": v} for v in (-1, 1000, math.nan, "9", None, True)]
    bad += [good | {"stride": v} for v in (0, 2, -1, None, [1])]
    bad += [good | {"draw": v} for v in (-1, 2**31, None)]
    bad += [good | {"pixel": v} for v in (None, 3, [1], [1, 2, 3], [-1, 0], [0, 32], [0, None], "ab")]
    bad += [good | {"seed": v} for v in (-1, 2**31, 0.5)]
    bad += [good | {"x0": v} for v in ("", None, x0 + "AAAA")]
    bad += [good | {"schedule": v} for v in ("sigmoid", ["cosine"])]
    bad += [good | {"weights": v} for v in ("../mnist", None)]
    for question in bad:
        refused = ask(question)
        assert set(refused) == {"error"} and "\n" not in refused["error"]
