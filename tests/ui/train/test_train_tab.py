"""What the Train tab does, without a browser."""

import asyncio
import base64
import math
import threading
import time
import urllib.error
import urllib.request

import gradio as gr
import numpy as np
import pytest
import torch
from helpers.pages import TINY, Window, alone, handler, picture
from helpers.training_runs import finish, new_run, quick  # noqa: F401 (quick is a fixture)

import ddpm
from ddpm.config import Config, ScheduleConfig, TrainConfig
from ddpm.data import DataError, Dataset, load_dataset, to_uint8
from ddpm.presets import PRESETS
from ddpm.samplers import reverse_process
from ddpm.ui.components import pictures
from ddpm.ui.generation import models as weights_module
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.server import limits
from ddpm.ui.server.engine import Busy, Engine
from ddpm.ui.tabs.train import request, run_store, training_run
from ddpm.ui.tabs.train import tab as train


def test_a_run_trains_and_draws_the_same_noise_each_time(monkeypatch):
    monkeypatch.setattr(training_run, "PREVIEW_EVERY", 600.0)  # none but the last, however long the first step takes
    monkeypatch.setattr(training_run.TrainingRun, "affordable", training_run.TrainingRun.sampling)  # follows the clock
    first, again = finish(new_run()), finish(new_run())
    assert first.job.error is None
    packet = first.packet()
    assert packet["step"] == 3 and packet["images_seen"] == 12 and packet["done"]
    assert [len(column) for column in packet["curve"]] == [3, 3, 3, 3]
    assert packet["curve"][2] == again.packet()["curve"][2]  # the losses: all randomness comes from the seed
    assert len(packet["frames"]) == 1
    assert packet["frames"][0]["averaged"] == again.previews[0]["averaged"]
    assert len(picture(packet["frames"][0]["averaged"])) == 20 * 32 * 32


def test_no_schedule_is_made_off_the_engines_thread(monkeypatch):
    """It would leave a team of OpenMP's threads there, beside which the engine's wait idle."""
    threads = set()

    def told(*given):
        threads.add(threading.current_thread().name)
        return ddpm.config.build_schedule(*given)

    monkeypatch.setattr(training_run, "build_schedule", told)
    runs = run_store.Runs(Engine())
    each = new_run()
    runs.start(each)
    each.job.finished.result(timeout=60)
    assert threads == {"engine"} and each.job.error is None


def test_previews_are_of_the_averaged_weights():
    each = finish(new_run())
    shown = picture(each.previews[-1]["averaged"])
    model = each.weights("").model
    y = torch.arange(20) % 10
    guided = ddpm.Guided(model, 2.5)  # a young network: see training_sampling
    *_, last = reverse_process(guided, each.sched, 20, y=y, sampler="ddpm", num_steps=10, clip=False, seed=0)
    assert np.array_equal(shown, to_uint8(last.x_t).numpy().ravel())


def test_stop_keeps_the_weights_and_shows_them():
    runs = run_store.Runs(Engine())
    each = new_run(budget=20_000)
    runs.start(each)
    while each.state is None or each.state.step < 2:
        assert not each.job.finished.done(), each.job.error
        time.sleep(0.01)
    each.halt = True
    each.job.finished.result(timeout=60)
    packet = each.packet()
    assert 2 <= packet["step"] < 20_000 and packet["stopped"] and packet["done"]
    assert packet["frames"][-1]["step"] == packet["step"]


def test_the_curve_that_the_page_gets_is_bounded_and_spans_the_run(monkeypatch):
    monkeypatch.setattr(training_run, "MAX_POINTS", 10)
    each = finish(new_run(budget=100, batch_size=1))
    steps = each.packet()["curve"][0]
    assert len(steps) <= 11 and steps[0] == 1 and steps[-1] > 80
    assert steps == sorted(set(steps))


def test_only_so_many_runs_at_a_time(monkeypatch):
    monkeypatch.setattr(limits, "current", lambda: limits.Limits(training_runs=1))
    runs = run_store.Runs(Engine())
    first = new_run(budget=20_000)
    runs.start(first)
    with pytest.raises(Busy, match="training run is"):
        runs.start(new_run())
    first.halt = True
    first.job.finished.result(timeout=60)
    second = new_run(budget=1)
    runs.start(second)
    second.job.finished.result(timeout=60)
    assert runs.get(first.id) is first and runs.get("guess") is None and runs.get(None) is None


@pytest.mark.slow
def test_old_runs_are_dropped_but_never_one_that_goes_on(monkeypatch):
    monkeypatch.setattr(run_store, "KEPT_RUNS", 2)
    runs = run_store.Runs(Engine())
    ongoing = new_run(budget=20_000)
    runs.start(ongoing)
    ended = [new_run(budget=1) for _ in range(3)]
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
        request.check(*asked)


def test_a_failing_run_says_so():
    broken = new_run()
    broken.sched = None
    finish(broken)
    packet = broken.packet()
    assert "Try again" in packet["error"] and packet["done"]


