"""What the three tabs compute, without a browser."""

import asyncio
import base64
import dataclasses
import math

import gradio as gr
import numpy as np
import pytest
import torch

import ddpm
from ddpm import ui
from ddpm.config import Config, ModelConfig, ScheduleConfig, TrainConfig
from ddpm.data import from_uint8, load_dataset, to_uint8
from ddpm.samplers import reverse_process
from ddpm.train import build_model
from ddpm.ui import forward, parts, reverse, train
from ddpm.ui.engine import Busy, Engine
from ddpm.ui.weights import Library, wrap

TINY = ModelConfig(base=8, mults=(1, 2), num_classes=10, patch_size=4, prediction="v")


@pytest.fixture
def library(tmp_path):
    """A library whose default weights are a tiny, untrained, class-conditional model on a cosine schedule."""
    config = Config(TINY, ScheduleConfig(kind="cosine"))
    ddpm.save_checkpoint(tmp_path / "mnist", build_model(TINY), config)
    return Library(tmp_path)


def settings(library, **changes):
    asked = {"n": 2, "digit": "all in turn", "sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0, "seed": 3}
    return reverse.Settings.check(library, **asked | {"weights_id": "mnist"} | changes)


def run(trajectory):
    return [frame for frame in trajectory.steps() if frame]


def picture(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


# Forward


def test_the_page_and_the_server_speak_of_the_same_eps():
    sent = np.frombuffer(base64.b64decode(forward.noise_packet(5)["eps"]), np.float16)
    assert np.array_equal(sent, forward.noise(5).ravel())
    assert not np.array_equal(sent, forward.noise(6).ravel())
    assert abs(sent.astype(float).mean()) < 4 / 32 and abs(sent.astype(float).std() - 1) < 4 / 32 / math.sqrt(2)


def test_another_digit_is_of_the_class_asked_for():
    for choice in ("0", "9"):
        packet = forward.another_digit(choice)
        assert packet["label"] == int(choice)
        assert np.array_equal(picture(packet["x0"]), forward.digits().images[packet["index"]].numpy().ravel())
    assert len({forward.another_digit("random")["label"] for _ in range(60)}) > 3
    with pytest.raises(ValueError, match="Digit"):
        forward.another_digit("seven")


def test_the_guess_of_a_model_that_knows_the_answer_is_the_digit(library):
    x0 = from_uint8(forward.digits().images[:1])
    for kind in ("cosine", "linear"):
        t = 400
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        x_t = ddpm.q_sample(x0, torch.tensor([t]), eps, forward.schedule(kind))
        weights = library.get("mnist")

        class Oracle:
            prediction, device = "x0", torch.device("cpu")

            def __call__(self, x, t, y):
                assert (y == -1).all()  # it is not told which digit it is
                return x0

        oracle = dataclasses.replace(weights, model=Oracle())
        (hat,) = forward.guess(x_t, forward.same_noise_level(t, kind, weights), oracle)
        assert torch.equal(hat, x0)


def test_a_linear_t_is_asked_at_the_models_own_noise_level(library):
    weights = library.get("mnist")
    assert forward.same_noise_level(400, "cosine", weights) == 400
    t = forward.same_noise_level(400, "linear", weights)
    ours, theirs = forward.schedule("linear").alphas_bar[400], weights.sched.alphas_bar[t]
    assert t != 400 and abs(ours - theirs) < 2e-3


# Reverse


def test_frames_are_those_of_reverse_process(library):
    s = settings(library, guidance=1)
    frames = run(reverse.Trajectory(s))
    process = reverse_process(s.weights.model, s.weights.sched, 2, y=torch.tensor([0, 1]), num_steps=4, seed=3)
    for frame, step in zip(frames, process, strict=True):
        assert (frame["i"], frame["t"]) == (step.i, step.t)
        assert np.array_equal(picture(frame["x"]), to_uint8(step.x_t).numpy().ravel())
        assert np.array_equal(picture(frame["h"]), to_uint8(step.x0_hat).numpy().ravel())


def test_same_seed_same_digits_and_another_seed_others(library):
    first, again = run(reverse.Trajectory(settings(library))), run(reverse.Trajectory(settings(library)))
    other = run(reverse.Trajectory(settings(library, seed=4)))
    assert first == again
    assert first[0]["x"] != other[0]["x"]


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 1000])
def test_at_most_a_hundred_frames_first_and_last_included(library, steps):
    trajectory = reverse.Trajectory(settings(library, steps=steps))
    kept = sorted(trajectory.kept)
    assert kept[0] == 0 and kept[-1] == steps
    assert len(kept) == min(steps + 1, 100) and sorted(trajectory.kept.values()) == list(range(len(kept)))


