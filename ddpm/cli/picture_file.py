"""Drawn pictures as a file: a grid, an animation or the arrays; and what can be refused before they are drawn."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from ..data import grid, to_uint8
from ..storage.atomic import check_writable, write_atomic

SUFFIXES = (".png", ".gif", ".npz")
GIF_FRAMES = 100  # at most, evenly chosen
GIF_SIDE = 65_535  # pixels: the format has sixteen bits for each side
GAP = 2  # pixels between the pictures of a grid


def check_place(out: Path) -> None:
    """Raise ValueError if pictures cannot be written into this file, whichever they are."""
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out: a file that ends in .png, .gif or .npz, not {out.name!r}")
    check_writable(out, "--out: ")


def check_fits(out: Path, n: int, channels: int, size: int) -> None:
    """Raise ValueError if this kind of file does not hold n pictures of so many channels and pixels a side."""
    if out.suffix.lower() == ".npz":
        return
    if channels not in (1, 3):
        raise ValueError(f"--out: this model draws {channels} channels, which only .npz can hold, not {out.suffix}")
    columns, zoom = layout(n)
    most = columns * ((GIF_SIDE // zoom - GAP) // (size + GAP))
    if out.suffix.lower() == ".gif" and n > most:
        raise ValueError(
            f"--n {n}: the sides of a .gif are at most {GIF_SIDE} pixels, which is {most} of these pictures; "
            f"ask for fewer, or write a .png or .npz"
        )


def layout(n: int) -> tuple[int, int]:
    """(columns, zoom) of a grid of n pictures."""
    return 10 if n > 16 else 4, 1 if n > 400 else 2


def moments(out: Path, steps: int) -> set[int]:
    """The moments 0..steps of a reverse process that this kind of file shows."""
    if out.suffix.lower() != ".gif":
        return {steps}
    return set(np.linspace(0, steps, min(steps + 1, GIF_FRAMES)).round().astype(int).tolist())


def write_images(out: Path, frames: list[Tensor], labels: Tensor | None) -> None:
    """frames: (N, C, H, W) each, the last one the samples.  labels: (N,) int64, or None for no class."""
    buffer, kind = io.BytesIO(), out.suffix.lower()
    if kind == ".npz":
        n = len(frames[-1])
        none = np.full(n, -1, dtype=np.int64)
        np.savez(buffer, images=frames[-1].clamp(-1, 1).numpy(), labels=none if labels is None else labels.numpy())
    else:
        columns, zoom = layout(len(frames[-1]))
        pictures = [grid(to_uint8(frame), columns, GAP, zoom) for frame in frames]
        if kind == ".png":
            pictures[-1].save(buffer, "PNG")
        else:
            hold = [80] * (len(pictures) - 1) + [2000]
            pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=hold, loop=0)
    write_atomic(out, buffer.getvalue())
