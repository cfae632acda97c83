"""The inner tab Draw: a drawing taken half-way back into noise, and what comes of it, while it is being drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ddpm.editing import draft
from ddpm.generate import Sampler
from ddpm.ui.components import controls, layout, pictures
from ddpm.ui.components.streaming import QUIET
from ddpm.ui.generation import recording
from ddpm.ui.generation.edited import Edit, Edited
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import last_of

from .editor import Editor, class_or_none, given_picture, opener, settings

TITLE = "Draw"
ANSWERS = 4
STEPS = 30  # from pure noise; from t0, the share of them that is left
FIRST_T0, ETA, FIRST_GUIDANCE = 0.6, 0.7, 2.0
GLANCE = 2  # evaluations of the first answer to a stroke: with one it is the mean of all digits
STRENGTHS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
NOTHING = "There is nothing drawn yet. Draw with mouse, pen or finger, or choose a picture."

SYMBOLS = symbols(
    {
        "y": "your drawing",
        "t_0": "how far it is noised: the strength",
        "√ᾱ_{t_0}": "what is left of it there, by the schedule",
        "ε": "noise from N(0, 1)",
    }
)
EQUATION = f"""
<math display="block"><msub><mi>x</mi><msub><mi>t</mi><mn>0</mn></msub></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><msub><mi>t</mi><mn>0</mn></msub></msub></msqrt><mi>y</mi><mo>+</mo>
<msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><msub><mi>t</mi><mn>0</mn></msub></msub></msqrt>
<mi>ε</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="t0" data-expr="t">·</mn></msub><mo>=</mo>
<mn class="signal"
data-live="a0" data-expr="gather(sched.sqrt_alphas_bar, t)">·</mn>
<mi>y</mi><mo>+</mo><mn class="noise"
data-live="b0" data-expr="gather(sched.sqrt_one_minus_alphas_bar, t)">·</mn><mi>ε</mi></math>
{SYMBOLS}
<p class="source">From t<sub>0</sub> a sampler walks back as it always does: it is told nothing else of y.</p>
<p class="code">SDEdit, Meng et al. 2022, Algorithm 1: <code>ddpm.editing.draft</code>,
<code>ddpm.diffusion.q_sample</code>, <code>ddpm.samplers.reverse_process</code></p>
"""


def start_of(times: list[int], t0: float) -> int:
    """The step whose time comes nearest to t0, a share of the first."""
    return min(range(len(times) - 1), key=lambda i: abs(times[i] - t0 * times[0]))


def from_draft(s: Settings, x0: Tensor, begin: int) -> Any:
    """What makes the moments of s.n answers to one drawing, from step `begin` on.  x0: (1, C, S, S)."""

    def process(sampler: Sampler) -> Iterator[Any]:
        drafts = sampler.seen(x0).expand(s.n, -1, -1, -1)
        return sampler.steps(s.n, s.y(), s.seed, start=draft(drafts, begin, sampler.times, sampler.sched, s.seed))

    return process


def asked_for(
    registry: ModelRegistry,
    page: Any,
    weights_id: Any,
    choice: Any,
    t0: Any,
    seed: Any,
    guidance: Any,
) -> tuple[Settings, Tensor, float]:
    """(settings, the drawing, t0 as a share of T) of what the page asks.  t0: of T = 1000.  Raises ValueError."""
    t0 = protocol.whole_number(t0, "Strength", 0, pictures.T - 1) / (pictures.T - 1)
    weights = registry.get(weights_id)
    s = settings(registry, weights_id, ANSWERS, choice, seed, min(STEPS, weights.sched.T), guidance, ETA)
    return s, given_picture(weights, page, NOTHING), t0


def glance(s: Settings, x0: Tensor, t0: float) -> Iterator[dict[str, Any] | None]:
    """The engine's job: the drawing at t0 and, by few evaluations, four answers to it."""
    sampler = s.sampler().below(round(t0 * (s.weights.sched.T - 1)), GLANCE)
    moments = from_draft(s, x0, 0)(sampler)
    first = next(moments)
    yield None
    last = yield from last_of(moments)
    signal = s.weights.sched.sqrt_alphas_bar[first.t].item()
    x_t, answers = (protocol.b64(recording.frame(sampler.pictures(moment.x_t))) for moment in (first, last))
    yield {"t": first.t, "signal": round(signal, 4), "x_t": x_t, "x0_hat": answers}


