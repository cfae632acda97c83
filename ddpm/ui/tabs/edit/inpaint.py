"""The inner tab Inpaint: a part of a digit held fixed, the rest drawn to it, as often again as is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.editing import Known
from ddpm.generate import Sampler
from ddpm.ui.components import controls, layout, pictures
from ddpm.ui.components.streaming import QUIET
from ddpm.ui.generation import recording
from ddpm.ui.generation.edited import Edit, Edited, resampled
from ddpm.ui.generation.labels import ALL, NONE, choices
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.generation.request import Settings
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import last_of

from .editor import MAX_LABEL, Editor, given_picture, meant, opener, own_or_another, settings

TITLE = "Inpaint"
FILLINGS = 4
STEPS, ETA, FIRST_GUIDANCE, MOST_RESAMPLINGS = 20, 0.7, 2.0, 10
NOTHING = "That picture is empty: there is nothing to keep. Choose another digit."

SYMBOLS = symbols(
    {
        "m": "1 where it is kept, 0 where it is drawn",
        'x_s^"known"': "what is kept, x<sub>0</sub>, noised to s by ε",
        'x_s^"drawn"': "the sampler's own step to s",
        "√ᾱ_s": "what is left of x<sub>0</sub> there",
    }
)
EQUATION = f"""
<math display="block" class="long"><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo><mi>m</mi><mo>⊙</mo><msubsup><mi>x</mi>
<mi>s</mi><mtext>known</mtext></msubsup><mo>+</mo><mo>(</mo><mn>1</mn><mo>−</mo><mi>m</mi><mo>)</mo><mo>⊙</mo>
<msubsup><mi>x</mi><mi>s</mi><mtext>drawn</mtext></msubsup></math>
<math display="block" class="long"><msubsup><mi>x</mi><mi>s</mi><mtext>known</mtext></msubsup><mo>=</mo><msqrt><msub>
<mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></msqrt><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo><msqrt><mn>1</mn>
<mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></msqrt><mi>ε</mi></math>
<math display="block" class="numbers"><mi>s</mi><mo>=</mo><mn
data-live="s" data-expr="s">·</mn><mo>,</mo><mspace width="0.5em">
</mspace><msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></msqrt><mo>=</mo><mn class="signal"
data-live="a" data-expr="ab_s.sqrt()">·</mn></math>
{SYMBOLS}
<p class="source">With r resamplings each step is taken r times, back up to t in between; r = 1 is plain
replacement.</p>
<p class="code">RePaint, Lugmayr et al. 2022, Algorithm 1 and Eq. 8: <code>ddpm.editing.Known</code>,
<code>ddpm.samplers.reverse_process</code></p>
"""


def read_mask(text: Any, weights: Model) -> Tensor:
    """What is erased of a picture: base64 of (S, S) bytes, 0 for what is kept.  Returns bool, (1, 1, S, S): what is
    known.  Raises ValueError in words, of one that keeps everything or nothing too."""
    size = weights.img_size
    erased = protocol.pixels(text, (size, size), "What is erased does not fit the picture. Erase it again.")
    known = torch.from_numpy(erased == 0)[None, None]
    if bool(known.all()):
        raise ValueError("Nothing is erased yet. Brush over what is to be drawn anew, or press Left half.")
    if not bool(known.any()):
        raise ValueError("Everything is erased. Leave some of the digit: without any of it, Generate in Reverse.")
    return known


def drawn(s: Settings) -> Iterator[dict[str, Any] | None]:
    """The engine's job: one digit of the settings, as the page has pictures."""
    sampler = s.sampler()
    last = yield from last_of(sampler.steps(1, s.y(), s.seed))
    told = s.labels[0]
    label = (*s.weights.class_names, "")[told] if isinstance(told, int) else s.choice
    yield {"x0": protocol.b64(recording.frame(sampler.pictures(last.x_t))), "label": label, "drawn": True}


def build(shared: layout.Shared) -> None:
    registry, weights, editor = shared.registry, shared.weights, Editor(shared, "inpaint")

    def make(page: Any, weights_id: Any, choice: Any, resamplings: Any, seed: Any, guidance: Any, steps: Any) -> Edited:
        model = registry.get(weights_id).on_pixels()
        label = str(page.get("label", ""))[:MAX_LABEL]
        s = settings(registry, weights_id, FILLINGS, meant(model, choice, label), seed, steps, guidance, ETA)
        x0, mask = given_picture(model, page, NOTHING), read_mask(page.get("erased"), model)
        r = protocol.whole_number(resamplings, "Resamplings", 1, MOST_RESAMPLINGS)

        def process(sampler: Sampler) -> Iterator[Any]:
            known = Known(sampler.seen(x0).expand(FILLINGS, -1, -1, -1), mask.to(sampler.device), r)
            return sampler.steps(FILLINGS, s.y(), s.seed, known=known)

        of_page = {"x0": page["x0"], "erased": page["erased"], "label": label}
        return Edited(s, edit=Edit(of_page, process, resampled(0, s.sampling.num_steps, r)))

    @protocol.in_words
    async def generated(chosen: Any, weights_id: Any, seed: Any) -> dict[str, Any]:
        """A digit that the model draws, in place of a bundled one."""
        model = registry.get(weights_id).on_pixels()
        choice = chosen if chosen in choices(model) else ALL if model.num_classes else NONE
        if choice == ALL:
            seed_now = protocol.whole_number(seed, "Seed", 0, protocol.MAX_SEED)
            choice = choices(model)[2 + seed_now % model.num_classes]
        s = settings(registry, weights_id, 1, choice, seed, STEPS, FIRST_GUIDANCE, ETA)
        return await shared.engine.submit(drawn(s)).result()

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            picked, another, generate = pictures.choosing("inpaint", names, beside=("generate", "Generate one"))
            own = gr.Button("Draw or upload", elem_id="inpaint-own")
            choice = controls.class_of("inpaint", registry, weights, own_or_another, label="Class to fill with")
            r = gr.Slider(1, MOST_RESAMPLINGS, 1, step=1, label="r: resamplings of each step", elem_id="inpaint-r")
            seed = controls.seed_and_dice("inpaint")
            go, halt = controls.go_and_stop("inpaint", "Fill")
            with gr.Accordion("More", open=False, elem_id="inpaint-more"):
                guidance = gr.Slider(0, 5, FIRST_GUIDANCE, step=0.1, label="Guidance", elem_id="inpaint-guidance")
                steps = gr.Slider(2, 50, STEPS, step=1, label="Steps", elem_id="inpaint-steps")
            opened = opener("inpaint")
        view = layout.stage_and_margin(
            "inpaint",
            Path(__file__).with_name("inpaint.js"),
            start,
            editor.answers,
            EQUATION,
            "What is known is noised afresh at every step, so that it always fits the time; what is drawn has to fit "
            "it. With r = 1 the seam may show: what was drawn has met its neighbour only once a step. With larger r "
            "watch the playhead jump back, and the two halves agree.",
        )
    shared.pictures.follow(weights, view, picked, another)
    generate.click(generated, [picked, weights, seed], view, **QUIET)
    own.click(None, None, None, js="() => { DDPM.tabs.inpaint.own(); }")
    fields = {"choice": choice, "resamplings": r, "seed": seed, "guidance": guidance, "steps": steps}
    editor.connect(view, go, halt, opened, make, **fields)
