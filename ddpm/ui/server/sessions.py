"""What each browser window has running on a tab: one run, whose packets reach the page as they come."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from .engine import Engine, Job

PLACE_SECONDS = 1.0  # while a run waits for its first turn, its place is said this often


class Run:
    """Work whose frames a page shows while they come, and asks for again where it has missed some.

    id: nobody can guess it.  frames: those there are, each with its place among them, `index`.
    """

    id: str
    frames: list[dict[str, Any]]

    def __init__(self) -> None:
        self.id, self.frames = secrets.token_urlsafe(16), []

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job.  What it yields makes a packet: a frame, or {} if only other figures have changed."""
        raise NotImplementedError

    def add(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Keep a frame, in its place."""
        self.frames.append(frame | {"index": len(self.frames)})
        return self.frames[-1]

    def end(self) -> list[dict[str, Any]]:
        """After the job has ended or was stopped: frames that are still to be sent."""
        return []

    def about(self) -> dict[str, Any]:
        """What a packet says beside its frames.  total: positions of the timeline; n, size, channels: pictures."""
        return {}

    def packet(self, frames: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """What the page gets: frames not yet sent, how many there are, and all else as it stands."""
        new = [frame for frame in frames if frame]
        return {"run": self.id, "frames": new, "kept": len(self.frames)} | self.about() | more

    def left_behind(self) -> Run:
        """What is kept of it once it has ended."""
        return self

    @property
    def size(self) -> int:
        """Bytes, about."""
        return length(self.frames)


def length(value: Any) -> int:
    """Characters of the texts in a frame, which are its pictures, and a few for each of its numbers."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(length, value.values()))
    return sum(map(length, value)) if isinstance(value, list) else 8


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

    async def stream(self, session: str, run: Run, address: str = "") -> AsyncGenerator[dict[str, Any], None]:
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
