"""How fast a GPU trains and draws, as `fit` and `Sampler` do it, and a bare step in several ways."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn

from ddpm import objective
from ddpm.config import Config, SamplingConfig, build_schedule
from ddpm.data import Dataset, from_uint8
from ddpm.device import Inference, autocast
from ddpm.ema import EMA
from ddpm.generate import Sampler
from ddpm.networks import build_model
from ddpm.storage.checkpoint import SHIPPED, load_checkpoint

from .gpu_report import Report, in_precision, training

EPOCHS, IMAGES = 30, 60_000  # the tutorial's, on all of MNIST


def step_seconds(report: Report, step: Callable[[], Any], warm_up: int = 10) -> float:
    """The seconds of a step, the middle one of those in `report.seconds`."""
    for _ in range(3 if report.tiny else warm_up):
        step()
    report.wait()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < report.seconds:
        start = time.perf_counter()
        step()
        report.wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_training(
    report: Report, name: str, config: Config, data: Dataset, precision: str, compiled: bool = False
) -> None:
    """Images per second of a preset, as `fit` trains it; of the tutorial's also the time of its 30 epochs."""
    report.forget_peak()
    start = time.perf_counter()
    states = training(in_precision(config, precision), data, report.device, steps=10**6, compiled=compiled)
    next(states)
    first = time.perf_counter() - start  # its encoding, its compilation
    seconds, batch = step_seconds(report, lambda: next(states)), config.train.batch_size
    figures = {"images_per_second": batch / seconds, "ms_per_step": 1000 * seconds, "first_step_s": first}
    if name == "tutorial":
        figures["minutes_of_30_epochs"] = EPOCHS * (IMAGES // batch) * seconds / 60
    row = f"training speed {name}: {precision}{', compiled' if compiled else ''}"
    report.tell(row, **figures, peak_mb=report.peak())


def measure_sampling(report: Report, name: str, sampling: SamplingConfig, precision: str, n: int) -> None:
    loaded = load_checkpoint(SHIPPED / name, report.device)
    sampler = Sampler(Inference(loaded.model, precision), loaded.sched, sampling)
    report.forget_peak()
    seconds = step_seconds(report, lambda: sampler.draw(n), warm_up=1)
    figures = {"seconds": seconds, "images_per_second": n / seconds, "evaluations": sampler.evaluations}
    row = f"sampling speed {name}: {n} by {sampling.sampler}, {sampling.num_steps} steps, {precision}"
    report.tell(row, **figures, peak_mb=report.peak())


def bare_step(
    report: Report, config: Config, data: Dataset, layout: torch.memory_format, fused: bool, graph: bool
) -> Callable[[], Any]:
    """A step of AdamW and the average in bfloat16 that never leaves the device: no pictures, noise or loss go either
    way.  graph: recorded once, as a CUDA graph, and played again."""
    device, batch = report.device, config.train.batch_size
    model = build_model(config.model).to(device, memory_format=layout).train()
    sched, ema = build_schedule(config.schedule, device), EMA(model)
    x0 = from_uint8(data.images[:batch].to(device))
    y = data.labels[:batch].to(device) if model.num_classes and data.labels is not None else None
    how = {"fused": True} if fused else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.lr, capturable=graph, **how)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        t, noise = torch.randint(0, sched.T, (batch,), device=device), torch.randn_like(x0)
        with autocast(device, torch.bfloat16):
            value = objective.loss(model, x0, t, noise, sched, y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.train.grad_clip)
        optimizer.step()
        ema.update(model)

    if not graph:
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        step()
    return recorded.replay


def measure_bare_step(
    report: Report, name: str, config: Config, data: Dataset, label: str, benchmark: bool = False, **how: Any
) -> None:
    report.forget_peak()
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, benchmark
    try:
        seconds, batch = step_seconds(report, bare_step(report, config, data, **how)), config.train.batch_size
    finally:
        torch.backends.cudnn.benchmark = before
    figures = {"images_per_second": batch / seconds, "ms_per_step": 1000 * seconds}
    report.tell(f"bare step {name}: bfloat16, {label}", **figures, peak_mb=report.peak())
