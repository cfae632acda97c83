"""Forward, back again: a blur, one step and all the steps from one and the same x_t."""

import asyncio
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from helpers.pages import Window, alone, handler, picture

from ddpm import make_schedule, q_sample
from ddpm.config import ModelConfig
from ddpm.data import from_uint8, load_dataset, to_uint8
from ddpm.evaluation import classifiers
from ddpm.networks import build_model
from ddpm.samplers import reverse_process
from ddpm.ui.components import pictures
from ddpm.ui.generation import recording
from ddpm.ui.generation.models import wrap
from ddpm.ui.server import protocol
from ddpm.ui.tabs.forward import denoising

IMAGES = load_dataset("bundled").images


def question(registry, index=0, level=20, seed=3):
    return denoising.Question(from_uint8(IMAGES[index : index + 1]), seed, level, registry.get("mnist"))


class Oracle:
    """A model that knows the answer."""

    prediction, device = "x0", torch.device("cpu")

    def __init__(self, x0, config):
        self.x0, self.model = x0, type("Of", (), {"config": config, "picture_shape": (1, 32, 32)})

    def __call__(self, x, t, y):
        assert (y == -1).all()  # it is not told which digit it is
        return self.x0.expand(x.shape)


def knowing(q):
    return dataclasses.replace(
        q, weights=dataclasses.replace(q.weights, model=Oracle(q.x0, q.weights.model.model.config))
    )


def test_x_t_lies_on_the_grid_of_steps_at_the_time_that_was_asked(registry):
    x0 = protocol.b64(IMAGES[0].numpy())
    for t in range(24, 1000, 25):
        q = denoising.Question.check(registry, {"x0": x0, "seed": 3, "t": t, "weights": "mnist", "question": 1})
        assert q.start == (denoising.STEPS - q.level, t) and q.level == (t + 1) // 25
        eps = pictures.noise(3, 1, 32).float()[None]
        assert torch.equal(q.x_t, q_sample(q.x0, torch.tensor([t]), eps, q.weights.sched))


def test_a_schedule_of_another_length_has_the_same_share_of_it(registry):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    for T, steps in ((200, 40), (20, 20)):
        registry.put("short", wrap(build_model(config), make_schedule(T), "linear", "mine", "cifar10"))
        asked = {"x0": protocol.b64(IMAGES[0].numpy()), "seed": 3, "t": 499, "weights": "short", "question": 1}
        q = denoising.Question.check(registry, asked)
        assert q.level == steps // 2 and q.start[1] == T // 2 - 1
        assert len(list(denoising.Futures(q).steps())) == q.level + 1
        *_, shown = denoising.at_once(q)
        assert all(set(one) == {"distance", "grey"} for one in shown["measured"].values()), (
            "the classifier knows digits only"
        )


def test_a_blur_keeps_what_is_even_and_is_a_gaussian_of_its_width():
    widths = torch.tensor([0.1, 1.0, 2.0])
    torch.testing.assert_close(
        denoising.blurred(torch.full((1, 1, 32, 32), 0.7), widths), torch.full((3, 1, 32, 32), 0.7)
    )
    point = torch.zeros(1, 1, 32, 32)
    point[0, 0, 16, 15] = 1
    spots = denoising.blurred(point, widths)
    torch.testing.assert_close(spots[:1], point)
    at = torch.arange(32.0)
    for spot, width in zip(spots[1:, 0], widths[1:], strict=True):
        for mass, middle in ((spot.sum(1), 16), (spot.sum(0), 15)):
            mean = (mass * at).sum() / mass.sum()
            sd = ((mass * (at - mean) ** 2).sum() / mass.sum()).sqrt()
            assert mean.item() == pytest.approx(middle, abs=1e-3) and sd.item() == pytest.approx(width.item(), rel=1e-3)


def test_the_best_blur_is_nearer_to_x0_than_any_other(registry):
    for level in (4, 12, 24):
        q = question(registry, level=level)
        x = q.x_t / q.weights.sched.sqrt_alphas_bar[q.start[1]]
        blur, width = denoising.best_blur(x, q.x0)
        each = denoising.distance(denoising.blurred(x, denoising.WIDTHS), q.x0)
        assert denoising.distance(blur, q.x0).item() == pytest.approx(each.min().item())
        torch.testing.assert_close(blur, denoising.blurred(x, torch.tensor([width])))
        assert 0 < denoising.WIDTHS.tolist().index(pytest.approx(width)) < len(denoising.WIDTHS) - 1, (
            "the range holds the best"
        )


def test_distance_and_grey_are_what_they_are_called():
    x0 = torch.zeros(1, 1, 2, 2)
    x = torch.tensor([[1.0, 1, 1, 1], [-1, 0, 0, 0]]).reshape(2, 1, 2, 2)
    assert denoising.distance(x, x0).tolist() == [1, 0.5] and denoising.grey(x).tolist() == [0, 0.75]
    assert denoising.grey(from_uint8(IMAGES[::50])).mean().item() == pytest.approx(
        0.08, abs=0.005
    )  # as the margin says


