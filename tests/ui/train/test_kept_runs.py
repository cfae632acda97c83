"""Runs are written while they train: what a crash costs, and what a second server or a clock that jumps may do."""

from __future__ import annotations

import os
import time

import pytest
from helpers.training_runs import LONG, new_run, quick, started, stop, until  # noqa: F401 (quick is a fixture)

from ddpm.storage.checkpoint import TRAINING, load_training
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import run_store
from ddpm.ui.tabs.train.run_store import Runs


def crash(runs):
    """As kill -9 leaves it: no step more, nothing written, and the operating system lets the locks go."""
    runs.engine.close()
    runs._closed = True
    for run_id in list(runs._claims):
        runs.let_go(run_id)


def numbers(runs, run):
    return load_training(runs.path_of(run.id))[1]


@pytest.fixture(autouse=True)
def kept_by_hand(monkeypatch):
    """By these tests alone, and not every five seconds."""
    monkeypatch.setattr(run_store, "SWEEP_EVERY", 3600.0)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(run_store, "KEEP_EVERY", 0.0)


def test_a_run_is_written_now_and_then_and_when_it_ends(tmp_path, monkeypatch):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)
    runs.keep()
    assert not runs.path_of(run.id).exists()  # too early
    run.began -= run_store.KEEP_EVERY
    runs.keep()
    first = numbers(runs, run)
    assert first["numbers"]["step"] > 2 and not first["halt"]
    until(lambda: run.state.step > first["numbers"]["step"])
    runs.keep()
    assert numbers(runs, run) == first  # not again so soon
    stop(runs, run)
    runs.keep()
    last = numbers(runs, run)
    assert last["numbers"]["step"] == run.state.step and last["halt"] and last["previews"] == run.previews
    monkeypatch.setattr(runs, "write", None)  # nor once more
    runs.keep()


def test_after_a_crash_the_run_goes_on_from_what_was_written(tmp_path, at_once):
    first = Runs(Engine(), tmp_path)
    run = started(first)
    first.keep()
    kept = numbers(first, run)["numbers"]["step"]
    until(lambda: run.state.step > kept + 3)
    crash(first)
    second = Runs(Engine(), tmp_path)
    again = second.get(run.id)
    assert again.active and again.state.step == kept
    until(lambda: again.state.step > kept)
    crash(second)  # before it has written anything itself
    third = Runs(Engine(), tmp_path)
    assert third.get(run.id).active
    third.drop(run.id)
    assert not list(tmp_path.iterdir())


def test_two_servers_do_not_touch_each_others_runs(tmp_path, at_once, monkeypatch):
    first, second = Runs(Engine(), tmp_path), Runs(Engine(), tmp_path)
    run = started(first)
    first.keep()
    assert second.get(run.id) is None  # it is alive elsewhere
    second.drop(run.id)
    monkeypatch.setattr(run_store, "DROP_AFTER", 0.0)
    second.sweep_folder()
    time.sleep(0.01)
    second.sweep_folder()
    assert first.path_of(run.id).is_dir() and run.active
    first.engine.close()
    first.save()
    assert second.get(run.id).state.step == run.state.step
    assert first.get("other") is None and Runs(Engine(), tmp_path).get(run.id) is None
    second.drop(run.id)


def test_a_full_disk_costs_no_run_and_is_tried_again(tmp_path, at_once, monkeypatch, caplog):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(run_store, "save_training", full)
        runs.keep()
    assert [r.getMessage() for r in caplog.records] == [
        "A training run could not be saved, and would not outlive this server: [Errno 28] No space left on device"
    ]
    assert run.active and not list(tmp_path.rglob(TRAINING))
    runs.keep()
    assert numbers(runs, run)["numbers"]["step"] > 2
    stop(runs, run)
    with monkeypatch.context() as m:
        m.setattr(run_store, "save_training", full)
        runs.keep()
    assert not numbers(runs, run)["halt"]
    runs.keep()
    assert numbers(runs, run)["halt"]  # though it has ended, and changes no more


@pytest.mark.slow
@pytest.mark.parametrize("jump", [86_400, -86_400])
def test_a_clock_that_jumps_drops_nothing_and_shortens_no_training(tmp_path, at_once, monkeypatch, jump):
    first = Runs(Engine(), tmp_path)
    left = started(first)
    first.engine.close()
    first.save()

    real = time.time
    runs = Runs(Engine(), tmp_path)
    run = new_run(kind="seconds", budget=600.0)
    runs.start(run)
    until(lambda: run.state is not None and run.state.step > 2)
    runs.keep()
    runs.sweep()
    before = run.state.seconds
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    for path in tmp_path.iterdir():  # and the files as a clock that jumped the other way has dated them
        os.utime(path, (real() - jump, real() - jump))
    runs.sweep()
    runs.keep()
    runs.sweep()
    assert runs.path_of(left.id).is_dir() and runs.path_of(run.id).is_dir()
    assert run.active and not run.idle and run.state.seconds - before < 60
    assert runs.get(left.id).state.step >= 3
    for each in (run, runs.get(left.id)):
        stop(runs, each)


def test_a_paused_run_is_paused_after_a_crash_too(tmp_path, at_once):
    runs = Runs(Engine(), tmp_path)
    run = started(runs, budget=LONG)
    runs.hold(run, True)
    until(lambda: run.job in runs.engine._parked)
    run.paused_by_hand = False  # as it was when this step was written
    runs.keep()
    run.paused_by_hand = True
    runs.keep()
    crash(runs)
    second = Runs(Engine(), tmp_path)
    again = second.get(run.id)
    assert again.job.paused
    stop(second, again)
