"""Who computes when: one worker thread, whose next step is for whoever has used the fewest seconds lately.

A job is a plain generator; one step of it is one network evaluation or one optimiser step.  So a training run never
blocks a classmate's sampling, everyone's first frame comes early, and torch has all cores within a step.  Turns go
round between people by seconds, whatever each has started: who clicks more, or takes longer steps, does not get more.
Between two turns some questions are answered, such as what the network makes of the x_t that somebody's slider has just
come to.

Everything heavy that torch does belongs here, loading weights included.  OpenMP makes a pool for every thread that asks
for one, and lets all pools sleep instead of spin once they outnumber the cores: after a single convolution on another
thread, training on two cores fell from 1140 images a second to 790.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from ddpm.system.threads import Threads

from . import limits

log = logging.getLogger(__name__)

PACKET_SECONDS = 0.08  # at most one packet to the page in this time
QUESTIONS = 4  # answered between two turns: with 1, thirty sliders waited for seconds
SMOOTHING = 0.95  # of the seconds of a step
STUCK_SECONDS = 120.0  # in one step: far beyond any that ends
T = TypeVar("T")


class Busy(ValueError):
    """The engine has as many jobs as it takes."""


class Job:
    """A generator at work.  What it yields (None apart) is collected for whoever waits; `finished` is set at its end.
    Yielding a Future, it takes no turn until that is done: something that is computed elsewhere.

    `error` is None, or what to tell the person: the text of a ValueError, and for anything else a plain sentence.
    """

    def __init__(self, steps: Iterator[Any], owner: Any = None, name: str = "question"):
        """owner: whose turns it takes; None for turns of its own."""
        self.steps = steps
        self.owner = self if owner is None else owner
        self.name = name
        self.submitted, self.waited, self.worked, self.taken = time.monotonic(), 0.0, 0.0, 0
        self.share = 0.0  # seconds, comparable to those of its owner's other jobs
        self.started = False
        self.stopped = False
        self.paused = False
        self.awaited: Future[Any] | None = None
        self.context = copy_context()  # of whoever asked: what computes elsewhere may have to say for whom
        self.error: str | None = None
        self.finished: Future[None] = Future()
        self.finished.set_running_or_notify_cancel()  # so that whoever stops waiting for it does not cancel it
        self._results: deque[Any] = deque()

    def close(self) -> None:
        """Ask it to end before its next step.  Returns at once; what it has yielded stays."""
        self.stopped = True

    def take(self) -> list[Any]:
        """What it has yielded since the last call."""
        return [self._results.popleft() for _ in range(len(self._results))]

    async def packets(self) -> AsyncIterator[list[Any]]:
        """Lists of what it has yielded, as it comes (empty ones while there is nothing new), until it has ended."""
        ended = asyncio.wrap_future(self.finished)
        while not ended.done():
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)
            yield self.take()

    async def result(self) -> Any:
        """Wait for its end and return the last thing it yielded, None if it was closed before any.

        Raises ValueError(error) if it failed.
        """
        await asyncio.wrap_future(self.finished)
        if self.error:
            raise ValueError(self.error)
        return next(reversed(self.take()), None)

    def account(self) -> dict[str, Any]:
        """For the log: what it was, how long it waited for its first turn, and what it took.  Nothing of a person."""
        how = "failed" if self.error else "stopped" if self.stopped else "done"
        seconds = {"waited": round(self.waited, 3), "worked": round(self.worked, 3)}
        seconds["open"] = round(time.monotonic() - self.submitted, 3)
        return {"event": "job", "name": self.name, "how": how, "steps": self.taken, "seconds": seconds}

    def step(self) -> bool:
        """Take one step; False when there are no more.  Called by the engine only."""
        self.started = True
        try:
            if self.stopped:
                if isinstance(self.steps, Generator):
                    self.steps.close()
                return False
            value = self.context.run(next, self.steps)
        except StopIteration:
            return False
        except ValueError as error:
            self.error = str(error)
            return False
        except Exception:  # one job's failure must not end the others': it is reported, logged, and over
            log.exception("a job failed")
            self.error = "Something went wrong in this computation. Try again; the server's log has the details."
            return False
        self.awaited = value if isinstance(value, Future) else None
        if value is not None and self.awaited is None:
            self._results.append(value)
        return True

    @property
    def resting(self) -> bool:
        """Whether it takes no turns for now."""
        return self.paused or not (self.awaited is None or self.awaited.done())


def once(function: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """A function as a job of one step."""
    yield function(*args)


def last_of(moments: Iterator[T | None]) -> Generator[None, None, T]:
    """A step of a job for each of them, and the last that is one."""
    last = None
    for moment in moments:
        last = moment or last
        yield None
    assert last is not None
    return last


class Engine:
    """The worker thread and its jobs.  It starts with the first job."""

    def __init__(self, max_jobs: int | None = None, clock: Callable[[], float] = time.monotonic):
        """max_jobs: that it takes at a time; None for what limits.py says.  clock: by which steps are measured."""
        self.max_jobs, self.clock = max_jobs or limits.current().jobs, clock
        self.threads = Threads()
        self.step_seconds = 0.0  # of a step, lately
        self._turns: OrderedDict[Any, deque[Job]] = OrderedDict()  # each person's jobs; who had a turn last, last
        self._used: dict[Any, float] = {}  # seconds of each person, and of those gone who had more than who is here
        self._questions: OrderedDict[Any, deque[Job]] = OrderedDict()  # jobs that are nobody's
        self._parked: list[Job] = []
        self._addresses: Counter[str] = Counter()  # runs under way from each
        self._changed = threading.Condition()
        self.closed: Future[None] = Future()  # for whoever works beside it, and should end with it
        self._thread: threading.Thread | None = None
        self._stepping: float | None = None  # since when the step under way is

    def submit(self, steps: Iterator[Any], owner: Any = None, name: str = "question") -> Job:
        """Queue a job.  owner: who shares turns with it, see Job.  Raises Busy if there are too many."""
        job = Job(steps, owner, name)
        with self._changed:
            if self.count() >= self.max_jobs:
                raise Busy("The server is busy with as much as it can do. Try again in a moment.")
            self._queue(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
                self._thread.start()
        return job

    def count(self) -> int:
        """Jobs under way, waiting and paused."""
        with self._changed:
            waiting = [*self._turns.values(), *self._questions.values()]
            return sum(map(len, waiting)) + len(self._parked)

    def trouble(self) -> str | None:
        """Why nothing gets computed any more; None while all is well."""
        since = self._stepping
        if self._thread is not None and not self._thread.is_alive():
            return "the engine's thread has ended"
        if since is not None and time.monotonic() - since > STUCK_SECONDS:
            return f"a step has not ended for {time.monotonic() - since:.0f} seconds"
        return None

    def _among(self, job: Job) -> OrderedDict[Any, deque[Job]]:
        return self._questions if job.owner is job else self._turns

    def _queue(self, job: Job) -> None:
        """Who comes, or comes back, has used as much as whoever has used least: idle seconds are no credit, and what
        somebody used before counts until the others have caught up."""
        among = self._among(job)
        if among is self._turns and job.owner not in among:
            least = min((self._used[owner] for owner in among), default=math.inf)
            self._used = {owner: used for owner, used in self._used.items() if owner in among or used > least}
            self._used[job.owner] = max(self._used.get(job.owner, 0.0), least if among else 0.0)
        jobs = among.setdefault(job.owner, deque())
        job.share = max(job.share, min((other.share for other in jobs), default=0.0))
        jobs.append(job)
        self._changed.notify()

    def _order(self) -> list[Any]:
        """The people with something to compute, in the order in which their turns come."""
        return sorted(self._turns, key=self._used.__getitem__)  # stable: of equals, whose last turn is longest ago

    @contextmanager
    def from_address(self, address: str) -> Iterator[None]:
        """While a run from this address is under way.  Raises Busy if there are too many already."""
        if address and self._addresses[address] >= limits.current().runs_per_address:
            raise Busy("As much as one address may run is running from yours. Try again in a moment.")
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on the worker thread and wait for it: for the start of the page only, because it blocks."""
        job = self.submit(once(function, *args))
        job.finished.result()
        if job.error:
            raise ValueError(job.error)
        return job.take()[-1]

    def pause(self, job: Job) -> None:
        """After the step it is in, the job takes no turn until it is resumed."""
        job.paused = True

    def resume(self, job: Job) -> None:
        """Take turns again; also what makes a paused job notice that it was closed."""
        job.paused = False
        self._unpark(job)

    def _unpark(self, job: Job, awaited: Future[Any] | None = None) -> None:
        with self._changed:
            if job in self._parked and not job.resting:
                self._parked.remove(job)
                self._queue(job)

    def ahead_of(self, job: Job) -> int:
        """How many steps of others come before this job's next, if all steps take as long."""
        with self._changed:
            jobs = self._among(job)
            if job not in jobs.get(job.owner, ()):
                return 0
            order = self._order() if jobs is self._turns else list(jobs)
            return order.index(job.owner) + jobs[job.owner].index(job) * len(jobs)

    def place_of(self, job: Job) -> dict[str, Any]:
        """What a page says to whoever waits: steps of others before the next, and the seconds they will take."""
        ahead = self.ahead_of(job)
        return {"ahead": ahead, "wait": round(ahead * self.step_seconds, 1)}

    def close(self, seconds: float = 6.0) -> bool:
        """Take no further step, for the end of the server.  Returns when the present one is done; False: too long."""
        with self._changed:
            if not self.closed.done():
                self.closed.set_result(None)
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _work(self) -> None:
        answered = 0  # since the last turn
        while True:
            with self._changed:
                while not (self._turns or self._questions or self.closed.done()):
                    self._changed.wait()
                if self.closed.done():
                    return
                asked = self._questions and (answered < QUESTIONS or not self._turns)
                among, answered = (self._questions, answered + 1) if asked else (self._turns, 0)
                owner = next(iter(among)) if asked else self._order()[0]
                jobs = among[owner]
                job = min(jobs, key=lambda each: each.share)
            self.threads.follow()
            self._stepping, start = time.monotonic(), self.clock()
            if not job.started:
                job.waited = self._stepping - job.submitted
            more = job.step()
            self._stepping, took = None, self.clock() - start
            job.worked, job.share, job.taken = job.worked + took, job.share + took, job.taken + 1
            self.step_seconds = SMOOTHING * self.step_seconds + (1 - SMOOTHING) * took if self.step_seconds else took
            with self._changed:
                if not asked:
                    self._used[owner] += took
                jobs.remove(job)
                if more and not job.resting:
                    jobs.append(job)
                elif more:
                    self._parked.append(job)
                if jobs:
                    among.move_to_end(owner)
                else:
                    del among[owner]
            if more and job.awaited is not None:
                job.awaited.add_done_callback(functools.partial(self._unpark, job))
            if not more:
                log.info(json.dumps(job.account()))
                job.finished.set_result(None)
