"""A finished run as a PNG or a GIF that holds its own generation parameters, and these read back."""

from __future__ import annotations

import io
import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ddpm.data import grid

from .recording import Recording, evenly, pixels

MAX_BYTES = 10_000_000  # of a file that this page saves: it is to be opened here again
MAGIC = (b"\x89PNG\r\n\x1a\n", b"GIF8")
MAX_TEXT_BYTES = 2_000_000  # of all compressed texts of a picture, unpacked: ours has some hundred
MAX_PIECES = 100_000  # of a picture that are looked at: one of 12 MB in chunks of 8 kB has 1,500
# Files that were saved before the page offered a choice did without saying:
BEFORE = {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}


def save(recording: Recording, kind: str) -> tuple[bytes, int]:
    """The last grid as a PNG, or the denoising as a GIF, its generation parameters within; and of how many frames.

    As many as fit into MAX_BYTES, evenly chosen, first and last included.
    """
    n, parameters = recording.shape[0], json.dumps(recording.parameters)

    def sheet(frame: dict[str, Any]) -> Image.Image:
        return grid(pixels(frame["x_t"], recording.shape), math.ceil(math.sqrt(n)), zoom=4 if n <= 16 else 2)

    def gif(pictures: list[Image.Image]) -> bytes:
        hold = [60] * (len(pictures) - 1) + [2000]
        more = {"append_images": pictures[1:], "duration": hold, "loop": 0, "comment": parameters}
        buffer = io.BytesIO()
        pictures[0].save(buffer, "GIF", save_all=True, **more)
        return buffer.getvalue()

    if kind == "png":
        text, buffer = PngInfo(), io.BytesIO()
        text.add_text("ddpm", parameters)
        sheet(recording.frames[-1]).save(buffer, "PNG", pnginfo=text)
        return buffer.getvalue(), len(recording.frames)
    pictures = [sheet(frame) for frame in recording.frames]
    data = gif(pictures)
    while len(data) > MAX_BYTES and len(pictures) > 2:
        fewer = max(2, int(0.95 * len(pictures) * MAX_BYTES / len(data)))
        pictures = [pictures[k] for k in evenly(len(pictures) - 1, fewer)]
        data = gif(pictures)
    return data, len(pictures)


def read_parameters(data: bytes) -> dict[str, Any]:
    """The generation parameters in a picture that `save` made, whatever saved it since.  Raises ValueError in words."""
    for text in png_texts(data) if data.startswith(MAGIC[0]) else gif_comments(data):
        try:  # as UTF-8, which JSON is, with or without a byte order mark, be it one that was read as Latin-1
            parameters = json.loads(text.replace(b"\xc3\xaf\xc2\xbb\xc2\xbf", b"").decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        if isinstance(parameters, dict) and "ddpm" in parameters:
            return parameters
    raise ValueError("There are no settings in that picture. Open a PNG or a GIF that was saved on this page.")


def png_texts(data: bytes) -> Iterator[bytes]:
    """The texts of a PNG, wherever they stand and whichever of its three kinds they are.  PNG, 3rd ed., 11.3.3."""
    at, left = len(MAGIC[0]), MAX_TEXT_BYTES
    for _ in range(MAX_PIECES):
        head = data[at : at + 8]
        kind, start, end = head[4:], at + 8, at + 8 + int.from_bytes(head[:4], "big")
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            text, packed = text_of(kind, data[start:end])
            if packed:
                text = unpacked(text, left)
                left -= len(text)
            yield text
        at = end + 4  # after its checksum


def text_of(kind: bytes, body: bytes) -> tuple[bytes, bool]:
    """(the text in a chunk, whether it is compressed).  Before it: keyword, zero, and what the kind has more."""
    _, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return rest, False
    if kind == b"zTXt":
        return rest[1:], True  # after the method, of which there is one
    return rest[2:].split(b"\0", 2)[-1], rest[:1] == b"\1"  # after flag, method, language, keyword in that language


def unpacked(packed: bytes, most: int) -> bytes:
    """What zlib had packed, but not more bytes than `most`; nothing if it is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, most) if most > 0 else b""
    except zlib.error:
        return b""


def gif_comments(data: bytes) -> Iterator[bytes]:
    """The comments of a GIF, before, between and after its pictures.  GIF89a, sections 18 to 24."""
    seen = 0

    def table(flags: int) -> int:
        """The bytes of the colour table that these flags announce."""
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    def blocks(at: int) -> tuple[bytes, int]:
        """(the data in the blocks from here, where the next thing begins)."""
        nonlocal seen
        found = []
        while at < len(data) and data[at] and seen < MAX_PIECES:
            found.append(data[at + 1 : at + 1 + data[at]])
            at += 1 + data[at]
            seen += 1
        return b"".join(found), at + 1

    at = 13 + table(data[10]) if len(data) > 13 else len(data)
    while at + 10 < len(data) and seen < MAX_PIECES:
        seen += 1
        if data[at] == 0x21:  # an extension
            found, end = blocks(at + 2)
            if data[at + 1] == 0xFE:
                yield found
            at = end
        elif data[at] == 0x2C:  # a picture
            at = blocks(at + 11 + table(data[at + 9]))[1]
        else:
            return
