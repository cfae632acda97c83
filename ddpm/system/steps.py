"""Generators that compute something in steps, for whoever must not be kept long, and return it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def result_of(steps: Generator[Any, None, Result]) -> Result:
    """What a generator returns, run to its end at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
