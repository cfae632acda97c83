"""Random numbers that depend on nothing but their key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def global_numbers(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Torch's global numbers, which dropout draws from, as a generator's next one says; then as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        yield


def seeded(*key: int) -> torch.Generator:
    """A CPU generator that depends on all of `key` (integers, 0 or more): each key of that length its own stream."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
