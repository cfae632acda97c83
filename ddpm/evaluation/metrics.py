"""Samples evaluated: how close they are to real pictures, whether they are what was asked, and how varied they are.

Distances are taken in the features of a classifier.  Of digits there are two; by the second nothing was ever chosen.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .classifiers import CLASSIFIERS, Readings, Reference, load_reference, reading

NEIGHBOURS = 3  # Kynkaanniemi et al. 2019, section 3
COVERED = 0.1  # a class is covered if it is read at least this often, of an even share
REAL_DRAWS = 5
JACKKNIFE_GROUPS = 10
MIN_SAMPLES = 20  # two of each class: fewer have no distance within a class and no error
SECOND_SAYS = (
    "extractor",
    "fid",
    "fid_error",
    "fid_real",
    "fid_over_real",
    "accuracy",
    "recall_over_real",
    "distance_over_real",
)


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of features (N, D)."""
    return features.mean(dim=0), torch.cov(features.T)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """The squared Frechet distance of two Gaussians.  Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500,
    Eq. 6.

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)),   where the last trace is that of (R C2 R)^(1/2), R = C1^(1/2):
    symmetric, so that it needs no square root of a matrix without symmetry.

    mean: (D,).  cov: (D, D).  All float64.
    """
    values, vectors = torch.linalg.eigh(cov_1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * cross
    return max(0.0, distance.item())


def recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> float:
    """The share of real samples that the fake ones reach.  Kynkaanniemi et al. 2019, arXiv:1904.06991, Eq. 1 and 2.

    A real sample is reached if it lies within some fake sample's distance to that one's k-th nearest fake neighbour.
    real: (N, D), fake: (M, D) features, M > k.
    """
    radius = torch.cdist(fake, fake).kthvalue(k + 1, dim=1).values  # the nearest neighbour of all is oneself
    return (torch.cdist(real, fake) <= radius).any(dim=1).double().mean().item()


def within_class_distance(features: Tensor, labels: Tensor) -> float:
    """The mean distance of two samples of one class, averaged over the classes that have two.  0 if none has."""
    means = []
    for label in labels.unique():
        mine = features[labels == label]
        if len(mine) > 1:
            means.append(torch.cdist(mine, mine).sum().item() / (len(mine) * (len(mine) - 1)))
    return float(np.mean(means)) if means else 0.0


def balanced(labels: Tensor, n: int, seed: int = 0) -> Tensor:
    """The indices of n samples with the classes in turn, 0, 1, .., as far as there are enough of each.

    labels: (N,) int64; of attributes (N, A), and any n samples are taken, for their values come alike by themselves.
    """
    shuffle = np.random.default_rng(seed).permutation(len(labels))
    order = torch.from_numpy(shuffle)
    if labels.ndim == 2:
        if len(labels) < n:
            raise ValueError(f"there are not {n} pictures; at most {len(labels)}")
        return order[:n]
    by_class = [order[labels[order] == c] for c in range(int(labels.max()) + 1)]
    rounds = -(-n // len(by_class))
    if min(map(len, by_class)) < rounds:
        raise ValueError(
            f"there are not {n} pictures with all classes alike; at most {min(map(len, by_class))} of each"
        )
    return torch.stack([c[:rounds] for c in by_class], dim=1).flatten()[:n]


def real_data_scores(seen: Readings, labels: Tensor, n: int) -> Generator[None, None, dict[str, float]]:
    """What real pictures score where samples are evaluated: n of them, class-balanced.  The best a model can expect.

    seen, labels: a classifier's readings of N training pictures, and what they are, (N,) or (N, A) int64.
    Yields after each of five draws, and returns their mean.
    """
    scores = []
    for seed in range(REAL_DRAWS):
        i = balanced(labels, n, seed)
        scores.append(_scores(seen.at(i), labels[i]))
        yield
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def fid_error(features: Tensor, reference: Reference, groups: int = JACKKNIFE_GROUPS) -> float | None:
    """The standard error of the Frechet distance of N samples to the reference: the jackknife that leaves out a group
    at a time, sqrt((g - 1)/g sum (fid_i - mean)^2).  Efron and Tibshirani 1993, Eq. 11.5.

    features: (N, D) of samples with the classes in turn; each group holds all classes alike.  None for N < 20.
    """
    groups = min(groups, len(features) // 10)
    if groups < 2:
        return None
    group = torch.arange(len(features)) // 10 % groups
    without = [frechet_distance(*gaussian(features[group != g]), reference.mean, reference.cov) for g in range(groups)]
    return math.sqrt((groups - 1) * np.var(without))


def share_interval(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Between which shares k of n lies with 95 %.  Wilson 1927."""
    middle, spread = k + z**2 / 2, z * math.sqrt(k * (n - k) / n + z**2 / 4)
    return max(0.0, (middle - spread) / (n + z**2)), min(1.0, (middle + spread) / (n + z**2))


def _scores(readings: Readings, labels: Tensor | None) -> dict[str, float]:
    reference = load_reference(readings.classifier)
    features, n = readings.features, len(readings.features)
    seen, by_class = (columns(each) for each in (readings.digits, readings.digits if labels is None else labels))
    values = CLASSIFIERS[readings.classifier].values
    covered = [
        (torch.bincount(column, minlength=k) / n >= COVERED / k).double().mean().item()
        for column, k in zip(seen, values.values(), strict=True)
    ]
    scores = {
        "fid": frechet_distance(*gaussian(features), reference.mean, reference.cov),
        "confidence": readings.confidence.double().mean().item(),
        "class_coverage": float(np.mean(covered)),
        "recall": recall(reference.features, features),
        "within_class_distance": float(np.mean([within_class_distance(features, column) for column in by_class])),
    }
    if labels is not None:
        scores["accuracy"] = (readings.digits == labels).double().mean().item()
    return scores


def columns(labels: Tensor) -> tuple[Tensor, ...]:
    """The labels of each attribute, (N,) int64 each: one such of labels (N,), A of labels (N, A)."""
    return (labels,) if labels.ndim == 1 else labels.unbind(dim=1)


def one_evaluation(readings: Readings, labels: Tensor | None, real: dict[str, float]) -> dict[str, Any]:
    """N samples evaluated by one classifier, as plain JSON.

    labels: (N,) or (N, A) int64, what was asked for, or None.  Of attributes the accuracy is the mean of each one's,
    which are "attributes".
    real: what `real_data_scores` gives for as many real pictures.  Frechet distances depend on n: compare like with
    like.
    fid_error is the standard error of fid, if the classes come in turn.
    Raises ValueError for fewer than 20 samples.
    """
    reference, n = load_reference(readings.classifier), len(readings.digits)
    if n < MIN_SAMPLES:
        raise ValueError(f"too few samples to evaluate: at least {MIN_SAMPLES}, two of each class")
    scores: dict[str, Any] = {**_scores(readings, labels)}
    if labels is not None and labels.ndim == 2:
        right = (readings.digits == labels).double().mean(dim=0).tolist()
        scores["attributes"] = dict(zip(CLASSIFIERS[readings.classifier].values, right, strict=True))
    return {
        "n": n,
        "extractor": reference.extractor,
        "reference": f"{reference.name}, {reference.n}",
        "accuracy": None,  # where nothing was asked for
        **scores,
        "fid_error": fid_error(readings.features, reference),
        "fid_real": real["fid"],
        "fid_over_real": scores["fid"] / real["fid"],
        "accuracy_real": real["accuracy"],
        "recall_over_real": scores["recall"] / real["recall"],
        "distance_over_real": scores["within_class_distance"] / real["within_class_distance"],
    }


def evaluation(
    images: Tensor, labels: Tensor | None, real: dict[str, dict[str, float]]
) -> Generator[None, None, dict[str, Any]]:
    """N samples evaluated by each classifier that `real` names, see `one_evaluation`; what compares of the second's is
    "second", None if there is but one.

    images: (N, C, H, W), float in [-1, 1] or uint8.  labels, and real for each classifier: as there.
    Yields between its parts, and returns the evaluation.
    """
    evaluations = []
    for name, scores in real.items():
        readings = yield from reading(images, name)
        evaluations.append(one_evaluation(readings, labels, scores))
        yield
    first, *others = evaluations
    return first | {"second": {name: others[0][name] for name in SECOND_SAYS} if others else None}
