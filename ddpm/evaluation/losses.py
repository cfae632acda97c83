"""The loss on images that a model was not trained on: one figure, or one for each noise level."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn as nn
from torch import Tensor

from .. import objective
from ..autoencoder import encoded, sample_shape
from ..data import from_uint8
from ..denoiser import Denoiser
from ..schedule import Schedule
from ..seeding import seeded


@torch.no_grad()
def held_out_loss(
    model: nn.Module, images: Tensor, labels: Tensor | None, sched: Schedule, batch_size: int = 250
) -> float:
    """The loss on images that the model was not trained on, each at its own t (evenly over 0..T-1) and fixed noise.

    images: (N, C, H, W) uint8.  The same images give the same t and noise every time: figures of one run compare.
    """
    device = next(model.parameters()).device
    n = len(images)
    times = torch.linspace(0, sched.T - 1, n).round().long()[torch.randperm(n, generator=seeded(0))]
    noise = torch.randn(n, *sample_shape(model, images), generator=seeded(1))
    total = 0.0
    for part in torch.arange(n).split(batch_size):
        y = None if labels is None else labels[part].to(device)
        x0 = encoded(model, from_uint8(images[part].to(device)))
        total += len(part) * objective.loss(model, x0, times[part].to(device), noise[part].to(device), sched, y).item()
    return total / n


def times_in_levels(levels: int, n: int, T: int) -> Tensor:
    """(levels, n) int64: n times in each of so many equal parts of 0..T-1, evenly."""
    return ((torch.arange(levels * n) + 0.5) * T / (levels * n)).long().reshape(levels, n)


def loss_by_level(
    model: Denoiser, images: Tensor, labels: Tensor | None, sched: Schedule, levels: int = 10
) -> Iterator[float]:
    """The loss at each of so many noise levels, equal parts of 0..T-1: a level at a time, the mean over all images.

    images: (N, C, H, W) uint8.  Image i has its own t in each level, and noise that is always the same, so that what
    changes from call to call is the model.
    """
    n, device = len(images), sched.betas.device
    noise = torch.randn(levels, n, *sample_shape(model, images), generator=seeded(0)).to(device)
    x0, y = encoded(model, from_uint8(images).to(device)), None if labels is None else labels.to(device)
    for t, eps in zip(times_in_levels(levels, n, sched.T).to(device), noise, strict=True):
        with torch.no_grad():  # around each step alone: a generator must not leave it on for who asks
            loss = objective.loss(model, x0, t, eps, sched, y)
        yield loss.item()
