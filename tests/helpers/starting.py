"""What opens the page: a server as a user starts it, and what Chromium is started with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import needs
from .serving import wait_for

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(why: str):
    """Skip the test, or fail under DDPM_REQUIRE_BROWSER=1."""
    needs.unavailable(why, "DDPM_REQUIRE_BROWSER")


def development(module: str):
    """A module of the development extra; without it the test is skipped, or fails under DDPM_REQUIRE_BROWSER=1."""
    return needs.development(module, "DDPM_REQUIRE_BROWSER")


def is_problem(message) -> bool:
    """Errors, except those that Gradio logs when a page is reloaded while it streams, and what Chromium logs when
    the page asks for its server after a test has cut the network."""
    reloaded = (
        "AbortError: signal is aborted",
        "BodyStreamBuffer was aborted",
        "Method not implemented",
        "errored out",
        "ERR_INTERNET_DISCONNECTED",
    )
    return message.type == "error" and not any(text in message.text for text in reloaded)


def serve(port: int, log: Path, *more: str) -> subprocess.Popen:
    """`python app.py`, started as a user would start it, once it answers.  more: arguments."""
    with log.open("a") as output:
        command = [sys.executable, "app.py", "--no-open", "--host", "127.0.0.1", "--port", str(port), *more]
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}  # as a user has it
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    wait_for(f"http://127.0.0.1:{port}", process, log)
    return process


def end(process: subprocess.Popen) -> float:
    """Ask a server to end, as an operating system does; the seconds it took."""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    return time.monotonic() - start
