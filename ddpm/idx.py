"""The four files of MNIST and of Fashion-MNIST, wherever they were put by hand and however they are called."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TORCHVISIONS = {"mnist": "MNIST", "fashion": "FashionMNIST"}  # its folders, in which the files lie under raw/
NAMES = {"mnist": ("mnist",), "fashion": ("fashionmnist", "fashion")}  # of folders, `plain`
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}
OTHERS = ("fashion", "kmnist", "emnist", "qmnist")  # sets whose files are called as MNIST's are
PARTS = {True: ("train",), False: ("t10k", "test")}
KINDS = {"images": "idx3", "labels": "idx1"}
DAMAGED = (OSError, EOFError, ValueError, zlib.error)


def find_mnist(name: str, data_dir: Path, train: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Images, (N, 28, 28) uint8, and labels, (N,) uint8, of a part of "mnist" or "fashion"; None if not whole there.

    The files are called train-images-idx3-ubyte and so on, with dashes, dots or underscores, t10k or test, packed by
    gzip or not.  They lie in MNIST/raw, in MNIST, in folders of those names in lower case, or in data_dir itself: of
    fashion, only if that is called so, for MNIST's own files have the same names.
    """
    images, labels = (first_whole(candidates(name, data_dir, train, kind)) for kind in KINDS)
    if images is None or labels is None or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        return None
    return (images, labels) if labels.max(initial=0) < 10 else None


def missing(name: str, data_dir: Path) -> str:
    """Which of the four files are not there, or not whole, and where they go: a clause, or "" if all are."""
    wrong = []
    for train, parts in PARTS.items():
        for kind, idx in KINDS.items():
            found = list(candidates(name, data_dir, train, kind))
            if first_whole(iter(found)) is None:
                wrong.append(
                    f"{found[0].name} (there, but damaged: remove it)" if found else f"{parts[0]}-{kind}-{idx}-ubyte"
                )
    where = data_dir / TORCHVISIONS[name] / "raw"
    return f"it lacks {', '.join(wrong)}; they go into {where}, packed (.gz) or not" if wrong else ""


def candidates(name: str, data_dir: Path, train: bool, kind: str) -> Iterator[Path]:
    """The files that are called like the one that is asked for, the likeliest first."""
    wanted = {f"{part}{kind}{tail}" for part in PARTS[train] for tail in (f"{KINDS[kind]}ubyte", KINDS[kind], "")}
    for folder in folders(name, data_dir):
        for entry in entries(folder):
            if plain(entry.name) in wanted:
                inside = entries(entry) if entry.is_dir() else [entry]  # Kaggle packs each into a folder of its name
                yield from (path for path in inside if plain(path.name) in wanted and path.is_file())


def folders(name: str, data_dir: Path) -> list[Path]:
    """Where the files of a data set may lie, the likeliest first: never in a folder that is called as another set."""
    found = [entry for entry in entries(data_dir) if plain(entry.name) in NAMES[name] and entry.is_dir()]
    found.sort(key=lambda entry: entry.name != TORCHVISIONS[name])
    called = [plain(part) for part in data_dir.absolute().parts[-2:]]  # data_dir may be MNIST/raw
    foreign = any(other in part for other in OTHERS for part in called)
    if set(called) & set(NAMES[name]) or (name == "mnist" and not foreign):
        found.append(data_dir)
    return [place for folder in found for place in (folder / "raw", folder)]


def entries(folder: Path) -> list[Path]:
    """What a folder holds, hidden files aside, unpacked files before packed ones; nothing if it cannot be listed."""
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(found, key=lambda entry: (entry.suffix.lower() == ".gz", entry.name))


def plain(name: str) -> str:
    """A file's name without what people and archives vary: Train-Images.idx3-ubyte.gz -> trainimagesidx3ubyte."""
    return re.sub(r"[^a-z0-9]", "", name.lower().removesuffix(".gz"))


def first_whole(paths: Iterator[Path]) -> np.ndarray | None:
    """The array of the first file that holds what its header promises."""
    return next((array for array in map(read_idx, paths) if array is not None), None)


def read_idx(path: Path) -> np.ndarray | None:
    """An array of bytes in the IDX format, packed or not, whatever the file is called; None if it is not whole.

    http://yann.lecun.com/exdb/mnist: two zeros, 8 for bytes, the number of dimensions, each as four bytes, the data.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        ndim = data[3] if data.startswith(b"\0\0\x08") and len(data) > 3 else 0
        shape = tuple(np.frombuffer(data, ">u4", ndim, offset=4).tolist())
    except DAMAGED:
        return None
    if ndim == 0 or math.prod(shape) == 0 or len(data) != 4 + 4 * ndim + math.prod(shape):
        return None
    return np.frombuffer(bytearray(data), np.uint8, offset=4 + 4 * ndim).reshape(shape)