def row(s: Settings, x0: Tensor) -> Iterator[dict[str, Any] | None]:
    """The engine's job: the same drawing and noise at each of STRENGTHS."""
    answers, times, one = [], [], dataclasses.replace(s, n=1)
    for t0 in STRENGTHS:
        sampler = one.sampler()
        begin = start_of(sampler.times, t0)
        last = yield from last_of(from_draft(one, x0, begin)(sampler))
        answers.append(protocol.b64(recording.frame(sampler.pictures(last.x_t))))
        times.append(round(t0 * (pictures.T - 1)))
    yield {"answers": answers, "times": times}


def build(shared: layout.Shared) -> None:
    registry, weights, editor = shared.registry, shared.weights, Editor(shared, "draw")
    names = ("choice", "t0", "seed", "guidance")

    def make(page: Any, weights_id: Any, **values: Any) -> Edited:
        s, x0, t0 = asked_for(registry, page, weights_id, **values)
        begin = start_of(s.sampler().times, t0)
        way = range(begin, s.sampling.num_steps + 1)
        return Edited(s, edit=Edit({"x0": page["x0"]}, from_draft(s, x0, begin), way))

    def of_page(question: Any) -> tuple[Settings, Tensor, float]:
        question = protocol.fields(question)
        values = {name: question.get(name) for name in names}
        return asked_for(registry, question, question.get("weights"), **values)

    async def look(question: Any) -> dict[str, Any]:
        """What the page asks after every stroke: {x0, weights, pen, number} and the controls' values: see `glance`."""
        return await editor.answer(question, glance(*of_page(question)))

    async def strengths(question: Any) -> dict[str, Any]:
        """What it asks as Six strengths is pressed, the same: see `row`."""
        s, x0, _ = of_page(question)
        return await editor.answer(question, row(s, x0))

    start, _ = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice = controls.class_of("draw", registry, weights, class_or_none)
            label = "Strength t₀: how far back into noise"
            t0 = gr.Slider(0, pictures.T - 1, round(FIRST_T0 * pictures.T), step=1, label=label, elem_id="draw-t0")
            guidance = gr.Slider(0, 5, FIRST_GUIDANCE, step=0.1, label="Guidance", elem_id="draw-guidance")
            seed = controls.seed_and_dice("draw")
            go, halt = controls.go_and_stop("draw", "Denoise")
            with gr.Row(elem_classes="pair"):
                own = gr.Button("Upload", elem_id="draw-own")
                six = gr.Button("Six strengths", elem_id="draw-six")
            opened = opener("draw")
            gr.HTML(
                '<p class="hint">Draw on the black square. Each stroke is answered at once, by two steps; when the '
                "pen rests, by all of them.</p>"
            )
        view = layout.stage_and_margin(
            "draw",
            Path(__file__).with_name("draw.js"),
            {"weights": registry.default, "size": start.get("size", 32), "channels": start.get("channels", 1)},
            [*editor.answers, look, strengths],
            EQUATION,
            "At small t<sub>0</sub> your line stays and is only smoothed; at large t<sub>0</sub> next to nothing of it "
            "is left, and any digit may come. In between the network keeps what you meant and mends how you drew it.",
            {"t0": round(FIRST_T0 * pictures.T), "choice": choice.value, "seed": 0, "guidance": FIRST_GUIDANCE},
        )
    fields = dict(zip(names, (choice, t0, seed, guidance), strict=True))
    editor.connect(view, go, halt, opened, make, **fields)
    editor.tell_page(fields)
    own.click(None, None, None, js="() => { DDPM.tabs.draw.own(); }")
    six.click(None, None, None, js="() => { DDPM.tabs.draw.strengths(); }")

    @protocol.in_words
    def other_weights(weights_id: Any) -> dict[str, Any]:
        model = registry.get(weights_id)
        return {"weights": weights_id, "size": model.img_size, "channels": model.channels}

    weights.change(other_weights, weights, view, **QUIET)
