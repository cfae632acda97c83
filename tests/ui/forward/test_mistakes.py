"""The five breaks: each really changes the computation in the way it says, and nothing else."""

import asyncio
import copy
import inspect
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.pages import TINY, Window, alone, handler, picture
from helpers.tiny import TINY_CLASSES

from ddpm import autoencoder, data, diffusion, generate, make_schedule, objective, samplers
from ddpm.config import ScheduleConfig
from ddpm.device import Inference
from ddpm.networks import build_model
from ddpm.ui.generation import recording
from ddpm.ui.server import cache, limits
from ddpm.ui.tabs.forward.mistakes import at_once, experiment, mistakes
from ddpm.ui.tabs.forward.mistakes import tab as mistakes_tab
from ddpm.ui.tabs.forward.mistakes.mistakes import BROADCAST, LIVE, NAMES, PIXELS, SCALE, SIGN

SCHED = make_schedule(60, 1e-3, 0.15)
B = 32


@pytest.fixture
def batch():
    """(x0, t, noise) of 32 pictures 32 wide, x0 in [-1, 1]."""
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (B, 1, 32, 32), generator=g, dtype=torch.uint8)
    t = torch.randint(0, SCHED.T, (B,), generator=g)
    return data.from_uint8(images), t, torch.randn(B, 1, 32, 32, generator=g)


@pytest.fixture
def small(monkeypatch):
    """Networks of a few thousand weights on the real digits, drawn in three steps."""
    monkeypatch.setattr(experiment, "MODEL", TINY)
    monkeypatch.setattr(experiment, "SCHEDULE", ScheduleConfig(kind="cosine"))
    monkeypatch.setattr(experiment, "DRAW_STEPS", 3)


def test_without_a_break_the_pair_is_the_packages_own(batch):
    x0, t, noise = batch
    x_t, expected = mistakes.pair(*batch, SCHED, set())
    assert torch.equal(x_t, diffusion.q_sample(x0, t, noise, SCHED))
    assert torch.equal(expected, objective.target(x0, noise, t, SCHED, "v"))


def test_pixels_are_those_of_to_tensor(batch):
    images = torch.arange(256, dtype=torch.uint8)
    left = mistakes.left_unscaled(data.from_uint8(images))
    assert torch.allclose(left, images / 255, atol=1e-6) and left.min() == 0 and left.max() == 1
    x0, t, noise = batch
    x_t, expected = mistakes.pair(*batch, SCHED, {PIXELS})
    x0_hat, eps_hat = diffusion.to_x0_eps(expected, x_t, t, SCHED, "v")
    assert torch.allclose(x0_hat, (x0 + 1) / 2, atol=1e-4), "what is learned is a picture in [0, 1]"
    assert torch.allclose(eps_hat, noise, atol=1e-4)


def test_column_j_gets_the_noise_level_of_picture_j(batch):
    x0, t, noise = batch
    x_t, expected = mistakes.pair(*batch, SCHED, {BROADCAST})
    for j in range(B):
        of_picture_j = t[j].expand(B)
        right = diffusion.q_sample(x0, of_picture_j, noise, SCHED)
        assert torch.equal(x_t[..., j], right[..., j])
        assert torch.equal(expected[..., j], objective.target(x0, noise, of_picture_j, SCHED, "v")[..., j])


@pytest.mark.parametrize("n", [2, 16, 31, 64])
def test_any_other_batch_is_refused_by_pytorch_itself(n):
    x0, t = torch.zeros(n, 1, 32, 32), torch.zeros(n, dtype=torch.int64)
    for wrong in (mistakes.q_sample_by_column, lambda x, t, e, sched: mistakes.v_by_column(x, e, t, sched)):
        with pytest.raises(RuntimeError, match="size of tensor"):
            wrong(x0, t, x0, SCHED)


def step(eps, broken_names=frozenset(), t=40, s=30):
    x_t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    t, s = torch.full((3,), t), torch.full((3,), s)
    return x_t, t, s, mistakes.mean_of_step(x_t, eps, t, s, SCHED, broken_names)


