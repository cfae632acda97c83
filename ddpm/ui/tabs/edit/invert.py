"""The inner tab Invert: a real digit walked to the noise it is drawn from, back, and on to all other classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.evaluation import classifiers
from ddpm.generate import Sampler
from ddpm.inversion import invert
from ddpm.samplers import SampleStep
from ddpm.ui.components import controls, layout, pictures
from ddpm.ui.generation.edited import Edit, Edited
from ddpm.ui.generation.labels import NONE, label_of
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import last_of

from .editor import MAX_LABEL, Editor, given_picture, meant, opener, own_or_another, settings

TITLE = "Invert"
FIRST_STEPS, MOST_STEPS = 50, 100
MOST_CLASSES = 10  # that the same noise is told
MEASURED = (5, 10, 20, 50, 100)  # steps there, and as many back
NOTHING = "That picture is empty. Choose another digit."

SYMBOLS = symbols(
    {
        "x̂_0, ε̂": "what the network says at t",
        "s": "the next time: above t on the way to noise, below it on the way back",
        "ᾱ_s": "the share of the variance that is the digit's",
    }
)
EQUATION = f"""
<math display="block" class="long"><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo><msqrt><msub><mover><mi>α</mi><mo>¯</mo>
</mover><mi>s</mi></msub></msqrt><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>+</mo><msqrt><mn>1</mn>
<mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></msqrt><mover><mi>ε</mi><mo>^</mo></mover></math>
<math display="block" class="numbers"><mi>t</mi><mo>=</mo><mn
data-live="t" data-expr="t">·</mn><mo>→</mo><mi>s</mi><mo>=</mo>
<mn data-live="s" data-expr="s">·</mn></math>
{SYMBOLS}
<p class="source">Upwards, what it says at t stands for what it would say at s: that is the error.</p>
<h2>Error of the way there and back</h2><div class="errors"></div>
<p class="source">Root mean square over pixels from −1 to 1, over the steps each way; dashed: first order.</p>
<p class="code">DDIM, Song et al. 2021, Eq. 12 and section 4.3: <code>ddpm.inversion.invert</code></p>
"""


def there_and_back(sampler: Sampler, x0: Tensor, y: Tensor | None, others: Tensor | None) -> Iterator[SampleStep]:
    """From x0 to noise, told the class y, and from there on to pictures, one of each of `others`.

    x0: (1, C, S, S).  y: (1,), others: (n,) int64; None of a model without classes.
    """
    n = 1 if others is None else len(others)
    y = None if y is None else y.to(sampler.device)
    for moment in invert(sampler.model, sampler.sched, sampler.seen(x0), y=y, num_steps=sampler.sampling.num_steps):
        x_t, x0_hat = (x.expand(n, -1, -1, -1) for x in (moment.x_t, moment.x0_hat))
        if moment.i < sampler.sampling.num_steps:  # the last is where the way back starts
            yield SampleStep(moment.i, moment.t, x_t, x0_hat, None)
    yield from sampler.steps(n, others, start=(0, x_t))


def changed(y: Tensor, model: Model) -> Tensor:
    """A label of attributes, and after it the same with another value of each in turn: (1 + A, A)."""
    many = torch.tensor([len(each.values) for each in model.attributes])
    return torch.cat([y[None], torch.where(torch.eye(len(y), dtype=torch.bool), (y + 1) % many, y)])


@dataclass
class Inverted(Edited):
    """There and back, and afterwards the error of it over the number of steps."""

    x0: Tensor = field(kw_only=True)
    y: Tensor | None = field(kw_only=True)
    others: Tensor | None = field(kw_only=True)  # what each picture is told on the way back
    own: int | None = field(kw_only=True)  # which of the pictures is of the class that was told on the way there
    names: list[str] | None = field(kw_only=True)  # of what each picture is told, where that is no class
    errors: list[float] = field(default_factory=list)  # of MEASURED, so far

    def steps(self) -> Iterator[dict[str, Any] | None]:
        yield from super().steps()
        for count in MEASURED:
            sampling = dataclasses.replace(self.settings.sampling, num_steps=min(count, self.settings.weights.sched.T))
            sampler = Sampler(self.settings.weights.model, self.settings.weights.sched, sampling)
            last = yield from last_of(there_and_back(sampler, self.x0, self.y, self.y))
            error = sampler.pictures(last.x_t) - sampler.pictures(sampler.seen(self.x0))
            self.errors.append(round(error.square().mean().sqrt().item(), 5))
            yield {}

    def about(self) -> dict[str, Any]:
        reader = self.settings.weights.reader
        told = {"names": self.names, "classes": classifiers.classes_of(reader) if reader else None}
        return super().about() | {"errors": self.errors, "measured": MEASURED, "own": self.own} | told


def build(shared: layout.Shared) -> None:
    registry, weights, editor = shared.registry, shared.weights, Editor(shared, "invert")

    def make(page: Any, weights_id: Any, choice: Any, steps: Any) -> Edited:
        model, label = registry.get(weights_id), str(page.get("label", ""))[:MAX_LABEL]
        x0, told = given_picture(model, page, NOTHING), meant(model, choice, label)
        steps = protocol.whole_number(steps, "Steps", 1, min(MOST_STEPS, model.sched.T))
        y = others = None
        if model.conditional:
            y = torch.tensor([label_of(model, told)])
            others = changed(y[0], model) if model.attributes else torch.arange(min(model.num_classes, MOST_CLASSES))
        n = 1 if others is None else len(others)
        s = settings(registry, weights_id, n, NONE, 0, steps, 1.0, clip=False)

        def process(sampler: Sampler) -> Iterator[SampleStep]:
            return there_and_back(sampler, x0, y, others)

        own = 0 if model.attributes else int(y) if y is not None and 0 <= int(y) < n else None
        way = [*range(steps, 0, -1), *range(steps + 1)]
        edit, names = Edit({"x0": page["x0"], "label": label}, process, way, folded=False), None
        if model.attributes and others is not None:
            names = ["as told"]
            for a, value in zip(model.attributes, others[1:].diagonal().tolist(), strict=True):
                names.append({"yes": a.name, "no": f"no {a.name}"}.get(a.values[value], a.values[value]))
        return Inverted(s, edit=edit, x0=x0, y=y, others=others, own=own, names=names)

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            picked, another, own = pictures.choosing("invert", names, beside=("own", "Draw or upload"))
            choice = controls.class_of("invert", registry, weights, own_or_another, label="Class told on the way there")
            steps = gr.Slider(2, MOST_STEPS, FIRST_STEPS, step=1, label="Steps each way", elem_id="invert-steps")
            go, halt = controls.go_and_stop("invert", "Invert")
            opened = opener("invert")
            gr.HTML(
                '<p class="hint">The way there is one picture, shown once for each class. On the way back every tile '
                "is told a class of its own, from the same noise.</p>"
            )
        view = layout.stage_and_margin(
            "invert",
            Path(__file__).with_name("invert.js"),
            start,
            editor.answers,
            EQUATION,
            "Told its own class, the digit comes back. Told another, the same noise becomes another digit in much the "
            "same hand: slant, size and width of the line stay, for they are in the noise, and the class is not.",
        )
    shared.pictures.follow(weights, view, picked, another)
    own.click(None, None, None, js="() => { DDPM.tabs.invert.own(); }")
    editor.connect(view, go, halt, opened, make, choice=choice, steps=steps)
