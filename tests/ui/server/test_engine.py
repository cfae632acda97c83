"""The compute engine: turns, stopping, failures that stay where they are."""

import asyncio
import json
import threading
import time

import pytest

from ddpm.ui.server import limits
from ddpm.ui.server.engine import Busy, Engine, Job


def wait(job: Job) -> list:
    job.finished.result(timeout=10)
    return job.take()


def test_jobs_take_turns_step_by_step():
    engine, order, go = Engine(), [], threading.Event()

    def steps(name):
        go.wait(10)
        for _ in range(3):
            order.append(name)
            yield None

    jobs = [engine.submit(steps(name)) for name in "abc"]
    go.set()
    for job in jobs:
        wait(job)
    assert order == list("abcabcabc")


def test_turns_go_round_between_people_not_between_their_jobs():
    engine, order, running, go = Engine(clock=lambda: 0.0), [], threading.Event(), threading.Event()

    def steps(name):
        running.set()
        go.wait(10)
        for _ in range(2):
            order.append(name)
            yield None

    jobs = [engine.submit(steps("a"), 1)]
    assert running.wait(10)  # it has its first turn
    jobs += [engine.submit(steps(name), owner) for name, owner in (("b", 1), ("c", 1), ("d", 2))]
    jobs.append(engine.submit(steps("e")))  # nobody's: a question, answered between turns
    assert [engine.ahead_of(job) for job in jobs[1:]] == [2, 4, 1, 0]
    go.set()
    for job in jobs:
        wait(job)
    assert "".join(order) == "aeedbdcabc"


class Clock:
    """The seconds that jobs say they take: work(name, seconds) yields steps of so many, until `stop` or `most`."""

    def __init__(self, most: float):
        self.now, self.most, self.spent, self.begin = 0.0, most, {}, threading.Event()

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float, steps: int = 10**6):
        self.begin.wait(10)
        for _ in range(steps):
            if self.now >= self.most:
                return
            self.now += seconds
            self.spent[name] = self.spent.get(name, 0.0) + seconds
            yield None


def test_two_people_with_steps_of_different_length_get_half_of_the_seconds_each():
    clock = Clock(most=100.0)
    engine = Engine(clock=clock)
    jobs = [engine.submit(clock.work("long", 0.25), "a"), engine.submit(clock.work("short", 0.01), "b")]
    clock.begin.set()
    for job in jobs:
        wait(job)
    assert clock.spent["long"] == pytest.approx(50, rel=0.1) and clock.spent["short"] == pytest.approx(50, rel=0.1)


def test_the_jobs_of_one_person_share_their_seconds_alike():
    clock = Clock(most=90.0)
    engine = Engine(clock=clock)
    work = [("a1", "a", 0.2), ("a2", "a", 0.01), ("b", "b", 0.05)]
    jobs = [engine.submit(clock.work(name, seconds), owner) for name, owner, seconds in work]
    clock.begin.set()
    for job in jobs:
        wait(job)
    assert clock.spent["b"] == pytest.approx(45, rel=0.1)
    assert clock.spent["a1"] == pytest.approx(22.5, rel=0.1) and clock.spent["a2"] == pytest.approx(22.5, rel=0.1)


def test_who_comes_later_owes_nothing_and_has_nothing_saved_up():
    """While one trains, another arrives after long, and from then on each gets half."""
    clock = Clock(most=100.0)
    engine, since = Engine(clock=clock), {}

    def late():
        since.update(clock.spent)
        yield from clock.work("late", 0.02)

    def training():
        for i, _ in enumerate(clock.work("training", 0.1)):
            if i == 600:
                late_job.append(engine.submit(late(), "b"))
            yield None

    late_job: list[Job] = []
    job = engine.submit(training(), "a")
    clock.begin.set()
    wait(job)
    wait(late_job[0])
    assert since["training"] == pytest.approx(60, abs=0.5)
    assert clock.spent["late"] == pytest.approx(20, rel=0.1)


def test_asking_for_one_long_step_again_and_again_gets_no_more_than_half():
    """Whoever leaves after each step comes back with what it has used: else its long steps would win every time."""
    clock = Clock(most=100.0)
    engine, asked = Engine(clock=clock), []

    def at_once():
        yield from list(clock.work("again", 1.0, steps=1))[1:]  # over in its first turn

    def patient():
        for _ in clock.work("patient", 0.05):
            if not asked or asked[-1].finished.done():
                asked.append(engine.submit(at_once(), "b"))
            yield None

    job = engine.submit(patient(), "a")
    clock.begin.set()
    wait(job)
    assert clock.spent["again"] == pytest.approx(50, rel=0.1)


def test_a_paused_job_keeps_its_place_among_its_owners(caplog):
    engine, seen = Engine(), []

    def steps(name):
        while True:
            seen.append(name)
            time.sleep(0.001)
            yield None

    held, other = engine.submit(steps("held"), "p"), engine.submit(steps("other"), "p")
    engine.pause(held)
    while not engine._parked:
        time.sleep(0.001)
    seen.clear()
    time.sleep(0.05)
    assert set(seen) == {"other"}
    engine.resume(held)
    time.sleep(0.05)
    assert "held" in seen
    for job in (held, other):
        job.close()
        wait(job)


