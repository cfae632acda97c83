"""Training an autoencoder: `fit`, on the bound that it maximises."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..autoencoder import VAE, negative_elbo
from ..config import TrainConfig
from ..data import from_uint8
from ..schedule import Schedule, make_schedule
from .loop import fit
from .state import TrainState


def fit_autoencoder(
    model: VAE, images: Tensor, *, config: TrainConfig, kl_weight: float, **options: Any
) -> Iterator[TrainState]:
    """`fit` of a VAE: one draw of q(z | x) for each picture.  images: (N, C, S, S) uint8.  options: those of `fit`.

    The draw's noise is as many numbers as a latent has of the noise that `fit` draws for a picture.
    """
    shape = model.config.latent_shape
    numbers = math.prod(shape)
    if numbers > images[0].numel():
        raise ValueError(f"latents of {numbers} numbers are more than a picture has, {images[0].numel()}")

    def loss(model: VAE, x0: Tensor, _t: Tensor, noise: Tensor, _sched: Schedule, _y: Tensor | None = None) -> Tensor:
        return negative_elbo(model, x0, noise.flatten(1)[:, :numbers].reshape(-1, *shape), kl_weight)

    yield from filter(None, fit(model, images, sched=make_schedule(1), config=config, loss=loss, **options))


@torch.no_grad()
def reconstructed(model: VAE, images: Tensor, batch: int = 500) -> Tensor:
    """The pictures that the means of their latents decode to: (N, C, S, S) in about [-1, 1], on the CPU."""
    device = model.scale.device
    return torch.cat([model.decode(model.encode(from_uint8(part).to(device))).cpu() for part in images.split(batch)])
