"""The noise schedule: how fast an image drowns, and every quantity derived from it, tabulated once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import ScheduleConfig

COSINE_S = 0.008  # Nichol and Dhariwal 2021: keeps beta_0 from vanishing
MAX_BETA = 0.999


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
        return dataclasses.replace(self, **tables)


def make_schedule(
    T: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 2e-2,
    kind: str = "linear",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Schedule:
    """The schedule's tables, computed in float64 and stored as `dtype`.

    linear: betas from beta_start to beta_end.  Ho et al. 2020, section 4.
    cosine: alphas_bar_t = f(t+1)/f(0), f(u) = cos^2((u/T + s)/(1 + s) pi/2), betas clipped at 0.999 and alphas_bar
    recomputed from them.  Nichol and Dhariwal 2021, arXiv:2102.09672, Eq. 17; beta_start and beta_end are ignored.
    log_snr: lambda falls in a straight line between the ends of the linear schedule, so that every step loses as many
    decibels as any other.  Kingma et al. 2021, arXiv:2107.00630, section 3.2, describe a schedule by its lambda alone.
    Raises ValueError for a T, a beta or a kind that makes no schedule.
    """
    ScheduleConfig(T, beta_start, beta_end, kind)
    linear = torch.linspace(beta_start, beta_end, T, dtype=torch.float64)
    if kind == "linear":
        betas = linear
    elif kind == "log_snr":
        first, last = torch.logit((1 - linear).cumprod(dim=0)[[0, -1]]).tolist()  # 2 lambda = logit(alphas_bar)
        alphas_bar = torch.sigmoid(torch.linspace(first, last, T, dtype=torch.float64))
        betas = 1 - alphas_bar / torch.cat([torch.ones(1, dtype=torch.float64), alphas_bar[:-1]])
    else:
        u = torch.arange(T + 1, dtype=torch.float64) / T
        f = torch.cos((u + COSINE_S) / (1 + COSINE_S) * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)

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


def build_schedule(config: ScheduleConfig, device: torch.device | str = "cpu") -> Schedule:
    """The schedule that a configuration describes."""
    return make_schedule(config.T, config.beta_start, config.beta_end, config.kind, device)


def gather(buf: Tensor, t: Tensor) -> Tensor:
    """The entries of a table at t, shaped to multiply images.  buf: (T,).  t: (B,) int64.  Returns (B, 1, 1, 1)."""
    return buf.gather(0, t).reshape(-1, 1, 1, 1)
