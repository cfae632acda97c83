"""The number of threads follows what others compute on the machine."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest
import torch

from ddpm.system import threads
from ddpm.system.threads import Threads


class Machine:
    """Two cores, of which our process uses `ours` and others `others`."""

    def __init__(self):
        self.time = self.all = self.ours = 0.0
        self.used: list[int] = []

    def watched(self, most=2, **options) -> Threads:
        clocks = {"now": lambda: self.time, "all_busy": lambda: self.all, "ours": lambda: self.ours}
        return Threads(most, **(clocks | {"use": self.used.append} | options))

    def go(self, watched: Threads, seconds: float, others: float, ours: float = 1.0) -> int:
        for _ in range(round(seconds / 0.1)):
            self.time, self.ours, self.all = self.time + 0.1, self.ours + 0.1 * ours, self.all + 0.1 * (ours + others)
            watched.follow()
        return watched.threads


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    return Machine()


def test_a_busy_core_takes_a_thread_and_gives_it_back(machine):
    watched = machine.watched()
    assert machine.go(watched, 2, others=0.0, ours=2.0) == 2 and machine.used == []
    assert machine.go(watched, 2, others=1.0) == 1
    assert machine.go(watched, 2, others=0.5) == 1, "between the two it stays as it is"
    assert machine.go(watched, 2, others=0.1) == 2
    assert machine.go(watched, 2, others=0.5) == 2
    assert machine.used == [1, 2]


def test_there_is_always_one(machine):
    assert machine.go(machine.watched(), 2, others=2.0, ours=0.3) == 1


def test_of_many_cores_those_are_left_that_others_use(machine, monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 8)
    assert machine.go(machine.watched(8), 2, others=3.0, ours=5.0) == 5
    assert machine.go(machine.watched(2), 2, others=3.0) == 2


def test_what_somebody_has_set_stays(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert machine.go(machine.watched(), 2, others=2.0) == 2 and machine.used == []


def test_a_system_that_does_not_say_leaves_it_as_it_is(machine):
    assert machine.go(machine.watched(all_busy=lambda: None), 2, others=2.0) == 2 and machine.used == []


def test_at_the_end_it_is_what_it_was(machine):
    with machine.watched() as watched:
        machine.go(watched, 2, others=1.0)
    assert machine.used == [1, 2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_linux_says_how_busy_all_cores_have_been():
    before, ours = threads.seconds_of_all(), threads.time.process_time()
    while threads.time.process_time() < ours + 0.2:
        pass
    assert threads.seconds_of_all() - before > 0.15


def test_torch_is_told(monkeypatch):
    before = torch.get_num_threads()
    try:
        Threads().use(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_what_is_read_apart_takes_its_thread_with_it():
    """With it goes OpenMP's team, beside which the engine's would wait idle."""
    before = threading.active_count()
    thread = asyncio.run(threads.apart(threading.current_thread))
    thread.join(5)
    assert thread is not threading.current_thread() and not thread.is_alive() and threading.active_count() == before
    with pytest.raises(ValueError, match="x"):
        asyncio.run(threads.apart(int, "x"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "passive 100000"), ({"OMP_WAIT_POLICY": "active"}, "active None"), ({"GOMP_SPINCOUNT": "7"}, "None 7")],
)
def test_threads_wait_asleep_unless_somebody_has_said_otherwise(given, expected):
    """Set before torch is loaded, which reads it as it is."""
    code = (
        "import sys, os; sys.modules['torch'] = None\ntry: import ddpm\nexcept ImportError: pass\n"
        "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} | given
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
