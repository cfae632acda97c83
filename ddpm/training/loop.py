"""Training as a generator of TrainState.  It prints nothing, touches no disk, and can be left at any step."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from .. import objective
from ..autoencoder import Codec, LatentLoader, codec_of
from ..config import Config, ModelConfig, TrainConfig
from ..data import load_dataset
from ..device import autocast, pick_device, resolve_precision
from ..ema import EMA
from ..loader import Loader, check_pictures
from ..networks import build_model
from ..objective import Loss, Optimizer, TrainingDiverged, descend, draw_batch
from ..schedule import Schedule, make_schedule
from ..seeding import global_numbers, seeded
from ..system.distributed import ALONE, Group
from .optimizer import build_optimizer, lr_factor
from .state import Snapshot, TrainState, restore, tensors_of

SMOOTHING = 0.97  # of the smoothed loss, per step; the start is corrected for, as in Adam
SPEED_WINDOW = 0.9  # of the images per second, per step
HOPELESS = 2.0  # a smoothed loss that ends a run after PATIENCE steps: a network that says 0 has 1 at most
PATIENCE = 20


def warm_up(config: TrainConfig, device: torch.device | str) -> None:
    """Pay what a process pays once, before a clock runs: both precisions are timed, the first optimiser is made.

    Making that one takes a second, in which torch imports what only optimisers need.
    """
    resolve_precision("auto", device)
    build_optimizer(nn.Conv2d(8, 8, 1).to(device).to(memory_format=torch.channels_last), config)


def in_parts(
    model: nn.Module,
    x0: Tensor,
    y: Tensor | None,
    sched: Schedule,
    optimizer: Optimizer,
    config: TrainConfig,
    dtype: torch.dtype,
    generator: torch.Generator,
    loss: Loss,
    size: int | None,
    group: Group,
) -> Generator[None, None, tuple[float, float]]:
    """`objective.train_step`, so many pictures at a time, whose gradients add up to the batch's.  None: all at once.

    Yields between two parts, for whoever computes other things meanwhile.  Returns the loss and the gradient's norm.
    group: the processes, each of which takes its share of the batch.
    """
    t, noise, y = draw_batch(x0, y, sched, config, generator)
    optimizer.zero_grad(set_to_none=True)
    n, mine = len(x0), group.share(len(x0))
    x0, t, noise, y = x0[mine], t[mine], noise[mine], None if y is None else y[mine]
    total, size = torch.zeros((), device=x0.device), size or len(x0)
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    if drops and group.rank:
        generator.manual_seed(generator.initial_seed() + group.rank)  # or all processes would drop the same
    for first in range(0, len(x0), size):
        part = slice(first, first + size)
        numbers = global_numbers(generator, x0.device) if drops else contextlib.nullcontext()
        with numbers, autocast(x0.device, dtype):
            value = loss(model, x0[part], t[part], noise[part], sched, None if y is None else y[part])
        share = len(t[part]) / n
        (value * share).backward()
        total += value.detach() * share
        if first + size < len(x0):
            yield
    group.add_up([total, *(p.grad for p in model.parameters() if p.grad is not None)])
    return descend(model, optimizer, total, config.grad_clip)


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
    part_size: Callable[[], int] | None = None,
    loss: Loss = objective.loss,
    group: Group = ALONE,
) -> Iterator[TrainState | None]:
    """Train `model` in place, yielding after every optimiser step, until `steps`, `seconds` or config.epochs are spent.

    images: (N, C, H, W) uint8.  labels: (N,) int64, for a model with classes.  Everything random in step k comes from
    (config.seed, k): a run resumed from `snapshot()` repeats the uninterrupted one loss for loss (same device, same
    threads, budget in steps).
    clock: says the seconds that count, those of the earlier parts of a resumed run included, such as a Stopwatch; None:
    those spent in this generator, so that what happens between two steps costs nothing.
    part_size: asked before each step how many pictures to take at a time: then None is yielded between two parts of a
    batch, for whoever computes other things meanwhile, and losses agree to rounding.  None: a batch at once.
    ema: the average to update, if the caller wants to keep it.  loss: see `train_step`.
    group: the processes that train together, each its share of every batch: to rounding, what one alone does.
    Raises TrainingDiverged if the loss is no longer finite, or far above that of an untrained network.
    """
    check_pictures(images, labels, model)
    config = config or TrainConfig()
    device = next(model.parameters()).device
    model.train().to(memory_format=torch.channels_last)
    sched = sched.to(device)
    pictures = images.to(device), None if labels is None else labels.to(device)
    codec = codec_of(model)
    if codec is None:
        loader = Loader(*pictures, config.batch_size, config.seed, config.flip)
    elif config.flip:
        raise ValueError("flip: of pixels; latents have no left and right")
    else:
        loader = LatentLoader(codec, *pictures, config.batch_size, config.seed)
        yield from loader.encoding()
    optimizer = build_optimizer(model, config)
    peaks = [weights["lr"] for weights in optimizer.param_groups]
    ema = ema or EMA(model, config.ema_decay, config.ema_warmup)
    dtype = resolve_precision(config.precision, device)
    if steps is None and seconds is None:
        steps = config.epochs * len(loader)
    limit = math.inf if seconds is None else seconds

    step, spent, smooth, speed, clipped = 0, 0.0, 0.0, 0.0, 0.0
    if resume is not None:
        restore(resume.tensors, model, ema, optimizer)
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

    def snapshot(numbers: dict[str, Any]) -> Snapshot:
        return Snapshot(tensors_of(model, ema, optimizer), dict(numbers))

    def elapsed() -> float:
        return spent if clock is None else clock()

    def progress() -> float:
        return step / steps if steps is not None else group.leaders(elapsed() / limit)

    def left() -> float:
        return elapsed() * (steps / step - 1) if steps is not None else max(0.0, limit - elapsed())

    while (done := progress()) < 1:
        start = time.perf_counter()
        factor = lr_factor(config, step, done)
        for weights, peak in zip(optimizer.param_groups, peaks, strict=True):
            weights["lr"] = factor * peak
        x0, y = loader.batch(step)
        size = part_size and part_size()
        draws = seeded(config.seed, step)
        parts = in_parts(model, x0, y, sched, optimizer, config, dtype, draws, loss, size, group)
        took = 0.0
        while True:
            try:
                next(parts)
            except StopIteration as end:
                now, norm = end.value
                break
            took += time.perf_counter() - start
            yield None
            start = time.perf_counter()
        ema.update(model)
        step += 1
        took += time.perf_counter() - start
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
            seconds_left=left(),
            ema_model=ema_model,
            live_model=live_model,
            snapshot=functools.partial(snapshot, numbers),
            **numbers,
        )


def resting(config: Config, snapshot: Snapshot, codec: Codec | None = None, **more: Any) -> TrainState:
    """The state of a run that is not trained here: its weights and its numbers, without an optimiser at work.

    codec: the autoencoder whose latents it is of.  more: fields of the state that the snapshot does not know.
    """

    def model_of(part: str) -> nn.Module:
        model = build_model(config.model, 0, codec).to(pick_device()).eval()
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
    model = build_model(model_config, seed).to(device or pick_device()).to(memory_format=torch.channels_last)
    sched = make_schedule(T, kind=schedule_kind, device=next(model.parameters()).device)
    labels = data.labels if model_config.conditional else None
    ema = EMA(model, config.ema_decay, config.ema_warmup)
    for _ in fit(model, data.images, labels, sched=sched, config=config, steps=steps, ema=ema):
        pass
    return model, ema, sched
