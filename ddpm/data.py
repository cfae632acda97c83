"""Data sets as one uint8 tensor each, and pictures to and from [-1, 1]."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import idx
from .picture_zip import Bounds, read_zip
from .reading import DataError, Listing, centred_square, list_folder, printable, read_picture

ASSETS = Path(__file__).parent / "assets"
TORCHVISION = {"mnist": "MNIST", "fashion": "FashionMNIST", "cifar10": "CIFAR10"}  # its class of each
FOLDER, ZIP = "folder:PATH", "zip:PATH"
DOWNLOADING = threading.Lock()  # two that write one file spoil it
NEARLY_BLACK = 16  # of 255, and nothing lighter in a whole folder: 12 bits kept in 16, or masks of 0 and 1
SIZE = 32  # of the pictures of most sets: a power of two halves cleanly
COUNTED = 30  # classes that one line names
HELD_OUT_FACES = 1000  # the last ones: the test part


@dataclass(frozen=True)
class Attribute:
    """Something that each picture of a set has one value of, such as "hat", ("no", "yes")."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """images: (N, C, S, S) uint8.  labels: (N,) int64, 0..num_classes-1; of a set with A attributes (N, A) int64, each
    column 0..len(values)-1, and num_classes is 0; None of a set with neither.

    part: which sub-folder was read of a folder that has parts, such as train/; "" for all others.
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

    28 to 32 is a resize, not a padding.  Returns (N, C, size, size) uint8.
    """
    if images.shape[1:3] != (size, size):
        resized = [Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR) for image in images]
        images = np.stack([np.asarray(image) for image in resized])
    images = images[..., None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def enlarge(images: np.ndarray, size: int) -> Tensor:
    """Pixel art, (N, S, S, 3) uint8, each pixel as a square of so many: no filter, which would blur it.

    Returns (N, 3, size, size) uint8.  Raises DataError if size is no multiple of S.
    """
    native = images.shape[1]
    if size < native or size % native:
        raise DataError(f"pixel art of {native} x {native} is shown by whole factors, not at {size} x {size}")
    enlarged = images.repeat(size // native, axis=1).repeat(size // native, axis=2)
    return torch.from_numpy(np.ascontiguousarray(enlarged.transpose(0, 3, 1, 2)))


def load_dataset(
    name: str,
    data_dir: str | Path = "data",
    train: bool = True,
    img_size: int | None = None,
    download: bool = True,
) -> Dataset:
    """A data set by its name: of DATASETS, or folder:PATH, or zip:PATH.  img_size None: 32, and 16 of faces.

    bundled and bundled-fashion need no network: 10,000 training pictures each of MNIST and of Fashion-MNIST that ship
    with this package.  faces neither: pixel art of 16 x 16, each pixel as a square of so many where img_size is larger.
    mnist, fashion, cifar10 are read from data_dir in torchvision's layout, the first two also as people put them there
    by hand, see `idx.find_mnist`; what is missing is downloaded if asked.
    folder:PATH is any folder of images, see `reading.list_pictures`: sub-folders are classes, train/ and test/ are
    parts.  zip:PATH is one that is packed.
    train=False is the test part, which mnist, fashion, cifar10 and faces have (of faces the last 1,000), and a folder
    with a test/ beside its train/.
    Raises DataError, saying what to do.
    """
    if name.startswith("folder:"):
        return _load_folder(name, train, img_size or SIZE)
    if name.startswith("zip:"):
        path = Path(name.removeprefix("zip:"))
        if not path.is_file():
            raise DataError(f"{path} is not a file; give zip:PATH with the path of a zip of images")
        return load_zip(path, str(path), name, img_size or SIZE, train)
    if name not in DATASETS:
        raise DataError(f"there is no dataset {name!r}; choose one of {', '.join(names())}")
    if not train and not DATASETS[name].has_test:
        have = ", ".join(each for each, source in DATASETS.items() if source.has_test)
        raise DataError(f"{name} has no test part; {have} have one")
    return DATASETS[name].load(name, Path(data_dir), train, img_size or DATASETS[name].img_size or SIZE, download)


def names() -> tuple[str, ...]:
    """What `load_dataset` takes, folder:PATH standing for any folder, zip:PATH for any zip."""
    return (*DATASETS, FOLDER, ZIP)


def _load_bundled(
    file: str, kind: str, name: str, data_dir: Path, train: bool, img_size: int, download: bool
) -> Dataset:
    return Dataset(name, *_read_bundled(file, img_size), idx.CLASSES[kind])


@functools.lru_cache(maxsize=2)  # the page's views and a training read the same ones: 10 MB each
def _read_bundled(file: str, img_size: int) -> tuple[Tensor, Tensor]:
    with np.load(ASSETS / file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return resize(images, img_size), torch.from_numpy(labels.astype(np.int64))


def _load_faces(name: str, data_dir: Path, train: bool, img_size: int, download: bool) -> Dataset:
    part = slice(None, -HELD_OUT_FACES) if train else slice(-HELD_OUT_FACES, None)
    with np.load(ASSETS / "faces.npz") as arrays:
        images, labels = arrays["images"][part], arrays["labels"][part]
        attributes = tuple(Attribute(each, tuple(values)) for each, values in json.loads(str(arrays["attributes"])))
    labels = torch.from_numpy(labels.astype(np.int64))
    return Dataset(name, enlarge(images, img_size), labels, attributes=attributes)


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
    targets = torch.as_tensor(raw.targets, dtype=torch.int64)
    return Dataset(name, resize(images, img_size), targets, idx.CLASSES[name], mirrored=DATASETS[name].mirrored)


@dataclass(frozen=True)
class Source:
    """A data set that has a name.  label: what the page calls it.  has_test: whether it has a test part.

    load: (name, data_dir, train, img_size, download) -> Dataset.  megabytes: to download; 0 where nothing is.
    img_size: the one that its pictures have; None where they take whichever a model asks for.
    mirrored: whether its pictures may be flipped in training, see `Dataset`.
    """

    label: str
    load: Callable[[str, Path, bool, int, bool], Dataset]
    megabytes: int = 0
    has_test: bool = True
    img_size: int | None = None
    mirrored: bool = False


# One more here is one more on the command line and on the page.
DATASETS = {
    "bundled": Source("Bundled digits (10,000)", partial(_load_bundled, "digits.npz", "mnist"), has_test=False),
    "bundled-fashion": Source(
        "Fashion, bundled (10,000)", partial(_load_bundled, "fashion.npz", "fashion"), has_test=False
    ),
    "faces": Source("Pixel faces, colour (9,000)", _load_faces, img_size=16),
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
    return _of_pictures(name, path, listing, [centred_square(read_picture(path), img_size) for path in listing.paths])


def load_zip(
    file: Path | BinaryIO, called: str, name: str, img_size: int, train: bool = True, bounds: Bounds | None = None
) -> Dataset:
    """A zip of pictures as a data set of that name: see `picture_zip.read_zip`.  called: what errors call it."""
    return _of_pictures(name, printable(called), *read_zip(file, called, img_size, train, bounds))


def _of_pictures(name: str, where: str, listing: Listing, pictures: list[Image.Image]) -> Dataset:
    """The data set of a listing's pictures, which are squares of one size.  where: what errors call it."""
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    images = resize(np.stack([np.asarray(p.convert(mode)) for p in pictures]), pictures[0].width)
    darkest, lightest = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    if torch.equal(darkest, lightest):
        raise DataError(f"all pictures in {where} are of the same single colour: there is nothing to learn from them")
    if lightest.max() <= NEARLY_BLACK:
        raise DataError(
            f"the pictures in {where} are nearly black: their lightest value is {lightest.max()} of 255; "
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
    if dataset.attributes:
        each = [
            f"{attribute.name} ({', '.join(f'{value} {n}' for value, n in counted(attribute.values, column))})"
            for attribute, column in zip(dataset.attributes, dataset.labels.T, strict=True)
        ]
        return f"{line}, {len(each)} attributes: {', '.join(each)}"
    named = [f"{printable(name)} ({n})" for name, n in counted(dataset.class_names, dataset.labels)]
    more = f", and {len(named) - COUNTED} more" if len(named) > COUNTED else ""
    return f"{line}, {len(named)} class{'es' * (len(named) != 1)}: {', '.join(named[:COUNTED])}{more}"


def counted(names: tuple[str, ...], labels: Tensor) -> list[tuple[str, int]]:
    """How often each name occurs among labels, (N,) int64 from 0."""
    return list(zip(names, labels.bincount(minlength=len(names)).tolist(), strict=True))
