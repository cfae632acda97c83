"""Training as a generator of TrainState.  It prints nothing, touches no disk, and can be left at any step."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from . import diffusion
from .config import Config, ModelConfig, TrainConfig
from .data import Loader, check_pictures, load_dataset
from .device import autocast, pick_device, resolve_precision
from .diffusion import seeded
from .ema import EMA
from .guidance import drop_labels
from .optim import MuonAdamW, build_optimizer, moments, restore_moments
from .schedule import Schedule, make_schedule
from .unet import UNet

SMOOTHING = 0.97  # of the smoothed loss, per step; the start is corrected for, as in Adam
SPEED_WINDOW = 0.9  # of the images per second, per step
HOPELESS = 2.0  # a smoothed loss that ends a run after PATIENCE steps: a network that says 0 has 1 at most
PATIENCE = 20
Loss = Callable[..., Tensor]  # like diffusion.loss


class TrainingDiverged(ValueError):
    """The loss is not a finite number, or hopelessly high: what was learned last is of no use."""


@dataclass(frozen=True)
class TrainState:
    """Where a run stands after `step` optimiser steps.  Losses are means over a batch; seconds exclude pauses.

    lr: what the optimiser used for this step; Muon's, where it is, is proportional to it.
    """

    step: int
    images_seen: int
    loss: float
    loss_smooth: float
    lr: float
    grad_norm: float  # of all gradients together, before clipping
    clipped: float  # 0..1, how often clipping has acted lately, smoothed as the loss is
    images_per_second: float
    seconds: float
    seconds_left: float
    ema_model: Callable[[], nn.Module]  # makes a copy of the model with the averaged weights
    live_model: Callable[[], nn.Module]  # the same with the weights as the optimiser left them
    snapshot: Callable[[], Snapshot]  # makes a copy of everything that resuming needs


@dataclass(frozen=True)
class Snapshot:
    """A training run at rest: what `fit(resume=)` takes up.  `tensors` by name; `numbers` is plain JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


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
    optimizer: torch.optim.Optimizer | MuonAdamW,
    y: Tensor | None = None,
    *,
    config: TrainConfig | None = None,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
    loss: Loss = diffusion.loss,
) -> float:
    """One optimiser step on L_simple.  Ho et al. 2020, Algorithm 1.  Returns the loss before the step.

    x0: (B, C, H, W) in [-1, 1].  y: (B,) int64, each dropped with probability label_dropout; None without classes.
    config: its grad_clip, label_dropout and t_sampling count; the defaults are the tutorial's.
    dtype: bfloat16 for mixed precision.  generator: a CPU one for t, labels and noise; None is torch's global one.
    loss: another one to try, with the arguments of diffusion.loss.
    Raises TrainingDiverged, before the weights are touched, if the loss or a gradient is not finite.
    """
    return _update(model, x0, sched, optimizer, y, config or TrainConfig(), dtype, generator, loss)[0]


