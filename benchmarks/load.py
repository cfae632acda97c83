"""Thirty students at one server, over plain HTTP: python -m benchmarks.load [--minutes 5] [--students 30]

Starts the server as a user would, or takes --url of one that runs.  Each student moves t for a while, then generates 16
digits, about every ten seconds; one of them trains.  --burst: all press Generate within one second, instead.  --fair:
two of them, instead: see fair.py.  --drawing: all of them draw in Edit, instead: see drawing.py.  --beside N: so many
other processes keep a core busy each, all the time.
Prints the times to the first and the last frame, and what it cost the server: memory, threads, files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import signal
import ssl
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.helpers.serving import free_port, wait_for

from . import drawing, fair, percentiles

ROOT = Path(__file__).parents[1]

EVERY = 10.0  # seconds between two runs of a student, on average
MOVES = 12  # of t between them
PATIENCE = 120.0  # seconds after which an answer counts as an error


@dataclass
class Figures:
    """What the students saw, in seconds."""

    first: list[float] = field(default_factory=list)  # from the click to the first frame
    last: list[float] = field(default_factory=list)
    guess: list[float] = field(default_factory=list)  # from a move of t to predicted x₀
    errors: list[str] = field(default_factory=list)
    training: int = 0  # packets of training runs

    def table(self) -> str:
        lines = [percentiles.HEAD]
        for name, values in (("first frame", self.first), ("last frame", self.last), ("guess at a move", self.guess)):
            if values:
                lines.append(percentiles.row(name, values))
        lines.append(f"errors: {len(self.errors)}{': ' + self.errors[0] if self.errors else ''}")
        return "\n".join([*lines, f"packets of the training run: {self.training}"])


class Page:
    """What a browser window knows of the page: which function a button calls, and with what."""

    def __init__(self, config: dict[str, Any]):
        self.config = config
        self.components = {c["id"]: c["props"] for c in config["components"]}

    def component(self, elem_id: str) -> int:
        return next(i for i, props in self.components.items() if props.get("elem_id") == elem_id)

    def press(self, elem_id: str) -> tuple[int, list[Any]]:
        """The function behind a button, and the present values of its inputs."""
        target = [self.component(elem_id), "click"]
        functions = (d for d in self.config["dependencies"] if d["backend_fn"] and d["inputs"])
        function = next(d for d in functions if target in map(list, d["targets"]))
        return function["id"], [self.components[i].get("value") for i in function["inputs"]]


class Student:
    def __init__(self, client: httpx.AsyncClient, page: Page, number: int, figures: Figures):
        self.client, self.page, self.figures = client, page, figures
        self.random, self.session = random.Random(number), f"student{number}-{time.time_ns()}"

    async def stream(self, elem_id: str, **changed: Any):
        """Press a button; yields the messages that come back, as text."""
        function, values = self.page.press(elem_id)
        for i, value in changed.items():
            values[int(i[1:])] = value
        body = {"data": values, "fn_index": function, "session_hash": self.session, "event_data": None}
        (await self.client.post("/gradio_api/queue/join", json=body)).raise_for_status()
        options = {"params": {"session_hash": self.session}, "timeout": PATIENCE}
        async with self.client.stream("GET", "/gradio_api/queue/data", **options) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield line
                    if '"process_completed"' in line or '"close_stream"' in line:
                        return

    async def generate(self) -> None:
        start, first = time.monotonic(), None
        try:
            async for line in self.stream("reverse-generate", _2=self.random.randrange(2**31 - 1)):
                if first is None and '"x_t":' in line:
                    first = time.monotonic() - start
                if '"error": "' in line or '"success": false' in line:
                    raise RuntimeError(line[:200])
            if first is None:
                raise RuntimeError("no frame came")
            self.figures.first.append(first)
            self.figures.last.append(time.monotonic() - start)
        except (httpx.HTTPError, RuntimeError) as error:
            self.figures.errors.append(f"generate: {error!r}"[:200])

    async def move(self) -> None:
        """Ask for predicted x₀ at another t, as the slider of Forward does."""
        view = self.page.component("forward-view")
        asked = {"x0": self.page.components[view]["value"]["x0"], "seed": 0, "t": self.random.randrange(1000)}
        asked |= {"schedules": ["cosine"], "weights": "mnist"}
        body = {"data": asked, "component_id": view, "fn_name": "x0_hat", "session_hash": self.session}
        start = time.monotonic()
        try:
            answer = await self.client.post("/gradio_api/component_server", json=body, timeout=PATIENCE)
            if "x0_hat" not in answer.json():
                raise RuntimeError(answer.text[:200])
            self.figures.guess.append(time.monotonic() - start)
        except (httpx.HTTPError, ValueError, RuntimeError) as error:
            self.figures.errors.append(f"move: {error!r}"[:200])

    async def lesson(self, until: float) -> None:
        await asyncio.sleep(self.random.uniform(0, EVERY))
        while time.monotonic() < until:
            begin = time.monotonic()
            for _ in range(MOVES):
                await self.move()
                await asyncio.sleep(0.1)
            await asyncio.sleep(max(0.0, self.random.expovariate(1 / EVERY) - (time.monotonic() - begin)))
            await self.generate()

    async def train(self, seconds: float, until: float) -> None:
        """Train one run after the other, as long as the lesson lasts."""
        while time.monotonic() < until:
            try:
                async for _ in self.stream("train-start", _3=seconds):
                    self.figures.training += 1
            except httpx.HTTPError as error:
                self.figures.errors.append(f"train: {error!r}"[:200])


def usage(pid: int) -> dict[str, int]:
    """Memory in MB, threads and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    rss, threads = int(fields["VmRSS"].split()[0]) // 1024, int(fields["Threads"])
    return {"rss_mb": rss, "threads": threads, "files": len(os.listdir(f"/proc/{pid}/fd"))}


