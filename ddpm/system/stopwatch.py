"""Seconds by the clock, pauses excluded."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Counts while it runs.  Called, it says how many seconds it has counted."""

    def __init__(self, spent: float = 0.0, now: Callable[[], float] = time.monotonic):
        """spent: what it shows at first.  now: the clock that it goes by, in seconds."""
        self._spent, self._now = spent, now
        self._since: float | None = None

    def run(self, running: bool = True) -> None:
        """Count from now on, or no longer."""
        self._spent, self._since = self(), self._now() if running else None

    def forget(self, seconds: float) -> None:
        """Do not count these seconds after all."""
        self._spent -= seconds

    def __call__(self) -> float:
        return self._spent + (0.0 if self._since is None else self._now() - self._since)
