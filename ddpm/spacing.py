"""Which times a sampler visits."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .schedule import Schedule


def linspace(sched: Schedule, num_steps: int) -> list[int]:
    """Evenly in t, from T-1 to 0."""
    return torch.linspace(sched.T - 1, 0, num_steps, dtype=torch.float64).round().long().tolist()


def trailing(sched: Schedule, num_steps: int) -> list[int]:
    """Every (T/num_steps)-th counted from the end, so that the last stride, to clean data, is as long as the others.

    Lin et al. 2023, arXiv:2305.08891, section 3.3.
    """
    return [round(sched.T - i * sched.T / num_steps) - 1 for i in range(num_steps)]


def log_snr(sched: Schedule, num_steps: int) -> list[int]:
    """Evenly in lambda, from T-1 to 0, each at the nearest time that is still free.

    Lu et al. 2022, arXiv:2206.00927, section 3.3.
    """
    lambdas = sched.lambdas.double().cpu()
    aims = torch.linspace(lambdas[-1].item(), lambdas[0].item(), num_steps, dtype=torch.float64)
    times, last = [], sched.T
    for i, aim in enumerate(aims):
        nearest = int((lambdas - aim).abs().argmin())
        last = max(min(nearest, last - 1), num_steps - 1 - i)  # leaves a time for each step still to come
        times.append(last)
    return times


SPACINGS: dict[str, Callable[[Schedule, int], list[int]]] = {
    "linspace": linspace,
    "trailing": trailing,
    "log_snr": log_snr,
}
LABELS = {"linspace": "evenly in t", "trailing": "evenly in t, trailing", "log_snr": "evenly in log-SNR"}


def timesteps(sched: Schedule, num_steps: int, spacing: str = "linspace") -> list[int]:
    """The times a sampler visits: num_steps of them, falling from T-1, then -1 (clean data).  spacing: of SPACINGS.

    Raises ValueError for a number of steps or a spacing that does not exist.
    """
    if not 1 <= num_steps <= sched.T:
        raise ValueError(f"steps: from 1 to {sched.T}, the schedule's length, not {num_steps}")
    if spacing not in tuple(SPACINGS):
        raise ValueError(f"spacing: one of {', '.join(SPACINGS)}, not {spacing!r}")
    return [*SPACINGS[spacing](sched, num_steps), -1]
