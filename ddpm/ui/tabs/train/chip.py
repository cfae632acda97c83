"""What the header says on every tab while a training goes on, and where a press of it leads."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.ui.components.layout import scripted


def chip() -> gr.HTML:
    """Not rendered yet: see `Shared.header`."""
    return scripted(
        Path(__file__).with_name("chip.js"),
        "chip",
        html_template='<div class="training-chip"></div>',
        elem_id="training",
        render=False,
    )


def state_of(packet: dict[str, Any]) -> str:
    """How far a training is that goes on, and the one beside it."""
    both = [packet, packet.get("beside") or {}]
    if any(each.get("encoding") for each in both):
        return "encoding"
    if packet.get("step") is None:
        return "waiting"
    if any(each.get("evaluating") for each in both):
        return "evaluating"
    if packet["paused"]:
        return "waiting" if packet["waiting"] else "paused"
    return f"{math.ceil(max(each.get('seconds_left', 0) for each in both))} s left"


def with_chip(stream: Callable[..., AsyncIterator]) -> Callable[..., AsyncIterator]:
    """A stream of packets, each with what the chip becomes as its last part; None once nothing goes on any more."""

    @functools.wraps(stream)
    async def told(*asked: Any) -> AsyncIterator:
        async with aclosing(stream(*asked)) as answers:  # type: ignore[type-var]  # all of them are async generators
            async for answer in answers:
                parts = answer if isinstance(answer, tuple) else (answer,)
                packet = parts[0]
                shown = gr.skip() if "run" not in packet else None if packet["done"] else state_of(packet)
                yield *parts, shown

    return told
