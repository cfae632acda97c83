"""What people who draw in Edit wait for, while one other window trains and another races.

Each draws as a page does: one question at a time, the newest next; Denoise when the pen rests, stopped by the next
stroke.  What the training and the race get is told as a share of what they get alone.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import statistics
import time
from typing import Any

import numpy as np

from . import percentiles
from .fair import timed

POINTS, POINT_SECONDS = 25, 1 / 50  # of a stroke
REST, PAUSE = 0.3, 0.7  # seconds after a stroke until the page presses Denoise, and from then to the next stroke
STROKES = 3  # of a drawing, after the last of which Denoise is waited for
TARGET = 1.0  # seconds from a stroke's end to its answer, p95
ALONE = 20.0  # seconds for which the training has the server to itself
LONGEST = 120  # seconds of a training run, of its own: it may not end before the drawing does


class Drawing:
    """One person's sheet, and their page's questions about it.  student: one of load.py's, a window."""

    def __init__(self, student: Any):
        self.student, self.sheet = student, np.zeros((32, 32), np.uint8)
        self.wanted, self.asking, self.number = False, 0, 0
        self.heard = 0.0  # when the latest question was answered
        self.stopped = False  # whether a stroke has stopped the present Denoise
        self.strokes: list[float] = []  # seconds from the pen's leaving to the answer that knows all of the stroke
        self.finished: list[float] = []  # and from the press of Denoise to its last frame, where no stroke stops it

    @property
    def x0(self) -> str:
        return base64.b64encode(self.sheet).decode()

    async def ask(self) -> None:
        """As the page's `asker`: one at a time, of those that come up meanwhile the last.  Raises RuntimeError."""
        self.wanted = True
        if not self.asking:
            await self.go()

    async def go(self) -> None:
        """Ask what waits; beside the question before it, `hurry` of the page's `asker`.  Raises RuntimeError."""
        self.asking += 1
        page, session = self.student.page, self.student.session
        body = {"component_id": page.component("draw-view"), "fn_name": "look", "session_hash": session}
        while self.wanted:
            self.wanted, self.number = False, self.number + 1
            number = self.number
            asked = {"x0": self.x0, "choice": "none", "t0": 600, "seed": 0, "guidance": 2, "weights": "mnist"}
            body |= {"data": asked | {"pen": session, "number": number}}
            answer = (await self.student.client.post("/gradio_api/component_server", json=body)).json()
            if "x0_hat" not in answer and not (answer.get("replaced") and number < self.number):  # the latest counts
                raise RuntimeError(f"a stroke: {str(answer)[:200]}")
            if number == self.number:
                self.heard = time.monotonic()
        self.asking -= 1

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
        await asyncio.gather(self.go(), *questions)
        self.strokes.append(max(0.0, self.heard - lifted))

    async def denoise(self) -> None:
        seed = self.student.random.randrange(10**6)
        took = await timed(self.student, "draw-denoise", _0={"x0": self.x0}, _4=seed)
        if not self.stopped:
            self.finished.append(took)

    async def stop(self) -> None:
        page, self.stopped = self.student.page, True
        target = [page.component("draw-stop"), "click"]
        functions = (d for d in page.config["dependencies"] if d["backend_fn"])
        function = next(d["id"] for d in functions if target in map(list, d["targets"]))
        body = {"data": [], "fn_index": function, "session_hash": self.student.session}
        (await self.student.client.post("/gradio_api/run/predict", json=body)).raise_for_status()

    async def go_on(self, until: float) -> None:
        """Drawing after drawing."""
        while time.monotonic() < until:
            self.sheet[:] = 0
            denoising = None
            for _ in range(STROKES):
                if denoising is not None and not denoising.done():
                    await self.stop()
                await self.stroke()
                if denoising is not None:
                    await denoising
                await asyncio.sleep(REST)
                self.stopped, denoising = False, asyncio.ensure_future(self.denoise())
                await asyncio.sleep(PAUSE)
            await denoising


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
    people, begin, spent = [Drawing(student) for student in students], time.monotonic(), time.process_time()
    races, *_ = await asyncio.gather(raced(racer, begin + seconds), *(each.go_on(begin + seconds) for each in people))
    share = (time.process_time() - spent) / (time.monotonic() - begin) / (os.cpu_count() or 1)
    images = speed(seen, begin)
    training.cancel()
    strokes = [seconds for each in people for seconds in each.strokes]
    finished = [seconds for each in people for seconds in each.finished]
    print(
        percentiles.HEAD, percentiles.row("finished", finished), percentiles.row("stroke answered", strokes), sep="\n"
    )
    print(f"training: {images:.0f} images a second, {images / alone:.0%} of the {alone:.0f} alone")
    slower = statistics.median(races) / statistics.median(race_alone)
    print(f"a race: {statistics.median(races):.1f} s, {slower:.1f} times as long as alone ({len(races)} of them)")
    print(f"the load generator's own share of the processor: {share:.1%}")
    return percentiles.p95(strokes) < TARGET
