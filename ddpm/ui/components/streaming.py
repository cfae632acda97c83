"""The life of a run on the server's side, the same for every kind: started, streamed into a view, stopped, kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from ..server import protocol
from ..server.cache import LRUCache
from ..server.engine import Engine
from ..server.sessions import Run, Sessions
from .links import CONTROLS

KEPT_BYTES = 128_000_000
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False}
STREAM: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": 64, "trigger_mode": "multiple"}


class Streaming:
    """The runs of a tab, one for each window at a time.  The latest that ended are kept within a number of bytes."""

    def __init__(self, engine: Engine, name: str, kept_bytes: int = KEPT_BYTES):
        """name: of the tab, in the log."""
        self.name, self.sessions, self.kept = name, Sessions(engine, f"{name}-view"), LRUCache(kept_bytes)

    def get(self, run_id: Any) -> Any:
        """A run that has ended; None if it is not, or no longer, kept."""
        return self.kept.get(run_id)

    def keep(self, run: Run) -> None:
        self.kept.put(run.id, run.left_behind(), run.size)

    def replay(self, question: Any) -> dict[str, Any]:
        """What the page asks if it has missed frames: {run, have: [index, ...]} -> {frames}."""
        run = self.get(protocol.fields(question).get("run"))
        return {"frames": protocol.missed(question, run.frames if run else [])}

    def start(
        self, event: Callable[..., Any], make: Callable[..., Run], inputs: Sequence[Any], view: gr.HTML, **options: Any
    ) -> None:
        """On this event, the run that `make` makes of the inputs streams into the view until it ends or is stopped.

        What make raises as ValueError is said there instead.
        """

        async def begin(request: gr.Request, *question: Any) -> AsyncIterator[dict[str, Any]]:
            try:
                run = make(*question)
                async with aclosing(self.sessions.stream(window(request), run, address_of(request))) as packets:
                    async for packet in packets:
                        if packet.get("done"):
                            self.keep(run)
                        yield packet
            except ValueError as error:
                yield {"error": str(error)}

        tell_settings(self.name, inputs, event)
        event(begin, inputs, view, **STREAM, **options)

    def stop(self, button: gr.Button, view: gr.HTML) -> None:
        """This button ends what a window has running."""

        def halt(request: gr.Request) -> dict[str, Any] | None:
            return None if self.sessions.stop(window(request)) else {"notice": "Nothing is running."}

        button.click(halt, None, view, **QUIET)


def tell_settings(name: str, inputs: Sequence[Any], *events: Callable[..., Any]) -> None:
    """The view of that name hears of its settings as they change, and that a result is asked for at these events.

    To be called before what answers them: Gradio calls the listeners of an event in turn, each once the one before it
    is done.
    """
    settings = [each for each in inputs if isinstance(each, CONTROLS)]
    if not settings:
        return
    labels = json.dumps([each.label for each in settings])
    script = "(...values) => {{ window.DDPM?.tabs.settings?.tell({!r}, {}, values, {}); }}"
    for event in events:
        event(None, settings, None, js=script.format(name, labels, "true"))
    changes = [each.change for each in settings]
    gr.on(changes, None, settings, None, js=script.format(name, labels, "false"), trigger_mode="multiple")


def window(request: gr.Request) -> str:
    """Whose request it is: a browser window's."""
    return request.session_hash or ""


def address_of(request: gr.Request) -> str:
    """Where a request comes from, as the server in front of ours says if there is one."""
    return request.client.host if getattr(request, "client", None) else ""