def test_only_so_many_runs_from_one_address(monkeypatch):
    monkeypatch.setenv("DDPM_RUNS_PER_ADDRESS", "2")
    limits.current.cache_clear()
    engine = Engine()
    both = engine.from_address("a"), engine.from_address("a")
    with both[0], both[1], engine.from_address("b"), pytest.raises(Busy, match="address"), engine.from_address("a"):
        pass
    with engine.from_address("a"):
        assert engine._addresses == {"a": 1}
    assert not engine._addresses
    limits.current.cache_clear()


def test_the_log_says_who_waited_and_ran_for_how_long_and_nothing_of_people(caplog):
    caplog.set_level("INFO", "ddpm.ui.server.engine")
    engine = Engine()
    for job in (engine.submit(iter([1, 2]), "session-secret", "generate"), engine.submit(iter([]))):
        wait(job)
    lines = [json.loads(record.message) for record in caplog.records]
    said = {(line["name"], line["how"], line["steps"]) for line in lines}
    assert said == {("generate", "done", 3), ("question", "done", 1)}
    assert lines[0].keys() == {"event", "name", "how", "steps", "seconds"} and "secret" not in caplog.text


def test_a_short_job_finishes_while_a_long_one_runs():
    engine, running = Engine(), threading.Event()

    def endless():
        while True:
            running.set()
            time.sleep(0.001)
            yield None

    long = engine.submit(endless())
    assert running.wait(10)
    assert wait(engine.submit(iter([1, 2, 3]))) == [1, 2, 3]
    assert not long.finished.done()
    long.close()
    wait(long)


def test_close_ends_a_job_before_its_next_step_and_keeps_what_it_yielded():
    engine, at_two, seen = Engine(), threading.Event(), []

    def steps():
        try:
            for i in range(1_000_000):
                seen.append(i)
                if i == 2:
                    at_two.set()
                    time.sleep(0.05)
                yield i
        finally:
            seen.append("closed")

    job = engine.submit(steps())
    assert at_two.wait(10)
    job.close()
    assert wait(job) == [0, 1, 2]
    assert seen == [0, 1, 2, "closed"]
    assert job.stopped and job.error is None


def test_a_failure_is_told_in_words_and_the_engine_lives(caplog):
    engine = Engine()

    def bad(error):
        yield 1
        raise error

    told = engine.submit(bad(ValueError("Steps: from 1 to 9, please.")))
    hidden = engine.submit(bad(RuntimeError("secret /path")))
    assert wait(told) == [1] and told.error == "Steps: from 1 to 9, please."
    wait(hidden)
    assert "secret" not in hidden.error and "Try again" in hidden.error
    assert "secret /path" in caplog.text  # in the server's log
    assert wait(engine.submit(iter([7]))) == [7]


def test_too_many_jobs_is_an_error_that_leaves_the_others_alone():
    engine, go = Engine(max_jobs=2), threading.Event()

    def steps():
        go.wait(10)
        yield 1

    jobs = [engine.submit(steps()), engine.submit(steps())]
    with pytest.raises(Busy, match="Try again"):
        engine.submit(steps())
    go.set()
    assert [wait(job) for job in jobs] == [[1], [1]]


def test_packets_bring_everything_once_and_in_order():
    def steps():
        for i in range(40):
            time.sleep(0.005)
            yield i

    async def collect():
        job = Engine().submit(steps())
        packets = [packet async for packet in job.packets()]
        return packets, job.take()

    packets, rest = asyncio.run(collect())
    assert [i for packet in packets for i in packet] + rest == list(range(40))
    assert len(packets) < 30  # several frames share a packet


def test_whoever_stops_waiting_does_not_kill_the_worker():
    engine, go = Engine(), threading.Event()

    def steps():
        go.wait(10)
        yield 1

    async def give_up():
        job = engine.submit(steps())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(job.result(), 0.05)
        return job

    job = asyncio.run(give_up())
    go.set()
    assert wait(job) == [1]
    assert wait(engine.submit(iter([2]))) == [2]


def test_a_place_in_the_queue():
    engine, go = Engine(), threading.Event()

    def steps():
        go.wait(10)
        yield 1

    jobs = [engine.submit(steps()) for _ in range(3)]
    assert [engine.ahead_of(job) for job in jobs] == [0, 1, 2]
    go.set()
    for job in jobs:
        wait(job)
    assert engine.ahead_of(jobs[2]) == 0


def test_a_paused_job_takes_no_turn_until_it_is_resumed():
    engine, seen = Engine(), []

    def steps():
        while True:
            seen.append(1)
            time.sleep(0.001)
            yield None

    job = engine.submit(steps())
    while len(seen) < 3:
        time.sleep(0.001)
    engine.pause(job)
    time.sleep(0.05)
    held = len(seen)
    assert wait(engine.submit(iter([7]))) == [7]  # the others go on
    time.sleep(0.05)
    assert len(seen) == held
    engine.resume(job)
    while len(seen) < held + 3:
        time.sleep(0.001)
    engine.pause(job)
    job.close()
    engine.resume(job)  # a paused job notices that it was closed
    wait(job)


def test_a_function_runs_on_the_worker_and_its_error_comes_back():
    engine = Engine()
    assert engine.call(lambda x: (x + 1, threading.current_thread().name), 2) == (3, "engine")
    with pytest.raises(ValueError, match="no such weights"):
        engine.call(lambda: (_ for _ in ()).throw(ValueError("no such weights")))
