"""What belongs to being served to others: a Space's settings, the log, and whether all is well."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ddpm.system.version import __version__

from .engine import Engine

log = logging.getLogger(__name__)

PERSISTENT = Path("/data")  # where a Space finds its storage, if it has any
# A Space is reached through a proxy on its own network.  Trusting everyone would let a visitor choose an address.
PRIVATE = "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"


def space_defaults(environ: Mapping[str, str], persistent: Path = PERSISTENT) -> dict[str, str]:
    """The variables that a Hugging Face Space needs and `environ` does not set; none anywhere else."""
    if not environ.get("SPACE_ID"):
        return {}
    wanted = {"GRADIO_SERVER_NAME": "0.0.0.0", "DDPM_PROFILE": "public", "FORWARDED_ALLOW_IPS": PRIVATE}
    if persistent.is_dir() and os.access(persistent, os.W_OK | os.X_OK):
        wanted |= {"DDPM_RUNS_DIR": str(persistent / "runs"), "DDPM_DATA_DIR": str(persistent / "datasets")}
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def own_folder(environ: Mapping[str, str]) -> dict[str, str]:
    """GRADIO_TEMP_DIR, where `environ` sets none: a folder for uploads that is this user's and closed to others.

    Gradio's own is one for all who use a computer, and belongs to whoever came first.
    """
    if environ.get("GRADIO_TEMP_DIR"):
        return {}
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / ("ddpm-page" if user is None else f"ddpm-page-{user}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        mine = not folder.is_symlink() and (user is None or folder.stat().st_uid == user)
        if mine and os.access(folder, os.W_OK | os.X_OK):
            return {"GRADIO_TEMP_DIR": str(folder)}
    return {"GRADIO_TEMP_DIR": tempfile.mkdtemp(prefix="ddpm-page-")}  # the name was somebody else's


@contextlib.contextmanager
def past_proxies(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Within it nothing goes through a proxy, of the environment's or of the system's; afterwards all is as before.

    Gradio asks its own server whether it answers, and a proxy knows nothing of this computer's addresses.  Naming
    these in no_proxy alone would not do: some proxies (SOCKS) make the asking fail before it looks at no_proxy.
    """
    names = ("no_proxy", "NO_PROXY")
    before = {name: environ.get(name) for name in names}
    environ.update(dict.fromkeys(names, "*"))
    try:
        yield
    finally:
        for name, value in before.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value


class JsonLines(logging.Formatter):
    """One JSON object a line.  A message that is one already is taken as it is."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        try:
            event = json.loads(message)
        except ValueError:
            event = message
        if not isinstance(event, dict):
            event = {"event": "log", "message": message}
        when = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), **event}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Show what the package logs: its jobs as they end, and what went wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    ours = logging.getLogger("ddpm")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.INFO)


def tell(event: str, **more: Any) -> None:
    """Log an event of the server's own."""
    log.info(json.dumps({"event": event, **more}))


class Health:
    """Whether this server does what it is there for.  Nothing in it is about a person."""

    def __init__(self, engine: Engine, counts: Mapping[str, Callable[[], int]]):
        """counts: of what goes on for longer than a visit, by name."""
        self.engine, self.counts, self.since = engine, counts, time.monotonic()

    def report(self) -> tuple[int, dict[str, Any]]:
        """(HTTP status, what is so)."""
        trouble = self.engine.trouble()
        said = {
            "status": "failed" if trouble else "ok",
            "version": __version__,
            "jobs": self.engine.count(),
            **{name: count() for name, count in self.counts.items()},
            "step_seconds": round(self.engine.step_seconds, 4),
            "uptime": round(time.monotonic() - self.since),
        }
        return (503, said | {"reason": trouble}) if trouble else (200, said)


async def health(request: Request) -> JSONResponse:
    """GET /health, of the page that `ui.build` made.  On the event loop, so that it waits for nobody's computation."""
    status, said = request.app.get_blocks().health.report()
    return JSONResponse(said, status, {"Cache-Control": "no-store"})


ROUTES = [Route("/health", health)]
