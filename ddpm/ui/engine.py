"""Who computes when: one worker thread that takes a step of each job in turn.

A job is a plain generator; one step of it is one network evaluation or one optimiser step.  So a training run never
blocks a classmate's sampling, everyone's first frame comes early, and torch has all cores within a step.

Everything heavy that torch does belongs here, loading weights included.  OpenMP makes a pool for every thread that asks
for one, and lets all pools sleep instead of spin once they outnumber the cores: after a single convolution on another
thread, training on two cores fell from 1140 images a second to 790.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

log = logging.getLogger(__name__)

PACKET_SECONDS = 0.08  # at most one packet to the page in this time


class Busy(ValueError):
    """The engine has as many jobs as it takes."""


class Job:
    """A generator at work.  What it yields (None apart) is collected for whoever waits; `finished` is set at its end.

    `error` is None, or what to tell the person: the text of a ValueError, and for anything else a plain sentence.
    """

    def __init__(self, steps: Iterator[Any]):
        self.steps = steps
        self.started = False
        self.stopped = False
        self.paused = False
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
        """Wait for its end and return the last thing it yielded.  Raises ValueError(error) if it failed."""
        await asyncio.wrap_future(self.finished)
        if self.error:
            raise ValueError(self.error)
        return self.take()[-1]

    def step(self) -> bool:
        """Take one step; False when there are no more.  Called by the engine only."""
        self.started = True
        try:
            if self.stopped:
                self.steps.close()
                return False
            value = next(self.steps)
        except StopIteration:
            return False
        except ValueError as error:
            self.error = str(error)
            return False
        except Exception:  # one job's failure must not end the others': it is reported, logged, and over
            log.exception("a job failed")
            self.error = "Something went wrong in this computation. Try again; the server's log has the details."
            return False
        if value is not None:
            self._results.append(value)
        return True


def once(function: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """A function as a job of one step."""
    yield function(*args)


class Engine:
    """The worker thread and its jobs.  It starts with the first job."""

    def __init__(self, max_jobs: int = 64):
        self.max_jobs = max_jobs
        self._jobs: deque[Job] = deque()
        self._parked: list[Job] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, steps: Iterator[Any]) -> Job:
        """Queue a job.  Raises Busy if there are too many."""
        job = Job(steps)
        with self._changed:
            if len(self._jobs) + len(self._parked) >= self.max_jobs:
                raise Busy("The server is busy with as much as it can do. Try again in a moment.")
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
                self._thread.start()
            self._changed.notify()
        return job

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
        with self._changed:
            job.paused = False
            if job in self._parked:
                self._parked.remove(job)
                self._jobs.append(job)
                self._changed.notify()

    def ahead_of(self, job: Job) -> int:
        """How many jobs get a turn before this one gets its next."""
        with self._changed:
            return self._jobs.index(job) if job in self._jobs else 0

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                job = self._jobs[0]
            more = job.step()
            with self._changed:
                self._jobs.popleft()
                if more:
                    (self._parked if job.paused else self._jobs).append(job)
            if not more:
                job.finished.set_result(None)


class Run(Protocol):
    """Work whose results a page shows while they come: a job, and the packets made of what it yields."""

    def steps(self) -> Iterator[Any]: ...

    def packet(self, results: list[Any], **more: Any) -> dict[str, Any]: ...

    def end(self) -> list[Any]:
        """After the job has ended or was stopped: what is still to be sent."""
        ...


class Sessions:
    """The one run that each browser window may have going on a tab."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._jobs: dict[str, Job] = {}

    def stop(self, session: str) -> bool:
        """Stop what this window has running; False if that is nothing."""
        job = self._jobs.get(session)
        if job is None or job.finished.done():
            return False
        job.close()
        return True

    async def stream(self, session: str, run: Run) -> AsyncIterator[dict[str, Any]]:
        """The packets of a run, in place of what this window had running.  Raises Busy."""
        job = self.engine.submit(run.steps())
        self.stop(session)
        self._jobs = {k: j for k, j in self._jobs.items() if not j.finished.done()} | {session: job}
        try:
            yield run.packet([], ahead=self.engine.ahead_of(job))
            async for results in job.packets():
                if results:
                    yield run.packet(results)
            yield run.packet([*job.take(), *run.end()], done=True, stopped=job.stopped, error=job.error)
        finally:
            job.close()