@pytest.mark.parametrize(("t", "s"), [(59, 58), (40, 30), (1, 0), (10, -1)])
def test_the_right_step_is_ddpms(t, s):
    eps = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    x_t, t, s, (mean, variance) = step(eps, t=t, s=s)
    x0_hat, _ = diffusion.to_x0_eps(eps, x_t, t, SCHED, "eps")
    expected, sigma_squared = diffusion.posterior(x0_hat, x_t, t, s, SCHED)
    assert torch.allclose(mean, expected, atol=1e-4) and torch.allclose(variance, sigma_squared, atol=1e-6)


def test_the_flipped_step_is_the_right_one_with_minus_eps():
    eps = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    *_, (flipped, variance) = step(eps, {SIGN})
    *_, (right, same) = step(-eps)
    assert torch.equal(flipped, right) and torch.equal(variance, same)
    assert not torch.allclose(flipped, step(eps)[3][0], atol=0.1)


def drawn(names, steps=12):
    model = Inference(build_model(TINY_CLASSES, seed=1))
    return list(mistakes.draw(model, SCHED, torch.arange(3), steps, 5, names, img_size=8))


def test_the_right_drawing_is_reverse_process_unclipped():
    model = Inference(build_model(TINY_CLASSES, seed=1))
    sampling = {"sampler": "ddpm", "num_steps": 12, "clip": False, "seed": 5, "img_size": 8}
    moments = list(samplers.reverse_process(model, SCHED, 3, y=torch.arange(3), **sampling))
    for x_t, moment in zip(drawn(set()), moments, strict=True):
        assert torch.allclose(x_t, moment.x_t, atol=1e-3)


def test_with_the_sign_flipped_x_t_only_grows():
    right, flipped = ([x.std().item() for x in drawn(names)] for names in (set(), {SIGN}))
    assert max(right) < 2 and right[0] == flipped[0]
    assert all(b > a for a, b in pairwise(flipped)) and flipped[-1] > 100


def test_the_lines_in_the_margin_are_in_the_sources():
    """LIVE's are the tutorial's two calls."""
    sources = inspect.getsource(data) + inspect.getsource(diffusion) + inspect.getsource(mistakes)
    sources += inspect.getsource(autoencoder)
    for name in (PIXELS, BROADCAST, SIGN, SCALE):
        right, wrong = mistakes_tab.LINES[name]
        assert right.removeprefix("x0 = ") in sources
        assert name in (PIXELS, SCALE) or wrong in sources
    for call, function in zip(mistakes_tab.LINES[LIVE], (generate.sample_from_ema, samplers.sample), strict=True):
        names = call.partition("(")[2].rstrip(")").split(", ")
        assert (
            call.startswith(function.__name__) and list(inspect.signature(function).parameters)[: len(names)] == names
        )


def run_of(names, steps=8, seed=0, kept=None):
    run = experiment.Experiment(frozenset(names), steps, seed, kept or cache.LRUCache(10**8), experiment.Pace())
    list(run.steps())
    return run


def test_no_schedule_is_made_before_the_work_begins(small, monkeypatch):
    """That is on the engine's thread: elsewhere it would leave a team of OpenMP's threads."""
    monkeypatch.setattr(
        experiment, "build_schedule", lambda *_: pytest.fail("made where the page's questions are answered")
    )
    experiment.Experiment(frozenset({SIGN}), 8, 0, cache.LRUCache(10**8), experiment.Pace())


def lanes_of(run):
    return [[frame for frame in run.frames if frame["lane"] == i] for i in (0, 1)]


BREAKS = [{PIXELS}, {LIVE}, {BROADCAST}, {SIGN}, {SCALE}, set(NAMES) - {SCALE}]


@pytest.mark.slow
@pytest.mark.parametrize("names", BREAKS, ids=lambda names: "+".join(sorted(names)))  # the same in every process
def test_both_lanes_begin_alike_and_end_apart(small, names):
    run = run_of(names)
    right, wrong = lanes_of(run)
    assert (
        [frame["moment"] for frame in right]
        == [frame["moment"] for frame in wrong]
        == list(range(experiment.MOMENTS + 1))
    )
    assert [frame["step"] for frame in right] == list(range(9))
    same = not names & {SIGN, SCALE}  # what is of another scale looks different from the start
    assert (right[0]["pictures"] == wrong[0]["pictures"]) == same, "the same weights and noise"
    assert right[-1]["pictures"] != wrong[-1]["pictures"]
    trained_apart = bool(names & {PIXELS, BROADCAST, SCALE})
    assert len(run.trainings) == 1 + trained_apart
    assert (right[-1]["loss"] != wrong[-1]["loss"]) == trained_apart
    assert (right[-1]["given"] != wrong[-1]["given"]) == trained_apart
    assert run.packet([])["step"] == 8 and run.left() == (0, 0)


