"""The classifiers, two of MNIST's digits and one of each other set: what they read, and real test pictures as each sees
them.

All are trained by scripts/make_classifier.py.  They see samples only when someone evaluates: no model is
trained with either, and nothing that is shown is chosen by them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..idx import CLASSES
from ..system.steps import result_of

ASSETS = Path(__file__).parents[1] / "assets"
FIRST, SECOND = "first", "second"
BATCH = 200  # images, of the order of 50 ms on two cores


class Classifier(nn.Module):
    """The first: six convolutions with BatchNorm.  x: (B, 1, 32, 32) in [-1, 1].  Its 128 features are all >= 0.

    Recipes and sampler settings of this package were chosen by its distances, so its figures may flatter them.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = [(1, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, stride, 1, bias=False) for i, o, stride in channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in channels)
        self.head = nn.Linear(128, 10)

    def features(self, x: Tensor) -> Tensor:
        """(B, 128): the last feature maps, averaged over their 4x4 positions."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), where the x that is added goes through a 1x1 convolution to fit."""

    def __init__(self, in_ch: int, out_ch: int, stride: int = 1):
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(in_ch // 8, in_ch), nn.GroupNorm(out_ch // 8, out_ch)
        self.conv_1 = nn.Conv2d(in_ch, out_ch, 3, stride, 1, bias=False)
        self.conv_2 = nn.Conv2d(out_ch, out_ch, 3, 1, 1, bias=False)
        same = (in_ch, stride) == (out_ch, 1)
        self.skip = nn.Identity() if same else nn.Conv2d(in_ch, out_ch, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(F.silu(self.norm_1(x)))
        return self.skip(x) + self.conv_2(F.silu(self.norm_2(h)))


class SecondClassifier(nn.Module):
    """The second: a residual network with GroupNorm, of another seed and other distortions.  x: as for the first.

    Nothing is ever tuned by it: it only reports what was chosen by others' figures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 5, 2, 2, bias=False)
        self.blocks = nn.Sequential(Residual(32, 32), Residual(32, 32), Residual(32, 64, 2), Residual(64, 96, 2))
        self.norm = nn.GroupNorm(12, 96)
        self.head = nn.Linear(96, 10)

    def features(self, x: Tensor) -> Tensor:
        """(B, 96): the last feature maps, averaged over their 4x4 positions."""
        x = self.blocks(self.stem(x))  # (B, 96, 4, 4)
        return F.silu(self.norm(x)).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class ResidualClassifier(nn.Module):
    """Of another set than MNIST: two residual blocks at each of three resolutions.  x: (B, in_ch, S, S) in [-1, 1].

    stride: of the first convolution.  num_logits: as many as there are values to choose from, see `Shipped.values`.
    """

    def __init__(self, in_ch: int, widths: tuple[int, int, int], stride: int, num_logits: int):
        super().__init__()
        a, b, c = widths
        self.stem = nn.Conv2d(in_ch, a, 3, stride, 1, bias=False)
        self.blocks = nn.Sequential(
            *(Residual(a, a), Residual(a, a), Residual(a, b, 2), Residual(b, b), Residual(b, c, 2), Residual(c, c))
        )
        self.norm = nn.GroupNorm(c // 8, c)
        self.head = nn.Linear(c, num_logits)

    def features(self, x: Tensor) -> Tensor:
        """(B, widths[-1]): the last feature maps, averaged over their positions."""
        return F.silu(self.norm(self.blocks(self.stem(x)))).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@dataclass(frozen=True)
class Shipped:
    """A classifier that ships.  build: its network, untrained.

    dataset: whose test part its statistics are of.  real: the data set that ships and whose pictures samples are held
    against; None where none ships, and the statistics hold the features of such pictures.
    most: how many of these there are.
    shape: (C, H, W) of what it reads.  values: of how many values each attribute is one; of a set with classes, that.
    """

    build: Callable[[], nn.Module]
    file: str
    dataset: str
    real: str | None
    shape: tuple[int, int, int]
    values: dict[str, int]
    most: int = 10_000

    @property
    def path(self) -> Path:
        return ASSETS / self.file

    @property
    def statistics(self) -> str:
        """What the name of the file of its statistics begins with."""
        return f"{self.dataset}-test-{self.shape[-1]}"


GREY, CLASS = (1, 32, 32), {"class": 10}
OF_FACES = {"hair": 2, "hair colour": 5, "glasses": 2, "hat": 2, "beard": 2, "skin": 3, "mouth": 2}
CLASSIFIERS = {
    FIRST: Shipped(Classifier, "classifier.safetensors", "mnist", "bundled", GREY, CLASS),
    SECOND: Shipped(SecondClassifier, "classifier-second.safetensors", "mnist", "bundled", GREY, CLASS),
    "fashion": Shipped(
        partial(ResidualClassifier, 1, (24, 48, 96), 2, 10),
        "classifier-fashion.safetensors",
        "fashion",
        "bundled-fashion",
        GREY,
        CLASS,
    ),
    "faces": Shipped(
        partial(ResidualClassifier, 3, (24, 48, 96), 1, sum(OF_FACES.values())),
        "classifier-faces.safetensors",
        "faces",
        "faces",
        (3, 16, 16),
        OF_FACES,
        9_000,
    ),
    "cifar10": Shipped(
        partial(ResidualClassifier, 3, (32, 64, 128), 1, 10),
        "classifier-cifar10.safetensors",
        "cifar10",
        None,
        (3, 32, 32),
        CLASS,
        2_000,
    ),
}
# By which classifiers pictures of a data set are evaluated, the first of them in full.
OF_DATASET = {
    "mnist": (FIRST, SECOND),
    "bundled": (FIRST, SECOND),
    "fashion": ("fashion",),
    "bundled-fashion": ("fashion",),
    "faces": ("faces",),
    "cifar10": ("cifar10",),
}


def known_by(dataset: str, shape: Sequence[int]) -> str | None:
    """The first classifier of pictures of a data set; None if there is none, or if it is not here.

    shape: (C, H, W) of the pictures.
    """
    name = next(iter(OF_DATASET.get(dataset, ())), None)
    shipped = CLASSIFIERS[name] if name else None
    return name if shipped and shipped.path.exists() and shipped.shape == tuple(shape) else None


def reader_of(dataset: str, shape: Sequence[int]) -> str | None:
    """The same, if it says of which class a picture is, and not of several attributes."""
    name = known_by(dataset, shape)
    return name if name and len(CLASSIFIERS[name].values) == 1 else None


def classes_of(classifier: str) -> tuple[str, ...]:
    """What the classes that a classifier reads are called."""
    return CLASSES[CLASSIFIERS[classifier].dataset]


@functools.lru_cache(maxsize=len(CLASSIFIERS))
def load_classifier(name: str = FIRST) -> tuple[Any, str]:
    """The classifier of that name, a network with `features` and `head`, and the hash that names it in every result."""
    raw = CLASSIFIERS[name].path.read_bytes()
    classifier = CLASSIFIERS[name].build().eval()
    classifier.load_state_dict(safetensors.torch.load(raw))
    return classifier, hashlib.sha256(raw).hexdigest()[:12]


@dataclass(frozen=True)
class Readings:
    """What a classifier makes of N images.  features: (N, D) float64.  confidence: (N,), 0..1.

    digits: (N,) int64, the class that it reads; (N, A) of A attributes, whose mean confidence is given.
    """

    classifier: str  # its name
    features: Tensor
    digits: Tensor
    confidence: Tensor

    @property
    def names(self) -> list[str]:
        """What the classes that it reads are called."""
        return [classes_of(self.classifier)[k] for k in self.digits.tolist()]

    def at(self, index: Tensor) -> Readings:
        """Those of some of the images."""
        return Readings(self.classifier, self.features[index], self.digits[index], self.confidence[index])


def reading(images: Tensor, classifier: str = FIRST) -> Generator[None, None, Readings]:
    """`read` in parts of BATCH images, for whoever must not be kept long: yields after each, returns the Readings."""
    shipped = CLASSIFIERS[classifier]
    if tuple(images.shape[1:]) != shipped.shape:
        knows = "x".join(map(str, shipped.shape))
        raise ValueError(f"the classifier knows pictures of {knows}, not of shape {tuple(images.shape[1:])}")
    network, _ = load_classifier(classifier)
    if images.dtype != torch.uint8:
        images = ((images.clamp(-1, 1) + 1) * 127.5).round()
    features = []
    for part in images.split(BATCH):
        with torch.no_grad():
            features.append(network.features(part.float().cpu() / 127.5 - 1))
        yield
    return read_features(torch.cat(features), classifier)


@torch.no_grad()
def read_features(features: Tensor, classifier: str) -> Readings:
    """What a classifier makes of images by their features, (N, D) float32."""
    logits = load_classifier(classifier)[0].head(features)
    parts = logits.split([*CLASSIFIERS[classifier].values.values()], dim=1)
    found = [part.softmax(dim=1).max(dim=1) for part in parts]
    digits = found[0].indices if len(found) == 1 else torch.stack([each.indices for each in found], dim=1)
    confidence = torch.stack([each.values for each in found]).mean(dim=0)
    return Readings(classifier, features.double(), digits, confidence)


def read(images: Tensor, classifier: str = FIRST) -> Readings:
    """images: (N, C, H, W), uint8 or float in [-1, 1].  What is read is what would be shown: clamped, in 256 levels.

    Raises ValueError for images of another shape than the classifier knows.
    """
    return result_of(reading(images, classifier))


@dataclass(frozen=True)
class Reference:
    """Real pictures that no model here has trained on, through a classifier's eyes.

    mean, cov: of all of them.  features, labels: of some, each class as often as the others.
    real: where no pictures of the set ship, what the classifier makes of training pictures, and their labels.
    """

    name: str  # data set, split and resolution
    extractor: str  # the hash of the classifier it was made with
    n: int
    mean: Tensor
    cov: Tensor
    features: Tensor
    labels: Tensor
    real: tuple[Readings, Tensor] | None = None


def reference_path(classifier: str = FIRST) -> Path:
    """The file's name carries data set, resolution and extractor: another classifier finds none, not a wrong one."""
    return ASSETS / f"{CLASSIFIERS[classifier].statistics}-{load_classifier(classifier)[1]}.npz"


@functools.lru_cache(maxsize=len(CLASSIFIERS))
def load_reference(classifier: str = FIRST) -> Reference:
    """The test pictures of the classifier's data set."""
    with np.load(reference_path(classifier)) as arrays:
        tensors = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in ("mean", "cov", "features")}
        labels, n = torch.from_numpy(arrays["labels"].astype(np.int64)), int(arrays["n"])
        real = None
        if "real_features" in arrays:
            seen = read_features(torch.from_numpy(arrays["real_features"].astype(np.float32)), classifier)
            real = seen, torch.from_numpy(arrays["real_labels"].astype(np.int64))
    shipped = CLASSIFIERS[classifier]
    name = f"{shipped.dataset} test, {shipped.shape[1]}x{shipped.shape[2]}"
    return Reference(name, load_classifier(classifier)[1], n, labels=labels, real=real, **tensors)
