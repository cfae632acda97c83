"""How many threads torch computes with: as many as there are cores that nobody else keeps busy.

Each step is cut into equal parts, a thread's each, and lasts as long as the slowest.  With two threads on two cores,
one of which also runs something else, every step waits for the thread that has half a core: one thread is faster then.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

EVERY = 0.5  # seconds between two looks
FEWER, MORE = 0.65, 0.35  # of a core that others keep busy: beyond it a thread less, below it all again


def seconds_of_all() -> float | None:
    """Seconds that all cores together have been busy since the system began; None where it does not say."""
    try:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = (
            Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
        return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):  # not Linux
        return None


class Threads:
    """Follows the load of the machine.  `follow` belongs between two steps, on the thread that computes: the number is
    that thread's own.  What somebody has set by OMP_NUM_THREADS stays.

    A context manager, at whose end the number is what it was.
    """

    def __init__(
        self,
        most: int | None = None,
        now: Callable[[], float] = time.monotonic,
        all_busy: Callable[[], float | None] = seconds_of_all,
        ours: Callable[[], float] = time.process_time,
        use: Callable[[int], None] = torch.set_num_threads,
    ):
        """most: to use alone.  The others: clocks, in seconds, and what sets the number."""
        self.most = most or torch.get_num_threads()
        self.now, self.all_busy, self.ours, self.use = now, all_busy, ours, use
        self.threads = self.most
        self.cores = os.cpu_count() or 1
        self.last: tuple[float, float, float] | None = None  # when it looked, and both clocks then

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        if self.threads != self.most:
            self.use(self.most)

    def follow(self) -> None:
        """Look, at most every half a second, at what others have used since, and take threads less or more."""
        when = self.now()
        if "OMP_NUM_THREADS" in os.environ or (self.last is not None and when - self.last[0] < EVERY):
            return
        busy = self.all_busy()
        if busy is None:
            return
        before, self.last = self.last, (when, busy, self.ours())
        if before is None:
            return
        span, busy, ours = (after - then for then, after in zip(before, self.last, strict=True))
        free = self.cores - max(0.0, busy - ours) / span
        threads = min(self.most, max(1, int(free + (FEWER if self.threads == self.most else MORE))))
        if threads != self.threads:
            self.threads = threads
            self.use(threads)


async def apart(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """`asyncio.to_thread`, in a thread that ends with the call: for what asks torch for more than a few numbers.

    OpenMP makes a team of threads for each thread that asks, which lasts as long as that one.  While the teams together
    have more threads than there are cores, GNU's lets none of them spin: what computes meanwhile is half as fast.
    Once `torch.set_num_threads` has been called, MKL asks for a team even to take a thousand square roots.
    """
    own = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(own, functools.partial(function, *args, **options))
    finally:
        own.shutdown(wait=False)
