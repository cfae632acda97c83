"""A training run between two steps: where it stands, and what it takes to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..ema import EMA
from .optimizer import MuonAdamW, moments, restore_moments


@dataclass(frozen=True)
class TrainState:
    """Where a run stands after `step` optimiser steps.  Losses are means over a batch; seconds exclude pauses.

    lr: what the optimiser used for this step; Muon's, where it is, is proportional to it.
    """

    step: int
    images_seen: int
    loss: float
    loss_smooth: float
    lr: float
    grad_norm: float  # of all gradients together, before clipping
    clipped: float  # 0..1, how often clipping has acted lately, smoothed as the loss is
    images_per_second: float
    seconds: float
    seconds_left: float
    ema_model: Callable[[], nn.Module]  # makes a copy of the model with the averaged weights
    live_model: Callable[[], nn.Module]  # the same with the weights as the optimiser left them
    snapshot: Callable[[], Snapshot]  # makes a copy of everything that resuming needs


@dataclass(frozen=True)
class Snapshot:
    """A training run at rest: what `fit(resume=)` takes up.  `tensors` by name; `numbers` is plain JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


def tensors_of(model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer | MuonAdamW) -> dict[str, Tensor]:
    """Live weights, averaged weights and the optimiser's moments under one set of names, copied to the CPU."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.shadow.items()}
    tensors |= {f"optimizer.{name}": value for name, value in moments(optimizer).items()}
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}


def restore(
    tensors: dict[str, Tensor], model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer | MuonAdamW
) -> None:
    """The inverse of `tensors_of`.  The snapshot stays as it is, to be resumed from again."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts[part][name] = value
    model.load_state_dict(parts["model"])
    for name, average in ema.shadow.items():
        average.copy_(parts["ema"][name])
    restore_moments(optimizer, parts["optimizer"])
