"""A judge of digits: how close samples are to real ones, whether they are what was asked, and how varied they are.

The judge is a small classifier of MNIST at 32x32, trained by assets/make_judge.py.  It looks at samples only when
someone asks for a verdict: no model is trained with it, and nothing that is shown is chosen by it.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

ASSETS = Path(__file__).parent / "assets"
JUDGE = ASSETS / "judge.safetensors"
FEATURES = 128
NEIGHBOURS = 3  # Kynkaanniemi et al. 2019, section 3
COVERED = 0.1  # a class is covered if it is read at least this often, of an even share
BATCH = 500
FLOOR_DRAWS = 5
JACKKNIFE_GROUPS = 10


class Judge(nn.Module):
    """A digit classifier.  x: (B, 1, 32, 32) in [-1, 1].  Distances are measured in its features, all >= 0."""

    def __init__(self):
        super().__init__()
        channels = [(1, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2), (64, 128, 1), (128, FEATURES, 2)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, stride, 1, bias=False) for i, o, stride in channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in channels)
        self.head = nn.Linear(FEATURES, 10)

    def features(self, x: Tensor) -> Tensor:
        """(B, 128): the last feature maps, averaged over their 4x4 positions."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@functools.lru_cache(maxsize=1)
def load_judge() -> tuple[Judge, str]:
    """The judge that ships, and the hash that names it in every result."""
    raw = JUDGE.read_bytes()
    judge = Judge().eval()
    judge.load_state_dict(safetensors.torch.load(raw))
    return judge, hashlib.sha256(raw).hexdigest()[:12]


@dataclass(frozen=True)
class Readings:
    """What the judge makes of N images.  features: (N, 128) float64.  digits: (N,) int64.  confidence: (N,), 0..1."""

    features: Tensor
    digits: Tensor
    confidence: Tensor


@torch.no_grad()
def read(images: Tensor) -> Readings:
    """images: (N, 1, 32, 32), uint8 or float in [-1, 1].  What is read is what would be shown: clamped, in 256 greys.

    Raises ValueError for images of another shape: the judge knows no others.
    """
    if tuple(images.shape[1:]) != (1, 32, 32):
        raise ValueError(f"the judge reads grey digits of 32x32, not images of shape {tuple(images.shape[1:])}")
    judge, _ = load_judge()
    if images.dtype != torch.uint8:
        images = ((images.clamp(-1, 1) + 1) * 127.5).round()
    parts = [judge.features(part.float().cpu() / 127.5 - 1) for part in images.split(BATCH)]
    features = torch.cat(parts)
    confidence, digits = judge.head(features).softmax(dim=1).max(dim=1)
    return Readings(features.double(), digits, confidence)


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of features (N, D)."""
    return features.mean(dim=0), torch.cov(features.T)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """The squared Frechet distance of two Gaussians.  Dowson and Landau 1982; Heusel et al. 2017, Eq. 6.

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


@dataclass(frozen=True)
class Reference:
    """Real digits that no model here has trained on, through the judge's eyes.

    mean, cov: of all of them.  features, labels: of as many of each class as there are of the rarest shipped.
    """

    name: str  # data set, split and resolution
    extractor: str  # the hash of the judge it was made with
    n: int
    mean: Tensor
    cov: Tensor
    features: Tensor
    labels: Tensor


def reference_path(dataset: str = "mnist", img_size: int = 32) -> Path:
    """The file's name carries data set, resolution and extractor: another judge finds none, not a wrong one."""
    return ASSETS / f"{dataset}-test-{img_size}-{load_judge()[1]}.npz"


@functools.lru_cache(maxsize=1)
def load_reference() -> Reference:
    """The MNIST test digits at 32x32."""
    with np.load(reference_path()) as arrays:
        tensors = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in ("mean", "cov", "features")}
        labels, n = torch.from_numpy(arrays["labels"].astype(np.int64)), int(arrays["n"])
    return Reference("mnist test, 32x32", load_judge()[1], n, labels=labels, **tensors)


