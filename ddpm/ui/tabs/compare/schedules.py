"""The inner tab Compare schedules: one digit and one noise along each, mixed in the page."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from ddpm.ui.components import layout, links, pictures

TITLE = "Compare schedules"
FIRST_T = 500
EQUATION = """
<math display="block"><mtext>SNR</mtext><mo>=</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub><mo>/</mo>
<mo>(</mo><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub><mo>)</mo></math>
<p class="source">linear: Ho et al. 2020. cosine: Nichol and Dhariwal 2021, Eq. 17. log-SNR: a straight line in decibels
between the ends of the linear one.</p>
<p class="code">computed by <code>ddpm.schedule.make_schedule</code></p>
<h2>Signal to noise, dB</h2><div class="ratios"></div><p class="legend"></p>
"""


def build(shared: layout.Shared) -> None:
    registry, weights = shared.registry, shared.weights
    start, names = pictures.opening(registry)
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("schedules", names, "primary")
            gr.HTML('<p class="hint">One digit and one ε, along each schedule. Drag <b>t</b> under the pictures.</p>')
        view = layout.stage_and_margin(
            "schedules",
            Path(__file__).with_name("schedules.js"),
            start,
            [],
            EQUATION,
            "The linear schedule spends half its steps on pictures that are noise already; the cosine one spends "
            "them evenly; the straight one loses as many decibels in every step.",
            {"t": FIRST_T},
        )
    pictures.follow(registry, weights, view, choice, another, again)
    links.keep(view, t=links.whole(pictures.T - 1, FIRST_T))
