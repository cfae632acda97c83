"""Mistakes of sampling that weights as they ship show at once, each beside the line that it breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ddpm.denoiser import Denoiser
from ddpm.samplers import predict
from ddpm.schedule import Schedule

from .mistakes import SIGN, mean_of_step, walk

NONE, STRIDE, READING, LATE = "none", "stride", "reading", "late"


@dataclass(frozen=True)
class Slip:
    """One mistake.  title: as a choice.  right, wrong: its line.  does, recognise: in a sentence each."""

    title: str
    right: str
    wrong: str
    does: str
    recognise: str


SLIPS = {
    NONE: Slip(
        "No mistake",
        "x_s = mean + variance.sqrt() * z",
        "",
        "Each step takes a little noise away and gives a little less back.",
        "clean strokes on black, each of the asked digit.",
    ),
    SIGN: Slip(
        "Sign in the mean",
        "(x_t - scale * eps) / alpha_ts.sqrt()",
        "(x_t + scale * eps) / alpha_ts.sqrt()",
        "Each step adds the noise that it should take away.",
        "black and white alone, no grey and no digit: nearly all pixels lie outside [−1, 1].",
    ),
    STRIDE: Slip(
        "β of one small step",
        "alpha_ts = ab[t] / ab[s]",
        "alpha_ts = ab[t] / ab[t - 1]",
        "25 steps are drawn with the β of one of 1000 each: most of the noise is never taken away.",
        "grey noise all over, of about the variance that it began with. With all 1000 steps it would not show.",
    ),
    READING: Slip(
        "v taken for ε",
        "_, eps = predict(model, x_t, t, y, sched)",
        "eps = model(x_t, t, y)",
        "These weights predict v; read as ε it is right only where x<sub>t</sub> is clean.",
        "specks of pure black and white that gather about the strokes of the digit.",
    ),
    LATE: Slip(
        "Told s, not t",
        "predict(model, x_t, t, y, sched)",
        "predict(model, x_t, s, y, sched)",
        "Told of less noise than there is, it takes noise for ink, and takes too little away.",
        "black ground, but strokes with hard edges, torn and eaten away.",
    ),
}


def step(
    model: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, y: Tensor, sched: Schedule, z: Tensor, slip: str
) -> Tensor:
    """One ancestral step x_t -> x_s with one of SLIPS.  Ho et al. 2020, Algorithm 2, for any s < t.

    x_t, z: (B, C, S, S).  t, s, y: (B,) int64.  Returns x_s.
    """
    if slip == READING:
        eps = model(x_t, t, y).float()
    else:
        _, eps = predict(model, x_t, s.clamp(min=0) if slip == LATE else t, y, sched, clip=False)
    then = t - 1 if slip == STRIDE else s
    mean, variance = mean_of_step(x_t, eps, t, then, sched, {SIGN} if slip == SIGN else frozenset())
    return mean + variance.sqrt() * z


def draw(
    model: Denoiser,
    sched: Schedule,
    y: Tensor,
    num_steps: int,
    seed: int,
    slip: str,
    channels: int = 1,
    img_size: int = 32,
) -> Iterator[tuple[int, Tensor]]:
    """The tutorial's sampler in num_steps steps: yields (t, x_t) before the first step and after each; -1 at the end.

    y: (n,) int64.  Sample i has the noise of (seed, i), as in samplers.reverse_process.
    """

    def one(x_t: Tensor, t: Tensor, s: Tensor, z: Tensor) -> Tensor:
        return step(model, x_t, t, s, y, sched, z, slip)

    return walk(sched, y, num_steps, seed, (channels, img_size, img_size), one)
