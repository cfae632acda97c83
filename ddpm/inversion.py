"""From a picture to the noise that it is drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from .denoiser import Denoiser
from .diffusion import q_sample
from .samplers import SampleStep, predict
from .schedule import Schedule
from .spacing import timesteps


@torch.no_grad()
def invert(
    model: Denoiser,
    sched: Schedule,
    x0: Tensor,
    *,
    y: Tensor | None = None,
    num_steps: int = 50,
    spacing: str = "linspace",
) -> Iterator[SampleStep]:
    """From pictures to the noise that deterministic DDIM makes them from: its ODE, run the other way.

    x_s = sqrt(ab_s) x0_hat + sqrt(1 - ab_s) eps_hat with s > t.  Song et al. 2021, arXiv:2010.02502, section 4.3.

    Each step takes what the model says at x_t for what it would say at x_s, so generating again comes back with an
    error that falls with the steps.  x0: (B, C, H, W) in [-1, 1].  y: (B,) int64.  Yields num_steps + 1 SampleSteps:
    i = 0 has t = -1 and the pictures themselves, of which the model is asked at time 0; the last is x_{T-1}.
    """
    times = timesteps(sched, num_steps, spacing)[::-1]
    x_t = x0.float()
    for i, (now, then) in enumerate(pairwise(times)):
        t, s = (torch.full((len(x0),), time, dtype=torch.int64, device=x0.device) for time in (max(now, 0), then))
        x0_hat, eps_hat = predict(model, x_t, t, y, sched, clip=False)
        x0_hat = x_t if now < 0 else x0_hat
        yield SampleStep(i, now, x_t, x0_hat, eps_hat)
        x_t = q_sample(x0_hat, s, eps_hat, sched)
    yield SampleStep(num_steps, times[-1], x_t, x_t, None)
