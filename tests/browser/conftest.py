"""A server and a real Chromium.  Without one these tests skip and say why; under DDPM_REQUIRE_BROWSER=1 they fail."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import free_port, wait_for

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
    if os.environ.get("DDPM_REQUIRE_BROWSER") == "1":
        pytest.fail(why, pytrace=False)
    pytest.skip(f"{why} (Debian: apt-get install chromium; pip install playwright)")


def is_problem(message) -> bool:
    """Errors, except those that Gradio logs when a page is reloaded while it streams, and what Chromium logs when
    the page asks for its server after a test has cut the network."""
    reloaded = ("AbortError: signal is aborted", "Method not implemented", "errored out", "ERR_INTERNET_DISCONNECTED")
    return message.type == "error" and not any(text in message.text for text in reloaded)


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        unavailable("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


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


@pytest.fixture(scope="session")
def server(chromium, tmp_path_factory):
    """The URL of a server."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    process = serve(port, log)
    yield f"http://127.0.0.1:{port}"
    end(process)
    # Gradio logs a traceback of its own when a client sends what a component refuses; none may come through our code.
    assert str(ROOT / "ddpm") not in log.read_text(), log.read_text()


@pytest.fixture
def open_page(chromium, server):
    """Opens windows.  In none of them may there have been a console error or a request to another host at the end."""
    contexts, problems = [], []

    def open_(width=1280, height=800, same_profile=False, **options):
        options = {"reduced_motion": "reduce"} | options
        if not (same_profile and contexts):
            contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: problems.append(f"console: {m.text} {m.location}") if is_problem(m) else None)
        page.on("pageerror", lambda e: problems.append(f"page error: {e} {e.stack}"))
        page.on("request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else problems.append(r.url))
        page.goto(server)
        page.wait_for_function("document.querySelector('#forward-view canvas')")
        return page

    yield open_
    seen = list(problems)  # a page that is being closed may fail at what it still asks for
    for context in contexts:
        context.close()
    assert seen == []
