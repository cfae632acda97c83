"""Random numbers that depend on nothing but their key."""

from __future__ import annotations

import numpy as np
import torch


def seeded(*key: int) -> torch.Generator:
    """A CPU generator that depends on all of `key` (integers, 0 or more): each key of that length its own stream."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))
