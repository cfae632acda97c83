"""A model judged: samples drawn as asked, and what the judges say of them beside real digits."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from . import diffusion, judges, metrics
from .config import ModelConfig, SamplingConfig
from .data import from_uint8, load_dataset
from .device import Inference
from .diffusion import seeded
from .guidance import Guided
from .judges import FIRST, SECOND, result_of
from .samplers import SampleStep, num_evaluations, reverse_process, timesteps
from .schedule import Schedule
from .threads import Threads

BATCH = 250  # images at a time
FIRST_BATCH = 10  # where what an image costs is still to be measured
STEP_SECONDS = 0.06  # that one evaluation may take where others wait
MOST = 10_000  # the bundled real digits, 1,000 of each class
DIGITS = ("mnist", "bundled")  # the data sets that the judges know
REAL_READINGS: dict[str, metrics.Readings] = {}  # by judge; kept, as it takes seconds to read the real digits
REAL_SCORES: dict[tuple[int, str], dict[str, float]] = {}  # by how many digits, and judge


def class_labels(num_classes: int, n: int) -> Tensor | None:
    """Sample i is of class i mod num_classes; None for a model without classes."""
    return torch.arange(n) % num_classes if num_classes else None


class Sampler:
    """A model, a schedule and how to draw: n samples at once or in batches, always the same ones for a seed."""

    def __init__(self, model: Inference, sched: Schedule, how: SamplingConfig):
        self.config, self.sched, self.how = model.model.config, sched, how
        self.asked = Guided(model, how.guidance, how.interval(sched.T)) if self.config.num_classes else model
        self.device = model.device
        self.times = timesteps(sched, how.num_steps, how.spacing)
        self.evaluations = num_evaluations(self.asked, self.times, how.sampler)

    def steps(
        self, n: int, y: Tensor | None = None, seed: int = 0, first: int = 0, start: tuple[int, Tensor] | None = None
    ) -> Iterator[SampleStep]:
        """`reverse_process` for samples first .. first + n - 1 in one batch.  y: (n,); None: the classes in turn."""
        m, how = self.config, self.how
        if y is None and m.num_classes:
            y = class_labels(m.num_classes, first + n)[first:]
        options = {name: getattr(how, name) for name in ("sampler", "num_steps", "eta", "variance", "spacing", "clip")}
        options |= {"seed": seed, "first": first, "start": start}
        options |= {"img_size": m.img_size, "channels": m.in_ch, "device": self.device}
        return reverse_process(self.asked, self.sched, n, y=None if y is None else y.to(self.device), **options)

    def batches(self, n: int, y: Tensor | None = None, seed: int = 0) -> Iterator[SampleStep]:
        """The moments of n samples, batch after batch of them."""
        for first in range(0, n, BATCH):
            size = min(BATCH, n - first)
            yield from self.steps(size, None if y is None else y[first : first + size], seed, first)

    def num_moments(self, n: int) -> int:
        """How many `batches` yields."""
        return -(-n // BATCH) * len(self.times)

    def frames(
        self,
        n: int,
        y: Tensor | None = None,
        seed: int = 0,
        *,
        kept: Callable[[int], bool],
        progress: Callable[[int], Any] = lambda images: None,
    ) -> list[Tensor]:
        """The moments i with kept(i), (n, C, H, W) each, batch by batch.  progress: told the images of each step."""
        found: dict[int, list[Tensor]] = {}
        with Threads() as threads:
            for moment in self.batches(n, y, seed):
                progress(len(moment.x_t))
                if kept(moment.i):
                    found.setdefault(moment.i, []).append(moment.x_t.cpu())
                threads.follow()
        return [torch.cat(found[i]) for i in sorted(found)]

    def draw(self, n: int, y: Tensor | None = None, seed: int = 0, **options: Any) -> Tensor:
        """n finished samples, (n, C, H, W) in about [-1, 1]."""
        return self.frames(n, y, seed, kept=lambda i: i == self.how.num_steps, **options)[0]


def judging_real(n: int, judge: str = FIRST) -> Generator[None, None, dict[str, float]]:
    """What n real digits score: see metrics.floor.  The bundled ones, so that this needs no network.

    Yields between its parts, some tens of milliseconds each: two seconds together, once in the life of a process.
    """
    if (n, judge) not in REAL_SCORES:
        digits = load_dataset("bundled")
        if judge not in REAL_READINGS:
            REAL_READINGS[judge] = yield from judges.reading(digits.images, judge)
        REAL_SCORES[n, judge] = yield from metrics.floor(REAL_READINGS[judge], digits.labels, n)
    return REAL_SCORES[n, judge]


def real_scores(n: int, judge: str = FIRST) -> dict[str, float]:
    """What n real digits score: see metrics.floor."""
    return result_of(judging_real(n, judge))


def check_count(n: int) -> None:
    """Raises ValueError for a number of samples on which there is no verdict.

    Two of each class have a distance within it; and n samples are held against n real digits, the classes alike.
    """
    if not metrics.MIN_SAMPLES <= n <= MOST:
        raise ValueError(
            f"n: a verdict takes from {metrics.MIN_SAMPLES} samples, two of each digit, to {MOST:,}, as many as there "
            f"are real digits to hold them against, not {n:,}"
        )


def check_digits(config: ModelConfig, dataset: str | None) -> None:
    """Raises ValueError for a model of anything but MNIST's digits, which are all that the judges know.

    dataset: the name of what it was trained on; None if that is not known, which is no reason to take it for digits.
    """
    if (config.in_ch, config.img_size) != (1, 32) or config.num_classes not in (0, 10):
        raise ValueError("the judges read MNIST digits, 1x32x32 in 10 classes; this model draws something else")
    if dataset is None:
        raise ValueError(
            "the judges read MNIST digits, and this checkpoint does not say what it was trained on; if it was those, "
            'write "dataset": "mnist" into "info" in its config.json'
        )
    if dataset not in DIGITS:
        raise ValueError(f"the judges read MNIST digits ({', '.join(DIGITS)}); this model was trained on {dataset}")


def judged(sampler: Sampler, n: int, seed: int = 0) -> Iterator[float | dict[str, Any] | None]:
    """Both judges' verdict on n samples, for whoever computes other things meanwhile.

    Yields the share that is drawn, 0..1, after each network evaluation; None after each part of the reading; at last
    the verdict, see metrics.judge.  So many samples are drawn at a time that an evaluation takes about STEP_SECONDS,
    as measured on those before.
    """
    check_count(n)
    last, images, done, size = sampler.how.num_steps, [], 0, FIRST_BATCH
    while done < n:
        size, slowest, begin = min(size, n - done), 0.0, time.perf_counter()
        for moment in sampler.steps(size, None, seed, done):
            slowest = max(slowest, time.perf_counter() - begin)
            if moment.i == last:
                images.append(moment.x_t.cpu())
            yield (done + size * moment.i / last) / n
            begin = time.perf_counter()
        done, size = done + size, max(1, min(BATCH, int(size * STEP_SECONDS / slowest)))
    real = {}
    for judge in (FIRST, SECOND):
        real[judge] = yield from judging_real(n, judge)
    yield (yield from metrics.judge(torch.cat(images), class_labels(sampler.config.num_classes, n), real))


@torch.no_grad()
def held_out_loss(
    model: nn.Module, images: Tensor, labels: Tensor | None, sched: Schedule, batch_size: int = 250
) -> float:
    """The loss on images that the model was not trained on, each at its own t (evenly over 0..T-1) and fixed noise.

    images: (N, C, H, W) uint8.  The same images give the same t and noise every time: figures of one run compare.
    """
    device = next(model.parameters()).device
    n = len(images)
    times = torch.linspace(0, sched.T - 1, n).round().long()[torch.randperm(n, generator=seeded(0))]
    noise = torch.randn(images.shape, generator=seeded(1))
    total = 0.0
    for part in torch.arange(n).split(batch_size):
        y = None if labels is None else labels[part].to(device)
        x0 = from_uint8(images[part].to(device))
        total += len(part) * diffusion.loss(model, x0, times[part].to(device), noise[part].to(device), sched, y).item()
    return total / n


def times_in_levels(levels: int, n: int, T: int) -> Tensor:
    """(levels, n) int64: n times in each of so many equal parts of 0..T-1, evenly."""
    return ((torch.arange(levels * n) + 0.5) * T / (levels * n)).long().reshape(levels, n)


def loss_by_level(model, images: Tensor, labels: Tensor | None, sched: Schedule, levels: int = 10) -> Iterator[float]:
    """The loss at each of so many noise levels, equal parts of 0..T-1: a level at a time, the mean over all images.

    images: (N, C, H, W) uint8.  Image i has its own t in each level, and noise that is always the same, so that what
    changes from call to call is the model.
    """
    n, device = len(images), sched.betas.device
    noise = torch.randn(levels, *images.shape, generator=seeded(0)).to(device)
    x0, y = from_uint8(images).to(device), None if labels is None else labels.to(device)
    for t, eps in zip(times_in_levels(levels, n, sched.T).to(device), noise, strict=True):
        with torch.no_grad():  # around each step alone: a generator must not leave it on for who asks
            loss = diffusion.loss(model, x0, t, eps, sched, y)
        yield loss.item()


def evaluate(
    sampler: Sampler, n: int, seed: int = 0, *, dataset: str | None = "mnist", **options: Any
) -> dict[str, Any]:
    """Both judges' verdicts on n samples, with what it took to draw them: see metrics.judge.

    dataset: what the model was trained on, as its checkpoint says; who says nothing vouches for MNIST's digits.
    Raises ValueError, before anything is drawn, for a model that the judges cannot read, and for n outside 20..10,000.
    """
    check_digits(sampler.config, dataset)
    check_count(n)
    start = time.perf_counter()
    images = sampler.draw(n, seed=seed, **options)
    seconds = time.perf_counter() - start
    asked = class_labels(sampler.config.num_classes, n)
    verdict = result_of(metrics.judge(images, asked, {judge: real_scores(n, judge) for judge in (FIRST, SECOND)}))
    how = {"evaluations": sampler.evaluations, "images_per_second": n / seconds, "seed": seed}
    return how | verdict
