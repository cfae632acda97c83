"""What people who draw in Edit wait for, while one other window trains and another races.

Each draws strokes as a page does: one question at a time, the newest next, and Denoise when the pen rests.  What the
training and the race get is told as a share of what they get alone.
"""

from __future__ import annotations

import asyncio
import base64
import re
import statistics
import time
from typing import Any

import numpy as np

from .fair import timed

POINTS, POINT_SECONDS = 25, 1 / 50  # of a stroke
REST = 0.3  # seconds after a stroke, after which the page presses Denoise
STROKES = 3  # of a drawing
TARGET = 1.0  # seconds from a stroke's end to its answer, p95
ALONE = 20.0  # seconds for which the training has the server to itself
LONGEST = 120  # seconds of a training run, of its own: it may not end before the drawing does


class Drawing:
    """One person's sheet, and their page's questions about it.  student: one of load.py's, a window."""

    def __init__(self, student: Any):
        self.student, self.sheet = student, np.zeros((32, 32), np.uint8)
        self.wanted = self.asking = False
        self.strokes: list[float] = []  # seconds from the pen's leaving to the answer that knows all of the stroke
        self.finished: list[float] = []  # and from the press of Denoise to its last frame

    @property
    def x0(self) -> str:
        return base64.b64encode(self.sheet).decode()

    async def ask(self) -> None:
        """As the page's `asker`: one at a time, of those that come up meanwhile the last.  Raises RuntimeError."""
        self.wanted = True
        if self.asking:
            return
        self.asking = True
        page, session = self.student.page, self.student.session
        body = {"component_id": page.component("draw-view"), "fn_name": "look", "session_hash": session}
        while self.wanted:
            self.wanted = False
            asked = {"x0": self.x0, "choice": "none", "t0": 600, "seed": 0, "guidance": 2, "weights": "mnist"}
            body |= {"data": asked | {"pen": session}}
            answer = await self.student.client.post("/gradio_api/component_server", json=body)
            if "x0_hat" not in answer.json():
                raise RuntimeError(f"a stroke: {answer.text[:200]}")
        self.asking = False

    async def stroke(self) -> None:
        uniform, questions = self.student.random.uniform, []
        at, by = np.array([uniform(6, 26), uniform(6, 26)]), np.array([uniform(-0.6, 0.6), uniform(-0.6, 0.6)])
        for _ in range(POINTS):
            at = (at + by).clip(1, 29)
            y, x = at.astype(int)
            self.sheet[y : y + 3, x : x + 3] = 255
            questions.append(asyncio.ensure_future(self.ask()))
            await asyncio.sleep(POINT_SECONDS)
        lifted = time.monotonic()
        await asyncio.gather(*questions)
        self.strokes.append(time.monotonic() - lifted)

    async def go_on(self, until: float) -> None:
        """Drawing after drawing."""
        while time.monotonic() < until:
            self.sheet[:] = 0
            for _ in range(STROKES):
                await self.stroke()
                await asyncio.sleep(REST)
                seed = self.student.random.randrange(10**6)
                self.finished.append(await timed(self.student, "draw-denoise", _0={"x0": self.x0}, _4=seed))


async def watched(trainer: Any, seen: list[tuple[float, int]]) -> None:
    """Train, and note when how many images had been seen: Gradio sends packets, or what of them is new."""
    async for line in trainer.stream("train-start", _3=LONGEST):
        if '"error": "' in line:
            raise RuntimeError(f"training: {line[:200]}")
        seen += [(time.monotonic(), int(n)) for n in re.findall(r'images_seen"\W+(\d+)', line)[-1:]]


def speed(seen: list[tuple[float, int]], begin: float) -> float:
    """Images a second, by the clock, from then on."""
    since = [each for each in seen if each[0] >= begin]
    return (since[-1][1] - since[0][1]) / (since[-1][0] - since[0][0])


async def raced(racer: Any, until: float) -> list[float]:
    """The seconds of each race, one after the other."""
    lanes, took = racer.page.components[racer.page.component("race-lanes")]["value"]["lanes"], []
    while not took or time.monotonic() < until:
        took.append(await timed(racer, "race-race", _0=lanes))
    return took


async def scenario(students: list[Any], trainer: Any, racer: Any, seconds: float) -> bool:
    """Prints a table; False if a stroke's answer took longer than the target."""
    await raced(racer, 0)
    race_alone, seen = await raced(racer, time.monotonic() + ALONE / 2), []
    training = asyncio.ensure_future(watched(trainer, seen))
    await asyncio.sleep(ALONE)
    alone = speed(seen, seen[0][0] + 2)  # the first steps are slower
    people, begin = [Drawing(student) for student in students], time.monotonic()
    races, *_ = await asyncio.gather(raced(racer, begin + seconds), *(each.go_on(begin + seconds) for each in people))
    images = speed(seen, begin)
    training.cancel()
    print(f"{'':24}{'n':>6}{'p50':>8}{'p95':>8}{'worst':>8}")
    p95 = 0.0
    for name, lists in (("finished", [p.finished for p in people]), ("stroke answered", [p.strokes for p in people])):
        each = sorted(value for values in lists for value in values)
        p95 = each[int(0.95 * (len(each) - 1))]
        print(f"{name:24}{len(each):>6}{statistics.median(each):>7.2f}s{p95:>7.2f}s{each[-1]:>7.2f}s")
    print(f"training: {images:.0f} images a second, {images / alone:.0%} of the {alone:.0f} alone")
    slower = statistics.median(races) / statistics.median(race_alone)
    print(f"a race: {statistics.median(races):.1f} s, {slower:.1f} times as long as alone ({len(races)} of them)")
    return p95 < TARGET
