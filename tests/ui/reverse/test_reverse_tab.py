"""What the Reverse tab computes, without a browser."""

import asyncio
import math

import numpy as np
import pytest
import torch
from helpers.latents import with_latents
from helpers.pages import Window, handler, picture
from helpers.reversing import finished, reverse_tab, run, settings

import ddpm
from ddpm.config import ModelConfig, SamplingConfig
from ddpm.data import to_uint8
from ddpm.networks import build_model
from ddpm.samplers import reverse_process
from ddpm.ui.generation.coefficients import coefficients, in_eps
from ddpm.ui.generation.labels import in_turn
from ddpm.ui.generation.models import wrap
from ddpm.ui.generation.trajectory import Costs, Trajectory
from ddpm.ui.server import cache
from ddpm.ui.server.engine import Engine


def test_frames_are_those_of_reverse_process(registry):
    s = settings(registry, guidance=1)
    frames = run(Trajectory(s))
    process = reverse_process(s.weights.model, s.weights.sched, 2, y=torch.tensor([0, 1]), num_steps=4, seed=3)
    for frame, step in zip(frames, process, strict=True):
        assert (frame["step"], frame["t"]) == (step.i, step.t)
        assert np.array_equal(picture(frame["x_t"]), to_uint8(step.x_t).numpy().ravel())
        assert np.array_equal(picture(frame["x0_hat"]), to_uint8(step.x0_hat).numpy().ravel())
        assert frame["signal"] == (round(s.weights.sched.sqrt_alphas_bar[step.t].item(), 4) if step.t >= 0 else 1)
        if step.eps_hat is None:
            assert frame["eps_hat"] is None and step.t == -1
        else:
            shown = (127.5 * (step.eps_hat + 1)).clamp(0, 255).round()  # as Forward shows a noise
            assert np.array_equal(picture(frame["eps_hat"]), shown.numpy().ravel())


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": 0.7},
        {"sampler": "ddpm"},
        {"sampler": "ddpm", "variance": "large"},
        {"spacing": "trailing"},
        {"clip": False},
        {"sampler": "dpmpp", "spacing": "log_snr"},
        {"sampler": "heun", "spacing": "log_snr"},
    ],
)
def test_every_setting_reaches_the_process(registry, changes):
    s = settings(registry, guidance=1, **changes)
    frames = run(Trajectory(s))
    options = {"sampler": "ddim", "num_steps": 4, "seed": 3} | changes
    *_, last = reverse_process(s.weights.model, s.weights.sched, 2, y=torch.tensor([0, 1]), **options)
    assert np.array_equal(picture(frames[-1]["x_t"]), to_uint8(last.x_t).numpy().ravel())
    assert frames[-1]["x_t"] != run(Trajectory(settings(registry, guidance=1)))[-1]["x_t"]


def test_same_seed_same_digits_and_another_seed_others(registry):
    first, again = run(Trajectory(settings(registry))), run(Trajectory(settings(registry)))
    other = run(Trajectory(settings(registry, seed=4)))
    assert first == again
    assert first[0]["x_t"] != other[0]["x_t"]


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 1000])
def test_at_most_a_hundred_frames_first_and_last_included(registry, steps):
    trajectory = Trajectory(settings(registry, steps=steps))
    kept = sorted(trajectory.kept)
    assert kept[0] == 0 and kept[-1] == steps
    assert len(kept) == min(steps + 1, 100)


