"""The inner tab Measure quality: quality against network evaluations, as measured beforehand and as measured live."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.ui.components import controls, layout
from ddpm.ui.components.streaming import QUIET, Streaming
from ddpm.ui.generation.as_python import packet_of
from ddpm.ui.generation.labels import ALL, NONE
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.server import protocol

from .measurement import SIZES, Measurement, load_curve

TITLE = "Measure quality"
SYMBOLS = symbols(
    {
        "μ_1, Σ_1": "mean and covariance of a classifier's features of samples",
        "μ_2, Σ_2": "the same of real test digits",
    }
)
EQUATION = f"""
<math display="block"><mtext>FID</mtext><mo>=</mo><msup><mrow><mo>|</mo><msub><mi>μ</mi><mn>1</mn></msub><mo>−</mo>
<msub><mi>μ</mi><mn>2</mn></msub><mo>|</mo></mrow><mn>2</mn></msup><mo>+</mo></math>
<math display="block"><mtext>tr</mtext><mo>(</mo><msub><mi>Σ</mi><mn>1</mn></msub><mo>+</mo>
<msub><mi>Σ</mi><mn>2</mn></msub><mo>−</mo><mn>2</mn><msqrt><mrow><msub><mi>Σ</mi><mn>1</mn></msub><msub><mi>Σ</mi><mn>2</mn></msub></mrow></msqrt>
<mo>)</mo></math>
{SYMBOLS}
<p class="source">Heusel et al. 2017, Eq. 6. The chart divides by the FID of as many real digits: they score 1.</p>
<p class="code">computed by <code>ddpm.evaluation.metrics.frechet_distance</code></p>
"""


def measurement(registry: ModelRegistry, n: Any, seed: Any, weights_id: Any, **sampling: Any) -> Measurement:
    """A point for the chart: n samples, all classes alike.  Raises ValueError with one clear sentence."""
    choice = ALL if registry.get(weights_id).num_classes else NONE
    settings = Settings.check(registry, 1, choice, seed, weights_id, **sampling)
    return Measurement(dataclasses.replace(settings, n=protocol.one_of(n, "Samples", SIZES)))


def build(shared: layout.Shared) -> None:
    registry, weights, runs = shared.registry, shared.weights, Streaming(shared.engine, "quality")

    def python(question: Any) -> dict[str, str]:
        """What the page asks: {run} -> {text, name, data}."""
        run = runs.get(protocol.fields(question).get("run"))
        if run is None or not run.python:
            raise ValueError("There is no measured point, or the server has let go of it. Measure again.")
        return packet_of("Quality, measured", "quality", [run.python], shown="")

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            sampling = controls.sampling("quality", registry, weights)
            n = gr.Radio(list(SIZES), value=SIZES[1], label="Samples", elem_id="quality-n")
            seed = controls.seed_and_dice("quality")
            go, halt = controls.go_and_stop("quality", "Measure FID")
            sampling += controls.more("quality", registry, weights, sampling[0])
        view = layout.stage_and_margin(
            "quality",
            Path(__file__).with_name("quality.js"),
            load_curve(registry, registry.default),
            [python],
            EQUATION,
            "Twenty evaluations are as good as a thousand, if the sampler is right; and a digit can be classified as "
            "asked long before its stroke is as real digits' are.",
        )

    def make(n: Any, seed: Any, weights_id: Any, *sampling: Any) -> Measurement:
        return measurement(registry, n, seed, weights_id, **controls.named(sampling))

    runs.start(go.click, make, [n, seed, weights, *sampling], view)
    runs.stop(halt, view)
    weights.change(lambda chosen: load_curve(registry, chosen), weights, view, **QUIET)
