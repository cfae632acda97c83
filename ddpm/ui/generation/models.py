"""The models one can ask: those that ship in checkpoints/, and those that were trained on this server."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ddpm.autoencoder import Codec
from ddpm.config import config_of
from ddpm.data import Attribute, DataError, Dataset, load_dataset, names
from ddpm.denoiser import picture_shape_of
from ddpm.device import Inference, pick_device
from ddpm.evaluation.classifiers import FIRST, reader_of
from ddpm.evaluation.evaluate import DIGITS
from ddpm.presets import LATENTS, PRESETS
from ddpm.schedule import Schedule
from ddpm.storage.checkpoint import (
    CONFIG,
    SHIPPED,
    Checkpoint,
    CheckpointError,
    is_autoencoder,
    load_checkpoint,
    read_config,
    with_autoencoder,
)

from ..server.cache import LRUCache

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
TRAINED_BYTES = 500_000_000
DEFAULT = "mnist"
BUNDLED = {"mnist": "bundled", "fashion": "bundled-fashion"}  # a sixth of each ships


@dataclass(frozen=True, eq=False)  # each is itself alone: what is kept of one goes with it
class Model:
    """A model ready to be asked, with the schedule it was trained on."""

    label: str
    dataset: str  # what they were trained on
    class_names: tuple[str, ...]
    model: Inference
    sched: Schedule
    kind: str  # of the schedule
    num_classes: int
    img_size: int  # of its pictures; of latents, of those that they decode to
    channels: int
    attributes: tuple[Attribute, ...] = ()  # in place of classes

    @property
    def conditional(self) -> bool:
        """Whether it takes labels."""
        return bool(self.num_classes or self.attributes)

    @property
    def of_digits(self) -> bool:
        """Whether it draws digits."""
        return self.dataset in DIGITS

    @property
    def reader(self) -> str | None:
        """The classifier that says of which class its pictures are; None if there is none."""
        return reader_of(self.dataset, (self.channels, self.img_size, self.img_size))

    @property
    def classifiable(self) -> bool:
        """Whether the classifiers of digits can read what these weights draw."""
        return can_be_classified(self.dataset, (self.channels, self.img_size, self.img_size))

    def on_pixels(self) -> Model:
        """Itself.  Raises ValueError of a model of latents, which has nothing to say of a noisy picture."""
        if self.model.codec is not None:
            raise ValueError("This model works on latents, not on pixels. Choose another one above.")
        return self

    def unlabelled(self, n: int) -> Tensor | None:
        """No label for each of n pictures; None of weights that know none."""
        shape = (n, len(self.attributes)) if self.attributes else (n,)
        return torch.full(shape, -1, device=self.model.device) if self.conditional else None


class ModelRegistry:
    """Model by id: a folder's name in checkpoints/, or the id of a training run, which nobody can guess.

    autoencoders: sha256 by folder, of those that are here.
    All that ship are loaded at once, a few megabytes each, on whichever thread makes the registry: see engine.py.
    """

    def __init__(self, folder: Path = CHECKPOINTS):
        self.folder = folder
        self.shipped = offered(folder)
        self.autoencoders: dict[str, str] = {}
        for path in (*SHIPPED.glob(f"*/{CONFIG}"), *folder.glob(f"*/{CONFIG}")):
            if is_autoencoder(path.parent):
                self.autoencoders[path.parent.name] = str(read_config(path).get("weights_sha256"))
        self._trained = LRUCache(TRAINED_BYTES)
        self._loaded: dict[str, Model | CheckpointError] = {}
        for name in self.shipped:
            try:
                self._loaded[name] = from_checkpoint(load_checkpoint(folder / name, pick_device()), name)
            except CheckpointError as error:  # the page opens all the same, and says so when they are chosen
                self._loaded[name] = error

    @property
    def default(self) -> str | None:
        """The weights that the page opens with; None if none ship."""
        return DEFAULT if DEFAULT in self.shipped else next(iter(self.shipped), None)

    def get(self, name: Any) -> Model:
        """Raises ValueError if there are none of that name, or if they are not whole."""
        if name is None:
            raise ValueError("There are no weights in checkpoints/. Train some: python -m ddpm train --help")
        weights = self._loaded[name] if name in self.shipped else self._trained.get(name)
        if weights is None:
            raise ValueError("These weights are no longer on the server. Choose others, or train again.")
        if isinstance(weights, CheckpointError):
            raise weights
        return weights

    def known(self, own: Any) -> list[tuple[str, str]]:
        """(label, id) of what a browser says was trained or opened in it, as far as it is still here.

        own: (label, id) of each, or whatever else a client may send.
        """
        pairs = own if isinstance(own, list) else []
        ids = [each[1] for each in pairs if isinstance(each, (list, tuple)) and len(each) == 2]
        return [(here.label, each) for each in ids if (here := self._trained.get(each)) is not None]

    def put(self, run_id: str, weights: Model) -> None:
        parameters = sum(p.numel() for p in weights.model.model.parameters())
        self._trained.put(run_id, weights, 4 * parameters)


def offered(folder: Path) -> list[str]:
    """The names of the checkpoints in a folder that the page can ask for."""
    folders = (path.parent for path in folder.glob(f"*/{CONFIG}"))
    return sorted(path.name for path in folders if not is_autoencoder(path))


def wrap(
    model: nn.Module,
    sched: Schedule,
    kind: str,
    label: str,
    dataset: str,
    class_names: tuple[str, ...] = (),
    attributes: tuple[Attribute, ...] = (),
) -> Model:
    m = config_of(model)
    inference = Inference(model, "auto")
    channels, size, _ = picture_shape_of(model)
    return Model(label, dataset, class_names, inference, sched, kind, m.num_classes, size, channels, attributes)


def from_checkpoint(loaded: Checkpoint, label: str) -> Model:
    """Model of a checkpoint.  What it says of its data is somebody's text, so it is taken only if it makes sense."""
    dataset, classes = loaded.info.get("dataset"), loaded.info.get("class_names")
    dataset = dataset if dataset in names() else "unknown"
    if not (isinstance(classes, list) and len(classes) == loaded.config.model.num_classes):
        classes = range(loaded.config.model.num_classes)
    classes = tuple(str(name)[:40] for name in classes)
    attributes = attributes_called(loaded.info.get("attributes"), loaded.config.model.attributes)
    return wrap(loaded.model, loaded.sched, loaded.config.schedule.kind, label, dataset, classes, attributes)