def test_the_moment_of_a_stop_is_kept(registry):
    trajectory = Trajectory(settings(registry, steps=1000))
    steps = trajectory.steps()
    for _ in range(8):
        next(steps)
    steps.close()
    assert [frame["step"] for frame in trajectory.frames] == [0]
    assert trajectory.end() == trajectory.frames[1:] and trajectory.frames[1]["step"] == 7
    assert trajectory.end() == []
    assert trajectory.packet([])["evaluations"] == 8 * 2, "the moment shown has been asked about"


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, 8),
        ({"guidance": 1}, 4),
        ({"guidance": 0}, 4),
        ({"choice": "none"}, 4),
        ({"middle": True}, 5),  # of 999, 666, 333 and 0 one lies in the middle
        ({"middle": True, "choice": "none"}, 4),
        ({"sampler": "dpmpp"}, 8),
        ({"sampler": "heun"}, 14),
        ({"sampler": "heun", "middle": True}, 9),  # 333, where guidance counts, is asked about twice
    ],
)
def test_network_evaluations_are_counted_honestly(registry, changes, cost):
    s = settings(registry, **changes)
    trajectory = Trajectory(s)
    calls, inner = [], s.weights.model.model

    def count(module, args):
        calls.append(len(args[0]) // s.n)

    hook = inner.register_forward_pre_hook(count)
    run(trajectory)
    hook.remove()
    assert sum(calls) == cost == trajectory.packet([])["evaluations"]


def test_none_asks_for_no_class_and_a_digit_for_that_digit(registry):
    assert settings(registry, choice="none").labels == (-1,)
    assert settings(registry, choice="7").labels == (7,)
    assert settings(registry, choice="all in turn").labels == tuple(range(10))
    assert in_turn([7], 3).tolist() == [7, 7, 7]
    assert in_turn(list(range(10)), 12).tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize("times", [[700, 699], [600, 350], [40, -1]])
def test_in_the_tutorials_form_the_step_is_the_same(times):
    sched = ddpm.make_schedule(1000, kind="linear", dtype=torch.float64)
    x_t, x0, z = torch.randn(3, 1, 1, 4, 4, dtype=torch.float64).unbind(0)
    t, s = (torch.tensor([time]) for time in times)
    eps = (x_t - sched.alphas_bar[t].sqrt() * x0) / (1 - sched.alphas_bar[t]).sqrt()
    *_, sigma = coefficients(SamplingConfig("ddpm", 1), times, 0, sched)
    on_x_t, on_eps, on_z = in_eps(times, 0, sched, sigma)
    by_hand = on_x_t * x_t - on_eps * eps + on_z * z
    assert torch.allclose(by_hand, ddpm.ddpm_step(x_t, x0, t, s, sched, z), atol=1e-3)  # shown to four digits
    if times[1] == times[0] - 1:  # the tables that the tutorial's sampler reads
        scale = sched.betas[t] / sched.sqrt_one_minus_alphas_bar[t]
        read = sched.sqrt_recip_alphas[t].item(), (sched.sqrt_recip_alphas[t] * scale).item()
        assert (on_x_t, on_eps) == pytest.approx(read, abs=1e-4)


def test_only_frames_of_ddpm_have_the_tutorials_form(registry):
    for sampler in ("ddpm", "ddim"):
        frames = finished(registry, sampler=sampler).frames
        assert [("in_eps" in frame) for frame in frames] == [*([sampler == "ddpm"] * (len(frames) - 1)), False]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp", "heun"])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_numbers_in_the_equation_are_those_of_the_step(sampler, variance):
    sched = ddpm.make_schedule(1000, kind="cosine", dtype=torch.float64)
    x_t, x0, z, before, eps_s = torch.randn(5, 1, 1, 4, 4, dtype=torch.float64).unbind(0)
    times = [700, 600, 500, -1]
    r, t, s = (torch.tensor([time]) for time in times[:3])
    eps = (x_t - sched.alphas_bar[600].sqrt() * x0) / (1 - sched.alphas_bar[600]).sqrt()
    euler = ddpm.ddim_step(x0, eps, t, s, sched)
    pictures, exact = {
        "ddim": ((x0, eps, z), ddpm.ddim_step(x0, eps, t, s, sched, 0.5, z)),
        "ddpm": ((x0, x_t, z), ddpm.ddpm_step(x_t, x0, t, s, sched, z, variance)),
        "dpmpp": ((x_t, x0, before), ddpm.dpmpp_step(x_t, x0, t, s, sched, before, r)),
        "heun": ((x0, eps, eps_s), ddpm.heun_step(euler, eps, eps_s, t, s, sched)),
    }[sampler]
    sampling = SamplingConfig(sampler, 3, eta=0.5, variance=variance)
    numbers = coefficients(sampling, times, 1, sched)
    by_hand = sum(number * one for number, one in zip(numbers, pictures, strict=True))
    assert torch.allclose(by_hand, exact, atol=1e-3)  # they are shown to four digits
    assert abs(numbers[2]) > 0.05
    if sampler in ("dpmpp", "heun"):
        assert coefficients(sampling, times, 2, sched)[2] == 0, "first order to clean data"
    if sampler == "dpmpp":
        assert coefficients(sampling, times, 0, sched)[2] == 0, "and at the start"


BAD = [
    ({"n": 0}, "Digits"),
    ({"n": 65}, "Digits"),
    ({"n": 10**400}, "Digits"),
    ({"n": 2.5}, "Digits"),
    ({"n": None}, "Digits"),
    ({"n": "many"}, "Digits"),
    ({"n": True}, "Digits"),
    ({"choice": "10"}, "Class"),
    ({"choice": None}, "Class"),
    ({"choice": ["1"]}, "Class"),
    ({"sampler": "euler"}, "Sampler"),
    ({"steps": 0}, "Steps"),
    ({"steps": 1001}, "Steps"),
    ({"steps": math.nan}, "Steps"),
    ({"guidance": -1}, "Guidance"),
    ({"guidance": math.inf}, "Guidance"),
    ({"middle": None}, "Limited-interval"),
    ({"middle": "yes"}, "Limited-interval"),
    ({"middle": [True]}, "Limited-interval"),
    ({"eta": 1.1}, "Eta"),
    ({"eta": math.nan}, "Eta"),
    ({"variance": "huge"}, "Variance"),
    ({"spacing": None}, "Spacing"),
    ({"clip": "no"}, "Clip"),
    ({"seed": -1}, "Seed"),
    ({"seed": 2**31}, "Seed"),
    ({"weights_id": "../mnist"}, "weights"),
    ({"weights_id": None}, "weights"),
    ({"weights_id": {}}, "weights"),
]


@pytest.mark.parametrize(("changes", "word"), BAD)
def test_bad_settings_get_one_sentence(registry, changes, word):
    with pytest.raises(ValueError, match=word) as error:
        settings(registry, **changes)
    assert len(str(error.value)) < 120 and "\n" not in str(error.value)


def test_an_unconditional_model_is_asked_without_labels(registry):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    registry.put("secret", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    s = settings(registry, weights_id="secret", choice="none")
    assert s.labels == (-1,)
    assert len(run(Trajectory(s))) == 5
    with pytest.raises(ValueError, match="Class"):
        settings(registry, weights_id="secret", choice="3")


def test_kept_things_go_when_there_are_too_many():
    kept = cache.LRUCache(100)
    for i in range(5):
        kept.put(str(i), i, 40)
    assert [kept.get(str(i)) for i in range(5)] == [None, None, None, 3, 4]
    kept.put("4", 44, 10)
    assert kept.bytes == 50 and kept.get("4") == 44
    assert kept.get(["4"]) is None


def test_a_closed_tab_and_a_second_generate_end_the_first(registry):
    demo, engine = reverse_tab(registry)[:2]
    generate = handler(demo, "reverse-generate")
    asked = (2, "none", 0, "mnist", "ddim", 1000, 1, False, 0, "small", "linspace", True)

    async def scenario():
        gone, stays = generate(Window("a"), *asked), generate(Window("b"), *asked)
        await anext(gone)
        await anext(stays)
        await gone.aclose()  # what Gradio does when the tab is closed
        while engine.count() > 1:
            await asyncio.sleep(0.01)
        again = generate(Window("b"), *asked[:5], 2, *asked[6:])
        return [packet async for packet in again][-1], [packet async for packet in stays]

    again, stays = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert again["done"] and not again["stopped"] and again["step"] == 2
    *_, end = stays
    assert end["done"] and end["stopped"] and end["step"] < 1000
    sent = [frame["step"] for packet in stays for frame in packet["frames"]]
    assert sent[-1] == end["step"], "the moment it was stopped at"
    assert engine.count() == 0


def test_frames_that_the_page_missed_are_sent_again(registry):
    demo, _, named = reverse_tab(registry)
    view = named["reverse-view"]

    async def run_it():
        asked = (1, "none", 0, "mnist", "ddim", 5, 1, False, 0, "small", "linspace", True)
        stream = handler(demo, "reverse-generate")(Window("a"), *asked)
        return [packet async for packet in stream]

    packets = asyncio.run(run_it())
    frames = [frame for packet in packets for frame in packet["frames"]]
    assert [frame["index"] for frame in frames] == list(range(6))
    missed = view.replay({"run": packets[0]["run"], "have": [0, 1, 5]})["frames"]
    assert missed == frames[2:5]
    for bad in (None, {}, {"run": "guess", "have": []}, {"run": ["x"]}, []):
        assert view.replay(bad) == {"frames": []}


def test_a_picture_of_a_run_that_is_gone_says_what_to_do(registry):
    *_, named = reverse_tab(registry)
    for asked in (None, {}, {"run": "guess", "kind": "png"}, {"run": ["x"], "kind": "gif"}):
        assert "Press Generate" in asyncio.run(named["reverse-view"].file(asked))["error"]


def test_stop_when_nothing_runs_says_so(registry):
    demo, *_ = reverse_tab(registry)
    assert handler(demo, "reverse-stop")(Window("nobody")) == {"notice": "Nothing is running."}


@pytest.mark.parametrize(("elem_id", "said"), [("reverse-n", "Digits: a whole"), ("reverse-seed", "Seed: a whole")])
def test_what_is_no_whole_number_is_said_and_not_rounded(registry, elem_id, said):
    field = reverse_tab(registry)[2][elem_id]
    name = {"reverse-n": "n", "reverse-seed": "seed"}[elem_id]
    with pytest.raises(ValueError, match=said):
        settings(registry, **{name: field.preprocess(2.7)})
    assert field.preprocess(2) == 2


def test_a_bound_is_written_out(registry):
    with pytest.raises(ValueError, match="Seed: a whole number from 0 to 2147483647, please"):
        settings(registry, seed=10**12)


def test_guidance_cannot_be_set_where_the_weights_know_no_classes(registry):
    demo, _, named = reverse_tab(registry)
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    follow = next(f.fn for f in demo.fns.values() if f.outputs == [named["reverse-guidance"]])
    registry.put("plain", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    assert follow("plain")["interactive"] is False and "no classes" in follow("plain")["info"]
    assert follow("mnist")["interactive"] is True


def test_clipping_cannot_be_set_where_the_weights_are_of_latents(registry):
    demo, _, named = reverse_tab(with_latents(registry))
    follow = next(f.fn for f in demo.fns.values() if f.outputs == [named["reverse-clip"]])
    assert follow("latent")["interactive"] is False and "no bounds" in follow("latent")["info"]
    assert follow("mnist")["interactive"] is True and not follow("mnist")["info"]


def test_what_it_costs_is_measured(registry, monkeypatch):
    costs = Costs(Engine())
    s = settings(registry, steps=50)
    sentence = asyncio.run(costs.sentence(s))
    assert sentence.startswith("50 steps, guided: 100 network evaluations, about ")
    seconds = costs._seconds["mnist", 4]  # two digits, guided pairs
    assert f"about {seconds * 50:.1f} s here" in sentence and seconds > 0
    single = asyncio.run(costs.sentence(settings(registry, steps=1, guidance=1)))
    assert single.startswith("1 step: 1 network evaluation,")
    partly = asyncio.run(costs.sentence(settings(registry, steps=15, middle=True)))
    assert partly.startswith("15 steps, 5 of them guided: 20 network evaluations, about ")
    twice = asyncio.run(costs.sentence(settings(registry, steps=10, sampler="heun", guidance=1)))
    assert twice.startswith("10 steps, all but the last asking twice: 19 network evaluations, about ")
    monkeypatch.setitem(costs._seconds, ("mnist", 2), 1.0)
    assert "about 19.0 s here" in asyncio.run(costs.sentence(settings(registry, steps=10, sampler="heun", guidance=1)))
    alone = asyncio.run(costs.sentence(settings(registry, steps=1, sampler="heun", guidance=1)))
    assert alone.startswith("1 step: 1 network evaluation,")
