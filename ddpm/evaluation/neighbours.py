"""Copying or creating?  The training pictures nearest to samples, beside how near those are that real pictures have.

A model that repeats its training pictures draws samples that are nearer to them than fresh real pictures are: Meehan et
al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models", arXiv:2004.05675.  A distance alone says
little, as a 1 is always near to some other 1.  So each sample is held against real pictures of its own kind, as in the
cells of that test; a cell is here a class, which a picture has from the training picture that is nearest to it.
To look for it in pixels: Carlini et al. 2023, "Extracting Training Data from Diffusion Models", arXiv:2301.13188.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import ASSETS, DATASETS, DataError, load_dataset, resize, to_uint8
from .classifiers import BATCH, read

PIXELS, FEATURES = "pixels", "features"
NEAREST = 3
NEAR = 0.05  # a sample is near if it is nearer than 95 % of real pictures
COPY = 2.0  # grey levels of 255, root mean square: too little to be seen
FEWEST = 20  # real pictures of a class that can say what the nearest twentieth of them is
MOST_REAL = 1000  # training pictures that stand for real ones where none are held out
IMPROBABLE = 0.01  # so improbable a count is not taken for chance

WORK = 500_000_000  # multiplications in a step: 10 ms on two cores that do 100 GFLOP/s
PART = 5000  # training pictures in a step, at most: 20 MB as float32
ROWS = 1000  # samples in a step, at most
SPARE = 8  # candidates more than asked for: float32 does not tell the order of the last ones, and one may not count


@dataclass(frozen=True)
class Found:
    """The nearest of M pictures to each of N.  index: (N, k) int64.  distances: (N, k) float64, ascending."""

    index: Tensor
    distances: Tensor


def searching(
    samples: Tensor, pictures: Tensor, k: int = NEAREST, omit: Tensor | None = None
) -> Generator[None, None, Found]:
    """The k pictures nearest to each sample, exactly, for whoever must not be kept long: yields between its parts.

    samples: (N, ...), pictures: (M, ...), of one shape and any type.  The distance is the root mean square of what
    differs, in their own unit: grey levels of uint8.  omit: (N,) int64, a picture for each sample that does not count.
    Raises ValueError if none is left.
    """
    m, size = len(pictures), samples[0].numel()
    k = min(k, m - (omit is not None))
    if k < 1:
        raise ValueError("there is no training picture to compare with")
    found = []
    for begin in range(0, len(samples), ROWS):
        x = samples[begin : begin + ROWS].flatten(1)
        own = None if omit is None else omit[begin : begin + ROWS, None]
        best, at = torch.empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.int64)
        part = max(1, min(PART, WORK // (len(x) * size)))
        for first in range(0, m, part):
            y = pictures[first : first + part].flatten(1).float()
            here = torch.arange(first, first + len(y)).expand(len(x), -1)
            squares = y.square().sum(1) - 2 * x.float() @ y.T  # |x - y|^2 less |x|^2, which is the same for all y
            best, at = torch.cat([best, squares], dim=1), torch.cat([at, here], dim=1)
            best, chosen = best.topk(min(k + SPARE, best.shape[1]), largest=False)
            at = at.gather(1, chosen)
            yield
        for rows in torch.arange(len(x)).split(max(1, PART * ROWS // (size * at.shape[1]))):
            # What float32 leaves of a small difference between large squares is no distance; a copy's is 0.
            differ = pictures[at[rows]].flatten(2).double() - x[rows, None].double()
            exact = differ.square().mean(dim=2).sqrt()
            if own is not None:
                exact[at[rows] == own[rows]] = math.inf
            order = exact.argsort(dim=1, stable=True)[:, :k]
            found.append((at[rows].gather(1, order), exact.gather(1, order)))
            yield
    index, distances = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Found(index, distances)


@dataclass(frozen=True)
class Comparison:
    """N samples in one space.  found: the training pictures nearest to them.

    real: (R,) float64, how far real pictures are from the nearest.  weights: (R,) float64, sum 1: how much each counts
    where the classes are mixed as among the samples.
    nearer: (N,) float64, the share of the real pictures of a sample's class that are as near as it is.
    """

    found: Found
    real: Tensor
    weights: Tensor
    nearer: Tensor

    @property
    def near(self) -> Tensor:
        """(N,) bool: nearer to a training picture than 95 % of the real pictures of its class."""
        return self.nearer < NEAR

    @property
    def far(self) -> Tensor:
        """(N,) bool: farther from each training picture than 95 % of the real pictures of its class."""
        return self.nearer > 1 - NEAR

    @property
    def copies(self) -> Tensor:
        """(N,) bool: a training picture, as far as can be seen.  Of pixels; of features it means nothing."""
        return self.found.distances[:, 0] <= COPY


class TrainingSet:
    """Training pictures, and real ones that are not among them.

    images: (M, C, S, S) uint8.  labels: (M,) int64, classes; None, or (M, A) of attributes, where there are no classes.
    held_out: (R, C, S, S) uint8; without any, up to MOST_REAL of the training pictures, each against all the others.
    classifier: the name of the one whose features are compared too; None to compare pixels alone.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        held_out: Tensor | None = None,
        classifier: str | None = None,
    ):
        self.images, self.classifier, self.omit = images, classifier, None
        self.classes = labels if labels is not None and labels.ndim == 1 else torch.zeros(len(images)).long()
        if held_out is None:
            self.omit = torch.linspace(0, len(images) - 1, min(MOST_REAL, len(images))).round().long()
            held_out = images[self.omit]
        self.held_out = held_out
        self._features: list[Tensor] = []  # of the training pictures, in parts
        self._real: dict[str, tuple[Tensor, Tensor]] = {}  # by space: how far each is, and the class of its nearest

    def in_pixels(self, samples: Tensor, k: int = NEAREST) -> Generator[None, None, Comparison]:
        """Samples, (N, C, S, S) uint8 or float in [-1, 1], by their grey levels.  Yields in steps of some 50 ms.

        The first comparison takes longest: what does not depend on the samples is kept.
        Raises ValueError for samples of another shape.
        """
        return (yield from self._comparing(PIXELS, self._shown(samples), self.images, self.held_out, k))

    def in_features(self, samples: Tensor, k: int = NEAREST) -> Generator[int | None, None, Comparison]:
        """The same by the classifier's features.  Yields how many training pictures it has read, or None.

        Raises ValueError for samples of another shape, and without a classifier.
        """
        samples = self._shown(samples)
        while (done := BATCH * len(self._features)) < len(self.images):  # two comparisons at once share the work
            self._features.append(self._read(self.images[done : done + BATCH]))
            yield min(done + BATCH, len(self.images))
        features = []
        for images in (samples, self.held_out if FEATURES not in self._real else self.held_out[:1]):
            parts = []
            for part in images.split(BATCH):
                parts.append(self._read(part))
                yield None
            features.append(torch.cat(parts))
        return (yield from self._comparing(FEATURES, features[0], torch.cat(self._features), features[1], k))

    def _shown(self, samples: Tensor) -> Tensor:
        """Samples in 256 levels, as the training pictures are."""
        if samples.shape[1:] != self.images.shape[1:]:
            shapes = ["x".join(map(str, each.shape[1:])) for each in (samples, self.images)]
            raise ValueError(f"the samples are {shapes[0]}, the training pictures {shapes[1]}: there is no distance")
        return samples.cpu() if samples.dtype == torch.uint8 else to_uint8(samples)

    def _read(self, images: Tensor) -> Tensor:
        """(N, D) float32, the features of pictures."""
        if self.classifier is None:
            raise ValueError("no classifier knows these pictures: they are compared in pixels alone")
        return read(images, self.classifier).features.float()

    def _comparing(
        self, space: str, samples: Tensor, training: Tensor, real: Tensor, k: int
    ) -> Generator[None, None, Comparison]:
        """All pictures as points of that space."""
        found = yield from searching(samples, training, k)
        if space not in self._real:
            nearest = yield from searching(real, training, 1, self.omit)
            self._real[space] = nearest.distances[:, 0], self.classes[nearest.index[:, 0]]
        distances, classes = self._real[space]
        weights, nearer = torch.zeros(len(distances)).double(), []
        for distance, label in zip(found.distances[:, 0], self.classes[found.index[:, 0]], strict=True):
            alike = classes == label
            if alike.sum() < FEWEST:
                alike = torch.ones_like(alike)
            weights += alike / alike.sum() / len(samples)
            nearer.append((distances[alike] <= distance).double().mean())
        return Comparison(found, distances, weights, torch.stack(nearer))


