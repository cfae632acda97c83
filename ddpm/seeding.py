"""Random numbers that depend on nothing but their key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


def on_device(generator: torch.Generator | None, device: torch.device) -> torch.Generator | None:
    """One that draws on a device what a CPU generator's next number says.  The CPU's is itself; None stays None.

    Other numbers than the CPU's: to draw there and copy costs a GPU more than a step of training.
    """
    if generator is None or device.type == "cpu":
        return generator
    seed = torch.randint(2**63 - 1, (), generator=generator)
    return torch.Generator(device).manual_seed(int(seed))


@contextlib.contextmanager
def global_numbers(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Torch's global numbers, which dropout draws from, as a generator's next one says; then as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        yield


def seeded(*key: int) -> torch.Generator:
    """A CPU generator that depends on all of `key` (integers, 0 or more): each key of that length its own stream."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
