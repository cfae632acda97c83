"""A zip of pictures, read by the rules of a folder of them.  What is in it may be a stranger's: nothing is unpacked to
a disk, and nothing is decoded before it is known to be within bounds."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from .reading import (
    IMAGE_SUFFIXES,
    DataError,
    Listing,
    centred_square,
    is_hidden,
    list_pictures,
    printable,
    read_picture,
)

UTF8, ENCRYPTED = 0x800, 0x1  # flags of a member.  PKWARE's APPNOTE, 4.4.4
UNZIPPABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError),  # a method that Python lacks; a password; a name that is none
)


@dataclass(frozen=True)
class Bounds:
    """What a zip may hold.  The defaults are for a file of one's own, on a computer of one's own.

    picture_bytes, unpacked_bytes: of one picture and of all, unpacked.  picture_pixels, pixels: of one and of all, as
    their heads announce them.
    """

    pictures: int = 1_000_000
    picture_bytes: int = 256_000_000
    unpacked_bytes: int = 32_000_000_000
    picture_pixels: int = 100_000_000
    pixels: int = 1_000_000_000_000


def read_zip(
    file: str | Path | BinaryIO, name: str, size: int, train: bool = True, bounds: Bounds | None = None
) -> tuple[Listing, list[Image.Image]]:
    """The pictures in a zip, each as its centred square of (size, size), with their classes: see `list_pictures`.

    name: what errors call it.  Raises DataError, in one sentence.
    """
    bounds, called = bounds or Bounds(), PurePosixPath(name or "the zip")
    try:
        with zipfile.ZipFile(file) as opened:
            members = {called / path: member for path, member in pictures_in(opened).items()}
            listing = list_pictures(called, sorted(members), train)
            check([members[PurePosixPath(path)] for path in listing.paths], str(called), bounds)
            pictures, pixels = [], 0
            for path in listing.paths:
                data = unpacked(opened, members[PurePosixPath(path)], str(path))
                picture = read_picture(io.BytesIO(data), str(path), bounds.picture_pixels)
                pictures.append(centred_square(picture, size))
                pixels += picture.width * picture.height
                if pixels > bounds.pixels:
                    most = f"more than {bounds.pixels // 1_000_000:,} million pixels together"
                    raise DataError(f"the pictures in {called} have {most}; make them smaller or leave some out")
    except DataError as error:
        raise DataError(printable(str(error))) from error
    except UNZIPPABLE as error:
        said = f"{called} cannot be read as a zip ({reason(error)}); make it anew"
        raise DataError(printable(said)) from error
    return listing, pictures


def pictures_in(opened: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The picture files of a zip by their paths; of two with one path the later, as if both had been unpacked."""
    found = {}
    for member in opened.infolist():
        parts = [part for part in name_of(member).replace("\\", "/").split("/") if part]
        if parts and not member.is_dir() and PurePosixPath(parts[-1]).suffix.lower() in IMAGE_SUFFIXES:
            found[PurePosixPath(*parts)] = member
    return {path: member for path, member in found.items() if not any(map(is_hidden, path.parts))}


def name_of(member: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 if that is what its bytes are, whatever its flags say; macOS sets none."""
    if member.flag_bits & UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def check(members: list[zipfile.ZipInfo], name: str, bounds: Bounds) -> None:
    """Raise DataError if there are too many, or too large ones.

    By what the zip says of them: `unpacked` takes no more than that, and finds it to be damaged if there is more.
    """
    if len(members) > bounds.pictures:
        raise DataError(f"{name} holds {len(members):,} pictures, of at most {bounds.pictures:,}; leave some out")
    largest = max(members, key=lambda member: member.file_size)
    if largest.file_size > bounds.picture_bytes:
        what = f"{name_of(largest)} in {name} is {megabytes(largest.file_size)} unpacked"
        raise DataError(f"{what}, of at most {megabytes(bounds.picture_bytes)}; make the picture smaller")
    total = sum(member.file_size for member in members)
    if total > bounds.unpacked_bytes:
        said = f"{megabytes(total)} unpacked, of at most {megabytes(bounds.unpacked_bytes)}"
        raise DataError(f"the pictures in {name} are {said}; make them smaller or leave some out")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def unpacked(opened: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """The bytes of a member.  Raises DataError, naming it.

    Asked for without a number, `zipfile` would unpack all there is, and cut it to the announced size only then.
    """
    if member.flag_bits & ENCRYPTED:
        raise DataError(f"{name} is locked with a password; make the zip anew without one")
    try:
        with opened.open(member) as packed:
            return packed.read(member.file_size + 1)
    except UNZIPPABLE as error:
        raise DataError(f"{name} is damaged ({reason(error)}); make the zip anew") from error


def reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
