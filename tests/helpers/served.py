"""A real server, and a client of it that speaks plain HTTP: for tests of what no browser is needed for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import serving

ROOT = Path(__file__).resolve().parents[2]
# Before a server: its runs are written, and swept, after seconds.
QUICKLY = "from ddpm.ui.tabs.train import run_store; run_store.KEEP_EVERY, run_store.SWEEP_EVERY = 1.0, 0.2"
NO_MORE = [0.002, 32, "cosine", "v", 0.995, 0.1, 8, 0]  # what the tests set under More: a small network


class Server:
    """`python app.py` in a process of its own.  before: Python that runs first, to shorten times or plant an error."""

    def __init__(self, log: Path, before: str = "", **environ: Any):
        self.port, self.log = serving.free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        argv = ["app.py", "--no-open", "--host", "127.0.0.1", "--port", str(self.port)]
        code = f"import sys; sys.argv = {argv!r}\n{before}\nimport app; app.main()"
        env = os.environ | {"PYTHONPATH": str(ROOT)} | {k: str(v) for k, v in environ.items()}
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
            )
        self.config = json.loads(serving.wait_for(f"{self.url}/config", self.process, log))

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def post(self, path: str, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
        return serving.post(f"{self.url}/gradio_api{path}", body, kind)

    def stream(self, what: str, data: list[Any], session: str = "") -> Iterator[dict[str, Any]]:
        """Press a button, or call a handler by its name: the messages that come back.  Closing it cuts the line."""
        session = session or uuid.uuid4().hex
        status, answer = serving.join(self.url, serving.function_of(self.config, what), data, session)
        assert status == 200, answer
        yield from serving.messages(self.url, session)

    def packets(self, what: str, data: list[Any], session: str = "") -> Iterator[dict[str, Any]]:
        """What such a press shows in its tab's view, as it comes."""
        for message in self.stream(what, data, session):
            if message["msg"] in ("process_generating", "process_completed"):
                output = message["output"]
                assert "data" in output, output
                value = output["data"][0]
                # After the first, Gradio sends what has changed; here a whole one is asked for where it matters.
                yield value if isinstance(value, dict) else {"changes": value}

    def train(self, seconds: float = 60) -> tuple[str, Iterator[dict[str, Any]]]:
        """Start a training run of a small network.  Returns its id, and the line that is still open."""
        line = self.packets("train-start", ["fast", "bundled", "seconds", seconds, *NO_MORE, []])
        for packet in line:
            assert not packet.get("error"), packet
            if "run" in packet:
                return packet["run"], line
        raise AssertionError("no run")

    def look(self, run: str) -> dict[str, Any]:
        """A run as a page that is opened now finds it."""
        return next(self.packets("attach", [[run]]))

    def end(self, signal: int) -> float:
        """The seconds until it has ended."""
        start = time.monotonic()
        self.process.send_signal(signal)
        self.process.wait(timeout=60)
        return time.monotonic() - start


def until(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte.  small_disk.remount(options) changes it."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*args):
        return subprocess.run(["mount", *args, str(folder)], capture_output=True, text=True)

    if (tried := mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")).returncode:
        pytest.skip(f"no tmpfs may be mounted here: {tried.stderr.strip()}")
    mount.folder = folder
    yield mount
    subprocess.run(["umount", "-l", str(folder)], check=True)
