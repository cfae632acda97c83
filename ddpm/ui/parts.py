"""What every tab is made of: a stage with its timeline, a margin, packets of frames, and checks of what comes in."""

from __future__ import annotations

import base64
import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from ..data import to_uint8

STATIC = Path(__file__).parent / "static"
MAX_SEED = 2**31 - 1  # of what a page may ask for: it fits a JavaScript number and a file name
SCRIPTS = ("stage.js", "connection.js", "plot.js", "timeline.js", "ink.js", "pad.js", "mixing.js")
SCRIPTS += ("forward.js", "reverse.js", "levels.js", "train.js")
SCRIPTS += ("chain.js", "posterior.js", "back.js", "breaking.js")  # of Forward
SCRIPTS += ("lanes.js", "quality.js", "schedules.js")  # of Compare


def sentence(elem_id: str) -> gr.HTML:
    """A line of text of ours.  Set as text, not as a template: Gradio evaluates what stands in a template as code."""
    return gr.HTML(
        html_template='<p class="hint"></p>',
        js_on_load="const show = () => { element.querySelector('p').textContent = props.value || ''; };"
        "watch('value', show); show();",
        apply_default_css=False,
        elem_id=elem_id,
    )


def stage_and_margin(name: str, value: Any, server: list[Callable], equation: str, notice: str) -> gr.HTML:
    """The columns beside a tab's controls.  Returns the stage with its timeline, which static/<name>.js fills.

    server: what answers its questions; of one that computes, a ValueError is said in words.
    equation: the margin's, with the present numbers in it (elements with data-live), and its function.
    """
    with gr.Column(elem_classes="middle"):
        view = gr.HTML(
            value=value,
            html_template='<div class="view"></div>',
            js_on_load=f"DDPM.{name}(element, props, watch, server, trigger)",
            server_functions=[in_words(each) if inspect.iscoroutinefunction(each) else each for each in server],
            apply_default_css=False,
            elem_id=f"{name}-view",
            elem_classes=["ddpm-view"],
        )
    with gr.Column(elem_classes="side"):
        gr.HTML(
            html_template=f'<aside class="margin" aria-label="The equation">{equation}'
            f"<h2>What to notice</h2><p>{notice}</p></aside>",
            js_on_load="",
            apply_default_css=False,
            elem_id=f"{name}-margin",
        )
    return view


def in_words(answer: Callable) -> Callable:
    """What answers a page's question, saying as {error} what it raises as ValueError."""

    @functools.wraps(answer)
    async def said(asked: Any) -> dict[str, Any]:
        try:
            return await answer(asked)
        except ValueError as error:
            return {"error": str(error)}

    return said


def b64(data: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(data).tobytes()).decode()


def frame(x: Tensor) -> np.ndarray:
    """Pictures in [-1, 1], (N, C, S, S), as the bytes that the page shows: uint8, (N, S, S, C), clamped."""
    return to_uint8(x).permute(0, 2, 3, 1).numpy()


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """`value` as an int from low to high.  Raises ValueError in words for whatever else a client may send."""
    return int(number(value, name, low, high, "a whole number"))


def number(value: Any, name: str, low: float, high: float, what: str = "a number") -> float:
    """`value` as a finite float from low to high.  Raises ValueError in words for whatever else a client may send."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not ok or not low <= value <= high or (what == "a whole number" and value != int(value)):
        raise ValueError(f"{name}: {what} from {low:g} to {high:g}, please.")
    return float(value)


def one_of(value: Any, name: str, choices) -> Any:
    """`value` if it is one of the choices.  Raises ValueError."""
    if value not in tuple(choices):
        raise ValueError(f"{name}: one of {', '.join(map(str, choices))}, please.")
    return value


def fields(asked: Any) -> dict[str, Any]:
    """What a page has sent as an object; empty for whatever else a client may send."""
    return asked if isinstance(asked, dict) else {}


def missed(asked: Any, kept: Any, items: Callable[[Any], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Of a run, what a page has not got, because packets were dropped or it was reloaded.

    asked: {run, have: [k, ...]}, or {run} for all.  kept: whose get(id) has the run.  items(run): each with its k.
    """
    asked = fields(asked)
    run, have = kept.get(asked.get("run")), asked.get("have")
    if run is None:
        return []
    return [each for each in items(run) if not isinstance(have, list) or each["k"] not in have]


class Kept:
    """The latest things worth keeping, by id, within a number of bytes: the oldest go first."""

    def __init__(self, max_bytes: int):
        self.max_bytes, self.bytes = max_bytes, 0
        self._things: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def put(self, key: str, thing: Any, size: int) -> None:
        if key in self._things:
            self.bytes -= self._things.pop(key)[1]
        self._things[key] = (thing, size)
        self.bytes += size
        while self.bytes > self.max_bytes and len(self._things) > 1:
            self.bytes -= self._things.popitem(last=False)[1][1]

    def get(self, key: Any) -> Any:
        """The thing, or None if it is not, or no longer, here."""
        return self._things.get(key, (None, 0))[0] if isinstance(key, str) else None


def can_be_judged(dataset: str, shape: tuple[int, ...]) -> bool:
    """Whether the judge, who knows nothing but MNIST's digits, can read such pictures.  shape: ends in (C, S, S)."""
    return dataset in ("mnist", "bundled") and tuple(shape[-3:]) == (1, 32, 32)


def digit_labels(labels: list[int], n: int) -> Tensor:
    """n labels, the given ones in turn."""
    return torch.tensor([labels[i % len(labels)] for i in range(n)])