@pytest.mark.parametrize(
    ("changes", "cost"), [({}, 8), ({"guidance": 1}, 4), ({"guidance": 0}, 4), ({"digit": "none"}, 4)]
)
def test_network_evaluations_are_counted_honestly(library, changes, cost):
    s = settings(library, **changes)
    trajectory = reverse.Trajectory(s)
    calls, inner = [], s.weights.model.model

    def count(module, args):
        calls.append(len(args[0]) // s.n)

    hook = inner.register_forward_pre_hook(count)
    run(trajectory)
    hook.remove()
    assert sum(calls) == cost == trajectory.packet([])["evaluations"]


def test_none_asks_for_no_class_and_a_digit_for_that_digit(library):
    assert settings(library, digit="none").labels == (-1,)
    assert settings(library, digit="7").labels == (7,)
    assert settings(library, digit="all in turn").labels == tuple(range(10))
    assert parts.digit_labels([7], 3).tolist() == [7, 7, 7]
    assert parts.digit_labels(list(range(10)), 12).tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_the_numbers_in_the_equation_are_those_of_the_step(sampler):
    sched = ddpm.make_schedule(1000, kind="cosine", dtype=torch.float64)
    x_t, x0, z = torch.randn(3, 1, 1, 4, 4, dtype=torch.float64).unbind(0)
    t, s = torch.tensor([600]), torch.tensor([500])
    eps = (x_t - sched.alphas_bar[600].sqrt() * x0) / (1 - sched.alphas_bar[600]).sqrt()
    c0, c1, c2 = reverse.coefficients(sampler, 600, 500, sched, 0.5)
    if sampler == "ddim":
        by_hand = c0 * x0 + c1 * eps + c2 * z
        exact = ddpm.ddim_step(x0, eps, t, s, sched, 0.5, z)
    else:
        by_hand = c0 * x0 + c1 * x_t + c2 * z
        exact = ddpm.ddpm_step(x_t, x0, t, s, sched, z)
    assert torch.allclose(by_hand, exact, atol=1e-3)  # they are shown to four digits
    assert c2 > 0.1


BAD = [
    ({"n": 0}, "Digits"),
    ({"n": 65}, "Digits"),
    ({"n": 2.5}, "Digits"),
    ({"n": None}, "Digits"),
    ({"n": "many"}, "Digits"),
    ({"n": True}, "Digits"),
    ({"digit": "10"}, "Class"),
    ({"digit": None}, "Class"),
    ({"digit": ["1"]}, "Class"),
    ({"sampler": "euler"}, "Sampler"),
    ({"steps": 0}, "Steps"),
    ({"steps": 1001}, "Steps"),
    ({"steps": math.nan}, "Steps"),
    ({"guidance": -1}, "Guidance"),
    ({"guidance": math.inf}, "Guidance"),
    ({"eta": 1.1}, "Eta"),
    ({"eta": math.nan}, "Eta"),
    ({"seed": -1}, "Seed"),
    ({"seed": 2**31}, "Seed"),
    ({"weights_id": "../mnist"}, "weights"),
    ({"weights_id": None}, "weights"),
    ({"weights_id": {}}, "weights"),
]


@pytest.mark.parametrize(("changes", "word"), BAD)
def test_bad_settings_get_one_sentence(library, changes, word):
    with pytest.raises(ValueError, match=word) as error:
        settings(library, **changes)
    assert len(str(error.value)) < 120 and "\n" not in str(error.value)


def test_an_unconditional_model_is_asked_without_labels(library):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    library.put("secret", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine"))
    s = settings(library, weights_id="secret")
    assert s.labels == (-1,)
    assert len(run(reverse.Trajectory(s))) == 5
    with pytest.raises(ValueError, match="no class 3"):
        settings(library, weights_id="secret", digit="3")


def test_kept_things_go_when_there_are_too_many():
    kept = parts.Kept(100)
    for i in range(5):
        kept.put(str(i), i, 40)
    assert [kept.get(str(i)) for i in range(5)] == [None, None, None, 3, 4]
    kept.put("4", 44, 10)
    assert kept.bytes == 50 and kept.get("4") == 44
    assert kept.get(["4"]) is None


def handler(demo, elem_id):
    """The function behind a button's click."""
    button = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == elem_id)
    return next(f.fn for f in demo.fns.values() if (button._id, "click") in f.targets)


class Window:
    """What a handler sees of the browser window that calls it."""

    def __init__(self, session):
        self.session_hash = session


def test_a_closed_tab_and_a_second_generate_end_the_first(library):
    engine = Engine()
    with gr.Blocks() as demo:
        reverse.build(engine, library)
    generate = handler(demo, "reverse-generate")
    asked = (2, "none", "ddim", 1000, 1, 0, 0, "mnist")

    async def scenario():
        gone, stays = generate(*asked, Window("a")), generate(*asked, Window("b"))
        await anext(gone)
        await anext(stays)
        await gone.aclose()  # what Gradio does when the tab is closed
        while len(engine._jobs) > 1:
            await asyncio.sleep(0.01)
        again = generate(2, "none", "ddim", 2, 1, 0, 0, "mnist", Window("b"))
        return [packet async for packet in again][-1], [packet async for packet in stays][-1]

    again, stays = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert again["done"] and not again["stopped"] and again["step"] == 2
    assert stays["done"] and stays["stopped"] and stays["step"] < 1000
    assert len(engine._jobs) == 0


def test_frames_that_the_page_missed_are_sent_again(library):
    with gr.Blocks() as demo:
        reverse.build(Engine(), library)
    view = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == "reverse-view")

    async def run_it():
        stream = handler(demo, "reverse-generate")(1, "none", "ddim", 5, 1, 0, 0, "mnist", Window("a"))
        return [packet async for packet in stream]

    packets = asyncio.run(run_it())
    frames = [frame for packet in packets for frame in packet["frames"]]
    assert [frame["k"] for frame in frames] == list(range(6))
    missed = view.replay({"run": packets[0]["run"], "have": [0, 1, 5]})["frames"]
    assert missed == frames[2:5]
    for bad in (None, {}, {"run": "guess", "have": []}, {"run": ["x"]}, []):
        assert view.replay(bad) == {"frames": []}


