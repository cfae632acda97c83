"""Batches of a data set that is one tensor: each is an index into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data import from_uint8, load_dataset
from .reading import DataError
from .seeding import seeded

FLIPS = 2  # the stream of random numbers that says which pictures are mirrored, see `seeded`


def check_pictures(images: Tensor, labels: Tensor | None = None, model: Any = None) -> None:
    """Refuse what a training would trip over far from here, or, worse, would not trip over.

    images: (N, C, H, W) uint8.  labels: (N,) int64, or (N, A) of A attributes, -1 for what is not known.
    model: its `picture_shape` is asked, and what labels it takes, if it has them.
    Raises TypeError, ValueError or, of no pictures, DataError.
    """
    wanted = "pictures are a torch tensor (N, C, H, W) of uint8, 0..255"
    if not isinstance(images, Tensor):
        raise TypeError(f"{wanted}, not {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise TypeError(f"{wanted}, not {images.dtype}; to_uint8 makes them from floats in [-1, 1]")
    if images.ndim != 4:
        raise ValueError(f"{wanted}, not of shape {tuple(images.shape)}")
    if len(images) == 0:
        raise DataError("the data set is empty")
    asked, num_classes, attributes = getattr(model, "picture_shape", None), 0, ()
    if asked is not None:  # not a network of somebody else's
        num_classes = getattr(model, "num_classes", 0)
        attributes = getattr(getattr(model, "config", None), "attributes", ())
        if images.shape[1:] != asked:
            raise ValueError(f"the model is made for pictures of (C, H, W) = {asked}, not {tuple(images.shape[1:])}")
    if labels is None:
        return
    if not attributes:
        _check_labels(labels, len(images), num_classes)
        return
    if labels.shape != (len(images), len(attributes)):
        raise ValueError(f"labels are (N, {len(attributes)}), a value of each attribute, not {tuple(labels.shape)}")
    for column, values in zip(labels.unbind(1), attributes, strict=True):
        _check_labels(column, len(images), values)


def _check_labels(labels: Tensor, n: int, num_classes: int) -> None:
    wanted = (
        f"labels are a torch tensor (N,) of int64, here N = {n}{'' if num_classes else ', or (N, A) of attributes'}"
    )
    if not isinstance(labels, Tensor):
        raise TypeError(f"{wanted}, not {type(labels).__name__}")
    one_each = num_classes or labels.ndim == 1 or labels.shape[1:] == (1,)
    if labels.dtype != torch.int64 or labels.shape != ((n,) if one_each else (n, *labels.shape[1:2])):
        raise ValueError(f"{wanted}, not {tuple(labels.shape)} of {labels.dtype}")
    low, high = (int(v) for v in labels.aminmax())
    if low < -1 or (num_classes and high >= num_classes):
        known = f"0..{num_classes - 1}" if num_classes else "0 or more"
        raise ValueError(f"labels are {known}, or -1 for a picture without one; these are {low}..{high}")


class Loader:
    """Shuffled batches, the last incomplete one dropped.  Iterating gives one epoch of (x0, y), each in a new order.

    x0: (B, C, S, S) float32 in [-1, 1].  y: (B,) or (B, A) int64, or None.  The order depends on (seed, epoch) alone,
    so that a resumed run sees what the uninterrupted one would have.  A batch is never larger than the data set.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, batch_size: int = 128, seed: int = 0, flip: bool = False
    ):
        """flip: half of the pictures of each batch are mirrored, left to right; which ones depends on (seed, step)."""
        check_pictures(images, labels)
        self.images, self.labels, self.seed, self.flip = images, labels, seed, flip
        self.batch_size = min(batch_size, len(images))
        self.epoch, self.order = -1, torch.empty(0)
        self.next_epoch = 0

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor | None]:
        """The batch of the optimiser step `step`, counted from 0 through all epochs."""
        epoch, i = divmod(step, len(self))
        if epoch != self.epoch:
            shuffle = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
            self.epoch, self.order = epoch, torch.from_numpy(shuffle)
        index = self.order[i * self.batch_size : (i + 1) * self.batch_size].to(self.images.device)
        return self.x0(index, step), None if self.labels is None else self.labels[index]

    def x0(self, index: Tensor, step: int) -> Tensor:
        x0 = from_uint8(self.images[index])
        if not self.flip:
            return x0
        flipped = torch.rand(len(index), generator=seeded(self.seed, step, FLIPS)).to(x0.device) < 0.5
        return torch.where(flipped[:, None, None, None], x0.flip(-1), x0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        for i in range(len(self)):
            yield self.batch(epoch * len(self) + i)


def get_loader(
    batch_size: int = 128, dataset: str = "mnist", data_dir: str | Path = "data", train: bool = True, seed: int = 0
) -> Loader:
    """The tutorial's loader: MNIST at 32x32 in [-1, 1], shuffled, the last incomplete batch dropped.  See `Loader`."""
    data = load_dataset(dataset, data_dir, train)
    return Loader(data.images, data.labels, batch_size, seed)
