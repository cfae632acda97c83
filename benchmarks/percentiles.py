"""A table of seconds: how many, half of them, nearly all, the worst."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

HEAD = f"{'':24}{'n':>6}{'p50':>8}{'p95':>8}{'worst':>8}"


def p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(0.95 * len(seconds)))]


def row(name: str, seconds: Sequence[float]) -> str:
    p50 = statistics.median(seconds)
    return f"{name:24}{len(seconds):>6}{p50:>7.2f}s{p95(seconds):>7.2f}s{max(seconds):>7.2f}s"
