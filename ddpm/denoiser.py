"""What samplers and losses ask of a network, whichever it is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Denoiser(Protocol):
    """A network, or what is called like one.  Its output means what its attribute `prediction` says: `prediction_of`.

    x_t: (B, C, H, W).  t: (B,) int64, 0..T-1.  y: (B,) int64 labels, -1 for none; never given to a model without
    classes.  Returns a tensor like x_t.
    """

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None, /) -> Tensor: ...


def picture_shape_of(model: object) -> tuple[int, int, int]:
    """(C, H, W) of the pictures that a network of this package draws."""
    return model.picture_shape  # type: ignore[attr-defined]  # torch types modules as having no more


def prediction_of(model: Denoiser) -> str:
    """What a model's output means: its attribute `prediction`, eps, x0 or v; if it has none, eps as in the tutorial."""
    return getattr(model, "prediction", "eps")
