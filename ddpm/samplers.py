"""Reverse processes: one step function per sampler, and one generator loop that drives them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .config import SAMPLERS
from .diffusion import posterior, prediction_of, seeded, to_x0_eps
from .schedule import Schedule, gather


@dataclass(frozen=True)
class SampleStep:
    """One moment of a reverse process.  i: 0..N.  t: the time of x_t; -1, with i = N, is the finished sample.

    x_t: (B, C, H, W), float32.  x0_hat, eps_hat: what the model says of x_t; on the finished sample, where the model
    is not asked, x0_hat is x_t and eps_hat is None.
    """

    i: int
    t: int
    x_t: Tensor
    x0_hat: Tensor
    eps_hat: Tensor | None


def ddpm_step(x_t: Tensor, x0_hat: Tensor, t: Tensor, s: Tensor, sched: Schedule, z: Tensor) -> Tensor:
    """One ancestral step x_t -> x_s: a draw from q(x_s | x_t, x0_hat).  Ho et al. 2020, Eq. 6 and 7.

    x_s = posterior mean(x0_hat, x_t) + sqrt(posterior variance) z;   the variance is 0 for s = -1.
    x_t, x0_hat, z: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T.  Returns x_s.
    """
    mean, variance = posterior(x0_hat, x_t, t, s, sched)
    return mean + variance.sqrt() * z


def ddim_step(
    x0_hat: Tensor, eps_hat: Tensor, t: Tensor, s: Tensor, sched: Schedule, eta: float = 0.0, z: Tensor | None = None
) -> Tensor:
    """One step x_t -> x_s.  Song et al. 2021, arXiv:2010.02502, Eq. 12 and 16; their alpha_t is our alphas_bar_t.

    sigma = eta sqrt((1 - ab_s)/(1 - ab_t)) sqrt(1 - ab_t/ab_s)
    x_s = sqrt(ab_s) x0_hat + sqrt(1 - ab_s - sigma^2) eps_hat + sigma z

    x0_hat, eps_hat, z: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T; s = -1 is clean data.
    eta: 0 is deterministic and needs no z, 1 is DDPM.  Returns x_s.
    """
    ab_t, ab_s = gather(sched.alphas_bar, t), gather(sched.alphas_bar_prev, s + 1)
    sigma = eta * ((1 - ab_s) / (1 - ab_t)).sqrt() * (1 - ab_t / ab_s).sqrt()
    x_s = ab_s.sqrt() * x0_hat + (1 - ab_s - sigma**2).clamp(min=0).sqrt() * eps_hat
    return x_s if z is None else x_s + sigma * z


def timesteps(T: int, num_steps: int) -> list[int]:
    """The times a sampler visits: num_steps of them, evenly from T-1 down to 0, then -1 (clean data)."""
    if not 1 <= num_steps <= T:
        raise ValueError(f"steps: from 1 to {T}, the schedule's length, not {num_steps}")
    return [*torch.linspace(T - 1, 0, num_steps, dtype=torch.float64).round().long().tolist(), -1]


def num_evaluations(model, times: Sequence[int]) -> int:
    """Network evaluations per sample that asking the model at these times costs: a guided pair counts two."""
    return sum(model.evaluations_at(t) if hasattr(model, "evaluations_at") else 1 for t in times if t >= 0)


@torch.no_grad()
def reverse_process(
    model,
    sched: Schedule,
    n: int = 16,
    *,
    y: Tensor | None = None,
    sampler: str = "ddim",
    num_steps: int = 50,
    eta: float = 0.0,
    clip: bool = True,
    seed: int = 0,
    first: int = 0,
    img_size: int = 32,
    channels: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[SampleStep]:
    """From noise to n samples, as a generator of num_steps + 1 SampleSteps; each but the last asks the model once.

    model(x, t) or, with labels y: (n,) int64, model(x, t, y); what its output means is its attribute `prediction`.
    sampler: ddpm (ancestral) or ddim (0 <= eta <= 1).  clip: x0_hat is clipped to [-1, 1] and eps_hat recomputed from
    it.  The noise of sample i comes from a generator of its own, made from (seed, first + i): the same whatever n is.
    Raises ValueError for a sampler, number of steps or eta that does not exist.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler: one of {', '.join(SAMPLERS)}, not {sampler!r}")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: from 0 (deterministic) to 1 (as random as DDPM), not {eta}")
    times = timesteps(sched.T, num_steps)
    generators = [seeded(seed, first + i) for i in range(n)]

    def noise() -> Tensor:
        return torch.stack([torch.randn(channels, img_size, img_size, generator=g) for g in generators]).to(device)

    def at(time: int) -> Tensor:
        return torch.full((n,), time, dtype=torch.int64, device=device)

    x_t = noise()
    for i, (now, then) in enumerate(pairwise(times)):
        t, s = at(now), at(then)
        out = model(x_t, t) if y is None else model(x_t, t, y)
        x0_hat, eps_hat = to_x0_eps(out.float(), x_t, t, sched, prediction_of(model))
        if clip:
            x0_hat = x0_hat.clamp(-1, 1)
            _, eps_hat = to_x0_eps(x0_hat, x_t, t, sched, "x0")
        yield SampleStep(i, now, x_t, x0_hat, eps_hat)
        if sampler == "ddpm":
            x_t = ddpm_step(x_t, x0_hat, t, s, sched, noise())
        else:
            x_t = ddim_step(x0_hat, eps_hat, t, s, sched, eta, noise() if eta > 0 else None)
    yield SampleStep(num_steps, -1, x_t, x_t, None)


@torch.no_grad()
def sample(
    model,
    sched: Schedule,
    n: int = 16,
    img_size: int = 32,
    channels: int = 1,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    y: Tensor | None = None,
) -> Tensor:
    """The tutorial's sampler: all T steps, nothing clipped on the way.  Ho et al. 2020, Algorithm 2.

    x_{t-1} = 1/sqrt(alpha_t) (x_t - beta_t / sqrt(1 - alphas_bar_t) eps) + sqrt(posterior_variance_t) z
    without z at t = 0.
    generator: one for the whole batch, on `device`.  Returns (n, channels, img_size, img_size), clamped to [-1, 1].
    """
    x = torch.randn(n, channels, img_size, img_size, generator=generator, device=device)
    for time in reversed(range(sched.T)):
        t = torch.full((n,), time, dtype=torch.int64, device=device)
        out = model(x, t) if y is None else model(x, t, y)
        _, eps = to_x0_eps(out.float(), x, t, sched, prediction_of(model))
        scale = gather(sched.betas, t) / gather(sched.sqrt_one_minus_alphas_bar, t)
        x = gather(sched.sqrt_recip_alphas, t) * (x - scale * eps)
        if time > 0:
            z = torch.randn(x.shape, generator=generator, device=device)
            x = x + gather(sched.posterior_variance, t).sqrt() * z
    return x.clamp(-1, 1)


def sample_from_ema(model, ema, sched: Schedule, **kwargs) -> Tensor:
    """`sample` with the averaged weights.  The live model is left as it is, in the middle of its training or not."""
    averaged = copy.deepcopy(model).eval()
    ema.copy_to(averaged)
    return sample(averaged, sched, **kwargs)