def verdict(pixels: Comparison) -> str:
    """What the distances in pixels say, in a sentence or two, and no more than they say."""
    n, copies, near, far = (
        int(each) for each in (len(pixels.near), *map(sum, (pixels.copies, pixels.near, pixels.far)))
    )
    chance = f"by chance it would be about {max(1, round(NEAR * n))}"
    nearer = f"{near} of {n} {verb(near)} nearer to a training picture than 95 % of real ones; {chance}."
    said = [] if copies or improbable(near, n) else [f"No sign of copying: {nearer}"]
    if copies:
        of_real = float((pixels.real <= COPY).double().mean())
        also = f" {of_real:.1%} of real pictures are, too." if of_real else ""
        what = "is a training picture" if copies == 1 else "are training pictures"
        said.append(f"{copies} of {n} {what}, as far as can be seen.{also}")
    if improbable(near, n) and near > copies:
        said.append(nearer)
    if improbable(far, n):
        said.append(f"{far} of {n} {verb(far)} farther from every training picture than 95 % of real ones; {chance}.")
    return " ".join(said)


def verb(count: int) -> str:
    return "is" if count == 1 else "are"


def improbable(count: int, n: int) -> bool:
    """Whether as many of n samples or more come about by chance, of 5 % each, less often than once in a hundred."""
    tail = sum(math.comb(n, i) * NEAR**i * (1 - NEAR) ** (n - i) for i in range(count, n + 1))
    return tail < IMPROBABLE


def held_out(name: str, data_dir: str | Path, img_size: int) -> Tensor | None:
    """Real pictures of a data set that are not in its training part, (R, C, S, S) uint8; None if there are none here.

    Of MNIST and Fashion-MNIST, whole or bundled, 100 test pictures of each class ship; of others, the test part.
    """
    if name in SHIPPED_TEST:
        with np.load(ASSETS / SHIPPED_TEST[name]) as arrays:
            return resize(arrays["images"], img_size)
    if name not in DATASETS or not DATASETS[name].has_test:
        return None
    try:
        images = load_dataset(name, data_dir, train=False, img_size=img_size, download=False).images
    except DataError:
        return None
    return images[torch.linspace(0, len(images) - 1, min(MOST_REAL, len(images))).round().long()]


SHIPPED_TEST = {
    "mnist": "digits-test.npz",
    "bundled": "digits-test.npz",
    "fashion": "fashion-test.npz",
    "bundled-fashion": "fashion-test.npz",
}
