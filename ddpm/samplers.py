"""Reverse processes: one step function per sampler, and one generator loop that drives them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .config import SPACINGS, SamplingConfig
from .diffusion import posterior, prediction_of, to_x0_eps
from .schedule import Schedule, gather
from .seeding import seeded
from .solvers import dpmpp_step, heun_step


@dataclass(frozen=True)
class SampleStep:
    """One moment of a reverse process.  i: 0..N.  t: the time of x_t; -1, with i = N, is the finished sample.

    x_t: (B, C, H, W), float32.  x0_hat, eps_hat: what the model says of x_t; at the last moment, where the model is
    not asked, x0_hat is x_t and eps_hat is None.
    """

    i: int
    t: int
    x_t: Tensor
    x0_hat: Tensor
    eps_hat: Tensor | None


def ddpm_step(
    x_t: Tensor, x0_hat: Tensor, t: Tensor, s: Tensor, sched: Schedule, z: Tensor, variance: str = "small"
) -> Tensor:
    """One ancestral step x_t -> x_s: a draw from q(x_s | x_t, x0_hat).  Ho et al. 2020, Eq. 6 and 7.

    x_s = posterior mean(x0_hat, x_t) + sqrt(variance) z

    x_t, x0_hat, z: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T.  Returns x_s.
    variance: small is the posterior's, right if x0 is one point; large is beta_ts = 1 - ab_t / ab_s, right if x0 is
    N(0, I) (their section 3.2).  Both are 0 for s = -1.
    """
    mean, sigma_squared = posterior(x0_hat, x_t, t, s, sched)
    if variance == "large":
        beta_ts = 1 - gather(sched.alphas_bar, t) / gather(sched.alphas_bar_prev, s + 1)
        sigma_squared = beta_ts * (s >= 0).reshape(-1, 1, 1, 1)
    return mean + sigma_squared.sqrt() * z


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


def timesteps(sched: Schedule, num_steps: int, spacing: str = "linspace") -> list[int]:
    """The times a sampler visits: num_steps of them, falling from T-1, then -1 (clean data).

    linspace: evenly, T-1 to 0.  trailing: every (T/num_steps)-th counted from the end, so that the last stride is as
    long as the others (Lin et al. 2023, arXiv:2305.08891, section 3.3).  log_snr: evenly in lambda (Lu et al. 2022,
    arXiv:2206.00927, section 3.3), T-1 to 0, each at the nearest time that is still free.
    Raises ValueError for a number of steps or a spacing that does not exist.
    """
    T = sched.T
    if not 1 <= num_steps <= T:
        raise ValueError(f"steps: from 1 to {T}, the schedule's length, not {num_steps}")
    if spacing == "linspace":
        times = torch.linspace(T - 1, 0, num_steps, dtype=torch.float64).round().long().tolist()
    elif spacing == "trailing":
        times = [round(T - i * T / num_steps) - 1 for i in range(num_steps)]
    elif spacing == "log_snr":
        lambdas = sched.lambdas.double().cpu()
        aims = torch.linspace(lambdas[-1].item(), lambdas[0].item(), num_steps, dtype=torch.float64)
        times, last = [], T
        for i, aim in enumerate(aims):
            nearest = int((lambdas - aim).abs().argmin())
            last = max(min(nearest, last - 1), num_steps - 1 - i)  # leaves a time for each step still to come
            times.append(last)
    else:
        raise ValueError(f"spacing: one of {', '.join(SPACINGS)}, not {spacing!r}")
    return [*times, -1]


def asked_at(times: Sequence[int], sampler: str = "ddim") -> list[int]:
    """The times at which the network is asked along these: once a step, and by Heun's method twice, where a step
    starts and where it arrives, but for the step to clean data."""
    return [t for t in [*times, *(times[1:] if sampler == "heun" else ())] if t >= 0]


def num_evaluations(model, times: Sequence[int], sampler: str = "ddim") -> int:
    """Network evaluations per sample along these times.  A guided pair counts two, and so does a step of Heun's."""
    asked = asked_at(times, sampler)
    return sum(model.evaluations_at(t) for t in asked) if hasattr(model, "evaluations_at") else len(asked)


def ask(model, x_t: Tensor, t: Tensor, y: Tensor | None, sched: Schedule, clip: bool) -> tuple[Tensor, Tensor]:
    """(x0_hat, eps_hat) of a model at x_t, for one network evaluation, two if guided.  clip: see reverse_process."""
    out = model(x_t, t) if y is None else model(x_t, t, y)
    x0_hat, eps_hat = to_x0_eps(out.float(), x_t, t, sched, prediction_of(model))
    if not clip:
        return x0_hat, eps_hat
    return to_x0_eps(x0_hat.clamp(-1, 1), x_t, t, sched, "x0")


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
    variance: str = "small",
    spacing: str = "linspace",
    clip: bool = True,
    seed: int = 0,
    first: int = 0,
    start: tuple[int, Tensor] | None = None,
    img_size: int = 32,
    channels: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[SampleStep]:
    """From noise to n samples, as a generator of num_steps + 1 SampleSteps, the last of which is finished.

    model(x, t) or, with labels y: (n,) int64, model(x, t, y); what its output means is its attribute `prediction`.
    sampler: ddpm (variance: small or large), ddim (0 <= eta <= 1), dpmpp or heun.  spacing: see `timesteps`; dpmpp and
    heun do well with log_snr.
    clip: x0_hat is clipped to [-1, 1] and eps_hat recomputed from it.
    The noise of sample i comes from a generator of its own, made from (seed, first + i): the same whatever n is.
    start: (i, x_t) goes on from step i, where x_t: (n, C, S, S) has come to.  With all else the same, so is what
    follows, but for dpmpp, which begins anew at first order.
    Raises ValueError for a sampler, number of steps, eta, variance or spacing that does not exist.
    """
    times = timesteps(sched, num_steps, spacing)
    SamplingConfig(sampler, num_steps, eta, variance=variance)
    generators = [seeded(seed, first + i) for i in range(n)]

    def noise() -> Tensor:
        return torch.stack([torch.randn(channels, img_size, img_size, generator=g) for g in generators]).to(device)

    def at(time: int) -> Tensor:
        return torch.full((n,), time, dtype=torch.int64, device=device)

    x_t, before, begin = noise(), (), 0
    if start is not None:
        begin, x_t = start[0], start[1].to(device)
        for _ in range(begin if sampler == "ddpm" or (sampler == "ddim" and eta > 0) else 0):
            noise()  # what has been used on the way
    for i, (now, then) in enumerate(pairwise(times[begin:]), begin):
        t, s = at(now), at(then)
        x0_hat, eps_hat = ask(model, x_t, t, y, sched, clip)
        yield SampleStep(i, now, x_t, x0_hat, eps_hat)
        if sampler == "ddpm":
            x_t = ddpm_step(x_t, x0_hat, t, s, sched, noise(), variance)
        elif sampler == "ddim":
            x_t = ddim_step(x0_hat, eps_hat, t, s, sched, eta, noise() if eta > 0 else None)
        elif sampler == "dpmpp":
            x_t, before = dpmpp_step(x_t, x0_hat, t, s, sched, *before), (x0_hat, t)
        else:
            x_t = ddim_step(x0_hat, eps_hat, t, s, sched)
            if then >= 0:
                _, eps_hat_s = ask(model, x_t, s, y, sched, clip)
                x_t = heun_step(x_t, eps_hat, eps_hat_s, t, s, sched)
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