def _update(
    model: nn.Module,
    x0: Tensor,
    sched: Schedule,
    optimizer: torch.optim.Optimizer | MuonAdamW,
    y: Tensor | None,
    config: TrainConfig,
    dtype: torch.dtype,
    generator: torch.Generator | None,
    loss_of: Loss,
) -> tuple[float, float]:
    """`train_step`; returns the loss and the norm of the gradient, before clipping."""
    draw_on = "cpu" if generator is not None else x0.device
    t = draw_times(len(x0), sched.T, config, generator).to(x0.device)
    noise = torch.randn(x0.shape, generator=generator, device=draw_on).to(x0.device)
    if y is not None and config.label_dropout > 0:
        y = drop_labels(y, config.label_dropout, generator)

    with autocast(x0.device, dtype):
        loss = loss_of(model, x0, t, noise, sched, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
    if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
        raise TrainingDiverged("the loss is no longer a finite number; a lower learning rate is the usual cure")
    optimizer.step()
    return loss.item(), norm.item()


def warm_up(config: TrainConfig, device: torch.device | str) -> None:
    """Pay what a process pays once, before a clock runs: both precisions are timed, the first optimiser is made.

    Making that one takes a second, in which torch imports what only optimisers need.
    """
    resolve_precision("auto", device)
    build_optimizer(nn.Conv2d(8, 8, 1).to(device, memory_format=torch.channels_last), config)


def lr_factor(config: TrainConfig, step: int, progress: float) -> float:
    """What lr and muon_lr are multiplied by: a linear rise over lr_warmup steps; if decayed, a half cosine to 0.

    progress: 0..1, of the budget.
    """
    warmup = min(1.0, (step + 1) / config.lr_warmup) if config.lr_warmup else 1.0
    decay = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))) if config.lr_decay else 1.0
    return warmup * decay


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    sched: Schedule,
    config: TrainConfig | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    ema: EMA | None = None,
    resume: Snapshot | None = None,
    clock: Callable[[], float] | None = None,
    loss: Loss = diffusion.loss,
) -> Iterator[TrainState]:
    """Train `model` in place, yielding after every optimiser step, until `steps`, `seconds` or config.epochs are spent.

    images: (N, C, H, W) uint8.  labels: (N,) int64, for a model with classes.  Everything random in step k comes from
    (config.seed, k): a run resumed from `snapshot()` repeats the uninterrupted one loss for loss (same device, same
    threads, budget in steps).
    clock: says the seconds that count, those of the earlier parts of a resumed run included, such as a Stopwatch; None:
    those spent in this generator, so that what happens between two steps costs nothing.
    ema: the average to update, if the caller wants to keep it.  loss: see `train_step`.
    Raises TrainingDiverged if the loss is no longer finite, or far above that of an untrained network.
    """
    check_pictures(images, labels, model)
    config = config or TrainConfig()
    device = next(model.parameters()).device
    model.train().to(memory_format=torch.channels_last)
    sched = sched.to(device)
    loader = Loader(images.to(device), None if labels is None else labels.to(device), config.batch_size, config.seed)
    optimizer = build_optimizer(model, config)
    peaks = [group["lr"] for group in optimizer.param_groups]
    ema = ema or EMA(model, config.ema_decay, config.ema_warmup)
    dtype = resolve_precision(config.precision, device)
    if steps is None and seconds is None:
        steps = config.epochs * len(loader)

    step, spent, smooth, speed, clipped = 0, 0.0, 0.0, 0.0, 0.0
    if resume is not None:
        _restore(resume.tensors, model, ema, optimizer)
        numbers = resume.numbers
        step, spent, smooth, speed = (numbers[k] for k in ("step", "seconds", "loss_smooth", "images_per_second"))
        clipped = numbers.get("clipped", 0.0)  # runs of version 0.1 did not save it
        ema.num_updates = step

    def ema_model() -> nn.Module:
        averaged = copy.deepcopy(model).eval()
        ema.copy_to(averaged)
        return averaged

    def live_model() -> nn.Module:
        return copy.deepcopy(model).eval()

    def elapsed() -> float:
        return spent if clock is None else clock()

    def progress() -> float:
        return step / steps if steps is not None else elapsed() / seconds

    def left() -> float:
        return elapsed() * (steps / step - 1) if steps is not None else max(0.0, seconds - elapsed())

    while progress() < 1:
        start = time.perf_counter()
        factor = lr_factor(config, step, progress())
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = factor * peak
        x0, y = loader.batch(step)
        now, norm = _update(model, x0, sched, optimizer, y, config, dtype, seeded(config.seed, step), loss)
        ema.update(model)
        step += 1
        took = time.perf_counter() - start
        spent += took
        weight = (1 - SMOOTHING) / (1 - SMOOTHING**step)
        smooth += weight * (now - smooth)
        clipped += weight * ((norm > config.grad_clip) - clipped)
        if step > PATIENCE and smooth > HOPELESS:
            raise TrainingDiverged("the loss is far above that of a network that says nothing; lower the learning rate")
        speed = len(x0) / took if step == 1 else SPEED_WINDOW * speed + (1 - SPEED_WINDOW) * len(x0) / took

        numbers = {"step": step, "seconds": elapsed(), "loss_smooth": smooth, "images_per_second": speed}
        numbers |= {"clipped": clipped}
        yield TrainState(
            images_seen=step * loader.batch_size,
            loss=now,
            lr=optimizer.param_groups[0]["lr"],
            grad_norm=norm,
            seconds_left=max(
                0.0, numbers["seconds"] * (steps / step - 1) if steps is not None else seconds - elapsed()
            ),
            ema_model=ema_model,
            live_model=live_model,
            snapshot=lambda numbers=numbers: Snapshot(_tensors(model, ema, optimizer), dict(numbers)),
            **numbers,
        )


