"""Pictures that a model draws itself, for views of one whose training pictures are not on this server."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from torch import Tensor

from ddpm.data import to_uint8
from ddpm.presets import PAGE_SAMPLING

from ..server.cache import LRUCache
from ..server.engine import Engine, last_of
from .as_python import drawing_lines, labels, model_lines, sampler_lines
from .labels import NONE, labels_of, named
from .models import Model
from .request import Settings

HOW = dataclasses.replace(PAGE_SAMPLING, sampler="dpmpp", eta=0.0, guidance=2.0, spacing="trailing")
KEPT_BYTES = 1_000_000  # of the pictures of one model


def kinds(weights: Model) -> tuple[str, ...]:
    """How such a picture is chosen: by a class, where the model knows classes."""
    return named(weights.class_names) if weights.num_classes else ()


def name_of(weights: Model, index: int) -> str:
    """What picture `index` was asked to be: the classes come in turn."""
    return weights.class_names[index % weights.num_classes] if weights.num_classes else ""


def settings_of(weights_id: str, weights: Model, index: int) -> Settings:
    """How picture `index` is drawn: of its class, with that seed."""
    choice = kinds(weights)[index % weights.num_classes] if weights.num_classes else NONE
    how = dataclasses.replace(HOW, num_steps=min(HOW.num_steps, weights.sched.T))
    return Settings(1, choice, labels_of(weights, choice), how, True, index, weights_id, weights)


class Drawing:
    """One picture, and the job that draws it.  The settings are not kept: they would keep the model."""

    def __init__(self, engine: Engine, s: Settings):
        self.pixels: Tensor | None = None
        self.job = engine.submit(self._steps(s), name="drawn")

    def _steps(self, s: Settings) -> Iterator[None]:
        sampler = s.sampler()
        last = yield from last_of(sampler.steps(1, s.y(), s.seed))
        self.pixels = to_uint8(sampler.pictures(last.x_t))[0]

    @property
    def failed(self) -> bool:
        return self.job.finished.done() and self.pixels is None

    def drawn(self) -> Tensor:
        """(C, S, S) uint8, once the job has ended.  Raises ValueError if it has failed."""
        if self.pixels is None:
            raise ValueError(self.job.error)
        return self.pixels


class Drawn:
    """What the models have drawn, while they are here: what many ask for is drawn once."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._kept: WeakKeyDictionary[Model, LRUCache] = WeakKeyDictionary()

    async def picture(self, weights_id: str, weights: Model, index: int) -> Tensor:
        """(C, S, S) uint8.  Raises ValueError."""
        drawing = self._begun(weights_id, weights, index)
        await asyncio.wrap_future(drawing.job.finished)
        return drawing.drawn()

    def at_once(self, weights_id: str, weights: Model, index: int) -> Tensor:
        """The same, for the start of the page only, because it blocks."""
        drawing = self._begun(weights_id, weights, index)
        drawing.job.finished.result()
        return drawing.drawn()

    def _begun(self, weights_id: str, weights: Model, index: int) -> Drawing:
        kept = self._kept.setdefault(weights, LRUCache(KEPT_BYTES))
        drawing: Drawing | None = kept.get(str(index))
        if drawing is None or drawing.failed:
            drawing = Drawing(self._engine, settings_of(weights_id, weights, index))
            kept.put(str(index), drawing, weights.channels * weights.img_size**2)
        return drawing


def lines(name: str, weights_id: str, weights: Model, index: int) -> list[str]:
    """Picture `index` as lines of Python: (1, C, S, S) in [-1, 1], under that name.  After `sampler_of`."""
    s = settings_of(weights_id, weights, index)
    x0 = f"{name} = ddpm.from_uint8(ddpm.to_uint8(sampler.pictures(step.x_t)))"
    about = name_of(weights, index)
    return [*drawing_lines(1, labels(s.y()), s.seed), f"{x0}  # {about}" if about else x0]


def sampler_of(weights_id: str, weights: Model) -> list[str]:
    """`sampler`, which draws them."""
    return [*model_lines(weights_id, weights), *sampler_lines(settings_of(weights_id, weights, 0).sampler().sampling)]