def slope(seen: list[tuple[float, dict[str, int]]], key: str) -> float:
    """By how much a figure rose in a minute, by least squares over the second half of the time."""
    half = seen[len(seen) // 2 :]
    if len(half) < 3:
        return 0.0
    x, y = [t / 60 for t, _ in half], [figures[key] for _, figures in half]
    return statistics.linear_regression(x, y).slope


async def run(args: argparse.Namespace, url: str, pid: int | None) -> Figures:
    figures, seen = Figures(), []
    tls = ssl.create_default_context()  # one for all: each would read the system's certificates again
    async with AsyncExitStack() as windows:

        async def opened(number: int) -> Student:
            """A student before a window of their own, with the cookie by which they stay at one of several servers."""
            client = httpx.AsyncClient(base_url=url, timeout=PATIENCE, verify=tls)
            await windows.enter_async_context(client)
            return Student(client, Page((await client.get("/config")).json()), number, figures)

        students = [await opened(i) for i in range(args.students)]
        await asyncio.gather(*(student.move() for student in students[:2]))  # the first question warms up
        if args.fair:
            if not await fair.scenario(students[0], students[1], args.training):
                figures.errors.append("a classmate waited longer than the target")
            return figures
        if args.drawing:
            trainer, racer = [await opened(10**6 + i) for i in range(2)]
            if not await drawing.scenario(students, trainer, racer, 60 * args.minutes):
                figures.errors.append("a stroke waited longer than the target")
            return figures
        trainer = await opened(10**6)
        figures.guess.clear()
        begin, spent = time.monotonic(), time.process_time()
        until = begin + 60 * args.minutes

        async def watch() -> None:
            while pid is not None:
                seen.append((time.monotonic() - begin, usage(pid)))
                await asyncio.sleep(2)

        watching = asyncio.ensure_future(watch())
        if args.burst:

            async def late(student: Student) -> None:
                await asyncio.sleep(student.random.random())
                await student.generate()

            await asyncio.gather(*map(late, students))
        else:
            training = asyncio.ensure_future(trainer.train(args.training, until))
            await asyncio.gather(*(student.lesson(until) for student in students))
            training.cancel()
        watching.cancel()
        took = time.monotonic() - begin
        share = (time.process_time() - spent) / took / (os.cpu_count() or 1)
    print(figures.table())
    print(f"{took:.0f} s; the load generator's own share of the processor: {share:.1%}")
    if seen:
        first, last = seen[0][1], seen[-1][1]
        for key in first:
            rise = slope(seen, key)
            print(
                f"server's {key}: {first[key]} at first, {last[key]} at last, {rise:+.2f} a minute in the second half"
            )
    return figures


def serve() -> tuple[subprocess.Popen, str]:
    port = free_port()
    command = [sys.executable, "app.py", "--no-open", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"DDPM_PROFILE": "classroom"} | os.environ
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    wait_for(url, process)
    return process, url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--training", type=float, default=120, help="seconds of each training run")
    parser.add_argument("--burst", action="store_true", help="all press Generate within one second, and that is all")
    parser.add_argument("--fair", action="store_true", help="what a classmate of one who trains waits, and that is all")
    parser.add_argument("--drawing", action="store_true", help="all draw in Edit, while one trains and one races")
    parser.add_argument("--beside", type=int, default=0, help="other processes, each of which keeps a core busy")
    parser.add_argument("--url", help="of a server that runs already")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    process, url = (None, args.url) if args.url else serve()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.beside)]
    try:
        figures = asyncio.run(run(args, url, process.pid if process else None))
    finally:
        for each in busy:
            each.kill()
        if process:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
    sys.exit(bool(figures.errors))


if __name__ == "__main__":
    main()
