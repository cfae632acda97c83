"""A model evaluated: samples drawn as asked, and what the classifiers say of them beside real pictures."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import torch

from ..data import load_dataset
from ..generate import BATCH, Sampler, class_labels
from ..system.steps import result_of
from . import classifiers, metrics
from .classifiers import CLASSIFIERS, FIRST, OF_DATASET

FIRST_BATCH = 10  # where what an image costs is still to be measured
STEP_SECONDS = 0.06  # that one evaluation may take where others wait
DIGITS = ("mnist", "bundled")  # the data sets of digits
Real = tuple[metrics.Readings, torch.Tensor]  # what a classifier makes of real pictures, and their labels
REAL_READINGS: dict[str, Real] = {}  # by classifier; kept, as it takes seconds to read the real pictures
REAL_SCORES: dict[tuple[int, str], dict[str, float]] = {}  # by how many pictures, and classifier


def evaluating_real(n: int, classifier: str = FIRST) -> Generator[None, None, dict[str, float]]:
    """What n real pictures score: see metrics.real_data_scores.  Those that ship, so that this needs no network.

    Yields between its parts, some tens of milliseconds each: two seconds together, once in the life of a process.
    """
    if (n, classifier) not in REAL_SCORES:
        if classifier not in REAL_READINGS:
            REAL_READINGS[classifier] = yield from reading_real(classifier)
        REAL_SCORES[n, classifier] = yield from metrics.real_data_scores(*REAL_READINGS[classifier], n)
    return REAL_SCORES[n, classifier]


def reading_real(classifier: str) -> Generator[None, None, Real]:
    """What a classifier makes of the real pictures that ship or, where only their features do, of those."""
    name = CLASSIFIERS[classifier].real
    if name is None:
        real = classifiers.load_reference(classifier).real
        assert real is not None  # they are in the file of its statistics
        return real
    pictures = load_dataset(name)
    assert pictures.labels is not None  # they ship with the pictures
    return (yield from classifiers.reading(pictures.images, classifier)), pictures.labels


def real_scores(n: int, classifier: str = FIRST) -> dict[str, float]:
    """What n real pictures score: see metrics.real_data_scores."""
    return result_of(evaluating_real(n, classifier))


def check_count(n: int, classifier: str = FIRST) -> None:
    """Raises ValueError for a number of samples on which there is no evaluation

    Two of each class have a distance within it; and n samples are held against n real pictures, the classes alike.
    """
    most = CLASSIFIERS[classifier].most
    if not metrics.MIN_SAMPLES <= n <= most:
        raise ValueError(
            f"n: an evaluation takes from {metrics.MIN_SAMPLES} samples, two of each class, to {most:,}, as many as "
            f"there are real pictures to compare them with, not {n:,}"
        )


def classifiers_for(sampler: Sampler, dataset: str | None) -> tuple[str, ...]:
    """The classifiers by which a model's pictures are evaluated.  Raises ValueError if none knows them.

    dataset: the name of what it was trained on; None if that is not known, which is no reason to take it for digits.
    """
    known = f"there are classifiers for models of {', '.join(OF_DATASET)} (MNIST's digits: mnist, bundled)"
    if dataset is None:
        raise ValueError(
            f"{known}, and this checkpoint does not say what it was trained on; if it was one of them, write it, such "
            'as "dataset": "mnist", into "info" in its config.json'
        )
    names = OF_DATASET.get(dataset) if isinstance(dataset, str) else None
    if names is None:
        raise ValueError(f"{known}; this model was trained on {dataset}")
    shape, values = CLASSIFIERS[names[0]].shape, (*CLASSIFIERS[names[0]].values.values(),)
    m = sampler.config
    if sampler.picture_shape != shape or (m.attributes or (m.num_classes,)) not in ((0,), values):
        size, what = (
            "x".join(map(str, shape)),
            f"{values[0]} classes" if len(values) == 1 else f"{len(values)} attributes",
        )
        raise ValueError(f"{known}, of {dataset} {size} in {what}; this model draws something else")
    if lacking := [CLASSIFIERS[name].file for name in names if not CLASSIFIERS[name].path.exists()]:
        raise ValueError(f"the classifier of {dataset} is not here: ddpm/assets holds no {lacking[0]}")
    return names


def evaluating(
    sampler: Sampler, n: int, seed: int = 0, names: tuple[str, ...] = OF_DATASET["mnist"]
) -> Iterator[float | dict[str, Any] | None]:
    """The evaluation by the classifiers of these names on n samples, for whoever computes other things meanwhile.

    Yields the share that is drawn, 0..1, after each network evaluation; None after each part of the reading; at last
    the result of metrics.evaluation.  So many samples are drawn at a time that a network evaluation takes about
    STEP_SECONDS, as measured on those before.
    """
    check_count(n, names[0])
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
    for classifier in names:
        real[classifier] = yield from evaluating_real(n, classifier)
    yield (yield from metrics.evaluation(torch.cat(images), class_labels(sampler.config, n), real))


def evaluate(
    sampler: Sampler, n: int, seed: int = 0, *, dataset: str | None = "mnist", **options: Any
) -> dict[str, Any]:
    """The evaluation by a data set's classifiers on n samples, with what it took to draw them: see metrics.evaluation.

    dataset: what the model was trained on, as its checkpoint says; who says nothing vouches for MNIST's digits.
    Raises ValueError, before anything is drawn, for a model of pictures that no classifier knows, and for n below 20 or
    beyond the number of real pictures.
    """
    names = classifiers_for(sampler, dataset)
    check_count(n, names[0])
    start = time.perf_counter()
    images = sampler.draw(n, seed=seed, **options)
    seconds = time.perf_counter() - start
    real = {name: real_scores(n, name) for name in names}
    evaluation = result_of(metrics.evaluation(images, class_labels(sampler.config, n), real))
    sampling = {"evaluations": sampler.evaluations, "images_per_second": n / seconds, "seed": seed}
    return sampling | evaluation
