"""A server in a process of its own, and a client that speaks plain HTTP: what all tests of a real server share."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, log: Path | None = None, seconds: float = 120) -> bytes:
    """What a server that was just started answers, once it does.  log: to be shown if it does not."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            assert process.poll() is None and time.monotonic() < end, log.read_text() if log else "no answer"
            time.sleep(0.3)


def post(url: str, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
    """Status and text, whatever they are."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def join(url: str, function: int, data: Any, session: str) -> tuple[int, bytes]:
    """Ask a function of the page's to begin; what comes of it is in `messages`."""
    body = {"data": data, "fn_index": function, "session_hash": session, "event_data": None}
    return post(f"{url}/gradio_api/queue/join", json.dumps(body).encode())


def messages(url: str, session: str) -> Iterator[dict[str, Any]]:
    """What comes back until the function has ended.  Closing it cuts the line."""
    with urllib.request.urlopen(f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60) as lines:
        for line in lines:
            if line.startswith(b"data:"):
                message = json.loads(line[5:])
                yield message
                if message["msg"] in ("process_completed", "close_stream"):
                    return


def config_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/config") as answer:
        return json.load(answer)


def function_of(config: dict[str, Any], what: str) -> int:
    """The function behind a button, or of a name."""
    button = next((c["id"] for c in config["components"] if c["props"].get("elem_id") == what), None)
    asked = (d for d in config["dependencies"] if d["backend_fn"])  # not of the page's scripts alone
    found = (d for d in asked if d["api_name"] == what or [button, "click"] in map(list, d["targets"]))
    return next(found)["id"]


def press(url: str, button: str, data: Any) -> list[dict[str, Any]]:
    """Press a button with data of one's own.  Returns the messages that come back."""
    session = f"client{button}"
    status, answer = join(url, function_of(config_of(url), button), data, session)
    assert status == 200, answer
    return list(messages(url, session))