# Train


def training_run(kind="steps", budget=3, **options):
    options = {"batch_size": 4, "label_dropout": 0.1, "lr": 1e-3} | options
    config = Config(TINY, ScheduleConfig(kind="cosine"), TrainConfig(**options))
    return train.TrainingRun(config, load_dataset("bundled"), kind, budget, "tiny")


def finish(run):
    train.Runs(Engine()).start(run)
    run.job.finished.result(timeout=60)
    return run


def test_a_run_trains_and_draws_the_same_noise_each_time():
    first, again = finish(training_run()), finish(training_run())
    assert first.job.error is None
    packet = first.packet()
    assert packet["step"] == 3 and packet["images_seen"] == 12 and not packet["active"]
    assert [len(column) for column in packet["curve"]] == [3, 3, 3, 3]
    assert packet["curve"][2] == again.packet()["curve"][2]  # the losses: all randomness comes from the seed
    assert len(packet["previews"]) == 1
    assert packet["previews"][0]["x"] == again.previews[0]["x"]
    assert len(picture(packet["previews"][0]["x"])) == 20 * 32 * 32


def test_previews_are_of_the_averaged_weights():
    each = finish(training_run())
    shown = picture(each.previews[-1]["x"])
    model = wrap(each.state.ema_model(), each.sched, "cosine", "").model
    y = torch.arange(20) % 10
    guided = ddpm.Guided(model, train.PREVIEW_GUIDANCE)
    *_, last = reverse_process(guided, each.sched, 20, y=y, num_steps=10, seed=0)
    assert np.array_equal(shown, to_uint8(last.x_t).numpy().ravel())


def test_stop_keeps_the_weights_and_shows_them():
    runs = train.Runs(Engine())
    each = training_run(budget=20_000)
    runs.start(each)
    while each.state is None or each.state.step < 2:
        assert not each.job.finished.done(), each.job.error
    each.halt = True
    each.job.finished.result(timeout=60)
    packet = each.packet()
    assert 2 <= packet["step"] < 20_000 and packet["stopped"] and not packet["active"]
    assert packet["previews"][-1]["step"] == packet["step"]


