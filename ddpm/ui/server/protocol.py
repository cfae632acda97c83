"""What a page may send, checked, and how it is answered."""

from __future__ import annotations

import base64
import binascii
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

MAX_SEED = 2**31 - 1  # of what a page may ask for: it fits a JavaScript number and a file name


def in_words(answer: Callable) -> Callable:
    """What answers a page's question, at once or later, saying as {error} what it raises as ValueError."""

    @functools.wraps(answer)
    def at_once(*question: Any) -> dict[str, Any]:
        try:
            return answer(*question)
        except ValueError as error:
            return {"error": str(error)}

    @functools.wraps(answer)
    async def later(*question: Any) -> dict[str, Any]:
        try:
            return await answer(*question)
        except ValueError as error:
            return {"error": str(error)}

    return later if inspect.iscoroutinefunction(answer) else at_once


def b64(data: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(data).tobytes()).decode()


def pixels(text: Any, shape: tuple[int, ...], otherwise: str) -> np.ndarray:
    """The uint8 array of that shape that a page sends as base64, read-only.  Raises ValueError(otherwise)."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), np.uint8).reshape(shape)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(otherwise) from None


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """`value` as an int from low to high.  Raises ValueError in words for whatever else a client may send."""
    return int(number(value, name, low, high, "a whole number"))


def number(value: Any, name: str, low: float, high: float, what: str = "a number") -> float:
    """`value` as a finite float from low to high.  Raises ValueError in words for whatever else a client may send."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not ok or not low <= value <= high or (what == "a whole number" and value != int(value)):
        lowest, highest = (int(bound) if bound == int(bound) else bound for bound in (low, high))
        raise ValueError(f"{name}: {what} from {lowest} to {highest}, please.")
    return float(value)


def one_of(value: Any, name: str, choices: Iterable[Any]) -> Any:
    """`value` if it is one of the choices.  Raises ValueError."""
    if value not in tuple(choices):
        raise ValueError(f"{name}: one of {', '.join(map(str, choices))}, please.")
    return value


def fields(question: Any) -> dict[str, Any]:
    """What a page has sent as an object; empty for whatever else a client may send."""
    return question if isinstance(question, dict) else {}


def missed(question: Any, frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a run's frames those that a page has not got, because packets were dropped or it was reloaded.

    question: {have: [index, ...]}, or anything else for all.
    """
    have = fields(question).get("have")
    return [frame for frame in frames if not isinstance(have, list) or frame["index"] not in have]
