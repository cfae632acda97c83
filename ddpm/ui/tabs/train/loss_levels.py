"""The loss by noise level: where it sits, why, and what the network is asked and says there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm.autoencoder import Codec
from ddpm.data import Dataset, from_uint8
from ddpm.device import Inference
from ddpm.diffusion import q_sample
from ddpm.evaluation.losses import loss_by_level, times_in_levels
from ddpm.objective import target
from ddpm.schedule import Schedule
from ddpm.seeding import seeded
from ddpm.ui.generation import recording
from ddpm.ui.server import protocol

LEVELS = 10
EXAMPLES = 4  # pictures that a level shows in detail
REASONS = {
    "eps": "ε is plain where xₜ is nearly all noise, and cannot be known where hardly any is left.",
    "x0": "x₀ is plain where xₜ is nearly clean, and cannot be known where nothing of it is left.",
    "v": "v is nearly ε at low t and nearly −x₀ at high t: each is asked for where least of it can be seen.",
}
FORMS = ("where edges are drawn", "where a digit becomes one rather than another", "where its place and size are found")


class Levels:
    """Some pictures at every noise level, each with its own t and noise, always the same."""

    def __init__(self, data: Dataset, sched: Schedule, n: int, labelled: bool, codec: Codec | None = None):
        """n pictures of the data, its classes in turn; with their labels if the model is told them.

        codec: of a model of latents, the autoencoder that they are of.
        """
        self.sched, self.codec = sched, codec
        self.labels: Tensor | None = None
        if data.labels is None or not data.num_classes:
            chosen = torch.arange(min(n, len(data.images)))
        else:
            of_class = [torch.nonzero(data.labels == c).flatten() for c in range(data.num_classes)]
            turns = [of_class[i % len(of_class)][i // len(of_class) :][:1] for i in range(n)]
            chosen = torch.cat(turns)
        if labelled and data.labels is not None:
            self.labels = data.labels[chosen]
        self.images = data.images[chosen]
        self.t = times_in_levels(LEVELS, len(self.images), sched.T)

    def measure(self, model: Inference) -> Iterator[float]:
        """The loss at each level, one after the other."""
        for loss in loss_by_level(model, self.images, self.labels, self.sched, LEVELS):
            yield round(loss, 5)

    def noised(self, chosen: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x0, noise and x_t of the chosen pictures at t, (len(chosen),)."""
        x0 = from_uint8(self.images[chosen])
        if self.codec is not None:
            x0 = self.codec.posterior(x0.to(self.sched.betas.device))[0].cpu()
        noise = torch.randn(x0.shape, generator=seeded(1))
        return x0, noise, q_sample(x0, t, noise, self.sched.to("cpu"))

    def thumbnails(self) -> list[str]:
        """One picture at the middle of each level, as the page gets it."""
        middle = self.t[:, self.t.shape[1] // 2]
        _, _, x_t = self.noised(torch.full((LEVELS,), min(7, len(self.images) - 1)), middle)
        return [self.shown(one[None]) for one in x_t]

    def shown(self, x: Tensor) -> str:
        """Pictures as the page gets them; of latents, those that they decode to."""
        pictures = x if self.codec is None else self.codec.decode(x.to(self.sched.betas.device)).cpu()
        return protocol.b64(recording.frame(pictures))

    def detail(self, model: Inference, level: int) -> dict[str, Any]:
        """Input, target, prediction and residual, (prediction - target)/2, of some pictures at a level, as pictures."""
        chosen = torch.linspace(0, len(self.images) - 1, EXAMPLES).round().long()
        t = self.t[level, chosen]
        x0, noise, x_t = self.noised(chosen, t)
        expected = target(x0, noise, t, self.sched.to("cpu"), model.prediction)
        y = [] if self.labels is None else [self.labels[chosen].to(model.device)]
        output = model(x_t.to(model.device), t.to(model.device), *y).float().cpu()
        shown = {"input": x_t, "target": expected, "prediction": output, "residual": (output - expected) / 2}
        answer = {name: self.shown(x) for name, x in shown.items()}
        return answer | {
            "t": t.tolist(),
            "losses": [round(v, 4) for v in (output - expected).square().mean((1, 2, 3)).tolist()],
        }


def about(history: Sequence[tuple[float, list[float]]], T: int, prediction: str) -> str:
    """What the measured levels say: where the loss sits, and what has happened to it since half the time.

    history: (seconds, loss at each level) of the moments so far, the latest last.
    """
    seconds, now = history[-1]
    low, high = sum(now[:3]) / sum(now), sum(now[-3:]) / sum(now)
    name = {"eps": "ε", "x0": "x₀"}.get(prediction, prediction)
    text = f"Asked for {name}, the network has {low:.0%} of its loss at t < {round(0.3 * T)} and {high:.0%} "
    text += f"at t ≥ {round(0.7 * T)}: {REASONS[prediction]}"
    earlier = [(s, levels) for s, levels in history if s <= seconds / 2]
    if not earlier:
        return text
    since, before = earlier[-1]
    fell = 1 - sum(now) / sum(before)
    falls = [1 - a / b for a, b in zip(now, before, strict=True)]
    most = max(range(len(falls)), key=falls.__getitem__)
    text += f" Since {since:g} s the mean has "
    if fell >= 0.1:
        return text + f"fallen by {fell:.0%}."
    text += f"only fallen by {fell:.0%}" if fell > 0.01 else "hardly moved"
    if falls[most] < max(0.03, 1.5 * fell):
        return text + ": much of what is left, nobody could predict."
    where = FORMS[0 if most < 3 else 1 if most < 7 else 2]
    span = f"{round(most * T / len(now))} to {round((most + 1) * T / len(now)) - 1}"
    return text + f", yet by {falls[most]:.0%} at t = {span}, {where}: that is what you see improve."
