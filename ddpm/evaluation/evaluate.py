"""A model evaluated: samples drawn as asked, and what the classifiers say of them beside real digits."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import torch

from ..data import load_dataset
from ..generate import BATCH, Sampler, class_labels
from ..system.steps import result_of
from . import classifiers, metrics
from .classifiers import FIRST, SECOND

FIRST_BATCH = 10  # where what an image costs is still to be measured
STEP_SECONDS = 0.06  # that one evaluation may take where others wait
MOST = 10_000  # the bundled real digits, 1,000 of each class
DIGITS = ("mnist", "bundled")  # the data sets that the classifiers know
REAL_READINGS: dict[str, metrics.Readings] = {}  # by classifier; kept, as it takes seconds to read the real digits
REAL_SCORES: dict[tuple[int, str], dict[str, float]] = {}  # by how many digits, and classifier


def evaluating_real(n: int, classifier: str = FIRST) -> Generator[None, None, dict[str, float]]:
    """What n real digits score: see metrics.real_data_scores.  The bundled ones, so that this needs no network.

    Yields between its parts, some tens of milliseconds each: two seconds together, once in the life of a process.
    """
    if (n, classifier) not in REAL_SCORES:
        digits = load_dataset("bundled")
        assert digits.labels is not None  # those of the bundled digits ship with them
        if classifier not in REAL_READINGS:
            REAL_READINGS[classifier] = yield from classifiers.reading(digits.images, classifier)
        REAL_SCORES[n, classifier] = yield from metrics.real_data_scores(REAL_READINGS[classifier], digits.labels, n)
    return REAL_SCORES[n, classifier]


def real_scores(n: int, classifier: str = FIRST) -> dict[str, float]:
    """What n real digits score: see metrics.real_data_scores."""
    return result_of(evaluating_real(n, classifier))


def check_count(n: int) -> None:
    """Raises ValueError for a number of samples on which there is no evaluation

    Two of each class have a distance within it; and n samples are held against n real digits, the classes alike.
    """
    if not metrics.MIN_SAMPLES <= n <= MOST:
        raise ValueError(
            f"n: an evaluation takes from {metrics.MIN_SAMPLES} samples, two of each digit, to {MOST:,}, as many as "
            f"there are real digits to compare them with, not {n:,}"
        )


def check_digits(sampler: Sampler, dataset: str | None) -> None:
    """Raises ValueError for a model of anything but MNIST's digits, which are all that the classifiers know.

    dataset: the name of what it was trained on; None if that is not known, which is no reason to take it for digits.
    """
    if sampler.picture_shape != (1, 32, 32) or sampler.config.num_classes not in (0, 10):
        raise ValueError("the classifiers know MNIST digits, 1x32x32 in 10 classes; this model draws something else")
    if dataset is None:
        raise ValueError(
            "the classifiers know MNIST digits, and this checkpoint does not say what it was trained on; if it was "
            'those, write "dataset": "mnist" into "info" in its config.json'
        )
    if dataset not in DIGITS:
        raise ValueError(
            f"the classifiers know MNIST digits ({', '.join(DIGITS)}); this model was trained on {dataset}"
        )


def evaluating(sampler: Sampler, n: int, seed: int = 0) -> Iterator[float | dict[str, Any] | None]:
    """Both classifiers' evaluation on n samples, for whoever computes other things meanwhile.

    Yields the share that is drawn, 0..1, after each network evaluation; None after each part of the reading; at last
    the result of metrics.evaluation.  So many samples are drawn at a time that a network evaluation takes about
    STEP_SECONDS, as measured on those before.
    """
    check_count(n)
    last, images, done, size = sampler.sampling.num_steps, [], 0, FIRST_BATCH
    while done < n:
        size, slowest, begin = min(size, n - done), 0.0, time.perf_counter()
        for moment in sampler.steps(size, None, seed, done):
            slowest = max(slowest, time.perf_counter() - begin)
            if moment.i == last:
                images.append(sampler.pictures(moment.x_t))
            yield (done + size * moment.i / last) / n
            begin = time.perf_counter()
        done, size = done + size, max(1, min(BATCH, int(size * STEP_SECONDS / slowest)))
    real = {}
    for classifier in (FIRST, SECOND):
        real[classifier] = yield from evaluating_real(n, classifier)
    yield (yield from metrics.evaluation(torch.cat(images), class_labels(sampler.config, n), real))


def evaluate(
    sampler: Sampler, n: int, seed: int = 0, *, dataset: str | None = "mnist", **options: Any
) -> dict[str, Any]:
    """Both classifiers' evaluations on n samples, with what it took to draw them: see metrics.evaluation.

    dataset: what the model was trained on, as its checkpoint says; who says nothing vouches for MNIST's digits.
    Raises ValueError, before anything is drawn, for a model of anything but digits, and for n outside 20..10,000.
    """
    check_digits(sampler, dataset)
    check_count(n)
    start = time.perf_counter()
    images = sampler.draw(n, seed=seed, **options)
    seconds = time.perf_counter() - start
    labels = class_labels(sampler.config, n)
    evaluation = result_of(
        metrics.evaluation(images, labels, {classifier: real_scores(n, classifier) for classifier in (FIRST, SECOND)})
    )
    sampling = {"evaluations": sampler.evaluations, "images_per_second": n / seconds, "seed": seed}
    return sampling | evaluation
