"""Data sets as one uint8 tensor each, to and from [-1, 1], and the loader: a batch is an index into the tensor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

ASSETS = Path(__file__).parent / "assets"
TORCHVISION = {"mnist": "MNIST", "fashion": "FashionMNIST", "cifar10": "CIFAR10"}
NAMES = ("bundled", *TORCHVISION, "folder:PATH")
DOWNLOADING = threading.Lock()  # two that write one file spoil it
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


class DataError(ValueError):
    """A data set that cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Dataset:
    """images: (N, C, S, S) uint8.  labels: (N,) int64, 0..num_classes-1, or None where num_classes is 0."""

    name: str
    images: Tensor
    labels: Tensor | None
    class_names: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def from_uint8(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1], the scale on which N(0, I) noise makes sense."""
    return images.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """[-1, 1] -> uint8 0..255, rounded; what lies outside is clamped."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def grid(images: Tensor, columns: int, gap: int = 2, zoom: int = 2) -> Image.Image:
    """uint8 (N, C, H, W), C = 1 or 3, as one picture: row by row, enlarged by a whole factor, on near-black."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), 24, dtype=np.uint8)
    for i, image in enumerate(images.permute(0, 2, 3, 1).cpu().numpy()):
        top, left = (i // columns) * (h + gap) + gap, (i % columns) * (w + gap) + gap
        sheet[top : top + h, left : left + w] = image
    picture = Image.fromarray(sheet[:, :, 0] if c == 1 else sheet)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def resize(images: np.ndarray, size: int) -> Tensor:
    """Each picture of a uint8 array (N, H, W) or (N, H, W, 3) by PIL's bilinear filter, as torchvision's Resize does.

    28 to 32 is a resize, not a padding: a power of two halves cleanly.  Returns (N, C, size, size) uint8.
    """
    if images.shape[1:3] != (size, size):
        resized = [Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR) for image in images]
        images = np.stack([np.asarray(image) for image in resized])
    images = images[..., None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def load_dataset(
    name: str, data_dir: str | Path = "data", train: bool = True, img_size: int = 32, download: bool = True
) -> Dataset:
    """A data set by its name: bundled, mnist, fashion, cifar10 or folder:PATH.

    bundled needs no network: 10,000 MNIST training digits that ship with this package.
    mnist, fashion, cifar10 are read from data_dir in torchvision's layout; what is missing is downloaded if asked.
    folder:PATH is any folder of images; if all of them lie in sub-folders, those are the classes.
    train=False is the test split, which only mnist, fashion and cifar10 have.
    Raises DataError, saying what to do.
    """
    if name == "bundled":
        return _load_bundled(img_size)
    if name in TORCHVISION:
        return _load_torchvision(name, Path(data_dir), train, img_size, download)
    if name.startswith("folder:"):
        return _load_folder(name, Path(name.removeprefix("folder:")), img_size)
    raise DataError(f"there is no dataset {name!r}; choose one of {', '.join(NAMES)}")


def _load_bundled(img_size: int) -> Dataset:
    with np.load(ASSETS / "digits.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    digits = tuple(str(d) for d in range(10))
    return Dataset("bundled", resize(images, img_size), torch.from_numpy(labels.astype(np.int64)), digits)


def _load_torchvision(name: str, data_dir: Path, train: bool, img_size: int, download: bool) -> Dataset:
    from torchvision import datasets  # half a second that only those who need it should pay

    def read() -> Any:
        return getattr(datasets, TORCHVISION[name])(root=str(data_dir), train=train, download=download)

    unusable = (OSError, RuntimeError, ValueError, AssertionError, EOFError)  # the last three: not what they should be
    try:
        with DOWNLOADING if download else nullcontext():
            try:
                raw = read()
            except unusable:
                if not (download and remove_half_unpacked(data_dir / TORCHVISION[name] / "raw")):
                    raise
                raw = read()
    except unusable as error:
        raise DataError(
            f"{name} is not in {data_dir} and could not be downloaded ({error}). Check the network and try again, "
            f"point --data-dir at a folder that holds it, or use --dataset bundled, which needs neither."
        ) from error
    images = np.asarray(raw.data)
    class_names = tuple(str(c) for c in range(10)) if name == "mnist" else tuple(raw.classes)
    return Dataset(name, resize(images, img_size), torch.as_tensor(raw.targets, dtype=torch.int64), class_names)


def remove_half_unpacked(folder: Path) -> bool:
    """Remove unpacked files whose archives are there, to be unpacked again.  False if there are none.

    Torchvision checks archives by their digests, and of what it unpacks only that it exists.
    """
    found = [path.with_suffix("") for path in folder.glob("*-ubyte.gz") if path.with_suffix("").is_file()]
    for path in found:
        path.unlink()
    return bool(found)


def _load_folder(name: str, folder: Path, img_size: int) -> Dataset:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give folder:PATH with the path of a folder of images")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not paths:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    pictures = [_square(path, img_size) for path in paths]
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    images = resize(np.stack([np.asarray(p.convert(mode)) for p in pictures]), img_size)
    if any(p.parent == folder for p in paths):
        return Dataset(name, images, None)
    tops = [p.relative_to(folder).parts[0] for p in paths]
    class_names = tuple(sorted(set(tops)))
    return Dataset(name, images, torch.tensor([class_names.index(top) for top in tops]), class_names)


def _square(path: Path, size: int) -> Image.Image:
    """The centred square of a picture, resized; grey (mode L) or RGB."""
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I;16"):  # PIL would clip 16 bits to 8, not scale them
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            picture = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); remove it or replace it") from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


class Loader:
    """Shuffled batches, the last incomplete one dropped.  Iterating gives one epoch of (x0, y), each in a new order.

    x0: (B, C, S, S) float32 in [-1, 1].  y: (B,) int64, or None.  The order depends on (seed, epoch) alone, so that a
    resumed run sees what the uninterrupted one would have.  A batch is never larger than the data set.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None, batch_size: int = 128, seed: int = 0):
        if len(images) == 0:
            raise DataError("the data set is empty")
        self.images, self.labels, self.seed = images, labels, seed
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
        return from_uint8(self.images[index]), None if self.labels is None else self.labels[index]

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


def describe(dataset: Dataset) -> str:
    """A data set in one line: how many pictures, their size, channels, and the classes with how many each has."""
    n, channels, height, width = dataset.images.shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    said = f"{dataset.name}: {n:,} pictures, {height}x{width}, {kind}"
    if dataset.labels is None:
        return f"{said}, no classes"
    counts = torch.bincount(dataset.labels, minlength=dataset.num_classes).tolist()
    each = [f"{name} ({count:,})" for name, count in zip(dataset.class_names, counts, strict=True)]
    more = [f"and {len(each) - 12} more"] if len(each) > 12 else []
    return f"{said}, {len(each)} classes: {', '.join([*each[:12], *more])}"