def train_tab(registry):
    return alone(train, registry)[:2]


ME = Window("me")
FAST = ("fast", "bundled", "steps", 3, *request.more_of(request.PRESETS["fast"]))


@pytest.fixture
def small(monkeypatch):
    """The preset `fast`, tiny."""
    config = Config(TINY, ScheduleConfig(kind="cosine"), TrainConfig(batch_size=4, lr=1e-3, label_dropout=0.1))
    monkeypatch.setitem(request.PRESETS, "fast", config)
    return ("fast", "bundled", "steps", 3, *request.more_of(config))


async def last_of(stream):
    packets = [packet async for packet in stream]
    return packets[-1]


def test_start_pause_resume_stop_continue(registry, small):
    demo, _ = train_tab(registry)
    start, pause, stop, go_on = (handler(demo, f"train-{name}") for name in ("start", "pause", "stop", "continue"))
    long = (*small[:3], 20_000, *small[4:])

    async def scenario():
        stream = start(ME, *long, None)
        packet, run_id, _ = await anext(stream)
        async for packet, *_ in stream:
            if packet.get("step", 0) > 2:
                break
        assert "still going" in (await last_of(start(ME, *long, run_id)))[0]["error"]
        assert "still going" in (await last_of(go_on(ME, run_id)))[0]["error"]

        pause(run_id)
        async for packet, *_ in stream:
            if packet["paused"]:
                break
        await asyncio.sleep(0.1)
        held = [packet["step"]]
        await asyncio.sleep(0.3)
        pause(run_id)  # again: go on
        async for packet, *_ in stream:
            if packet["step"] > held[0] + 2:
                break
        pause(run_id)
        stop(run_id)  # a paused run stops too
        packet, *_ = await last_of(stream)
        assert packet["stopped"] and packet["done"]
        stopped_at = packet["step"]

        more = go_on(ME, run_id)
        async for packet, _ in more:
            if packet["step"] > stopped_at + 2:
                break
        stop(run_id)
        packet, _ = await last_of(more)
        return stopped_at, packet

    stopped_at, packet = asyncio.run(asyncio.wait_for(scenario(), 120))
    assert packet["step"] > stopped_at and packet["curve"][0][-1] > stopped_at
    assert packet["frames"] == [] or packet["frames"][-1]["step"] == packet["step"]
    steps = packet["curve"][0]
    assert steps == sorted(set(steps))  # the curve goes on where it was


def test_nothing_to_stop_pause_continue_use_or_save(registry):
    demo, named = train_tab(registry)
    for run_id in (None, [], "guess", 7, ["guess"], [7]):
        assert "error" in handler(demo, "train-stop")(run_id)
        assert "error" in handler(demo, "train-pause")(run_id)
        assert "error" in asyncio.run(handler(demo, "train-use")(run_id, []))[-1]
        assert "press Start" in asyncio.run(last_of(handler(demo, "train-continue")(ME, run_id)))[0]["error"]
        assert "press Start" in asyncio.run(named["train-view"].download({"run": run_id}))["error"]
        assert "press Start" in asyncio.run(named["train-view"].level({"run": run_id, "level": 0}))["error"]
        assert "no longer" in named["train-view"].another({"run": run_id})["error"]
    assert named["train-view"].replay(None) == {"frames": []}


def test_trained_weights_can_be_used_saved_and_opened_again(registry, small, tmp_path):
    demo, named = train_tab(registry)
    packet, *_ = asyncio.run(last_of(handler(demo, "train-start")(ME, *small, None)))
    choice, own, tabs, _ = asyncio.run(handler(demo, "train-use")([packet["run"]], []))
    assert choice["value"] == packet["run"] and own == [(choice["choices"][-1][0], packet["run"])]
    assert tabs["selected"] == "reverse"
    used = registry.get(packet["run"])

    answer = asyncio.run(named["train-view"].download({"run": packet["run"]}))
    path = tmp_path / answer["name"]
    path.write_bytes(base64.b64decode(answer["data"]))
    open_zip = next(f.fn for f in demo.fns.values() if f.name == "open_zip")
    choice, own, tabs, told = asyncio.run(open_zip(str(path), own))
    assert len(own) == 2 and "Opened" in told["notice"] and tabs["selected"] == "reverse"
    opened = registry.get(choice["value"])
    assert opened.dataset == "bundled" and opened.class_names == used.class_names
    x, t, y = torch.randn(2, 1, 32, 32), torch.tensor([10, 900]), torch.tensor([1, -1])
    assert torch.allclose(opened.model(x, t, y), used.model(x, t, y), atol=5e-2)  # float16 on the way


def test_what_is_under_more_reaches_the_run(registry):
    values = [1e-3, 32, "linear", "eps", 0.9, 0.2, 16, 5]
    run = request.check("fast", "bundled", "steps", 1, *values)
    assert request.more_of(run.config) == values
    assert run.config.model.num_classes == 10 and run.config.train.lr_decay


