"""Which device, and which precision on it: measured, not guessed."""

from __future__ import annotations

import functools
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .denoiser import prediction_of


def on_zerogpu() -> bool:
    """Whether this is a Space whose GPU is lent for one call at a time.

    There torch is made to say that there is CUDA, but only processes forked for one call each have it.
    """
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def pick_device() -> torch.device:
    """CUDA or Apple's MPS where there is one, else the CPU, as in a ZeroGPU Space's own process."""
    if on_zerogpu():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@functools.lru_cache
def bfloat16_is_faster(device_type: str) -> bool:
    """Time a small convolution both ways: without native units (many CPUs), bfloat16 is slower than float32."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu":
        return False
    x = torch.randn(32, 64, 16, 16).to(memory_format=torch.channels_last)
    w = torch.randn(64, 64, 3, 3)

    def best_of(runs: int, dtype: torch.dtype) -> float:
        a, b = x.to(dtype), w.to(dtype)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            F.conv2d(a, b, padding=1)
            times.append(time.perf_counter() - start)
        return min(times)

    return best_of(10, torch.bfloat16) < best_of(10, torch.float32)


def resolve_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """float32 and bfloat16 are taken at their word; auto is whichever is faster on this device."""
    if precision == "auto":
        precision = "bfloat16" if bfloat16_is_faster(torch.device(device).type) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def autocast(device: torch.device | str, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision: weights and sums stay in float32, convolutions and matrix products run in `dtype`."""
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32)


class Inference:
    """A model made ready to be asked: evaluation mode, channels_last, under autocast.  Called like the model itself.

    A context manager around a generator would leak into whatever runs between its steps; this is entered per call.
    """

    def __init__(self, model: nn.Module, precision: str = "float32"):
        self.model = model.eval().to(memory_format=torch.channels_last)
        self.prediction, self.codec = prediction_of(model), getattr(model, "codec", None)
        self.device = next(model.parameters()).device
        self.dtype = resolve_precision(precision, self.device)

    @torch.inference_mode()
    def __call__(self, x: Tensor, t: Tensor, *y: Tensor | None) -> Tensor:
        with autocast(self.device, self.dtype):
            return self.model(x.contiguous(memory_format=torch.channels_last), t, *y).contiguous()