def test_live_weights_are_those_of_the_optimiser(small):
    run = run_of({LIVE})
    moment = run.trainings[0].moments[-1]
    live, averaged = ([p.clone() for p in each.model.parameters()] for each in (moment.live, moment.averaged))
    assert any(not torch.equal(a, b) for a, b in zip(live, averaged, strict=True))
    for lane, model in zip(lanes_of(run), (moment.averaged, moment.live), strict=True):
        guided = experiment.Guided(model, experiment.GUIDANCE)
        *_, x = mistakes.draw(guided, run.trainings[0].sched, torch.arange(10), 3, 0, set(), img_size=32)
        assert np.array_equal(picture(lane[-1]["pictures"]), recording.frame(x).ravel())


@pytest.mark.slow
def test_the_right_lane_is_what_the_package_trains(small):
    """The batches, the noise and the weights are fit's own."""
    run = run_of({BROADCAST})
    model, digits = build_model(TINY, 0), data.load_dataset("bundled")
    options = {"sched": make_schedule(kind="cosine"), "config": experiment.TRAIN, "steps": 8}
    *_, state = experiment.fit(model, digits.images, digits.labels, **options)
    assert run.trainings[0].losses[-1] == pytest.approx(state.loss_smooth, abs=1e-5)
    assert experiment.TRAIN.batch_size == TINY.img_size == 32


def test_facts_are_measured_of_the_digits():
    x = torch.full((10, 1, 32, 32), 0.25)
    x[:, :, :2], x[:, :, -2:], x[..., :2], x[..., -2:] = -1, -1, -1, -1
    x[0, 0, 16, 16] = 3
    lane = experiment.Lane(experiment.Training(set(), 8, 0), set())
    moment = experiment.Moment(8, None, None, 0.5)
    first, second = lane.facts(x, moment), lane.facts(x - 0.25, moment)
    assert (first["edge"], first["low"], first["high"], first["change"]) == (-1, -1, 3, None)
    inside = 28 * 28 / 32**2
    assert second["change"] == pytest.approx(0.25 * math.sqrt(inside), abs=1e-2), "of what is shown, which is clamped"


@pytest.mark.slow
def test_a_finished_training_is_kept_for_the_next_break(small, monkeypatch):
    kept, started = cache.LRUCache(10**8), []
    real = experiment.fit
    monkeypatch.setattr(experiment, "fit", lambda *a, **k: started.append(1) or real(*a, **k))
    first = run_of({PIXELS}, kept=kept)
    second = run_of({SIGN, LIVE}, kept=kept)
    assert len(started) == 2, "the right one and the one with other pixels"
    assert lanes_of(first)[0][-1]["pictures"] == lanes_of(second)[0][-1]["pictures"]
    run_of({BROADCAST}, kept=kept)
    run_of({SIGN}, seed=1, kept=kept)
    assert len(started) == 4