def test_the_curve_that_the_page_gets_is_bounded_and_spans_the_run(monkeypatch):
    monkeypatch.setattr(train, "MAX_POINTS", 10)
    each = finish(training_run(budget=100, batch_size=1))
    steps = each.packet()["curve"][0]
    assert len(steps) <= 11 and steps[0] == 1 and steps[-1] > 80
    assert steps == sorted(set(steps))


def test_only_so_many_runs_at_a_time(monkeypatch):
    monkeypatch.setattr(train, "MAX_ACTIVE", 1)
    runs = train.Runs(Engine())
    first = training_run(budget=20_000)
    runs.start(first)
    with pytest.raises(Busy, match="training runs"):
        runs.start(training_run())
    first.halt = True
    first.job.finished.result(timeout=60)
    second = training_run(budget=1)
    runs.start(second)
    second.job.finished.result(timeout=60)
    assert runs.get(first.id) is first and runs.get("guess") is None and runs.get(None) is None


def test_old_runs_are_dropped_but_never_one_that_goes_on(monkeypatch):
    monkeypatch.setattr(train, "KEPT_RUNS", 2)
    runs = train.Runs(Engine())
    ongoing = training_run(budget=20_000)
    runs.start(ongoing)
    ended = [training_run(budget=1) for _ in range(3)]
    for each in ended:
        runs.start(each)
        each.job.finished.result(timeout=60)
    assert runs.get(ongoing.id) and runs.get(ended[-1].id) and not runs.get(ended[0].id)
    ongoing.halt = True
    ongoing.job.finished.result(timeout=60)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (("slow", "bundled", "seconds", 30), "Preset"),
        ((None, "bundled", "seconds", 30), "Preset"),
        (("fast", "imagenet", "seconds", 30), "Data"),
        (("fast", "bundled", "hours", 30), "Budget"),
        (("fast", "bundled", "seconds", 601), "Seconds"),
        (("fast", "bundled", "seconds", math.nan), "Seconds"),
        (("fast", "bundled", "steps", 0), "Steps"),
        (("fast", "bundled", "steps", 1.5), "Steps"),
        (("fast", "bundled", "steps", "9"), "Steps"),
    ],
)
def test_bad_training_settings_get_one_sentence(asked, word):
    with pytest.raises(ValueError, match=word):
        train.check(*asked)


def test_data_that_is_not_there_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("DDPM_DATA_DIR", str(tmp_path))
    train.dataset.cache_clear()
    with pytest.raises(ValueError, match=r"bundled digits.*--dataset fashion"):
        train.check("fast", "fashion", "steps", 1)
    train.dataset.cache_clear()


def test_a_failing_run_says_so():
    broken = training_run()
    broken.sched = None
    finish(broken)
    packet = broken.packet()
    assert "Try again" in packet["error"] and not packet["active"]


# The whole


def test_the_interface_builds_and_keeps_its_endpoints_to_itself():
    demo = ui.build()
    assert isinstance(demo, gr.Blocks)
    assert demo.api_open is False
    options = ui.launch_options()
    assert options["strict_cors"] and not options["enable_monitoring"] and not options["ssr_mode"]
    assert "http" not in options["head"].replace("http://www.w3.org/2000/svg", "")


def test_weights_that_are_gone_say_what_to_do(library):
    with pytest.raises(ValueError, match="Choose others"):
        library.get("gone")


def test_damaged_shipped_weights_are_one_clear_error(library):
    path = library.folder / "mnist" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ddpm.CheckpointError, match="damaged"):
        library.get("mnist")


def test_the_shipped_weights_are_there_and_load():
    weights = Library().get("mnist")
    assert weights.num_classes == 10 and weights.kind == "cosine"


def test_a_question_from_the_page_is_answered_or_refused_in_words(library):
    engine = Engine()
    with gr.Blocks() as demo:
        forward.build(engine, library)
    ask = next(b.x0_hat for b in demo.blocks.values() if getattr(b, "elem_id", None) == "forward-view")
    good = asyncio.run(ask({"index": 0, "seed": 1, "t": 10, "schedule": "cosine"}))
    assert len(picture(good["x0_hat"])) == 32 * 32
    for bad in (None, [], "x", {}, {"index": -1}, {"index": 0, "seed": 1, "t": 1000, "schedule": "cosine"}):
        assert set(asyncio.run(ask(bad))) == {"error"}
