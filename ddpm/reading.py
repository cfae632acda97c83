"""Pictures as they lie on a disk: one, made upright, opaque and of 8 bits; a folder with its classes and parts."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # which those are of
SYSTEMS_OWN = {"__macosx", "@eadir", "$recycle.bin"}  # what an archiver, a file server and a desktop leave behind
TRAIN_PARTS = ("train", "training")
TEST_PARTS = ("test", "testing", "val", "valid", "validation", "eval", "dev")  # the first that is there is read
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DataError(ValueError):
    """A data set that cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, not yet read.  labels: one a picture, or None where class_names is empty."""

    paths: Sequence[PurePath]
    labels: list[int] | None
    class_names: tuple[str, ...]
    part: str  # the sub-folder that was read of a folder with train/ and test/; "" if there are no parts


# ---------------------------------------------------------------- one picture


def read_picture(file: str | PurePath | BinaryIO, name: str = "", most_pixels: int | None = None) -> Image.Image:
    """A picture as a viewer shows it: upright (EXIF), opaque (see `opaque`), in 8 bits; its first frame if it moves.

    name: what an error calls it; "" for the file's own name.  most_pixels: of a file that a stranger has sent, which
    is of FORMATS whatever its name says, and is decoded only if its head announces no more.
    Returns mode L if the file is grey, else RGB.  Raises DataError, naming the file.
    """
    name = name or ("the picture" if hasattr(file, "read") else str(file))
    source = str(file) if isinstance(file, PurePath) else file
    try:
        with Image.open(source, formats=None if most_pixels is None else FORMATS) as picture:
            if most_pixels is not None and picture.width * picture.height > most_pixels:
                raise ValueError(f"{picture.width} x {picture.height} pixels, of at most {most_pixels:,}")
            picture.load()
            shown = opaque(eight_bits(upright(picture)))
            return shown.convert("L" if shown.mode in ("1", "L") else "RGB")
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise DataError(f"{name} cannot be read as an image ({error}); remove it or replace it") from error


def upright(picture: Image.Image) -> Image.Image:
    """Turned and mirrored as its EXIF orientation says; as it lies if it says nothing that can be read."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except UNREADABLE:  # viewers show it all the same
        orientation = None
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 9 to 16 bits scaled to 8, by the range of its format: a white of 65535, or 4095, becomes 255.

    PIL by itself would clip it.  Raises ValueError for 32 bits, integer or float, whose white is not agreed on.
    """
    if picture.mode in ("I", "F"):
        raise ValueError(
            "its pixels have a sign or 32 bits, so that it does not say which value is white; save it as 8 bits"
        )
    if not picture.mode.startswith("I;16"):
        return picture
    values, tags = np.asarray(picture).astype(np.float64), getattr(picture, "tag_v2", {})
    white = 2 ** tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 1
    grey = np.rint(values * (255 / white)).astype(np.uint8)
    grey = Image.fromarray(255 - grey if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 else grey)
    if "transparency" in picture.info:  # the one value that stands for nothing
        grey.putalpha(Image.fromarray(np.where(values == picture.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def opaque(picture: Image.Image) -> Image.Image:
    """A picture laid on white, or on black if what it shows is light: where a shape is only in the alpha, it is seen.

    Light: a mean of the grey, weighted by alpha, above half.  The page does the same with a picture dropped on it.
    """
    if not picture.has_transparency_data:
        return picture
    colours = picture.convert("RGBA")
    alpha, light = colours.getchannel("A"), np.asarray(colours.convert("L"), np.uint16)
    weights = np.asarray(alpha)
    ground = "black" if (light * weights).sum() > 127 * weights.sum() else "white"
    sheet = Image.new("L" if picture.mode in ("1", "L", "LA", "La") else "RGB", picture.size, ground)
    sheet.paste(colours.convert(sheet.mode), mask=alpha)
    return sheet


def centred_square(picture: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle of a picture, resized to (size, size) by PIL's bilinear filter."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


# ---------------------------------------------------------------- a folder of them


def list_folder(folder: Path, train: bool = True) -> Listing:
    """What a folder of pictures holds, at any depth: see `list_pictures`.  Raises DataError, saying what was found."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give folder:PATH with the path of a folder of images")
    try:
        paths = pictures_below(folder)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror})") from error
    return list_pictures(folder, paths, train)


def list_pictures(folder: PurePath, paths: Sequence[PurePath], train: bool = True) -> Listing:
    """The pictures at these paths below a folder, with their classes.

    Its sub-folders are classes, in natural order; a folder in which there is only one folder of folders is passed
    through.  train/ and test/ (or val/, ...) are no classes but parts: `train` says which is listed, and the classes
    are those of train/.  Raises DataError, saying what was found.
    """
    if not paths:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")

    groups = by_sub_folder(folder, paths)
    while len(groups) == 1 and is_wrapping(folder, groups):
        folder = folder / next(iter(groups))
        groups = by_sub_folder(folder, paths)
    part, train_part = which_part(folder, groups, train)
    tops = classes(folder / part, groups[part] if part else paths)
    known = classes(folder / train_part, groups[train_part]) if train_part else tops
    class_names = tuple(sorted(set(known or ()), key=natural))
    if tops is None:
        return Listing(groups[part] if part else paths, None, (), part)
    if strangers := sorted(set(tops) - set(class_names), key=natural):
        raise DataError(f"{folder / part} holds classes that {folder / train_part} does not: {some(strangers)}")
    number = {name: i for i, name in enumerate(class_names)}
    return Listing(groups[part] if part else paths, [number[top] for top in tops], class_names, part)


