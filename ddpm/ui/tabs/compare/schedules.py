"""The inner tab Compare schedules: one digit and one noise along each, mixed in the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.schedule import SCHEDULES
from ddpm.ui.components import digits_as_python, layout, links, pictures
from ddpm.ui.generation.models import Model

TITLE = "Compare schedules"
FIRST_T = 500
TIMES = (0, 125, 250, 375, 500, 625, 750, 875, 999)  # of the pictures
AB_T, AB_BEFORE = (
    f"<msub><mover><mi>α</mi><mo>¯</mo></mover><mrow>{index}</mrow></msub>"
    for index in ("<mi>t</mi>", "<mi>t</mi><mo>−</mo><mn>1</mn>")
)
BETA_T, ALPHA_T = "<msub><mi>β</mi><mi>t</mi></msub>", "<msub><mi>α</mi><mi>t</mi></msub>"
VARIANCE_T = "<msub><mover><mi>β</mi><mo>~</mo></mover><mi>t</mi></msub>"
EQUATION = f"""
<math display="block">{ALPHA_T}<mo>=</mo><mn>1</mn><mo>−</mo>{BETA_T}<mo>,</mo><mspace width="0.7em"></mspace>
{AB_T}<mo>=</mo>{ALPHA_T}{AB_BEFORE}</math>
<math display="block">{VARIANCE_T}<mo>=</mo><mfrac><mrow><mn>1</mn><mo>−</mo>{AB_BEFORE}</mrow>
<mrow><mn>1</mn><mo>−</mo>{AB_T}</mrow></mfrac>{BETA_T}<mo>,</mo><mspace width="0.7em"></mspace>
<mtext>SNR</mtext><mo>=</mo><mfrac>{AB_T}<mrow><mn>1</mn><mo>−</mo>{AB_T}</mrow></mfrac></math>
<p class="source">Ho et al. 2020, Eq. 2, 4 and 7. cosine: Nichol and Dhariwal 2021, Eq. 17. log-SNR: straight in
decibels. <code>ddpm.schedule.make_schedule</code></p>
<table class="points tables"><tr><th>t = <span data-live="t">·</span></th><th>β<sub>t</sub></th><th>α<sub>t</sub></th>
<th>ᾱ<sub>t</sub></th><th>β̃<sub>t</sub></th></tr></table>
<h2>β<sub>t</sub>, and thin β̃<sub>t</sub></h2><div class="betas"></div>
<h2>Signal to noise, dB</h2><div class="ratios"></div><p class="legend"></p>
"""


def python_lines(weights: Model, asked: dict[str, Any]) -> list[str]:
    return [
        f"times = torch.tensor({list(TIMES)})",
        f"scheds = [ddpm.make_schedule({pictures.T}, kind=kind) for kind in {tuple(SCHEDULES)}]",
        f"x0s = x0.expand({len(TIMES)}, -1, -1, -1)",
        "rows = [ddpm.q_sample(x0s, times, eps, sched) for sched in scheds]",
        *digits_as_python.shown("*rows", n=len(SCHEDULES) * len(TIMES), columns=len(TIMES)),
    ]


def build(shared: layout.Shared) -> None:
    registry, weights = shared.registry, shared.weights
    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("schedules", names, "primary")
            gr.HTML('<p class="hint">One digit and one ε, along each schedule. Drag <b>t</b> under the pictures.</p>')
        view = layout.stage_and_margin(
            "schedules",
            Path(__file__).with_name("schedules.js"),
            start,
            [digits_as_python.answering(registry, "schedules", TITLE, python_lines)],
            EQUATION,
            "The linear schedule spends half its steps on pictures that are noise already; the cosine one spends "
            "them evenly; the straight one loses as many decibels in every step.",
            {"t": FIRST_T, "times": TIMES},
        )
    shared.pictures.follow(weights, view, choice, another, again)
    links.keep(view, t=links.whole(pictures.T - 1, FIRST_T))