def balanced(labels: Tensor, n: int, seed: int = 0) -> Tensor:
    """The indices of n samples with the classes in turn, 0, 1, .., as far as there are enough of each."""
    shuffle = np.random.default_rng(seed).permutation(len(labels))
    order = torch.from_numpy(shuffle)
    by_class = [order[labels[order] == c] for c in range(int(labels.max()) + 1)]
    rounds = -(-n // len(by_class))
    if min(map(len, by_class)) < rounds:
        raise ValueError(f"there are not {n} digits with all classes alike; at most {min(map(len, by_class))} of each")
    return torch.stack([c[:rounds] for c in by_class], dim=1).flatten()[:n]


def floor(seen: Readings, labels: Tensor, n: int) -> dict[str, float]:
    """What real digits score where samples are judged: n of them, class-balanced.  The best that a model can expect.

    seen, labels: the judge's readings of N training digits, and which they are, (N,) int64.  The mean of five draws.
    """
    draws = [balanced(labels, n, seed) for seed in range(FLOOR_DRAWS)]
    scores = [_scores(Readings(*(part[i] for part in vars(seen).values())), labels[i]) for i in draws]
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def fid_error(features: Tensor, groups: int = JACKKNIFE_GROUPS) -> float | None:
    """The standard error of the Frechet distance of N samples to the reference: the jackknife that leaves out a group
    at a time, sqrt((g - 1)/g sum (fid_i - mean)^2).  Efron and Tibshirani 1993, Eq. 11.5.

    features: (N, 128) of samples with the classes in turn; each group holds all classes alike.  None for N < 20.
    """
    reference, groups = load_reference(), min(groups, len(features) // 10)
    if groups < 2:
        return None
    group = torch.arange(len(features)) // 10 % groups
    without = [frechet_distance(*gaussian(features[group != g]), reference.mean, reference.cov) for g in range(groups)]
    return math.sqrt((groups - 1) * np.var(without))


def share_interval(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Between which shares k of n lies with 95 %.  Wilson 1927."""
    middle, spread = k + z**2 / 2, z * math.sqrt(k * (n - k) / n + z**2 / 4)
    return max(0.0, (middle - spread) / (n + z**2)), min(1.0, (middle + spread) / (n + z**2))


def _scores(readings: Readings, asked: Tensor | None) -> dict[str, float]:
    reference = load_reference()
    features, n = readings.features, len(readings.features)
    if n <= NEIGHBOURS + 1:
        raise ValueError(f"too few samples to judge: at least {NEIGHBOURS + 2}")
    by_class = readings.digits if asked is None else asked
    share = torch.bincount(readings.digits, minlength=10) / n
    return {
        "fid": frechet_distance(*gaussian(features), reference.mean, reference.cov),
        "accuracy": None if asked is None else (readings.digits == asked).double().mean().item(),
        "confidence": readings.confidence.double().mean().item(),
        "class_coverage": (share >= COVERED / 10).double().mean().item(),
        "recall": recall(reference.features, features),
        "within_class_distance": within_class_distance(features, by_class),
    }


def judge(images: Tensor, asked: Tensor | None, real: dict[str, float]) -> dict[str, Any]:
    """The verdict on N samples, as plain JSON.

    images: (N, 1, 32, 32), float in [-1, 1] or uint8.  asked: (N,) int64, the digits that were asked for, or None.
    real: what `floor` gives for as many real digits.  Frechet distances depend on n: compare like with like.
    fid_error is the standard error of fid, if the classes come in turn.
    """
    readings, reference = read(images), load_reference()
    scores = _scores(readings, asked)
    return {
        "n": len(images),
        "extractor": reference.extractor,
        "reference": f"{reference.name}, {reference.n}",
        **scores,
        "fid_error": fid_error(readings.features),
        "fid_floor": real["fid"],
        "fid_over_floor": scores["fid"] / real["fid"],
        "recall_over_real": scores["recall"] / real["recall"],
        "distance_over_real": scores["within_class_distance"] / real["within_class_distance"],
    }
