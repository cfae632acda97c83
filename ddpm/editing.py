"""Pictures that are given in part, or as a draft, and ways between two: what editing asks of a reverse process."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch import Tensor

from .diffusion import q_sample
from .layers import AttributeEmbedding, Label, LabelEmbedding
from .schedule import Schedule, gather
from .seeding import seeded


def draft(
    x0: Tensor, i: int, times: Sequence[int], sched: Schedule, seed: int = 0, first: int = 0
) -> tuple[int, Tensor]:
    """(i, x_t): drafts noised to the time of step i, where a reverse process may start.  Meng et al. 2022,
    arXiv:2108.01073, Algorithm 1.

    The noise of draft k is that which sample first + k of this seed begins with: from i = 0, where next to nothing of a
    draft is left, comes the sample itself.  x0: (n, C, S, S) in [-1, 1].  times: see `timesteps`.  Returns x_t like x0.
    """
    eps = [torch.randn(x0.shape[1:], generator=seeded(seed, first + k)) for k in range(len(x0))]
    return i, q_sample(x0, torch.full((len(x0),), times[i], device=x0.device), torch.stack(eps).to(x0.device), sched)


@dataclass(frozen=True)
class Known:
    """The part of a picture that is given, the rest being drawn to it.  Lugmayr et al. 2022, arXiv:2201.09865.

    x0: (n, C, S, S) in [-1, 1].  mask: bool, broadcast to x0's shape, True where x0 is known.
    resamplings: r of their Algorithm 1, how often each step is taken, with a way back up before each but the first.
    Raises ValueError for a mask of another kind or size, or r below 1.
    """

    x0: Tensor
    mask: Tensor
    resamplings: int = 1

    def __post_init__(self) -> None:
        fits = self.mask.ndim <= 4 and all(
            a in (1, b) for a, b in zip(self.mask.shape[::-1], self.x0.shape[::-1], strict=False)
        )
        if self.mask.dtype != torch.bool or not fits:
            raise ValueError(f"mask: bool, to be broadcast to {tuple(self.x0.shape)}")
        if self.resamplings < 1:
            raise ValueError("resamplings: 1 or more")

    def paste(self, x_s: Tensor, s: Tensor, noise: Tensor, sched: Schedule) -> Tensor:
        """x_s with what is known in its place, as noisy as x_s.  Their Eq. 8: m x_known + (1 - m) x_unknown.

        x_s, noise: like x0.  s: (n,) int64, -1..T-1; at -1, clean data, x0 itself is what comes back, to the bit.
        """
        ab_s = gather(sched.alphas_bar_prev, s + 1)
        return torch.where(self.mask, ab_s.sqrt() * self.x0 + (1 - ab_s).sqrt() * noise, x_s)


def back_up(x_s: Tensor, s: Tensor, t: Tensor, noise: Tensor, sched: Schedule) -> Tensor:
    """x_s -> x_t, s < t: a draw from q(x_t | x_s).  Lugmayr et al. Algorithm 1, line 10; Ho et al. Eq. 2.

    x_t = sqrt(ab_t / ab_s) x_s + sqrt(1 - ab_t / ab_s) eps.   s, t: (n,) int64, -1 <= s < t < T.
    """
    alpha_ts = gather(sched.alphas_bar, t) / gather(sched.alphas_bar_prev, s + 1)
    return alpha_ts.sqrt() * x_s + (1 - alpha_ts).sqrt() * noise


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """On the great circle from a to b, whose length goes evenly from one's to the other's.  Shoemake 1985, Eq. 2.5.

    sin((1 - s) w) / sin(w) a + sin(s w) / sin(w) b on the unit sphere, with w the angle between them.  Of two noises
    every point between has the length of noise, which the straight mix has not: Song et al. 2021, appendix D.5.
    a, b: (C, S, S).  share: (n,), 0 is a and 1 is b.  Returns (n, C, S, S).  Raises ValueError for opposite a and b.
    """
    u, v = (x.flatten().double() for x in (a, b))
    lengths = u.norm(), v.norm()
    u, v, s = u / lengths[0], v / lengths[1], share.double()[:, None]
    angle = torch.atan2((u - v).norm(), (u + v).norm()) * 2  # exact where the cosine is flat
    if torch.pi - angle < 1e-4:
        raise ValueError("between two opposite points there is no one way")
    if angle < 1e-6:
        unit = (1 - s) * u + s * v
    else:
        unit = (torch.sin((1 - s) * angle) * u + torch.sin(s * angle) * v) / torch.sin(angle)
    return (unit * ((1 - s) * lengths[0] + s * lengths[1])).reshape(-1, *a.shape).to(a.dtype)


def classes_between(model: nn.Module, a: Label, b: Label, shares: Tensor) -> nn.Module:
    """The model with more classes, num_classes + k being between a and b: the mix of what their labels add to the time.

    a, b: classes, or -1 for none; of attributes a value of each, and all have more values then.
    shares: (n,), 0 is a and 1 is b.  All else is the model's own, not a copy.
    Raises ValueError for a model without classes.
    """
    labels = getattr(model, "y_embed", None)
    if not isinstance(labels, (LabelEmbedding, AttributeEmbedding)):
        raise ValueError("model: one with classes")
    more = copy.copy(model)
    more._modules = model._modules | {"y_embed": labels.between(a, b, shares)}  # type: ignore[arg-type]
    return more
