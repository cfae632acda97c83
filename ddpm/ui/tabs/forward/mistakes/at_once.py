"""What Common mistakes computes of mistakes in sampling alone: drawn at once, with the weights that ship."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import torch
from torch import Tensor

from ddpm.evaluation import classifiers
from ddpm.guidance import Guided
from ddpm.ui.generation import recording
from ddpm.ui.generation.models import Model, ModelRegistry
from ddpm.ui.server import protocol
from ddpm.ui.server.sessions import Run

from . import mistakes
from .as_python import of_drawing
from .experiment import DIGITS, DRAW_STEPS, GUIDANCE, Ended, of_pictures


def shipped(registry: ModelRegistry) -> tuple[str, Model]:
    """The weights that draw, with their name.  Raises ValueError where none that ship can draw digits by class."""
    name, weights = registry.default, registry.get(registry.default)
    if not (weights.classifiable and weights.num_classes == DIGITS and weights.model.codec is None):
        raise ValueError("This server has no weights that draw digits by class. Switch on a mistake of training.")
    return str(name), weights


class Drawing(Run):
    """Two lanes along the reverse process from the same weights and noise, as it should be and broken."""

    def __init__(self, broken: Set[str], seed: int, name: str, weights: Model):
        """broken: of mistakes.AT_ONCE.  name: of the weights."""
        super().__init__()
        self.broken, self.seed, self.name, self.weights = broken, seed, name, weights
        self.stds: list[list[float]] = [[], []]

    def lane(self, broken: Set[str]) -> Iterator[Tensor]:
        w = self.weights
        y = torch.arange(DIGITS, device=w.model.device)
        guided, size = Guided(w.model, GUIDANCE), {"channels": w.channels, "img_size": w.img_size}
        return mistakes.draw(guided, w.sched, y, DRAW_STEPS, self.seed, broken, **size)

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job: the lanes take turns, one step of the reverse process each."""
        for k, lanes in enumerate(zip(self.lane(frozenset()), self.lane(self.broken), strict=True)):
            for i, x_t in enumerate(lanes):
                yield self.keep(i, k, x_t.cpu())

    def keep(self, i: int, k: int, x: Tensor) -> dict[str, Any]:
        """Lane i after k steps.  Digits are read once they are finished: in noise a classifier reads one, too."""
        self.stds[i].append(round(x.std().item(), 4))
        digits = classifiers.read(x).digits.tolist() if k == DRAW_STEPS else []
        frame = {"lane": i, "moment": k, "step": k, "pictures": protocol.b64(recording.frame(x)), "digits": digits}
        none = {"loss": None, "change": None, "scale": None, "given": None}
        return self.add(frame | none | of_pictures(x) | {"stds": list(self.stds[i])})

    def left_behind(self) -> Ended:
        return Ended(self.id, self.frames, self.python())

    def python(self) -> str:
        """Its broken lane; "" unless that is finished."""
        if len(self.frames) < 2 * (DRAW_STEPS + 1):
            return ""
        return of_drawing(self.name, self.weights, self.broken, self.seed, DIGITS, DRAW_STEPS, GUIDANCE)

    def about(self) -> dict[str, Any]:
        """As of an experiment, without a loss, and with steps of the drawing."""
        return {
            "at_once": True,
            "total": DRAW_STEPS + 1,
            "broken": [each for each in mistakes.NAMES if each in self.broken],
            "step": max(0, len(self.stds[1]) - 1),
            "num_steps": DRAW_STEPS,
            "curves": [],
            "n": DIGITS,
            "size": self.weights.img_size,
            "channels": self.weights.channels,
        }
