"""What each browser window has running on a tab: one run, whose packets reach the page as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from .engine import Engine, Job

PLACE_SECONDS = 1.0  # while a run waits for its first turn, its place is said this often


class Run(Protocol):
    """Work whose results a page shows while they come: a job, and the packets made of what it yields."""

    def steps(self) -> Iterator[Any]: ...

    def packet(self, results: list[Any], **more: Any) -> dict[str, Any]: ...

    def end(self) -> list[Any]:
        """After the job has ended or was stopped: what is still to be sent."""
        ...


class Sessions:
    """The one run that each browser window may have going on a tab."""

    def __init__(self, engine: Engine, name: str = "run"):
        self.engine, self.name = engine, name
        self._jobs: dict[str, Job] = {}

    def stop(self, session: str) -> bool:
        """Stop what this window has running; False if that is nothing."""
        job = self._jobs.get(session)
        if job is None or job.finished.done():
            return False
        job.close()
        return True

    def running(self) -> int:
        """How many windows have something going on."""
        return sum(not (job.stopped or job.finished.done()) for job in self._jobs.values())

    async def stream(self, session: str, run: Run, address: str = "") -> AsyncIterator[dict[str, Any]]:
        """The packets of a run, in place of what this window had running.  Raises Busy."""
        with self.engine.from_address(address):
            job = self.engine.submit(run.steps(), session, self.name)
            self.stop(session)
            self._jobs = {k: j for k, j in self._jobs.items() if not j.finished.done()} | {session: job}
            try:
                yield run.packet([], **self.engine.place_of(job))
                told = time.monotonic()
                async for results in job.packets():
                    if results:
                        yield run.packet(results)
                    elif not job.started and time.monotonic() - told > PLACE_SECONDS:
                        yield run.packet([], **self.engine.place_of(job))
                        told = time.monotonic()
                yield run.packet([*job.take(), *run.end()], done=True, stopped=job.stopped, error=job.error)
            finally:
                job.close()
