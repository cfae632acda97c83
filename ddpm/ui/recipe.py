"""A finished run as a PNG or a GIF that holds its own recipe, and the recipe read back."""

from __future__ import annotations

import io
import json
import math
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..data import grid
from .film import Film, evenly, pixels

MAX_BYTES = 10_000_000  # of a file that this page saves: it is to be opened here again
MAGIC = (b"\x89PNG\r\n\x1a\n", b"GIF8")
HEAD_BYTES = 65_536  # of a picture are read: the recipe stands before the pixels
# Files that were saved before the page offered a choice did without saying:
BEFORE = {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}


def save(film: Film, kind: str) -> tuple[bytes, int]:
    """The last grid as a PNG, or the denoising as a GIF, with the recipe in its metadata; and of how many frames.

    As many as fit into MAX_BYTES, evenly chosen, first and last included.
    """
    n, recipe = film.shape[0], json.dumps(film.recipe)

    def sheet(frame: dict[str, Any]) -> Image.Image:
        return grid(pixels(frame["x"], film.shape), math.ceil(math.sqrt(n)), zoom=4 if n <= 16 else 2)

    def gif(pictures: list[Image.Image]) -> bytes:
        hold = [60] * (len(pictures) - 1) + [2000]
        more = {"append_images": pictures[1:], "duration": hold, "loop": 0, "comment": recipe}
        buffer = io.BytesIO()
        pictures[0].save(buffer, "GIF", save_all=True, **more)
        return buffer.getvalue()

    if kind == "png":
        text, buffer = PngInfo(), io.BytesIO()
        text.add_text("ddpm", recipe)
        sheet(film.frames[-1]).save(buffer, "PNG", pnginfo=text)
        return buffer.getvalue(), len(film.frames)
    pictures = [sheet(frame) for frame in film.frames]
    data = gif(pictures)
    while len(data) > MAX_BYTES and len(pictures) > 2:
        fewer = max(2, int(0.95 * len(pictures) * MAX_BYTES / len(data)))
        pictures = [pictures[k] for k in evenly(len(pictures) - 1, fewer)]
        data = gif(pictures)
    return data, len(pictures)


def read_recipe(head: bytes) -> dict[str, Any]:
    """The recipe in the first bytes of a picture that `save` made.  Raises ValueError in words."""
    wrong = ValueError("There is no recipe in that picture. Open a PNG or a GIF that was saved on this page.")
    try:
        with Image.open(io.BytesIO(head), formats=("PNG", "GIF")) as picture:
            recipe = json.loads(picture.info.get("ddpm") or picture.info.get("comment") or "")
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError):
        raise wrong from None
    if not isinstance(recipe, dict) or "ddpm" not in recipe:
        raise wrong
    return recipe