def _tensors(model: nn.Module, ema: EMA, optimizer) -> dict[str, Tensor]:
    """Live weights, averaged weights and the optimiser's moments under one set of names, copied to the CPU."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.shadow.items()}
    tensors |= {f"optimizer.{name}": value for name, value in moments(optimizer).items()}
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}


def _restore(tensors: dict[str, Tensor], model: nn.Module, ema: EMA, optimizer) -> None:
    """The inverse of `_tensors`."""
    device = next(model.parameters()).device
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts[part][name] = value.to(device, copy=True)  # the snapshot stays as it is, to be resumed from again
    model.load_state_dict(parts["model"])
    ema.shadow = {name: parts["ema"][name] for name in ema.shadow}
    restore_moments(optimizer, parts["optimizer"])


def resting(config: Config, snapshot: Snapshot, **more: Any) -> TrainState:
    """The state of a run that is not trained here: its weights and its numbers, without an optimiser at work.

    more: fields of the state that the snapshot does not know.
    """

    def model_of(part: str) -> nn.Module:
        model = build_model(config.model).to(pick_device()).eval()
        model.load_state_dict({k.split(".", 1)[1]: v for k, v in snapshot.tensors.items() if k.startswith(f"{part}.")})
        return model

    numbers = {"clipped": 0.0, "lr": 0.0, "grad_norm": 0.0, "seconds_left": 0.0} | snapshot.numbers
    numbers |= {"loss": numbers["loss_smooth"], "images_seen": numbers["step"] * config.train.batch_size}
    return TrainState(
        ema_model=lambda: model_of("ema"),
        live_model=lambda: model_of("model"),
        snapshot=lambda: snapshot,
        **(numbers | more),
    )


def train(
    epochs: int = 30,
    batch_size: int = 128,
    lr: float = 2e-4,
    T: int = 1000,
    *,
    dataset: str = "mnist",
    data_dir: str | Path = "data",
    model_config: ModelConfig | None = None,
    schedule_kind: str = "linear",
    steps: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    **options: Any,
) -> tuple[nn.Module, EMA, Schedule]:
    """The tutorial's `train`, on what `fit` does: returns the live model, the EMA of its weights, and the schedule.

    `options` are further fields of TrainConfig, such as label_dropout or precision.  Raises DataError without data.
    """
    config = TrainConfig(epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, **options)
    model_config = model_config or ModelConfig()
    data = load_dataset(dataset, data_dir, img_size=model_config.img_size)
    model = build_model(model_config, seed).to(device or pick_device())
    sched = make_schedule(T, kind=schedule_kind, device=next(model.parameters()).device)
    labels = data.labels if model.num_classes else None
    ema = EMA(model, config.ema_decay, config.ema_warmup)
    for _ in fit(model, data.images, labels, sched=sched, config=config, steps=steps, ema=ema):
        pass
    return model, ema, sched


def build_model(config: ModelConfig, seed: int = 0) -> UNet:
    """A UNet whose initial weights depend on the seed alone, and that leaves torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(**vars(config))
