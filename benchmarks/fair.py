"""What a race or a Generate takes while another window trains, and while that run is evaluated.

Alone first, then beside a training run from its Start to the end of its evaluation: medians, worst, and ratios.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

ALONE = 3  # times each is timed alone, after one that warms up
TARGET = 2.5  # times what it takes alone, at most


async def timed(student: Any, button: str, **changed: Any) -> float:
    """The seconds from pressing a button to the end of what it began.  Raises RuntimeError if it failed."""
    start = time.monotonic()
    async for line in student.stream(button, **changed):
        if '"error": "' in line or '"success": false' in line:
            raise RuntimeError(f"{button}: {line[:200]}")
    return time.monotonic() - start


async def scenario(classmate: Any, trainer: Any, seconds: float) -> bool:
    """classmate, trainer: two students of load.py, each a window.  Prints a table; False if the target is missed."""
    page = classmate.page
    asked = {
        "Generate": ("reverse-generate", {}),
        "a race": ("race-race", {"_0": page.components[page.component("race-lanes")]["value"]["lanes"]}),
    }
    alone: dict[str, float] = {}
    for name, (button, changed) in asked.items():
        each = [await timed(classmate, button, **changed) for _ in range(1 + ALONE)]
        alone[name] = statistics.median(each[1:])

    phase, beside = ["training"], {}

    async def train() -> None:
        async for line in trainer.stream("train-start", _3=seconds):
            if '"drawn"' in line or '"evaluating", "n"' in line:
                phase[0] = "evaluation"

    run = asyncio.ensure_future(train())
    await asyncio.sleep(1)
    while not run.done():
        for name, (button, changed) in asked.items():
            began = phase[0]
            took = await timed(classmate, button, **changed)
            if not run.done():
                beside.setdefault((name, began), []).append(took)
    run.result()

    print(f"{'':12}{'beside':14}{'n':>4}{'alone':>9}{'median':>9}{'worst':>9}{'ratio':>8}")
    met = True
    for (name, began), each in beside.items():
        median = statistics.median(each)
        met = met and median <= TARGET * alone[name]
        print(
            f"{name:12}{began:14}{len(each):>4}{alone[name]:>8.2f}s{median:>8.2f}s{max(each):>8.2f}s"
            f"{median / alone[name]:>7.2f}x"
        )
    return met and {began for _, began in beside} == {"training", "evaluation"}
