"""The two classifiers of MNIST's digits, at 32x32: what they read, and the test digits as each of them sees these.

Both are trained by scripts/make_classifier.py.  They see samples only when someone evaluates: no model is
trained with either, and nothing that is shown is chosen by them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

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


NETWORKS: dict[str, type[Classifier | SecondClassifier]] = {FIRST: Classifier, SECOND: SecondClassifier}
FILES = {FIRST: ASSETS / "classifier.safetensors", SECOND: ASSETS / "classifier-second.safetensors"}


@functools.lru_cache(maxsize=len(NETWORKS))
def load_classifier(name: str = FIRST) -> tuple[Classifier | SecondClassifier, str]:
    """The classifier of that name, and the hash that names it in every result."""
    raw = FILES[name].read_bytes()
    classifier = NETWORKS[name]().eval()
    classifier.load_state_dict(safetensors.torch.load(raw))
    return classifier, hashlib.sha256(raw).hexdigest()[:12]


@dataclass(frozen=True)
class Readings:
    """What a classifier makes of N images.  features: (N, D) float64.  digits: (N,) int64.  confidence: (N,), 0..1."""

    classifier: str  # its name
    features: Tensor
    digits: Tensor
    confidence: Tensor

    def at(self, index: Tensor) -> Readings:
        """Those of some of the images."""
        return Readings(self.classifier, self.features[index], self.digits[index], self.confidence[index])


def reading(images: Tensor, classifier: str = FIRST) -> Generator[None, None, Readings]:
    """`read` in parts of BATCH images, for whoever must not be kept long: yields after each, returns the Readings."""
    if tuple(images.shape[1:]) != (1, 32, 32):
        raise ValueError(f"the classifier knows grey digits of 32x32, not images of shape {tuple(images.shape[1:])}")
    network, _ = load_classifier(classifier)
    if images.dtype != torch.uint8:
        images = ((images.clamp(-1, 1) + 1) * 127.5).round()
    features = []
    for part in images.split(BATCH):
        with torch.no_grad():
            features.append(network.features(part.float().cpu() / 127.5 - 1))
        yield
    with torch.no_grad():
        confidence, digits = network.head(torch.cat(features)).softmax(dim=1).max(dim=1)
    return Readings(classifier, torch.cat(features).double(), digits, confidence)


def read(images: Tensor, classifier: str = FIRST) -> Readings:
    """images: (N, 1, 32, 32), uint8 or float in [-1, 1].  What is read is what would be shown: clamped, in 256 greys.

    Raises ValueError for images of another shape: the classifiers know no others.
    """
    return result_of(reading(images, classifier))


@dataclass(frozen=True)
class Reference:
    """Real digits that no model here has trained on, through a classifier's eyes.

    mean, cov: of all of them.  features, labels: of as many of each class as there are of the rarest shipped.
    """

    name: str  # data set, split and resolution
    extractor: str  # the hash of the classifier it was made with
    n: int
    mean: Tensor
    cov: Tensor
    features: Tensor
    labels: Tensor


def reference_path(classifier: str = FIRST) -> Path:
    """The file's name carries data set, resolution and extractor: another classifier finds none, not a wrong one."""
    return ASSETS / f"mnist-test-32-{load_classifier(classifier)[1]}.npz"


@functools.lru_cache(maxsize=len(NETWORKS))
def load_reference(classifier: str = FIRST) -> Reference:
    """The MNIST test digits at 32x32."""
    with np.load(reference_path(classifier)) as arrays:
        tensors = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in ("mean", "cov", "features")}
        labels, n = torch.from_numpy(arrays["labels"].astype(np.int64)), int(arrays["n"])
    return Reference("mnist test, 32x32", load_classifier(classifier)[1], n, labels=labels, **tensors)
