"""Data sets as one uint8 tensor each, to and from [-1, 1], and the loader: a batch is an index into the tensor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import idx
from .reading import DataError, centred_square, list_folder, printable, read_picture
from .seeding import seeded

ASSETS = Path(__file__).parent / "assets"
TORCHVISION = {"mnist": "MNIST", "fashion": "FashionMNIST", "cifar10": "CIFAR10"}  # its class of each
FOLDER = "folder:PATH"
DOWNLOADING = threading.Lock()  # two that write one file spoil it
NEARLY_BLACK = 16  # of 255, and nothing lighter in a whole folder: 12 bits kept in 16, or masks of 0 and 1
FLIPS = 2  # the stream of random numbers that says which pictures are mirrored, see `seeded`
COUNTED = 30  # classes that one line names


@dataclass(frozen=True)
class Attribute:
    """One of several labels that a picture has: what it says, such as glasses, and its values in words."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """images: (N, C, S, S) uint8.  labels: (N,) int64, 0..num_classes-1, or None where num_classes is 0.

    part: which sub-folder was read of a folder that has parts, such as train/; "" for all others.
    attributes: of a data set of several labels at once, whose labels are (N, A) int64.
    mirrored: whether a picture's mirror image is as good a picture of the same class.
    """

    name: str
    images: Tensor
    labels: Tensor | None
    class_names: tuple[str, ...] = ()
    part: str = ""
    attributes: tuple[Attribute, ...] = ()
    mirrored: bool = False

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
    """A data set by its name: of DATASETS, or folder:PATH.

    bundled needs no network: 10,000 MNIST training digits that ship with this package.
    mnist, fashion, cifar10 are read from data_dir in torchvision's layout, the first two also as people put them there
    by hand, see `idx.find_mnist`; what is missing is downloaded if asked.
    folder:PATH is any folder of images, see `reading.list_folder`: sub-folders are classes, train/ and test/ are parts.
    train=False is the test part, which mnist, fashion and cifar10 have, and a folder with a test/ beside its train/.
    Raises DataError, saying what to do.
    """
    if name.startswith("folder:"):
        return _load_folder(name, train, img_size)
    if name not in DATASETS:
        raise DataError(f"there is no dataset {name!r}; choose one of {', '.join(names())}")
    if not train and not DATASETS[name].has_test:
        have = ", ".join(each for each, source in DATASETS.items() if source.has_test)
        raise DataError(f"{name} has no test part; {have} have one")
    return DATASETS[name].load(name, Path(data_dir), train, img_size, download)


def names() -> tuple[str, ...]:
    """What `load_dataset` takes, folder:PATH standing for any folder."""
    return (*DATASETS, FOLDER)


def _load_bundled(name: str, data_dir: Path, train: bool, img_size: int, download: bool) -> Dataset:
    with np.load(ASSETS / "digits.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    labels = torch.from_numpy(labels.astype(np.int64))
    return Dataset(name, resize(images, img_size), labels, idx.CLASSES["mnist"])


def _load_torchvision(name: str, data_dir: Path, train: bool, img_size: int, download: bool) -> Dataset:
    by_hand = name in idx.NAMES  # may have been put into place so, under other names than torchvision's
    if by_hand and (pair := idx.find_mnist(name, data_dir, train)):
        images, labels = pair
        return Dataset(name, resize(images, img_size), torch.from_numpy(labels.astype(np.int64)), idx.CLASSES[name])

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
        lacking = idx.missing(name, data_dir) if by_hand else ""
        raise DataError(
            f"{name} is not in {data_dir}{lacking and f' ({lacking})'} and could not be downloaded "
            f"({' '.join(str(error).split())}). Check the network and try again, "
            f"point --data-dir at a folder that holds it, or use --dataset bundled, which needs neither."
        ) from error
    images = np.asarray(raw.data)
    class_names = idx.CLASSES.get(name) or tuple(raw.classes)
    targets = torch.as_tensor(raw.targets, dtype=torch.int64)
    return Dataset(name, resize(images, img_size), targets, class_names, mirrored=DATASETS[name].mirrored)


@dataclass(frozen=True)
class Source:
    """A data set that has a name.  label: what the page calls it.  has_test: whether it has a test part.

    mirrored: whether its pictures may be flipped in training, see `Dataset`.

    load: (name, data_dir, train, img_size, download) -> Dataset.  megabytes: to download; 0 where nothing is.
    """

    label: str
    load: Callable[[str, Path, bool, int, bool], Dataset]
    megabytes: int = 0
    has_test: bool = True
    mirrored: bool = False


# One more here is one more on the command line and on the page.
DATASETS = {
    "bundled": Source("Bundled digits (10,000)", _load_bundled, has_test=False),
    "mnist": Source("MNIST (60,000)", _load_torchvision, 12),
    "fashion": Source("Fashion-MNIST (60,000)", _load_torchvision, 31),
    "cifar10": Source("CIFAR-10, colour (50,000)", _load_torchvision, 170, mirrored=True),
}


def remove_half_unpacked(folder: Path) -> bool:
    """Remove unpacked files whose archives are there, to be unpacked again.  False if there are none.

    Torchvision checks archives by their digests, and of what it unpacks only that it exists.
    """
    found = [path.with_suffix("") for path in folder.glob("*-ubyte.gz") if path.with_suffix("").is_file()]
    for path in found:
        path.unlink()
    return bool(found)


def _load_folder(name: str, train: bool, img_size: int) -> Dataset:
    path = name.removeprefix("folder:")
    folder = Path(path)
    if not path.strip() or folder.absolute() == Path(folder.absolute().anchor):  # folder:$UNSET, folder:$UNSET/
        raise DataError(f"{name!r} names no folder of images (is a variable not set?); give folder:PATH")
    listing = list_folder(folder, train)
    pictures = [centred_square(read_picture(path), img_size) for path in listing.paths]
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    images = resize(np.stack([np.asarray(p.convert(mode)) for p in pictures]), img_size)
    darkest, lightest = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    if torch.equal(darkest, lightest):
        raise DataError(f"all pictures in {folder} are of the same single colour: there is nothing to learn from them")
    if lightest.max() <= NEARLY_BLACK:
        raise DataError(
            f"the pictures in {folder} are nearly black: their lightest value is {lightest.max()} of 255; "
            f"stretch them to the full range (such as 12 bits kept in 16: times 16) and save them anew"
        )
    labels = None if listing.labels is None else torch.tensor(listing.labels)
    return Dataset(name, images, labels, listing.class_names, listing.part)


def describe(dataset: Dataset) -> str:
    """A data set on one line: how many pictures, of what size and colours, its classes in order with their counts."""
    n, channels, height, width = dataset.images.shape
    colours = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    part = f", part {printable(dataset.part)}/" if dataset.part else ""
    line = f"{printable(dataset.name)}{part}: {n:,} picture{'s' * (n != 1)}, {width} x {height}, {colours}"
    if (dataset.images.amax((2, 3)) == dataset.images.amin((2, 3))).all():
        line += ", each of a single colour"
    if dataset.labels is None:
        return f"{line}, no classes"
    counts = dataset.labels.bincount(minlength=dataset.num_classes).tolist()
    named = [f"{printable(name)} ({count})" for name, count in zip(dataset.class_names, counts, strict=True)]
    more = f", and {len(named) - COUNTED} more" if len(named) > COUNTED else ""
    return f"{line}, {len(named)} class{'es' * (len(named) != 1)}: {', '.join(named[:COUNTED])}{more}"


def check_pictures(images: Tensor, labels: Tensor | None = None, model: Any = None) -> None:
    """Refuse what a training would trip over far from here, or, worse, would not trip over.

    images: (N, C, H, W) uint8.  labels: (N,) int64, -1 for a picture without one.  model: its `picture_shape`
    and num_classes are asked, if it has them.  Raises TypeError, ValueError or, of no pictures, DataError.
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
    asked, num_classes = getattr(model, "picture_shape", None), 0
    if asked is not None:  # not a network of somebody else's
        num_classes = getattr(model, "num_classes", 0)
        if images.shape[1:] != asked:
            raise ValueError(f"the model is made for pictures of (C, H, W) = {asked}, not {tuple(images.shape[1:])}")
    if labels is not None:
        _check_labels(labels, len(images), num_classes)


def _check_labels(labels: Tensor, n: int, num_classes: int) -> None:
    wanted = f"labels are a torch tensor (N,) of int64, here N = {n}"
    if not isinstance(labels, Tensor):
        raise TypeError(f"{wanted}, not {type(labels).__name__}")
    if labels.dtype != torch.int64 or labels.shape != (n,):
        raise ValueError(f"{wanted}, not {tuple(labels.shape)} of {labels.dtype}")
    low, high = (int(v) for v in labels.aminmax())
    if low < -1 or (num_classes and high >= num_classes):
        known = f"0..{num_classes - 1}" if num_classes else "0 or more"
        raise ValueError(f"labels are {known}, or -1 for a picture without one; these are {low}..{high}")


class Loader:
    """Shuffled batches, the last incomplete one dropped.  Iterating gives one epoch of (x0, y), each in a new order.

    x0: (B, C, S, S) float32 in [-1, 1].  y: (B,) int64, or None.  The order depends on (seed, epoch) alone, so that a
    resumed run sees what the uninterrupted one would have.  A batch is never larger than the data set.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, batch_size: int = 128, seed: int = 0, flip: bool = False
    ):
        """flip: half of the pictures of each batch are mirrored, left to right, which ones depends on its step."""
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
