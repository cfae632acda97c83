"""Two runs as one: in pixels and in latent space, from nothing, with equal seconds each."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools

import pytest
from helpers.pages import Window, alone, handler
from helpers.tiny import TINY_CLASSES
from helpers.training_runs import few_digits, new_run, quick, until  # noqa: F401 (fixtures)

from ddpm.config import Config, ScheduleConfig, TrainConfig
from ddpm.presets import PRESETS
from ddpm.system.stopwatch import Stopwatch
from ddpm.ui.server import limits
from ddpm.ui.server.engine import Busy, Engine
from ddpm.ui.tabs.train import pair, request, run_store, training_run
from ddpm.ui.tabs.train import tab as train
from ddpm.ui.tabs.train.run_store import Runs


@pytest.fixture(autouse=True)
def small(few_digits, monkeypatch):  # noqa: F811 (the fixture)
    """A small network in pixels, on few digits."""
    model = dataclasses.replace(TINY_CLASSES, img_size=32)
    config = Config(model, ScheduleConfig(kind="cosine"), TrainConfig(batch_size=4, lr=1e-3))
    monkeypatch.setitem(PRESETS, "fast", config)


def two(budget=3.0, preset="fast"):
    """What Both starts, by a clock that goes on by a hundredth of a second whenever it is looked at."""
    run = request.check_both(preset, "bundled", "seconds", 5, *request.more_of(PRESETS[preset]))
    ticks = itertools.count()
    for each in run.together:
        each.budget, each.clock = budget, Stopwatch(now=lambda: 0.01 * next(ticks))
    return run


def started(runs, budget=1e6):
    run = two(budget)
    runs.start(run)
    until(lambda: all(each.state is not None and each.state.step > 1 for each in run.together))
    return run


class Steps:
    """A run whose step costs so many seconds of a clock."""

    def __init__(self, clock, cost, n):
        self.took, self.n, self.cost, self.now = 0.0, n, cost, clock
        self.clock, self.complete, self.halt = Stopwatch(now=lambda: clock[0]), False, False

    def steps(self):
        for _ in range(self.n):
            self.now[0] += self.cost
            self.took += self.cost
            yield None


def test_each_gets_equal_seconds_however_long_its_steps():
    now = [0.0]
    slow, fast = Steps(now, 0.07, 200), Steps(now, 0.003, 10_000)
    for _ in zip(range(3000), pair.in_turn([slow, fast]), strict=False):
        assert abs(slow.took - fast.took) <= 0.08
    assert slow.took > 5 and slow.clock() == pytest.approx(slow.took) and fast.clock() == pytest.approx(fast.took)


@pytest.mark.slow
def test_the_budget_of_each_is_its_own_seconds_and_both_learn():
    run = two()
    engine = Engine()
    Runs(engine).start(run)
    run.job.finished.result(timeout=60)
    assert run.error is None and not run.latent and run.beside.latent
    for each in run.together:
        assert each.complete and each.previews
        assert each.state.seconds == pytest.approx(3.0, abs=0.3)
    assert engine.count() == 0


@pytest.mark.parametrize("preset", ["fast", "latent"])
def test_one_is_as_asked_and_the_other_as_its_preset_has_it_with_the_same_seed(preset):
    more = request.more_of(PRESETS[preset])
    more[0], more[-1] = 5e-3, 7
    pixels = request.check_both(preset, "bundled", "seconds", 5, *more)
    asked, other = (pixels.beside, pixels) if preset == "latent" else (pixels, pixels.beside)
    assert asked.config.train.lr == 5e-3 and other.config.train.lr != 5e-3
    assert [each.config.train.seed for each in pixels.together] == [7, 7]
    assert pixels.beside.latent and not pixels.latent and pixels.beside.is_beside


def test_together_they_last_no_longer_than_one_run_may_and_get_seconds(monkeypatch):
    most = limits.current().training_seconds
    with pytest.raises(ValueError, match="Seconds for each"):
        request.check_both("fast", "bundled", "seconds", most / 2 + 1)
    with pytest.raises(ValueError, match="a budget in seconds"):
        request.check_both("fast", "bundled", "steps", 5)


def test_they_count_as_one_run(monkeypatch):
    monkeypatch.setattr(limits, "current", lambda: limits.Limits(training_runs=2))
    runs = Runs(Engine())
    run, single = started(runs), new_run(budget=20_000)
    assert runs.active() == 1
    runs.start(single)
    with pytest.raises(Busy):
        runs.start(new_run())
    for each in (*run.together, single):
        each.halt = True


def test_they_pause_sleep_and_wake_together(monkeypatch):
    runs = Runs(Engine())
    run = started(runs)
    runs.hold(run, True)
    assert all(each.paused for each in run.together)
    until(lambda: run.job in runs.engine._parked)
    before = [each.clock() for each in run.together]
    assert [each.clock() for each in run.together] == before  # seconds of a pause are nobody's
    runs.hold(run, False)
    monkeypatch.setattr(run_store, "IDLE_AFTER", -1.0)
    runs.sweep()
    assert all(each.idle for each in run.together)
    runs.watched(run)
    assert not any(each.idle or each.paused for each in run.together)
    for each in run.together:
        each.halt = True


def test_one_that_diverges_leaves_the_other_to_go_on(monkeypatch):
    run = two()

    def diverges():
        raise ValueError("Stopped: the loss is not a number.")
        yield

    monkeypatch.setattr(run, "steps", diverges)
    Runs(Engine()).start(run)
    run.job.finished.result(timeout=60)
    assert run.error == "Stopped: the loss is not a number." and run.beside.error is None
    assert run.beside.complete and run.packet()["error"] and not run.beside.packet()["error"]


def test_both_come_back_after_the_server_and_go_on_together(tmp_path):
    first = Runs(Engine(), tmp_path)
    run = started(first)
    first.engine.close()
    first.save()
    reached = [each.state.step for each in run.together]
    runs = Runs(Engine(), tmp_path)
    beside = runs.get(run.beside.id)  # the page may ask for it first
    assert not beside.active
    again = runs.get(run.id)
    assert again.beside is beside and again.job is beside.job and again.active
    until(lambda: all(each.state.step > step for each, step in zip(again.together, reached, strict=True)))
    for each in again.together:
        each.halt = True


@pytest.mark.slow
def test_continue_goes_on_with_both():
    runs = Runs(Engine())
    run = two()
    runs.start(run)
    run.job.finished.result(timeout=60)
    reached = [each.state.step for each in run.together]
    runs.go_on(run, 2.0)
    run.job.finished.result(timeout=60)
    assert all(each.state.step > step for each, step in zip(run.together, reached, strict=True))
    assert all(each.budget > 4.9 for each in run.together)


def test_the_button_streams_both_and_stop_and_use_are_for_both(registry, monkeypatch):
    demo, _, _ = alone(train, registry)
    mine, seen = [None], []

    async def press():
        more = request.more_of(PRESETS["fast"])
        async for packet, ids, _ in handler(demo, "train-both")(
            Window("a"), "fast", "bundled", "seconds", 60, *more, None
        ):
            mine[0] = ids if isinstance(ids, list) else mine[0]
            seen.append(packet)
            step = (packet.get("beside") or {}).get("step")
            if step and packet.get("step"):
                handler(demo, "train-stop")(mine[0])

    asyncio.run(press())
    last = seen[-1]
    assert last["done"] and last["beside"]["done"] and last["stopped"] and last["beside"]["stopped"]
    assert mine[0] == [last["beside"]["run"], last["run"]] and last["beside"]["latent"] and not last["latent"]
    assert {each["run"] for each in last["mine"]} == set(mine[0])
    frames = [frame["index"] for packet in seen for frame in packet["beside"]["frames"]]
    assert frames == list(range(last["beside"]["kept"]))  # each once
    update, own, *_ = asyncio.run(handler(demo, "train-use")(mine[0], []))
    assert [weights_id for _, weights_id in own] == [last["run"], last["beside"]["run"]]
    assert update["value"] == last["beside"]["run"] and registry.get(update["value"]).model.codec is not None


def test_encoding_is_told_and_costs_nothing_of_the_budget(monkeypatch):
    run = request.check("latent", "bundled", "seconds", 5, *request.more_of(PRESETS["latent"]))
    monkeypatch.setattr(training_run, "ENCODED_AT_ONCE", 15)
    clock, told = [0.0], []
    run.clock = Stopwatch(now=lambda: clock[0])
    run.clock.run()
    for _ in run.encode():
        clock[0] += 100.0
        told.append(run.packet()["encoding"])
    assert told == [{"n": 40, "encoded": n} for n in (15, 30, 40)]
    assert run.clock() == 0 and run.packet()["encoding"] is None


def test_the_choice_of_a_space_and_the_preset_follow_each_other():
    act = train.Actions(Engine(), None)
    assert act.chosen("latent")[0] == "in latent space" and act.chosen("best")[0] == "in pixels"
    assert act.space("in latent space")[0] == "latent" and act.space("in pixels")[0] == "fast"
    assert list(act.space("in latent space")[1:]) == request.more_of(PRESETS["latent"])