def attributes_called(named: Any, values: tuple[int, ...]) -> tuple[Attribute, ...]:
    """What the attributes of a checkpoint are called; by their numbers where it says nothing that makes sense.

    values: how many each has.
    """
    try:
        found = [Attribute(each["name"], tuple(each["values"])) for each in named]
        lists = [[each.name for each in found], *(each.values for each in found)]
        apart = all(len({*texts}) == len(texts) for texts in lists)
        words = [text for texts in lists for text in texts]
        plain = all(isinstance(text, str) and re.fullmatch(r"[\w '/-]{1,24}", text) for text in words)
        if plain and apart and tuple(len(each.values) for each in found) == values:
            return tuple(found)
    except (TypeError, KeyError):
        pass
    return tuple(Attribute(f"attribute {i + 1}", tuple(map(str, range(count)))) for i, count in enumerate(values))


@functools.lru_cache(maxsize=4)
def dataset(name: str, download: bool = False) -> Dataset:
    """A data set of this server, from the folder DDPM_DATA_DIR.  Raises DataError if it is not there."""
    return load_dataset(name, os.environ.get("DDPM_DATA_DIR", "data"), download=download)


def pictures_of(weights: Model) -> Dataset | None:
    """Pictures like those that the weights were trained on; where some of them ship, these.  None: none are here."""
    try:
        data = dataset(BUNDLED.get(weights.dataset, weights.dataset))
    except DataError:
        return None
    shape = (weights.channels, weights.img_size, weights.img_size)
    return data if tuple(data.images.shape[1:]) == shape else None  # else they do not fit the set that they name


@functools.cache
def autoencoder() -> Codec:
    """The one that ships, whose latents the preset `latent` is of.  Raises CheckpointError if it is not here."""
    codec = with_autoencoder(PRESETS[LATENTS])[1]
    assert codec is not None  # the preset names one
    return codec


def can_be_classified(dataset: str, shape: tuple[int, ...]) -> bool:
    """Whether the classifiers of MNIST's digits can read such pictures.  shape: ends in (C, S, S)."""
    return reader_of(dataset, shape[-3:]) == FIRST
