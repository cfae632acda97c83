"""Training runs over time: idle when nobody watches, dropped in the end, kept over a restart, ended when hopeless."""

import gc
import os
import time
import weakref

import pytest
from helpers.training_runs import LONG, finish, new_run, quick, started, stop, until  # noqa: F401 (quick is a fixture)

from ddpm.training import loop
from ddpm.ui.server import limits
from ddpm.ui.server.engine import Busy, Engine, Job
from ddpm.ui.tabs.train import run_store, training_run
from ddpm.ui.tabs.train.run_store import Runs


@pytest.mark.slow
def test_a_run_that_nobody_watches_sleeps_and_wakes_when_somebody_does(monkeypatch):
    monkeypatch.setattr(run_store, "SWEEP_EVERY", 0.05)
    runs = Runs(Engine())
    run = started(runs)
    monkeypatch.setattr(run_store, "IDLE_AFTER", 0.2)
    until(lambda: run.idle)
    time.sleep(0.2)
    held = run.state.step
    time.sleep(0.3)
    assert run.state.step == held and run.active and run.packet()["waiting"]
    runs.watched(run)
    until(lambda: run.state.step > held)
    monkeypatch.setattr(run_store, "IDLE_AFTER", 60.0)
    runs.watched(run)
    stop(runs, run)


def test_a_run_that_somebody_watches_does_not_sleep_and_one_that_was_paused_wakes_paused(monkeypatch):
    monkeypatch.setattr(run_store, "IDLE_AFTER", 0.3)
    runs = Runs(Engine())
    run = started(runs)
    runs.watched(run)
    runs.sweep()
    assert not run.idle
    runs.hold(run, True)
    time.sleep(0.4)
    runs.sweep()
    assert run.idle
    runs.watched(run)
    assert not run.idle and run.paused and run.job.paused  # looking at it is not the same as going on
    stop(runs, run)


def test_one_run_a_window_whatever_it_says_of_its_runs():
    runs = Runs(Engine())
    run = new_run(budget=LONG)
    runs.start(run, "window")
    with pytest.raises(Busy, match="still going"):
        runs.start(new_run(budget=LONG), "window")
    other = new_run(budget=LONG)
    runs.start(other, "another")
    for each in (run, other):
        stop(runs, each)
    runs.start(run, "window")
    stop(runs, run)


def test_who_left_keeps_nobody_waiting_and_waits_for_room_on_coming_back(monkeypatch):
    monkeypatch.setattr(limits, "current", lambda: limits.Limits(training_runs=1))
    runs = Runs(Engine())
    left = started(runs)
    with pytest.raises(Busy):
        runs.start(new_run(budget=LONG))
    left.seen -= 2 * run_store.IDLE_AFTER
    runs.sweep()
    other = started(runs)
    runs.watched(left)
    held = left.state.step
    time.sleep(0.2)
    assert left.packet()["waiting"] and left.state.step <= held + 1
    stop(runs, other)
    runs.watched(left)
    until(lambda: left.state.step > held + 1)
    assert not left.packet()["waiting"]
    stop(runs, left)


def test_runs_asleep_are_not_heaped_up(monkeypatch):
    monkeypatch.setattr(run_store, "KEPT_RUNS", 2)
    runs = Runs(Engine())
    idle = []
    for ago in (3, 5, 4):
        idle.append(started(runs))
        idle[-1].seen -= ago * run_store.IDLE_AFTER
        runs.sweep()
    assert [runs.get(run.id) is run for run in idle] == [True, False, True], "the one that was left first goes"
    for run in idle:
        stop(runs, run)


