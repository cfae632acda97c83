"""What the network is trained to do: what it predicts, the loss, which t are drawn, and one step of training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .config import TrainConfig
from .denoiser import Denoiser, prediction_of
from .device import autocast
from .diffusion import q_sample
from .guidance import drop_labels
from .schedule import Schedule, gather

Loss = Callable[..., Tensor]  # like `loss`


class Optimizer(Protocol):
    """What a step of training needs of one: torch's have it, and training.optimizer.MuonAdamW."""

    def zero_grad(self, set_to_none: bool = ...) -> None: ...

    def step(self) -> Any: ...


def target(x0: Tensor, noise: Tensor, t: Tensor, sched: Schedule, prediction: str) -> Tensor:
    """What the network learns to say.  v = sqrt(ab) eps - sqrt(1 - ab) x0: Salimans and Ho 2022, arXiv:2202.00512."""
    if prediction == "eps":
        return noise
    if prediction == "x0":
        return x0
    if prediction == "v":
        return gather(sched.sqrt_alphas_bar, t) * noise - gather(sched.sqrt_one_minus_alphas_bar, t) * x0
    raise ValueError(f"prediction is eps, x0 or v, not {prediction!r}")


def losses(model: Denoiser, x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule, y: Tensor | None = None) -> Tensor:
    """The squared error of whatever the model predicts, mean over the pixels of each picture.  Returns (B,).
    Ho et al. Eq. 14, before the mean over pictures.

    x0, noise: (B, C, H, W).  t: (B,) int64.  y: (B,) int64 labels, -1 for none, or None for a model without classes.
    """
    x_t = q_sample(x0, t, noise, sched)
    out = model(x_t, t) if y is None else model(x_t, t, y)
    expected = target(x0, noise, t, sched, prediction_of(model))
    return F.mse_loss(out.float(), expected, reduction="none").mean(dim=(1, 2, 3))


def loss(model: Denoiser, x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule, y: Tensor | None = None) -> Tensor:
    """L_simple, the mean of `losses`.  Ho et al. Eq. 14.  Returns a scalar."""
    return losses(model, x0, t, noise, sched, y).mean()


class TrainingDiverged(ValueError):
    """The loss is not a finite number, or hopelessly high: what was learned last is of no use."""


def draw_times(n: int, T: int, config: TrainConfig, generator: torch.Generator | None = None) -> Tensor:
    """The t of a training batch, (n,) int64, 0..T-1.  config.t_sampling says how; it weighs each t in the loss.

    uniform: each t alike, each on its own.  Ho et al. 2020, Algorithm 1.
    stratified: each t alike, one from each of n equal parts of 0..T-1: the same loss, with less noise in its gradient.
    logit_normal: t/T = sigmoid(t_mean + t_std z), z ~ N(0, 1), stratified too: mostly the middle, where a digit becomes
    one digit rather than another.  Esser et al. 2024, arXiv:2403.03206, Eq. 19.
    """
    if config.t_sampling == "uniform":
        return torch.randint(0, T, (n,), generator=generator)
    u = (torch.arange(n) + torch.rand(n, generator=generator)) / n  # increasing: the images come shuffled
    if config.t_sampling == "logit_normal":
        u = torch.sigmoid(config.t_mean + config.t_std * torch.special.ndtri(u.double()))
    return (u * T).long().clamp(0, T - 1)


def train_step(
    model: nn.Module,
    x0: Tensor,
    sched: Schedule,
    optimizer: Optimizer,
    y: Tensor | None = None,
    *,
    config: TrainConfig | None = None,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
    loss: Loss = loss,
) -> float:
    """One optimiser step on L_simple.  Ho et al. 2020, Algorithm 1.  Returns the loss before the step.

    x0: (B, C, H, W) in [-1, 1].  y: (B,) int64, each dropped with probability label_dropout; None without classes.
    config: its grad_clip, label_dropout and t_sampling count; the defaults are the tutorial's.
    dtype: bfloat16 for mixed precision.  generator: a CPU one for t, labels and noise; None is torch's global one.
    loss: another one to try, with the arguments of `loss` above.
    Raises TrainingDiverged, before the weights are touched, if the loss or a gradient is not finite.
    """
    config = config or TrainConfig()
    t, noise, y = draw_batch(x0, y, sched, config, generator)  # t ~ q(t), eps ~ N(0, I)
    optimizer.zero_grad(set_to_none=True)
    with autocast(x0.device, dtype):
        value = loss(model, x0, t, noise, sched, y)  # |eps - eps_theta(x_t, t)|^2
    value.backward()
    return descend(model, optimizer, value, config.grad_clip)[0]


def draw_batch(
    x0: Tensor, y: Tensor | None, sched: Schedule, config: TrainConfig, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What is random in a step: t, (B,) int64; the noise, like x0; and the labels, some of them dropped."""
    t = draw_times(len(x0), sched.T, config, generator).to(x0.device)
    draw_on = "cpu" if generator is not None else x0.device
    noise = torch.randn(x0.shape, generator=generator, device=draw_on).to(x0.device)
    if y is not None and config.label_dropout > 0:
        y = drop_labels(y, config.label_dropout, generator)
    return t, noise, y


def descend(model: nn.Module, optimizer: Optimizer, loss: Tensor, grad_clip: float) -> tuple[float, float]:
    """Clip the gradients and take the optimiser's step.  Returns the loss and the gradients' norm before.

    Raises TrainingDiverged, before the weights are touched, if either is not finite.
    """
    norm = nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    value, size = torch.stack([loss.detach(), norm]).tolist()  # the one place of a step that waits for the device
    if not math.isfinite(value) or not math.isfinite(size):
        raise TrainingDiverged("the loss is no longer a finite number; a lower learning rate is the usual cure")
    optimizer.step()
    return value, size
