"""Classifier-free guidance: drop labels in training, extrapolate away from the unlabelled answer in sampling."""

from __future__ import annotations

import torch
from torch import Tensor


def drop_labels(y: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Replace each label by the null label, -1, with probability p.  Ho and Salimans 2022, arXiv:2207.12598, Alg. 1."""
    drop = torch.rand(y.shape, generator=generator).to(y.device) < p
    return torch.where(drop, -1, y)


class Guided:
    """A model with classifier-free guidance, called like the model itself.  Ho and Salimans 2022, Eq. 6.

    eps = eps_uncond + w (eps_cond - eps_uncond): w = 1 is plain conditional sampling, w = 0 unconditional.
    (Their w counts from 0, ours is theirs plus one.)  The same line holds for x0 and v, which are affine in eps with
    coefficients that depend on x_t and t alone.

    `num_evaluations` is what one call costs: 2 (in one doubled batch), or 1 where w makes one half superfluous.
    """

    def __init__(self, model, scale: float = 1.0):
        self.model, self.scale = model, scale
        self.prediction = model.prediction
        self.num_evaluations = 1 if scale in (0.0, 1.0) else 2

    def __call__(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        null = torch.full_like(y, -1)
        if self.scale == 1:
            return self.model(x, t, y)
        if self.scale == 0:
            return self.model(x, t, null)
        cond, uncond = self.model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, null])).chunk(2)
        return uncond + self.scale * (cond - uncond)
