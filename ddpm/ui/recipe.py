"""A finished run as a PNG or a GIF that holds its own recipe, and the recipe read back."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..data import grid
from .sampling import Settings

HEAD_BYTES = 65_536  # of a dropped file are sent to the server: the recipe stands before the pixels


def save(frames: list[dict[str, Any]], settings: Settings, kind: str) -> bytes:
    """The finished grid as a PNG, or the denoising as a GIF, with the recipe in its metadata."""
    w, recipe = settings.weights, json.dumps(settings.recipe())
    shape = (settings.n, w.img_size, w.img_size, w.channels)

    def sheet(frame: dict[str, Any]) -> Image.Image:
        pixels = np.frombuffer(base64.b64decode(frame["x"]), np.uint8).reshape(shape)
        columns = math.ceil(math.sqrt(settings.n))
        return grid(torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2), columns, zoom=4 if settings.n <= 16 else 2)

    buffer = io.BytesIO()
    if kind == "png":
        text = PngInfo()
        text.add_text("ddpm", recipe)
        sheet(frames[-1]).save(buffer, "PNG", pnginfo=text)
    else:
        pictures = [sheet(frame) for frame in frames]
        hold = [60] * (len(pictures) - 1) + [2000]
        more = {"append_images": pictures[1:], "duration": hold, "loop": 0, "comment": recipe}
        pictures[0].save(buffer, "GIF", save_all=True, **more)
    return buffer.getvalue()


def read_recipe(text: Any) -> dict[str, Any]:
    """The recipe in the first bytes, base64, of a file that `save` made.  Raises ValueError in words."""
    wrong = ValueError("There is no recipe in that file. Drop a PNG or a GIF that was saved on this page.")
    if not isinstance(text, str) or len(text) > 4 * HEAD_BYTES:
        raise wrong
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG", "GIF")) as picture:
            recipe = json.loads(picture.info.get("ddpm") or picture.info.get("comment") or "")
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError):
        raise wrong from None
    if not isinstance(recipe, dict) or "ddpm" not in recipe:
        raise wrong
    return recipe