def test_what_has_ended_leaves_the_memory_and_is_found_again(tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = new_run(budget=5)
    runs.start(run)
    run.job.finished.result(timeout=20)
    run.seen -= 2 * run_store.IDLE_AFTER
    runs.sweep()
    assert runs.get(run.id) is run, "it is not on the disk yet"
    runs.keep()
    runs.keep()  # once it stands still
    runs.sweep()
    gone = weakref.ref(run)
    before, weights, run_id = run.packet(), run.weights("").model.model.state_dict(), run.id
    del run
    gc.collect()
    assert gone() is None
    again = runs.get(run_id)
    shown = {name for name in before if name not in ("loss", "lr", "grad_norm")}
    assert {name: again.packet()[name] for name in shown} == {name: before[name] for name in shown}
    after = again.weights("").model.model.state_dict()
    assert all((weights[name] == after[name]).all() for name in weights)


def test_what_nobody_watches_for_long_is_dropped_with_its_files(monkeypatch, tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)
    monkeypatch.setattr(run_store, "KEEP_EVERY", 0.0)
    runs.keep()
    others = tmp_path / "holiday pictures"
    others.mkdir()
    os.utime(others, (0, 0))
    assert runs.path_of(run.id).is_dir()
    monkeypatch.setattr(run_store, "DROP_AFTER", -1.0)
    runs.sweep()
    assert runs.get(run.id) is None and not runs.path_of(run.id).exists() and others.is_dir()
    run.job.finished.result(timeout=20)


def test_the_files_of_a_server_that_never_came_back_are_dropped(monkeypatch, tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)
    runs.engine.close()
    runs.save()
    other = Runs(Engine(), tmp_path)
    other.sweep()
    assert runs.path_of(run.id).is_dir()
    monkeypatch.setattr(run_store, "DROP_AFTER", 0.1)
    time.sleep(0.2)
    other.sweep()
    assert not runs.path_of(run.id).exists()


def test_nothing_works_beside_an_engine_that_is_closed(monkeypatch, tmp_path):
    """Not even what waits for a job that will never run."""
    monkeypatch.setattr(run_store, "SWEEP_EVERY", 0.01)
    monkeypatch.setattr(run_store, "KEEP_EVERY", 0.0)
    runs, asked = Runs(Engine(), tmp_path), []
    run = started(runs)
    runs.engine.close()
    monkeypatch.setattr(runs.engine, "submit", lambda *args, **options: asked.append(args) or Job(iter(())))
    runs.keep()
    assert asked and run.active
    runs.save()
    assert not runs._sweeper.is_alive() and runs.path_of(run.id).is_dir()


@pytest.mark.slow
def test_a_run_goes_on_after_the_server_was_shut_down(tmp_path):
    """And comes to where it would have come."""
    alone = finish(new_run(budget=40))
    first = Runs(Engine(), tmp_path)
    run = new_run(budget=40)
    first.start(run)
    until(lambda: run.state is not None and run.state.step > 5)
    first.engine.close()
    first.save()
    saved = run.state.step
    assert run.id not in str(list(tmp_path.rglob("*")))

    second = Runs(Engine(), tmp_path)
    assert second.get("guess") is None
    again = second.get(run.id)
    assert again is not run and second.get(run.id) is again
    again.job.finished.result(timeout=20)
    packet = again.packet()
    assert saved < 40 and packet["step"] == 40 and not packet["error"]
    assert packet["curve"][0] == alone.packet()["curve"][0]
    assert packet["curve"][2] == pytest.approx(alone.packet()["curve"][2], rel=1e-4)
    assert second.path_of(run.id).is_dir()  # it stays until the run is dropped: this server may be killed, too
    second.drop(run.id)
    assert not list(tmp_path.iterdir())


def test_a_finished_run_comes_back_finished_with_its_weights(tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = new_run(budget=3)
    runs.start(run)
    run.job.finished.result(timeout=20)
    before = run.weights("").model.model.state_dict()
    runs.engine.close()
    runs.save()
    again = Runs(Engine(), tmp_path).get(run.id)
    packet = again.packet()
    assert packet["done"] and packet["step"] == 3 and packet["frames"] == run.previews
    after = again.weights("").model.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_a_paused_run_comes_back_paused(tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)
    runs.hold(run, True)
    time.sleep(0.1)
    runs.engine.close()
    runs.save()
    second = Runs(Engine(), tmp_path)
    again = second.get(run.id)
    assert again.active and again.job.paused
    stop(second, again)


def test_a_damaged_file_is_no_run_and_no_error(tmp_path):
    runs = Runs(Engine(), tmp_path)
    run = started(runs)
    runs.engine.close()
    runs.save()
    (file,) = runs.path_of(run.id).iterdir()
    file.write_bytes(file.read_bytes()[:5000])
    assert Runs(Engine(), tmp_path).get(run.id) is None
    assert not runs.path_of(run.id).exists()


def test_a_learning_rate_too_high_is_said_and_the_last_good_weights_are_kept(monkeypatch):
    run = new_run(budget=LONG, lr=1e-3, batch_size=8)
    runs = Runs(Engine())
    runs.start(run)
    until(lambda: run.good is not None)
    good = run.good.numbers["step"]
    monkeypatch.setattr(loop, "HOPELESS", 0.0)
    run.job.finished.result(timeout=20)
    packet = run.packet()
    assert "lower the learning rate" in packet["error"] and f"weights of step {run.state.step}" in packet["error"]
    assert packet["step"] == run.state.step >= good and packet["done"]
    kept = run.good.tensors
    assert all((kept[f"ema.{name}"] == v).all() for name, v in run.weights("").model.model.state_dict().items())


def test_a_hopeless_run_without_good_weights_says_so():
    run = finish(new_run(budget=200, lr=1.0, batch_size=4))
    packet = run.packet()
    assert "learning rate" in packet["error"] and "No weights are left" in packet["error"]
    assert "step" not in packet


def test_a_written_run_that_lost_all_its_weights_does_not_end_the_sweeping(monkeypatch, tmp_path):
    runs = Runs(Engine(), tmp_path)
    monkeypatch.setattr(run_store, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(training_run, "PREVIEW_EVERY", 1e9)  # no weights are found good
    run = started(runs)
    runs.keep()
    monkeypatch.setattr(loop, "HOPELESS", 0.0)
    run.job.finished.result(timeout=20)
    assert runs.path_of(run.id).exists() and run.state is None
    run.seen -= 2 * run_store.IDLE_AFTER
    runs.sweep()
    assert runs.get(run.id) is run and "No weights are left" in run.packet()["error"]
