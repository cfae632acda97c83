"""Forward, step by step: many small steps and one jump, what is measured of them, and what a page may ask."""

import asyncio
import json
import math

import numpy as np
import pytest
import torch
from helpers.pages import Window, alone, handler, picture

from ddpm import make_schedule
from ddpm.data import load_dataset, to_uint8
from ddpm.seeding import seeded
from ddpm.ui.server import protocol
from ddpm.ui.tabs.forward import chain

X0 = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
WAYS = ("steps", "jump")


@pytest.fixture(scope="module", params=["linear", "cosine", "log_snr"])
def run(request):
    run = chain.Chain(X0, request.param, seed=4)
    assert list(run.steps()) == run.frames
    return run


def test_there_is_a_frame_before_the_first_step_and_after_every_tenth(run):
    assert [frame["t"] for frame in run.frames] == list(range(-1, 1000, 10))
    assert [frame["index"] for frame in run.frames] == list(range(101))


@pytest.mark.parametrize("way", WAYS)
def test_mean_and_variance_of_all_draws_are_those_of_theory(run, way):
    """Within five standard errors, 1 / sqrt(draws |x0|^2) of the mean and sqrt(2 / (draws pixels)) of the variance."""
    alphas_bar = make_schedule(kind=run_kind(run)).alphas_bar
    for frame in run.frames[1:]:
        ab = alphas_bar[frame["t"]].item()
        contrast, variance = frame[way]["moments"]
        assert frame["theory"] == pytest.approx([math.sqrt(ab), 1 - ab], rel=1e-4, abs=1e-6)
        assert abs(contrast - math.sqrt(ab)) < 5 * math.sqrt((1 - ab) / (chain.DRAWS * X0.square().sum().item())) + 1e-5
        assert abs(variance / (1 - ab) - 1) < 5 * math.sqrt(2 / (chain.DRAWS * X0.numel())) + 1e-5 / (1 - ab)
    assert run.frames[0]["theory"] == run.frames[0][way]["moments"] == [1, 0]


def run_kind(run):
    return next(kind for kind in ("linear", "cosine", "log_snr") if chain.pictures.schedule(kind) is run.sched)


@pytest.mark.parametrize("way", WAYS)
def test_standardised_pixels_are_a_density_and_that_of_n_0_1(run, way):
    width = 2 * chain.LIMIT / chain.BINS
    middle = -chain.LIMIT + width * (torch.arange(chain.BINS) + 0.5)
    normal = (-(middle**2) / 2).exp() / math.sqrt(2 * math.pi)
    for frame in run.frames[1::20]:
        spread = torch.tensor(frame[way]["spread"])
        assert spread.sum().item() * width == pytest.approx(1, abs=2e-3)
        error = (normal / (width * chain.DRAWS * X0.numel())).sqrt()
        assert ((spread - normal).abs() < 5 * error + 3e-3).all()
    assert run.frames[0][way]["spread"] is None


def test_a_draw_jumps_with_noise_that_no_step_has_used(run):
    ab = run.sched.alphas_bar[9]
    jumped = ab.sqrt() * X0 + (1 - ab).sqrt() * torch.randn(chain.DRAWS, 1, 8, 8, generator=seeded(4, 1))
    seen, exact = picture(run.frames[1]["jump"]["pictures"]), to_uint8(jumped[: chain.SHOWN]).numpy().ravel()
    assert np.abs(seen[: len(exact)].astype(int) - exact).max() <= 1


def test_a_draw_is_walked_in_small_steps_and_seen_as_it_is(run):
    x, generator = X0.expand(chain.DRAWS, -1, -1, -1), seeded(4, 0)
    for beta in run.sched.betas[:30]:
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x.shape, generator=generator)
    shown = torch.cat([x[: chain.SHOWN], x.mean(0, keepdim=True), x.var(0, keepdim=True) - 1])
    seen = picture(run.frames[3]["steps"]["pictures"]).astype(int)
    assert np.abs(seen - to_uint8(shown).numpy().ravel().astype(int)).max() <= 1


def test_steps_carry_over_from_one_frame_to_the_next_and_jumps_do_not(run):
    def draws(k, way):
        pixels = picture(run.frames[k][way]["pictures"])[: chain.SHOWN * 64].astype(float)
        return pixels / 127.5 - 1 - run.frames[k]["theory"][0] * np.tile(X0.numpy().ravel(), chain.SHOWN)

    together = {way: np.corrcoef(draws(30, way), draws(31, way))[0, 1] for way in WAYS}
    assert together["steps"] > 0.6 and abs(together["jump"]) < 5 / math.sqrt(chain.SHOWN * 64)


def test_another_seed_is_other_noise():
    first, other, again = (next(iter_from(chain.Chain(X0, "cosine", seed), 1)) for seed in (4, 5, 4))
    assert (
        first == again
        and first["steps"]["pictures"] != other["steps"]["pictures"]
        and first["jump"]["pictures"] != other["jump"]["pictures"]
    )


def iter_from(run, k):
    return (frame for frame in run.steps() if frame["index"] >= k)


@pytest.mark.parametrize(("size", "n"), [(16, 256), (64, 192), (256, 12)])
def test_large_pictures_are_drawn_less_often(size, n):
    run = chain.Chain(torch.zeros(1, 1, size, size), "cosine", 0)
    assert run.n == run.packet([])["draws"] == n and len(picture(next(run.steps())["steps"]["pictures"])) == 6 * size**2


def tab(registry):
    return alone(chain, registry)[0]


def test_a_run_streams_stops_and_can_be_asked_again(registry):
    demo, x0 = tab(registry), protocol.b64(load_dataset("bundled").images[0].numpy())
    good = {"x0": x0, "seed": 1, "schedule": "linear", "weights": "mnist", "question": 3}
    go = handler(demo, "chain-add")
    view = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == "chain-view")

    async def stream(asked):
        return [packet async for packet in go(Window("a"), asked)]

    async def stopped():
        packets = go(Window("b"), good)
        await anext(packets)
        handler(demo, "chain-stop")(Window("b"))
        return [packet async for packet in packets][-1]

    packets = asyncio.run(stream(good))
    assert packets[-1]["done"] and not packets[-1]["error"] and {p["question"] for p in packets} == {3}
    sent = [frame for packet in packets for frame in packet["frames"]]
    assert len(sent) == packets[0]["total"] == 101
    assert view.replay({"run": packets[0]["run"]})["frames"] == sent
    assert len(json.dumps(sent)) < 3_000_000
    assert view.replay(None) == view.replay({"run": "guess"}) == view.replay({"run": [1]}) == {"frames": []}
    assert asyncio.run(stopped())["stopped"]

    bad = [None, [], "x", {}]
    bad += [good | {"seed": v} for v in (-1, 2**31, 0.5, None)]
    bad += [good | {"question": v} for v in (-1, 2**31, None)]
    bad += [good | {"x0": v} for v in ("", "AAAA", "%%%", None, 7, x0 + "AAAA")]
    bad += [good | {"schedule": v} for v in ("sigmoid", ["cosine"], None)]
    bad += [good | {"weights": v} for v in ("../mnist", None)]
    for asked in bad:
        (refused,) = asyncio.run(stream(asked))
        assert set(refused) == {"error"} and "\n" not in refused["error"]