@pytest.mark.parametrize(
    ("i", "value", "word"),
    [
        (0, 0, "Learning rate"),
        (0, math.nan, "Learning rate"),
        (0, None, "Learning rate"),
        (1, 0, "Batch size"),
        (1, 513, "Batch size"),
        (1, 2.5, "Batch size"),
        (2, "sigmoid", "Schedule"),
        (3, "score", "Predicts"),
        (4, 1.0, "EMA decay"),
        (4, "0.9", "EMA decay"),
        (5, -0.1, "Label dropout"),
        (6, 20, "Width"),
        (6, 4096, "Width"),
        (7, -1, "Seed"),
        (7, None, "Seed"),
    ],
)
def test_bad_values_under_more_get_one_sentence(i, value, word):
    values = request.more_of(request.PRESETS["fast"])
    values[i] = value
    with pytest.raises(ValueError, match=word) as error:
        request.check("fast", "bundled", "steps", 1, *values)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_data_set_is_fetched_with_its_progress_told_and_trained_on(registry, small, monkeypatch, tmp_path):
    folder = tmp_path / "data"
    monkeypatch.setenv("DDPM_DATA_DIR", str(folder))
    weights_module.dataset.cache_clear()
    real = load_dataset("bundled")

    def slow_download(name, _, download=False, **options):
        if not download:
            if not (folder / "done").exists():
                raise DataError("not here")
            return Dataset(name, real.images[:40], real.labels[:40], real.class_names)
        folder.mkdir()
        (folder / "part").write_bytes(b"x" * 3_000_000)
        time.sleep(0.8)
        (folder / "done").touch()

    monkeypatch.setattr(request, "load_dataset", slow_download)
    monkeypatch.setattr(weights_module, "load_dataset", slow_download)
    demo, _ = train_tab(registry)

    async def scenario():
        return [packet async for packet, *_ in handler(demo, "train-start")(ME, "fast", "fashion", *small[2:], None)]

    packets = asyncio.run(scenario())
    weights_module.dataset.cache_clear()
    assert packets[0]["notice"] == "Downloading fashion: 3 of 31 MB…"
    assert packets[-1]["step"] == 3 and packets[-1]["label"].startswith("fast, fashion")


def test_a_download_without_a_network_says_what_to_do(registry, small, monkeypatch, tmp_path):
    monkeypatch.setenv("DDPM_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: (_ for _ in ()).throw(urllib.error.URLError("no")))
    demo, _ = train_tab(registry)
    packet, run_id, _ = asyncio.run(last_of(handler(demo, "train-start")(ME, "fast", "fashion", *small[2:], None)))
    assert "could not be downloaded" in packet["error"] and "Bundled digits" in packet["error"]
    assert run_id == gr.skip()


def test_colour_goes_through_training_previews_and_reverse(registry, small, monkeypatch):
    coloured = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    data = Dataset("cifar10", coloured, torch.arange(40) % 10, tuple("abcdefghij"))
    monkeypatch.setattr(request, "dataset", lambda name: data)
    demo, _ = train_tab(registry)

    async def scenario():
        return [packet async for packet, *_ in handler(demo, "train-start")(ME, "fast", "cifar10", *small[2:], None)]

    packets = asyncio.run(scenario())
    packet, drawn = packets[-1], [frame for each in packets for frame in each["frames"]]
    assert packet["channels"] == 3 and len(picture(drawn[-1]["averaged"])) == 20 * 32 * 32 * 3
    asyncio.run(handler(demo, "train-use")([packet["run"]], []))
    weights = registry.get(packet["run"])
    sampling = {"sampler": "ddim", "steps": 2, "guidance": 1, "middle": False, "eta": 0}
    settings = Settings.check(registry, 2, "c", 0, packet["run"], **sampling)
    assert weights.channels == 3 and settings.labels == (2,)
    frames = [frame for frame in Trajectory(settings).steps() if frame]
    assert len(picture(frames[-1]["x_t"])) == 2 * 32 * 32 * 3
    monkeypatch.setattr(weights_module, "dataset", lambda name: data)
    shown = pictures.Pictures(Engine(), registry)
    assert asyncio.run(shown.another(packet["run"], "c"))["channels"] == 3
    assert len(picture(pictures.noise_packet(weights, 1)["eps"])) == 2 * 3 * 32 * 32


def test_one_knob_turns_both_learning_rates():
    fast = PRESETS["fast"]
    more = request.more_of(fast)
    assert request.with_more(fast, more) == fast
    halved = request.with_more(fast, [more[0] / 2, *more[1:]])
    assert halved.train.lr == fast.train.lr / 2 and halved.train.muon_lr == pytest.approx(fast.train.muon_lr / 2)
    assert request.with_more(fast, [1.0, *more[1:]]).train.muon_lr == 1.0
    tutorial = PRESETS["tutorial"]
    assert request.with_more(tutorial, request.more_of(tutorial)) == tutorial
