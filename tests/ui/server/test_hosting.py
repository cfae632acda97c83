"""A server among others' servers: a Space's settings, its log, its health, and its end."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers.serving import free_port, press, wait_for
from starlette.applications import Starlette
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ddpm.ui.server import engine as engine_module
from ddpm.ui.server import hosting
from ddpm.ui.server.engine import Engine, once
from ddpm.ui.tabs.train.run_store import Runs

ROOT = Path(__file__).parents[3]


def test_only_a_space_gets_settings_of_its_own(tmp_path):
    assert hosting.space_defaults({}, tmp_path) == hosting.space_defaults({"SPACE_ID": ""}, tmp_path) == {}
    found = hosting.space_defaults({"SPACE_ID": "a/b"}, tmp_path / "none")
    assert found["GRADIO_SERVER_NAME"] == "0.0.0.0" and found["DDPM_PROFILE"] == "public"
    assert not {"DDPM_RUNS_DIR", "DDPM_DATA_DIR"} & set(found)


def test_what_a_spaces_owner_sets_stays(tmp_path):
    mine = {"SPACE_ID": "a/b", "DDPM_PROFILE": "classroom", "DDPM_RUNS_DIR": "/mine", "FORWARDED_ALLOW_IPS": "10.1.2.3"}
    assert set(hosting.space_defaults(mine, tmp_path)) == {"GRADIO_SERVER_NAME", "DDPM_DATA_DIR"}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_state_goes_to_storage_that_can_be_written_and_to_no_other(tmp_path, monkeypatch):
    space = {"SPACE_ID": "a/b"}
    assert hosting.space_defaults(space, tmp_path)["DDPM_RUNS_DIR"] == str(tmp_path / "runs")
    assert hosting.space_defaults(space, tmp_path)["DDPM_DATA_DIR"] == str(tmp_path / "datasets")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert "DDPM_RUNS_DIR" not in hosting.space_defaults(space, tmp_path)


def test_the_address_on_a_space_is_the_visitors_and_not_one_that_the_visitor_claims():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["client"][0])

    def arrive(peer, forwarded):
        headers = [(b"x-forwarded-for", forwarded)]
        scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
        trusted = hosting.space_defaults({"SPACE_ID": "a/b"}, Path("/none"))["FORWARDED_ALLOW_IPS"]
        with pytest.raises(StopIteration):
            ProxyHeadersMiddleware(app, trusted)(scope, None, None).send(None)

    arrive("10.16.7.92", b"203.0.113.5")
    arrive("10.16.7.92", b"198.51.100.1, 203.0.113.6, 10.16.1.1")
    arrive("203.0.113.7", b"198.51.100.1")
    assert seen == ["203.0.113.5", "203.0.113.6", "203.0.113.7"]


@pytest.mark.slow
def test_the_settings_are_made_before_gradio_reads_them():
    code = "import ddpm.ui, gradio.http_server as s; from ddpm.ui.server import limits; "
    code += "print(s.LOCALHOST_NAME, limits.current() == limits.PROFILES['public'])"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GRADIO_", "DDPM_"))}
    for more, wanted in (({"SPACE_ID": "a/b"}, "0.0.0.0 True"), ({}, "127.0.0.1 False")):
        options = {"env": environ | more, "cwd": ROOT, "capture_output": True, "text": True, "check": True}
        assert subprocess.run([sys.executable, "-c", code], **options).stdout.strip() == wanted


def test_the_log_is_one_object_a_line():
    logger, lines = logging.getLogger("ddpm.test"), []
    handler = logging.Handler()
    handler.setFormatter(hosting.JsonLines())
    handler.emit = lambda record: lines.append(handler.format(record))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        logger.info(json.dumps({"event": "job", "steps": 3}))
        logger.warning("two\nlines, %s", "ü")
        logger.info("3")
        logger.info("{not an object")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logger.exception("a job failed")
    finally:
        logger.removeHandler(handler)
    assert not any("\n" in line for line in lines)
    job, words, number, brace, failed = map(json.loads, lines)
    assert (job["event"], job["steps"], job["level"]) == ("job", 3, "info") and job["time"].endswith("+00:00")
    assert (words["event"], words["message"], words["level"]) == ("log", "two\nlines, ü", "warning")
    assert number["message"] == "3" and brace["message"] == "{not an object"
    assert failed["level"] == "error" and "ZeroDivisionError" in failed["trace"]


class Blocks:
    def __init__(self, engine, folder):
        self.health = hosting.Health(engine, {"training": Runs(engine, folder).active})


@pytest.fixture
def asked(tmp_path):
    """An engine, and what GET /health says of it: asked(engine) -> (status, what)."""
    app = Starlette(routes=hosting.ROUTES)

    def ask(engine):
        app.get_blocks = lambda: Blocks(engine, tmp_path)
        answer = TestClient(app).get("/health")
        return answer.status_code, answer.json()

    return ask


def test_health_is_answered_while_the_engine_computes(asked):
    engine, begun, go_on = Engine(), threading.Event(), threading.Event()

    def long():
        begun.set()
        go_on.wait(20)
        yield 1

    assert asked(engine)[0] == 200, "before the first job"
    job = engine.submit(long())
    begun.wait(20)
    status, said = asked(engine)
    assert (status, said["status"], said["jobs"], said["training"]) == (200, "ok", 1, 0)
    assert set(said) == {"status", "version", "jobs", "training", "step_seconds", "uptime"}
    go_on.set()
    job.finished.result(20)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_is_stuck_or_dead_is_told(asked, monkeypatch):
    engine, go_on = Engine(), threading.Event()
    job = engine.submit(once(go_on.wait, 20))
    monkeypatch.setattr(engine_module, "STUCK_SECONDS", 0.2)
    time.sleep(0.5)
    status, said = asked(engine)
    assert status == 503 and said["status"] == "failed" and "step has not ended" in said["reason"]
    go_on.set()
    job.finished.result(20)
    time.sleep(0.5)
    assert asked(engine)[0] == 200, "an idle engine is not stuck"

    engine.submit(once(sys.exit))  # SystemExit is not an Exception: it ends the thread
    engine._thread.join(20)
    status, said = asked(engine)
    assert status == 503 and "thread has ended" in said["reason"]


@pytest.mark.slow
def test_a_server_logs_its_jobs_and_ends_in_order(tmp_path):
    port = free_port()
    command = [sys.executable, "app.py", "--no-open", "--host", "127.0.0.1", "--port", str(port), "--root-path", "/d"]
    environ = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | {"DDPM_RUNS_DIR": str(tmp_path)}
    with (tmp_path / "err").open("w") as err:
        server = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=err)
    url = f"http://127.0.0.1:{port}"
    try:
        health = json.loads(wait_for(f"{url}/health", server, tmp_path / "err"))
        assert health["status"] == "ok"
        sampling = ["ddim", 2, 2, True, 0, "small", "linspace", True]
        messages = press(url, "reverse-generate", [2, "all in turn", 0, "mnist", *sampling])
        assert messages[-1]["success"]
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0 and time.monotonic() - start < 10
    finally:
        server.kill()
    lines = [json.loads(line) for line in (tmp_path / "err").read_text().splitlines()]
    assert [lines[i]["event"] for i in (-1, -2)] == ["stop", "job"]
    assert [line["profile"] for line in lines if line["event"] == "start"] == ["local"]
    assert lines[-2]["steps"] == 4 and set(lines[-2]["seconds"]) == {"waited", "worked", "open"}
    assert "127.0.0.1" not in (tmp_path / "err").read_text() and "client" not in (tmp_path / "err").read_text()