def pictures_below(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """The picture files in a folder and below it, sorted; links are followed, but not to a folder above.

    Hidden files and folders never count.
    Raises OSError for a folder that cannot be listed: its pictures must not be missing in silence.
    """
    real, found = folder.resolve(), []
    if real in above:
        return []
    for entry in sorted(folder.iterdir()):
        if is_hidden(entry.name):
            continue
        if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
            found.append(entry)
        elif entry.is_dir():
            found += pictures_below(entry, (*above, real))
    return found


def is_hidden(name: str) -> bool:
    """Whether a file or a folder of this name is nobody's picture and nobody's class."""
    return name.startswith(".") or name.lower() in SYSTEMS_OWN


def by_sub_folder(folder: PurePath, paths: Sequence[PurePath]) -> dict[str, list[PurePath]]:
    """Paths below a folder by the sub-folder they lie in; under "" those that lie in the folder itself."""
    groups: dict[str, list[PurePath]] = {}
    for path in paths:
        top, *rest = path.relative_to(folder).parts
        groups.setdefault(top if rest else "", []).append(path)
    return groups


def is_wrapping(folder: PurePath, groups: dict[str, list[PurePath]]) -> bool:
    """Whether the one group is a folder of folders, which is neither a class nor a part."""
    ((top, paths),) = groups.items()
    return top != "" and not is_part(top) and all(path.parent != folder / top for path in paths)


def is_part(name: str) -> bool:
    return name.lower() in TRAIN_PARTS + TEST_PARTS


def which_part(folder: PurePath, groups: dict[str, list[PurePath]], train: bool) -> tuple[str, str]:
    """The part to read, and the part that says which classes there are; "" twice for a folder without parts.

    Parts are meant where there is nothing else; a class may be called "train", beside "car".  Raises DataError.
    """
    trains = [top for top in groups if top.lower() in TRAIN_PARTS]
    tests = sorted((top for top in groups if top.lower() in TEST_PARTS), key=lambda t: TEST_PARTS.index(t.lower()))
    only_parts = len(trains) + len(tests) == len(groups)
    if (trains and tests and not only_parts) or (only_parts and len(trains) > 1):
        raise DataError(f"{folder} holds {contents(groups)}: leave one train/ and one test/ there, or classes alone")
    if only_parts and train and not trains:
        raise DataError(f"{folder} holds {contents(groups)} and no train/; give {folder / tests[0]} alone to read that")
    if not train and not (only_parts and tests):
        raise DataError(f"{folder} has no test part; put one beside the other, as train/ and test/")
    if not only_parts:
        return "", ""
    return trains[0] if train else tests[0], (trains or tests)[0]


def classes(folder: PurePath, paths: Sequence[PurePath]) -> list[str] | None:
    """The class of each picture: the sub-folder that it lies in; None if all lie in the folder itself.

    Raises DataError if some do and some do not.
    """
    groups = by_sub_folder(folder, paths)
    if "" not in groups:
        return [path.relative_to(folder).parts[0] for path in paths]
    if len(groups) == 1:
        return None
    raise DataError(
        f"{folder} holds {contents(groups)}: move the loose pictures into a class's folder or away, "
        f"or all pictures into the one folder for a data set without classes"
    )


def contents(groups: dict[str, list[PurePath]]) -> str:
    """What was found, in words: "3 loose pictures, and pictures in 2 folders: cat, dog"."""
    loose, tops = len(groups.get("", ())), sorted(set(groups) - {""}, key=natural)
    said = f"{loose} loose picture{'s' * (loose != 1)}, and " if loose else ""
    return said + f"pictures in {len(tops)} folder{'s' * (len(tops) != 1)}: {some(tops)}"


def some(names: list[str], at_most: int = 8) -> str:
    """Names on one line, the first few of many."""
    more = f", and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(printable(name) for name in names[:at_most]) + more


def printable(name: str) -> str:
    """A file's name on one line and in any encoding: what cannot be shown becomes a question mark."""
    return "".join(c if c.isprintable() else "?" for c in name)


def natural(name: str) -> tuple:
    """Key that sorts numbers by their value, then all other names, the numbers within them by value: 2, 10, a2, a10."""
    if re.fullmatch(r"[+-]?\d+(\.\d+)?", name):
        return 0, float(name), name
    pieces = re.split(r"(\d+)", name)  # text and numbers in turn
    return 1, [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name
