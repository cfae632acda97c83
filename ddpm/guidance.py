"""Classifier-free guidance: drop labels in training, extrapolate away from the unlabelled answer in sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Denoiser, prediction_of


def drop_labels(y: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Replace each label by the null label, -1, with probability p.  Ho and Salimans 2022, arXiv:2207.12598, Alg. 1.

    y: (B,) int64, or (B, A) of attributes: then all of a picture go with probability p, and each of the others too.
    """
    drop = torch.rand(y.shape, generator=generator) < p
    if y.ndim == 2:
        drop |= torch.rand(len(y), 1, generator=generator) < p
    return torch.where(drop.to(y.device), -1, y)


class Guided:
    """A model with classifier-free guidance, called like the model itself.  Ho and Salimans 2022, Eq. 6.

    eps = eps_uncond + w (eps_cond - eps_uncond): w = 1 is plain conditional sampling, w = 0 unconditional.
    (Their w counts from 0, ours is theirs plus one.)  The same line holds for x0 and v, which are affine in eps with
    coefficients that depend on x_t and t alone.

    interval: (lowest, highest) t at which w counts; at all others it is 1.  None: everywhere.  At high noise guidance
    costs variety, at low noise it does nothing: Kynkaanniemi et al. 2024, arXiv:2404.07724.  All t of a call are alike.
    Raises ValueError, called without labels.
    """

    def __init__(self, model: Denoiser, scale: float = 1.0, interval: tuple[float, float] | None = None):
        self.model, self.scale, self.interval = model, scale, interval
        self.prediction = prediction_of(model)

    def scale_at(self, t: int) -> float:
        return self.scale if self.interval is None or self.interval[0] <= t <= self.interval[1] else 1.0

    def evaluations_at(self, t: int) -> int:
        """What a call costs: 2 (in one doubled batch), or 1 where w makes one half superfluous."""
        return 1 if self.scale_at(t) in (0.0, 1.0) else 2

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            raise ValueError("guidance goes towards a label: y is None")
        null, scale = torch.full_like(y, -1), self.scale_at(int(t[0]))
        if scale == 1:
            return self.model(x, t, y)
        if scale == 0:
            return self.model(x, t, null)
        cond, uncond = self.model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, null])).chunk(2)
        return uncond + scale * (cond - uncond)
