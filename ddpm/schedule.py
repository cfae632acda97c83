"""The noise schedule: how fast an image drowns, and every quantity derived from it, tabulated once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

COSINE_S = 0.008  # Nichol and Dhariwal 2021: keeps beta_0 from vanishing
MAX_BETA = 0.999
MAX_T = 100_000


@dataclass(frozen=True)
class Schedule:
    """Tables over t = 0..T-1, each (T,).  alphas_bar_prev[s + 1] is alphas_bar at s, also for s = -1, clean data.

    lambdas: half the log of the signal-to-noise ratio, log(sqrt(alphas_bar) / sqrt(1 - alphas_bar)).
    """

    T: int
    betas: Tensor
    alphas: Tensor
    alphas_bar: Tensor
    alphas_bar_prev: Tensor
    sqrt_alphas_bar: Tensor
    sqrt_one_minus_alphas_bar: Tensor
    sqrt_recip_alphas: Tensor
    posterior_variance: Tensor
    lambdas: Tensor

    def to(self, device: torch.device | str) -> Schedule:
        tables = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Schedule(T=self.T, **tables)

    def up_to(self, t: int) -> Schedule:
        """The same noise levels, but none above that of t."""
        tables = {k: v[: t + 1] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Schedule(T=t + 1, **tables)


def linear(T: int, beta_start: float, beta_end: float) -> Tensor:
    """Betas in a straight line from beta_start to beta_end.  Ho et al. 2020, section 4."""
    return torch.linspace(beta_start, beta_end, T, dtype=torch.float64)


def cosine(T: int, beta_start: float, beta_end: float) -> Tensor:
    """alphas_bar_t = f(t+1)/f(0), f(u) = cos^2((u/T + s)/(1 + s) pi/2).  Nichol and Dhariwal 2021, arXiv:2102.09672,
    Eq. 17.  Betas are clipped at 0.999, and alphas_bar follows from them.  beta_start and beta_end are ignored."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + COSINE_S) / (1 + COSINE_S) * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)


def log_snr(T: int, beta_start: float, beta_end: float) -> Tensor:
    """lambda falls in a straight line between the ends of the linear schedule, so that every step loses as many
    decibels as any other.  Kingma et al. 2021, arXiv:2107.00630, section 3.2, describe a schedule by its lambda."""
    alphas_bar = (1 - linear(T, beta_start, beta_end)).cumprod(dim=0)
    first, last = torch.logit(alphas_bar[[0, -1]]).tolist()  # 2 lambda = logit(alphas_bar)
    alphas_bar = torch.sigmoid(torch.linspace(first, last, T, dtype=torch.float64))
    return 1 - alphas_bar / torch.cat([torch.ones(1, dtype=torch.float64), alphas_bar[:-1]])


# One more here is one more everywhere: each gives the betas, (T,) float64, of (T, beta_start, beta_end).
SCHEDULES: dict[str, Callable[[int, float, float], Tensor]] = {"linear": linear, "cosine": cosine, "log_snr": log_snr}


def make_schedule(
    T: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 2e-2,
    kind: str = "linear",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Schedule:
    """The tables of a schedule, computed in float64 and stored as `dtype`.  Ho et al. 2020, section 2.

    kind: of SCHEDULES.  Raises ValueError for a T, a beta or a kind that makes no schedule.
    """
    check_schedule(T, beta_start, beta_end, kind)
    betas = SCHEDULES[kind](T, beta_start, beta_end)
    alphas = 1 - betas
    alphas_bar = torch.cumprod(alphas, dim=0)
    alphas_bar_prev = torch.cat([torch.ones(1, dtype=torch.float64), alphas_bar[:-1]])
    tables = {
        "betas": betas,
        "alphas": alphas,
        "alphas_bar": alphas_bar,
        "alphas_bar_prev": alphas_bar_prev,
        "sqrt_alphas_bar": alphas_bar.sqrt(),
        "sqrt_one_minus_alphas_bar": (1 - alphas_bar).sqrt(),
        "sqrt_recip_alphas": alphas.rsqrt(),
        "posterior_variance": betas * (1 - alphas_bar_prev) / (1 - alphas_bar),  # Ho et al. Eq. 7
        "lambdas": (alphas_bar.log() - (1 - alphas_bar).log()) / 2,  # Lu et al. 2022, arXiv:2206.00927, section 2.1
    }
    return Schedule(T=T, **{name: table.to(device, dtype) for name, table in tables.items()})


def check_schedule(T: int, beta_start: float, beta_end: float, kind: str) -> None:
    """Raises ValueError for what makes no schedule."""
    if isinstance(T, bool) or not isinstance(T, int) or not 1 <= T <= MAX_T:
        raise ValueError(f"T: an integer from 1 to {MAX_T}")
    for name, beta in (("beta_start", beta_start), ("beta_end", beta_end)):
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 < beta < 1:
            raise ValueError(f"{name}: between 0 and 1")
    if kind not in tuple(SCHEDULES):
        raise ValueError(f"kind: one of {', '.join(SCHEDULES)}")


def gather(buf: Tensor, t: Tensor) -> Tensor:
    """The entries of a table at t, shaped to multiply images.  buf: (T,).  t: (B,) int64.  Returns (B, 1, 1, 1)."""
    return buf.gather(0, t).reshape(-1, 1, 1, 1)
