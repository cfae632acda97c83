"""Five mistakes that nearly everyone makes once, each beside the line that it breaks.

A network is trained on pairs (x_t, target) and then asked along a reverse process.  Three of the mistakes are in what
it is trained on, two in how it is asked; each of them runs without an error, and that is what makes them hard to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from itertools import pairwise

import torch
from torch import Tensor

from ddpm.denoiser import Denoiser
from ddpm.diffusion import q_sample
from ddpm.objective import target
from ddpm.samplers import predict
from ddpm.schedule import Schedule, gather
from ddpm.seeding import seeded
from ddpm.spacing import timesteps

PIXELS, LIVE, BROADCAST, SIGN, SCALE = "pixels", "live", "broadcast", "sign", "scale"
IN_TRAINING, IN_SAMPLING = (PIXELS, BROADCAST, SCALE), (LIVE, SIGN)
AT_ONCE = (SIGN,)  # of those in sampling the ones that weights which ship show: these are the average, never live
OF_PIXELS = (PIXELS, BROADCAST)  # mistakes that latents cannot have
NAMES = (PIXELS, LIVE, BROADCAST, SIGN, SCALE)
# Of the latents left unscaled.  The autoencoder that ships has 0.99 by itself, and would show nothing.  Classified as
# asked after 400 steps, mean of 3 seeds of 500 digits: 96 % at 1 and at 0.1, 95 % at 0.2, 82 % at 0.02; 94 % at 5.5,
# Stable Diffusion's 1 / 0.18215, if `fit` is told to go on: it takes that loss, of 5, for a training gone astray.
RAW_STD = 0.02


def left_unscaled(x0: Tensor) -> Tensor:
    """Pixels in [0, 1], as torchvision's ToTensor gives them, where x0 is to be in [-1, 1]: `* 2 - 1` forgotten."""
    return (x0 + 1) / 2


def raw(latents: Tensor) -> Tensor:
    """Latents of standard deviation RAW_STD, as an autoencoder as good as ours may give them: `scale * z` forgotten.

    It is ours with its encoder's last layer times RAW_STD and its decoder's first divided by it.  Rombach et al. 2022,
    appendix G, divide by the standard deviation.  latents: of unit variance.
    """
    return RAW_STD * latents


def q_sample_by_column(x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule) -> Tensor:
    """diffusion.q_sample with table[t] for gather(table, t): shaped (B,), where (B, 1, 1, 1) is meant.

    PyTorch lines up the last axis, so that column j of every picture gets the coefficient of picture j: no error if B
    is the pictures' width (or 1).  x0, noise: (B, C, H, B).  Raises RuntimeError for any other B.
    """
    return sched.sqrt_alphas_bar[t] * x0 + sched.sqrt_one_minus_alphas_bar[t] * noise


def v_by_column(x0: Tensor, noise: Tensor, t: Tensor, sched: Schedule) -> Tensor:
    """objective.target for v, with the same mistake."""
    return sched.sqrt_alphas_bar[t] * noise - sched.sqrt_one_minus_alphas_bar[t] * x0


def taken_for_x0(x0: Tensor, broken: Set[str]) -> Tensor:
    """What a network of x0 is trained on, with the mistakes of `broken`."""
    return left_unscaled(x0) if PIXELS in broken else raw(x0) if SCALE in broken else x0


def pair(x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule, broken: Set[str]) -> tuple[Tensor, Tensor]:
    """What a network that predicts v is given, x_t, and what it is to say of it, with the mistakes of `broken`."""
    x0 = taken_for_x0(x0, broken)
    if BROADCAST in broken:
        return q_sample_by_column(x0, t, noise, sched), v_by_column(x0, noise, t, sched)
    return q_sample(x0, t, noise, sched), target(x0, noise, t, sched, "v")


def mean_of_step(
    x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor, sched: Schedule, broken: Set[str] = frozenset()
) -> tuple[Tensor, Tensor]:
    r"""The mean of one ancestral step x_t -> x_s, and its variance.  Ho et al. 2020, Algorithm 2, for any s < t.

    mean = 1/sqrt(alpha_ts) (x_t - beta_ts / sqrt(1 - ab_t) eps)
    variance = beta_ts (1 - ab_s) / (1 - ab_t),   with alpha_ts = ab_t / ab_s and beta_ts = 1 - alpha_ts

    With SIGN in `broken` the noise is added once more instead of being taken away.
    """
    ab_t, ab_s = gather(sched.alphas_bar, t), gather(sched.alphas_bar_prev, s + 1)
    alpha_ts = ab_t / ab_s
    scale = (1 - alpha_ts) / (1 - ab_t).sqrt()
    mean = (x_t + scale * eps) / alpha_ts.sqrt() if SIGN in broken else (x_t - scale * eps) / alpha_ts.sqrt()
    return mean, (1 - alpha_ts) * (1 - ab_s) / (1 - ab_t)


@torch.no_grad()
def draw(
    model: Denoiser,
    sched: Schedule,
    y: Tensor,
    num_steps: int,
    seed: int,
    broken: Set[str],
    channels: int = 1,
    img_size: int = 32,
) -> Iterator[Tensor]:
    """The tutorial's sampler in num_steps steps, nothing clipped: yields x_t before the first and after each.

    y: (n,) int64.  Sample i starts from and goes on with the noise of (seed, i), as in samplers.reverse_process.
    Yields (n, channels, img_size, img_size).
    """

    def step(x_t: Tensor, t: Tensor, s: Tensor, z: Tensor) -> Tensor:
        _, eps = predict(model, x_t, t, y, sched, clip=False)
        mean, variance = mean_of_step(x_t, eps, t, s, sched, broken)
        return mean + variance.sqrt() * z

    for _, x_t in walk(sched, y, num_steps, seed, (channels, img_size, img_size), step):
        yield x_t


@torch.no_grad()
def walk(
    sched: Schedule,
    y: Tensor,
    num_steps: int,
    seed: int,
    shape: tuple[int, int, int],
    step: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
) -> Iterator[tuple[int, Tensor]]:
    """The loop of an ancestral sampler: yields (t, x_t) before the first step and after each; t is -1 at the end.

    y: (n,) int64.  Sample i has the noise of (seed, i), as in samplers.reverse_process.  step(x_t, t, s, z) -> x_s.
    """
    generators = [seeded(seed, i) for i in range(len(y))]

    def noise() -> Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(y.device)

    times = timesteps(sched, num_steps)
    x_t = noise()
    yield times[0], x_t
    for now, then in pairwise(times):
        x_t = step(x_t, torch.full_like(y, now), torch.full_like(y, then), noise())
        yield then, x_t
