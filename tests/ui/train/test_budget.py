"""A budget is what the clock says: from Start to the end of training, previews included, pauses excluded."""

import itertools
import time
from types import SimpleNamespace

import pytest
from helpers.training_runs import finish, new_run, quick  # noqa: F401 (quick is a fixture)

from ddpm.presets import TRAINING_EVALUATIONS
from ddpm.system.stopwatch import Stopwatch
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import run_store, training_run


def test_a_stopwatch_counts_while_it_runs():
    now = [100.0]
    watch = Stopwatch(5.0, now=lambda: now[0])
    now[0] += 1
    assert watch() == 5
    watch.run()
    now[0] += 2
    assert watch() == 7
    watch.run()  # again: goes on
    now[0] += 1
    watch.run(False)
    now[0] += 10
    assert watch() == 8


class Slow(training_run.TrainingRun):
    """A run on a clock of the test's: a step of 64 pictures takes `step` seconds, an evaluation of twenty `each`."""

    def __init__(self, budget: float, step: float, each: float):
        template = new_run("seconds", budget)
        super().__init__(template.config, template.data, "seconds", budget, "slow")
        self.step, self.each = step, each
        self.now, self.on_previews, self.asked = 0.0, 0.0, []
        self.clock = Stopwatch(now=lambda: self.now)
        self.clock.run()

    def trained(self):
        for step in itertools.count(1):
            self.now += self.step
            seconds = self.clock()
            said = {"step": step, "seconds": seconds, "seconds_left": self.budget - seconds, "loss_smooth": 0.1}
            yield SimpleNamespace(images_seen=64 * step, images_per_second=64 / self.step, **said)
            if seconds >= self.budget:
                return

    def preview(self, sampling):
        self.asked.append((self.now, sampling.num_steps))
        for _ in range(2 * TRAINING_EVALUATIONS * sampling.num_steps // self.sampling().num_steps + 10):
            self.now += self.each
            self.on_previews += self.each * (not self.complete)
            yield
        self.evaluation_seconds = self.each / training_run.PREVIEWS


@pytest.mark.parametrize(
    ("step", "each", "previews"),
    [(0.1, 0.01, 8), (0.1, 0.03, 4), (2.0, 0.1, 2)],
    ids=["as training lets expect", "dearer", "the tutorial's network"],
)
def test_thirty_seconds_are_thirty_seconds_with_all_previews_in_them(step, each, previews):
    run = Slow(30, step, each)
    steps = run.steps()
    while not run.complete:
        next(steps)
    assert run.clock() == pytest.approx(30, rel=0.1) and run.state.seconds == pytest.approx(30, rel=0.1)
    assert run.on_previews < 0.15 * 30 and len(run.asked) >= previews
    assert run.asked[-1][1] == run.sampling().num_steps  # the last one, after the budget, as usual


def test_the_seconds_that_are_said_to_be_left_are_those_that_follow():
    run, said = Slow(30, 0.1, 0.02), []
    for _ in run.steps():
        if run.complete:
            break
        said.append((run.now, run.seconds_left()))
    for now, left in said:
        assert left == pytest.approx(run.state.seconds - now, abs=0.1 * max(3, left))


def test_a_pause_does_not_count():
    runs = run_store.Runs(Engine())
    run = new_run("seconds", 600)
    runs.start(run)
    while run.state is None:
        time.sleep(0.01)
    runs.hold(run, True)
    while not runs.engine._parked:
        time.sleep(0.01)
    before = run.clock()
    time.sleep(0.2)
    assert run.clock() == before > 0
    runs.hold(run, False)
    step = run.state.step
    while run.state.step == step:
        time.sleep(0.01)
    run.halt = True
    run.job.finished.result(timeout=60)
    ended = run.clock()
    time.sleep(0.1)
    assert run.clock() == ended > before


def test_a_slow_network_is_asked_with_fewer_evaluations_and_never_more_than_usual():
    run = finish(new_run(budget=3))
    usual = run.sampling().num_steps
    run.kind, run.budget = "seconds", 30
    run.evaluation_seconds = 1e-6
    assert run.affordable().num_steps == usual
    run.evaluation_seconds = 1.0
    assert run.affordable().num_steps == training_run.FEWEST_STEPS
    run.evaluation_seconds = 0.6e-3  # 0.45 s a preview: two networks, ten levels, twenty pictures of each
    steps = run.affordable().num_steps
    assert training_run.FEWEST_STEPS < steps < usual
    assert run.evaluation_seconds * 20 * (2 * TRAINING_EVALUATIONS * steps / usual + 10) < 0.45


def test_so_much_of_a_batch_is_trained_on_at_a_time_as_fits_into_a_tenth_of_a_second():
    run = new_run(batch_size=64)
    assert run.part_size() == training_run.FIRST_PART
    for speed, size in ((64, 5), (5, 1), (700, 56)):
        run.state = SimpleNamespace(step=1, images_per_second=speed)
        assert run.part_size() == size
    run.state = None
    steps = run.steps()
    assert [next(steps) for _ in range(3)] == [None] * 3 and run.state is None, "64 pictures, 8 at a time"
