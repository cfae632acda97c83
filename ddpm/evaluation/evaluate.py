"""A model judged: samples drawn as asked, and what the judges say of them beside real digits."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import torch

from ..config import ModelConfig
from ..data import load_dataset
from ..generate import BATCH, Sampler, class_labels
from ..system.steps import result_of
from . import judges, metrics
from .judges import FIRST, SECOND

FIRST_BATCH = 10  # where what an image costs is still to be measured
STEP_SECONDS = 0.06  # that one evaluation may take where others wait
MOST = 10_000  # the bundled real digits, 1,000 of each class
DIGITS = ("mnist", "bundled")  # the data sets that the judges know
REAL_READINGS: dict[str, metrics.Readings] = {}  # by judge; kept, as it takes seconds to read the real digits
REAL_SCORES: dict[tuple[int, str], dict[str, float]] = {}  # by how many digits, and judge


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