def test_latents_of_another_scale_are_lost_in_noise_and_the_decoder_knows(small):
    right, wrong = (experiment.Training(each, 8, 0, latent=True) for each in (set(), {SCALE}))
    z = torch.randn(4, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    t, noise = torch.tensor([0, 300, 600, 999]), torch.randn(4, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    for training, scale in ((right, 1.0), (wrong, mistakes.RAW_STD)):
        x_t, expected = mistakes.pair(z, t, noise, training.sched, training.broken)
        assert torch.equal(x_t, diffusion.q_sample(scale * z, t, noise, training.sched))
        assert torch.equal(expected, objective.target(scale * z, noise, t, training.sched, "v"))
    assert torch.allclose(right.pictures(z), wrong.pictures(mistakes.raw(z)), atol=1e-4)


def test_latents_left_unscaled_are_those_of_an_autoencoder_as_good():
    """Ours, its encoder's last layer times RAW_STD and its decoder's first divided by it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ours = autoencoder.VAE(img_size=8, widths=(8, 16), latent_ch=4)
    other, x = copy.deepcopy(ours), data.from_uint8(torch.arange(128, dtype=torch.uint8).reshape(2, 1, 8, 8))
    to_latents, from_latents = other.encoder[-1], other.decoder[0]
    with torch.no_grad():
        for parameter in (to_latents.weight, to_latents.bias):
            parameter[:4] *= mistakes.RAW_STD
        to_latents.bias[4:] += 2 * math.log(mistakes.RAW_STD)
        from_latents.weight /= mistakes.RAW_STD
        for z, left in zip(ours.posterior(x), other.posterior(x), strict=True):
            assert torch.allclose(left, mistakes.raw(z), atol=1e-6)
        z = ours.encode(x)
        assert torch.allclose(other.decode(mistakes.raw(z)), ours.decode(z), atol=1e-5)


def test_what_the_margin_says_of_the_scale_is_so():
    training, text = experiment.Training({SCALE}, 8, 0, latent=True), mistakes_tab.BLOCKS
    ab, codec = training.sched.alphas_bar, training.set_up[1]
    right, left = (int((1 - ab > std**2 * ab).nonzero()[0]) for std in (1, mistakes.RAW_STD))
    assert f"from t = {left} on, not {right}:" in text and f"here it is {mistakes.RAW_STD}." in text
    assert f"an std of {1 / codec.model.scale:.2f} by itself, Stable Diffusion's {1 / 0.18215:.1f}." in text


@pytest.mark.slow
def test_latents_of_another_scale_lower_the_loss_and_the_accuracy():
    run = run_of({SCALE}, steps=200)
    right, wrong = (lane[-1] for lane in lanes_of(run))
    assert right["scale"] == pytest.approx(1, abs=0.1) and wrong["scale"] == pytest.approx(0.02, abs=0.002)
    assert wrong["loss"] < 0.6 * right["loss"]
    assert sum(d == i for i, d in enumerate(right["digits"])) > sum(d == i for i, d in enumerate(wrong["digits"]))


def the_tab():
    return alone(mistakes_tab, None)[:2]


async def packets(demo, *asked, window="a"):
    return [packet async for packet in handler(demo, "mistakes-train")(Window(window), *asked)]


def test_the_tab_streams_and_what_was_missed_can_be_asked_for(small):
    demo, named = the_tab()
    sent = asyncio.run(packets(demo, [BROADCAST], 8, 3))
    assert sent[-1]["done"] and not sent[-1]["error"] and sent[-1]["broken"] == [BROADCAST]
    frames = [frame for packet in sent for frame in packet["frames"]]
    assert frames == named["mistakes-view"].replay({"run": sent[0]["run"]})["frames"] and len(frames) == 18
    assert [len(curve[0]) for curve in sent[-1]["curves"]] == [8, 8]
    assert named["mistakes-view"].replay(None) == named["mistakes-view"].replay({"run": 1}) == {"frames": []}


def test_stop_stops(small):
    demo, _ = the_tab()

    async def scenario():
        stream = handler(demo, "mistakes-train")(Window("a"), [PIXELS], 1000, 0)
        await anext(stream)
        handler(demo, "mistakes-stop")(Window("a"))
        return [packet async for packet in stream][-1]

    end = asyncio.run(scenario())
    assert end["stopped"] and end["step"] < 1000


def test_a_server_takes_only_so_many_at_once(small):
    demo, _ = the_tab()

    async def scenario():
        most = limits.current().training_runs
        streams = [handler(demo, "mistakes-train")(Window(str(i)), [PIXELS], 1000, 0) for i in range(most)]
        for stream in streams:
            await anext(stream)
        refused = await packets(demo, [PIXELS], 8, 0, window="late")
        handler(demo, "mistakes-stop")(Window("0"))
        again = handler(demo, "mistakes-train")(Window("late"), [PIXELS], 8, 0)
        accepted = await anext(again)
        for stream in (*streams, again):
            await stream.aclose()
        return refused, accepted

    refused, accepted = asyncio.run(scenario())
    assert len(refused) == 1 and "under way" in refused[0]["error"] and accepted["run"]


def test_a_flipped_sign_is_drawn_at_once_with_the_weights_that_ship(registry, monkeypatch):
    def trained(*_, **__):
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(experiment, "fit", trained)
    demo, named, _ = alone(mistakes_tab, registry)
    sent = asyncio.run(packets(demo, [SIGN], 400, 3))
    assert sent[-1]["done"] and not sent[-1].get("error") and sent[-1]["broken"] == [SIGN] and sent[-1]["at_once"]
    frames = [frame for packet in sent for frame in packet["frames"]]
    steps = experiment.DRAW_STEPS + 1
    assert [(frame["lane"], frame["moment"]) for frame in frames] == [(i, k) for k in range(steps) for i in (0, 1)]
    assert frames[0]["pictures"] == frames[1]["pictures"] != frames[3]["pictures"], "from the same noise"
    stds = frames[-1]["stds"]
    assert len(stds) == steps and max(frames[-2]["stds"]) < 3 and stds[-1] > 1000, "which is the sign's"
    assert not frames[0]["digits"] and len(frames[-1]["digits"]) == 10, "noise is not classified"
    weights = registry.get("mnist")
    args = weights.sched, torch.arange(10), experiment.DRAW_STEPS, 3
    for frame, broken in zip(frames[-2:], (set(), {SIGN}), strict=True):
        *_, x = mistakes.draw(at_once.Guided(weights.model, experiment.GUIDANCE), *args, broken)
        assert np.array_equal(picture(frame["pictures"]), data.to_uint8(x).numpy().ravel())
    forecast = next(f.fn for f in demo.fns.values() if f.fn and (named["mistakes-seed"]._id, "change") in f.targets)
    assert asyncio.run(forecast([SIGN], 400, 3)).startswith("Nothing is trained")


def test_weights_that_know_no_digits_draw_none_at_once(registry, monkeypatch):
    monkeypatch.setattr(type(registry.get("mnist")), "classifiable", False)
    demo, *_ = alone(mistakes_tab, registry)
    (refused,) = asyncio.run(packets(demo, [SIGN], 400, 3))
    assert "no weights that draw digits" in refused["error"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (([], 8, 0), "nothing to break"),
        ((None, 8, 0), "Breaks"),
        (("pixels", 8, 0), "Breaks"),
        ((["pixels"] * 6, 8, 0), "Breaks"),
        ((["pixels", "scale"], 8, 0), "two mistakes of pixels are not"),
        ((["everything"], 8, 0), "Break: one of"),
        (([["pixels"]], 8, 0), "Break: one of"),
        ((["sign"], 7, 0), "Optimiser steps"),
        ((["sign"], 1001, 0), "Optimiser steps"),
        ((["sign"], None, 0), "Optimiser steps"),
        ((["sign"], 8, -1), "Seed"),
        ((["sign"], 8, math.nan), "Seed"),
    ],
)
def test_bad_values_get_one_sentence(asked, words):
    demo, _ = the_tab()
    (refused,) = asyncio.run(packets(demo, *asked))
    assert words in refused["error"] and "\n" not in refused["error"]


@pytest.mark.slow
def test_the_forecast_knows_what_is_to_be_trained(small):
    demo, named = the_tab()
    seed = named["mistakes-seed"]
    forecast = next(f.fn for f in demo.fns.values() if f.fn and (seed._id, "change") in f.targets)
    ask = lambda *asked: asyncio.run(forecast(*asked))  # noqa: E731
    assert ask([PIXELS], 8, 0).startswith("Two networks in turn, 8 steps each, about ")
    assert ask([SIGN, LIVE], 8, 0).startswith("One network, 8 steps, about ")
    asyncio.run(packets(demo, [PIXELS], 8, 0))
    assert "already" in ask([PIXELS, SIGN], 8, 0)
    assert ask([BROADCAST], 8, 0).startswith("One network")
    assert ask([PIXELS], 0, 0).startswith("Optimiser steps")
