"""What a preset will do on this machine: how many pictures a second it trains on, from a measurement."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

import torch

from ddpm.config import Config, build_schedule
from ddpm.denoiser import picture_shape_of
from ddpm.device import pick_device
from ddpm.networks import build_model
from ddpm.presets import LATENTS, PIXELS, PRESETS
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.training.loop import fit
from ddpm.ui.server.engine import Busy, Engine, Job

from .request import is_latent, known

STEPS, WARM_UP = 6, 2  # optimiser steps that are taken, and those that do not count
BUNDLED = 10_000
GOOD_FOR = 120.0  # seconds: then it is measured again, since others may have begun to compute here, or ended
# Pictures seen until nine in ten digits are classified as what was asked for, by `python -m ddpm bench`.
LEGIBLE = {"fast": 6_200, "latent": 35_000}


def speed(config: Config) -> Iterator[float | None]:
    """Train a network of this configuration for some steps on noise.  Yields None after each, at last pictures/s."""
    config, codec = with_autoencoder(config)
    m, t = config.model, config.train
    model, sched = build_model(m, 0, codec).to(pick_device()), build_schedule(config.schedule, pick_device())
    images = torch.randint(0, 256, (t.batch_size, *picture_shape_of(model)), dtype=torch.uint8)
    labels = torch.arange(t.batch_size) % m.num_classes if m.num_classes else None
    seconds = [0.0]
    for state in filter(None, fit(model, images, labels, sched=sched, config=t, steps=STEPS)):
        seconds.append(state.seconds)
        yield None
    steps = [after - before for before, after in zip(seconds[WARM_UP:], seconds[WARM_UP + 1 :], strict=False)]
    yield t.batch_size / statistics.median(steps)


class Forecast:
    """The presets' speeds here, each measured when somebody asks and the last time is a while ago."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._jobs: dict[str, Job] = {}
        self._speeds: dict[str, tuple[float, float]] = {}  # and when that was

    def _measure(self, preset: str) -> Iterator[None]:
        for found in speed(known()[preset]):
            if found is not None:
                self._speeds[preset] = found, time.monotonic()
            yield None

    async def both(self, preset: str, digits: bool = True) -> str:
        """What the page says beside the choice: of this preset, and of the first one of the other space.

        digits: whether digits are to be trained on.
        """
        pair = (PIXELS, preset) if is_latent(preset) else (preset, LATENTS)
        return " ".join([await self.sentence(each, digits) for each in pair]).strip()

    async def sentence(self, preset: str, digits: bool = True) -> str:
        """What a preset will do here; nothing if it was never measured and cannot be now."""
        last = self._speeds.get(preset)
        if last is None or time.monotonic() - last[1] > GOOD_FOR:
            try:
                if preset not in self._jobs:
                    self._jobs[preset] = self.engine.submit(self._measure(preset), name="forecast")
                await asyncio.wrap_future(self._jobs[preset].finished)
                self._jobs.pop(preset, None)
            except Busy:
                pass  # what was found before holds
        return sentence(preset, self._speeds[preset][0], digits) if preset in self._speeds else ""


def sentence(preset: str, speed: float, digits: bool = True) -> str:
    """The forecast in words.  speed: pictures a second.  digits: how many are needed is known of these alone."""
    space = "latent space" if is_latent(preset) else "pixels"
    said = f"In {space} about {float(f'{speed:.2g}'):,.0f} digits a second here: "
    if preset not in PRESETS or not digits:
        return said.removesuffix(": ") + "."
    if preset in LEGIBLE:
        return said + f"legible after about {float(f'{LEGIBLE[preset] / speed:.2g}'):g} s."
    minutes = max(1, round(BUNDLED / speed / 60))
    return f"{said}{minutes} min to see the 10,000 bundled ones once."
