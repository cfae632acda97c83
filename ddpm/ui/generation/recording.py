"""A reverse process to look at: its frames as the page shows them, computed just now or read from a file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm.config import AutoencoderName
from ddpm.data import to_uint8

from ..server.protocol import b64
from ..server.sessions import Run
from .request import Settings

MAX_FRAMES = 100  # of a trajectory are kept, evenly chosen, first and last included
REACH = 3.0  # of a latent's channel: -REACH is black, REACH white


def frame(x: Tensor) -> np.ndarray:
    """Pictures in [-1, 1], (N, C, S, S), as the bytes that the page shows: uint8, (N, S, S, C), clamped."""
    return to_uint8(x).permute(0, 2, 3, 1).numpy()


def channels(z: Tensor) -> np.ndarray:
    """Latents, (N, c, s, s), as the bytes of which the page makes pictures of their channels: uint8, (N, c, s, s)."""
    return to_uint8(z / REACH).numpy()


def evenly(last: int, most: int) -> list[int]:
    """0..last, or `most` of them evenly chosen, first and last included."""
    return np.linspace(0, last, min(last + 1, most)).round().astype(int).tolist()


def pixels(text: str, shape: tuple[int, ...]) -> Tensor:
    """What `b64` made of pictures as the page shows them, as (n, C, S, S) uint8.  shape: (n, C, S, S)."""
    n, channels, height, width = shape
    data = np.frombuffer(base64.b64decode(text), np.uint8).reshape(n, height, width, channels)
    return torch.from_numpy(data.copy()).permute(0, 3, 1, 2)


def read_channels(text: str, shape: tuple[int, ...]) -> Tensor:
    """What `b64` made of `channels`, as uint8 of that shape, (n, c, s, s)."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape).copy())


class Recording(Run):
    """The kept frames of a reverse process, by position, and what it takes to go on from each.

    states: x_t of each frame.  shape: of the pictures shown, (n, C, S, S).  latent_shape, autoencoder: (c, s, s) of the
    states, and what decodes them, if the diffusion is of latents; None if it is of pixels.
    kept: which steps have a frame, or will have one.
    times_kept, signal: t and sqrt(alphas_bar) of each position there is or will be.
    dataset: what its weights were trained on.  parameters: what it takes to make the same again; settings: the same,
    checked, with its weights; None if they are not here.  parent: whose past it shares, if it is a branch.
    """

    states: list[Tensor]
    shape: tuple[int, int, int, int]
    latent_shape: tuple[int, int, int] | None
    autoencoder: AutoencoderName | None
    kept: set[int]
    times_kept: list[int]
    signal: list[float]
    dataset: str
    parameters: dict[str, Any]
    settings: Settings | None
    parent: Recording | None = None

    @staticmethod
    def frame(
        step: int,
        t: int,
        signal: float,
        x_t: np.ndarray,
        x0_hat: np.ndarray,
        towards: tuple[int, list[float], np.ndarray] | None,
        latents: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """The frame of a step at time t, where sqrt(alphas_bar) is `signal`; pictures as shown, (n, S, S, C) uint8.

        towards: the time s it leads to, the coefficients of its equation, and eps_hat as shown; None of the finished
        sample.  latents: `channels` of x_t, x0_hat and, of an unfinished sample, eps_hat; None of pixels.
        """
        s, coefficients, eps_hat = (towards[0], towards[1], b64(towards[2])) if towards else (None, None, None)
        return {
            "step": step,
            "t": t,
            "s": s,
            "signal": round(signal, 4),
            "coefficients": coefficients,
            "x_t": b64(x_t),
            "x0_hat": b64(x0_hat),
            "eps_hat": eps_hat,
            "latents": None if latents is None else {name: b64(z) for name, z in latents.items()},
        }

    @property
    def size(self) -> int:
        return super().size + sum(x.numel() * x.element_size() for x in self.states)

    def x0_hats_of(self, i: int) -> Tensor:
        """x0_hat of digit i in all frames, as shown: (frames, C, S, S) uint8."""
        return torch.stack([pixels(frame["x0_hat"], self.shape)[i] for frame in self.frames])

    def about(self) -> dict[str, Any]:
        """What the frames are of, and t and sqrt(alphas_bar) along them."""
        n, colours, size, _ = self.shape
        return {
            "total": len(self.times_kept),
            "n": n,
            "size": size,
            "channels": colours,
            "latent": self.latent_shape and {"channels": self.latent_shape[0], "side": self.latent_shape[1]},
            "sampler": self.parameters["sampler"],
            "num_steps": self.parameters["steps"],
            "times": self.times_kept,
            "signal": self.signal,
        }