def test_one_step_of_a_model_that_knows_the_answer_is_the_digit_and_is_measured(registry):
    q = question(registry)
    *_, shown = denoising.at_once(knowing(q))
    clean = picture(protocol.b64(recording.frame(q.x0)))
    assert np.array_equal(picture(shown["pictures"]["x0_hat"]), clean) and shown["measured"]["x0_hat"]["distance"] == 0
    assert np.array_equal(picture(shown["x_t"]), picture(protocol.b64(recording.frame(q.x_t))))
    read = classifiers.read(q.x0)
    assert shown["measured"]["x0"]["class"] == shown["measured"]["x0_hat"]["class"] == str(read.digits.item())
    assert shown["measured"]["x0"]["certainty"] == pytest.approx(read.confidence.item(), abs=1e-3)
    blur, width = denoising.best_blur(q.x_t / q.weights.sched.sqrt_alphas_bar[499], q.x0)
    assert shown["pictures"]["blur"] == protocol.b64(recording.frame(blur)) and shown["width"] == round(width, 2)
    assert shown["measured"]["blur"]["distance"] > 0 and shown["t"] == 499
    assert (shown["signal"], shown["noise"]) == pytest.approx((math.sqrt(0.4938), math.sqrt(1 - 0.4938)), abs=2e-3)


def test_futures_are_the_reverse_process_from_this_x_t_with_noise_of_their_own(registry):
    q = question(registry, level=5)
    run = denoising.Futures(q)
    frames = list(run.steps())
    assert [frame["t"] for frame in frames] == [124, 99, 74, 49, 24, -1]
    start = (denoising.STEPS - 5, q.x_t.expand(denoising.FUTURES, -1, -1, -1))
    moments = list(
        reverse_process(
            q.weights.model, q.weights.sched, denoising.FUTURES, y=torch.full((denoising.FUTURES,), -1), sampler="ddpm",
            num_steps=denoising.STEPS, spacing="trailing", seed=3, start=start,
        )
    )  # fmt: skip
    assert torch.equal(moments[0].x_t, start[1])
    for frame, moment in zip(frames, moments, strict=True):
        shown = torch.cat([moment.x_t[:3], moment.x_t.mean(0, keepdim=True)])
        assert np.array_equal(picture(frame["pictures"]), to_uint8(shown).numpy().ravel())
        distances = [one["distance"] for one in frame["measured"]]
        assert distances == pytest.approx(denoising.distance(shown, q.x0).tolist(), abs=1e-3)
        x0_hats = (denoising.distance(moment.x0_hat, q.x0).mean().item(), denoising.grey(moment.x0_hat).mean().item())
        assert list(frame["of_x0_hat"].values()) == pytest.approx(x0_hats, abs=1e-4)
        assert ["class" in one for one in frame["measured"]] == [moment.t < 0] * 4
    ends = picture(frames[-1]["pictures"])[: 3 * 1024].reshape(3, 1024)
    assert len({end.tobytes() for end in ends}) == 3


def test_all_futures_of_a_model_that_knows_the_answer_are_the_digit(registry):
    q = question(registry, level=5)
    *_, end = denoising.Futures(knowing(q)).steps()
    assert [one["distance"] for one in end["measured"]] == [0] * 4 and end["of_x0_hat"]["distance"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("level", [28, 34])
def test_one_step_is_nearer_and_greyer_than_what_comes_out_step_by_step(level):
    """What the page claims, of the weights that ship: the x0_hat is near x0, grey, and like the mean of the futures."""
    q = question(denoising.ModelRegistry(), 7, level, 0)
    *_, shown = denoising.at_once(q)
    *_, last = denoising.Futures(q).sampler.steps(
        denoising.FUTURES,
        q.weights.unlabelled(denoising.FUTURES),
        0,
        start=(q.start[0], q.x_t.expand(denoising.FUTURES, -1, -1, -1)),
    )
    x0_hat = torch.tensor(picture(shown["pictures"]["x0_hat"]) / 127.5 - 1).reshape(1, 1, 32, 32)
    futures, nearest = denoising.distance(last.x_t, q.x0), shown["measured"]["x0_hat"]
    assert (futures > nearest["distance"]).float().mean() > 0.75
    assert nearest["distance"] < shown["measured"]["blur"]["distance"]
    assert nearest["grey"] > 1.2 * denoising.grey(last.x_t).mean().item()
    mean = last.x_t.mean(0, keepdim=True)
    assert denoising.distance(mean, x0_hat).item() < 0.4 * denoising.distance(last.x_t, x0_hat).mean().item()


def test_a_question_is_answered_streamed_or_refused_in_words(registry):
    demo, _, _ = alone(denoising, registry)
    view = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == "denoising-view")
    go, x0 = handler(demo, "denoising-denoise"), protocol.b64(IMAGES[0].numpy())
    good = {"x0": x0, "seed": 1, "t": 99, "weights": "mnist", "question": 7}

    async def stream(asked):
        return [packet async for packet in go(Window("a"), asked)]

    assert asyncio.run(view.look(good))["t"] == 99
    packets = asyncio.run(stream(good))
    assert packets[-1]["done"] and not packets[-1]["error"] and {p["question"] for p in packets} == {7}
    sent = [frame for packet in packets for frame in packet["frames"]]
    assert len(sent) == packets[0]["total"] == 5 and packets[0]["t"] == 99
    assert view.replay({"run": packets[0]["run"]})["frames"] == sent
    assert view.replay(None) == view.replay({"run": "unknown"}) == {"frames": []}
    assert len(json.dumps(sent)) < 100_000

    bad = [None, [], "x", {}]
    bad += [good | {"t": v} for v in (-1, 1000, math.nan, "9", None, True)]
    bad += [good | {"seed": v} for v in (-1, 2**31, 0.5, None)]
    bad += [good | {"question": v} for v in (-1, 2**31, None)]
    bad += [good | {"x0": v} for v in ("", "AAAA", None, x0 + "AAAA")]
    bad += [good | {"weights": v} for v in ("../mnist", None)]
    for asked in bad:
        refused = asyncio.run(view.look(asked))
        assert set(refused) == {"error"} and "\n" not in refused["error"]
        assert asyncio.run(stream(asked)) == [refused]
