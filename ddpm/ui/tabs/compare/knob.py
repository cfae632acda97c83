"""The inner tab Vary one setting: the same noise, with one setting of the sampler at several values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.samplers import SAMPLERS
from ddpm.ui.components import controls, layout
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.server import protocol

from .lanes import Race, python_of

TITLE = "Vary one setting"
KNOBS: dict[str, tuple[float, ...]] = {
    "steps": (2, 5, 10, 20, 50, 100),
    "eta": (0, 0.2, 0.4, 0.6, 0.8, 1),
    "guidance": (0, 1, 1.5, 2.5, 4, 8),
    "seed": (0, 1, 2, 3, 4, 5),  # added to the seed
}
LABELS = {"steps": "{:g} steps", "eta": "η = {:g}", "guidance": "w = {:g}", "seed": "seed {}"}

SYMBOLS = symbols({"x_T": "the noise, which the seed draws", "x_0": "the picture that the sampler makes of it"})
EQUATION = f"""
<math display="block"><msub><mi>x</mi><mi>T</mi></msub><mo>⟶</mo><msub><mi>x</mi><mn>0</mn></msub></math>
{SYMBOLS}
<p class="source">All columns have one x<sub>T</sub>, unless the seed is varied, and differ in one setting.</p>
<p class="code">computed by <code>ddpm.samplers.reverse_process</code></p>
"""


def knob_lanes(
    registry: ModelRegistry, knob: Any, n: Any, choice: Any, seed: Any, weights_id: Any, **sampling: Any
) -> dict[str, Settings]:
    """The same settings with one of them at several values.  Raises ValueError with one clear sentence."""
    base = Settings.check(registry, n, choice, seed, weights_id, **sampling)
    knob = protocol.one_of(knob, "Knob", KNOBS)
    values = KNOBS[knob]
    if knob == "eta" and SAMPLERS[base.sampling.sampler].knob != "eta":
        raise ValueError("Eta is DDIM's knob, and no other sampler's. Choose DDIM under All else.")
    if knob == "guidance" and base.unlabelled:
        raise ValueError("Without a class there is nothing to be guided by. Choose a class, or other weights.")
    if knob == "steps":
        values = tuple(v for v in values if v <= base.weights.sched.T)
    lanes = {}
    for value in values:
        if knob == "seed":
            lane = dataclasses.replace(base, seed=(base.seed + int(value)) % (protocol.MAX_SEED + 1))
            value = lane.seed
        else:
            changed: dict[str, Any] = {"num_steps" if knob == "steps" else knob: value}
            lane = dataclasses.replace(base, sampling=dataclasses.replace(base.sampling, **changed))
        lanes[LABELS[knob].format(value)] = lane
    return lanes


def build(shared: layout.Shared) -> None:
    registry, weights, runs = shared.registry, shared.weights, Streaming(shared.engine, "knob")
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            which = gr.Radio(list(KNOBS), value="steps", label="Knob", elem_id="knob-knob")
            n, choice = controls.digits_and_class("knob", registry, weights, 5)
            seed = controls.seed_and_dice("knob")
            go, halt = controls.go_and_stop("knob", "Vary")
            with gr.Accordion("All else", open=False, elem_id="knob-else"):
                sampling = controls.sampling("knob", registry, weights)
                # Guided everywhere, or guidance hardly shows.
                sampling += controls.more("knob", registry, weights, sampling[0], middle_only=False)
        view = layout.stage_and_margin(
            "knob",
            Path(__file__).with_name("knob.js"),
            None,
            [runs.replay, python_of(runs)],
            EQUATION,
            "Too few steps leave digits half-made; more guidance makes them plainer and more alike; more eta lets "
            "them wander from what their noise began as; another seed is another digit altogether.",
        )

    def make(which: Any, n: Any, choice: Any, seed: Any, weights_id: Any, *sampling: Any) -> Race:
        return Race(knob_lanes(registry, which, n, choice, seed, weights_id, **controls.named(sampling)))

    runs.start(go.click, make, [which, n, choice, seed, weights, *sampling], view)
    runs.stop(halt, view)
