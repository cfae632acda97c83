"""The inner tab Race: samplers from the same noise, or models, at equal network evaluations or seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.presets import PAGE_SAMPLING
from ddpm.samplers import SAMPLERS
from ddpm.spacing import LABELS
from ddpm.ui.components import controls, layout
from ddpm.ui.components.streaming import QUIET, Streaming
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings

from .lanes import Race, References, python_of

TITLE = "Race samplers"
SCRIPT = Path(__file__).with_name("race.js")
MIN_LANES, MAX_LANES = 2, 4
FIRST_LANES = [
    {"sampler": name, "steps": steps, "eta": 0, "guidance": PAGE_SAMPLING.guidance, "spacing": SAMPLERS[name].spacing}
    for name, steps in (("ddpm", 50), ("ddim", 20), ("dpmpp", 10), ("heun", 10))
]

SYMBOLS = symbols(
    {
        "x_0": "where a lane ends, pixels from −1 to 1",
        "x_0^∞": "where the ODE leads from the same noise: DDIM, 1000 steps",
        "d": "how far they are apart, root mean square",
        "N": "the lane's steps",
        "p": "its order: DDIM 1, DPM-Solver++ and Heun 2",
    }
)
EQUATION = f"""
<math display="block"><mi>d</mi><mo>=</mo><msqrt><mrow><mtext>mean</mtext><mo>(</mo><msub><mi>x</mi><mn>0</mn></msub>
<mo>−</mo><msubsup><mi>x</mi><mn>0</mn><mo>∞</mo></msubsup><msup><mo>)</mo><mn>2</mn></msup></mrow></msqrt></math>
<math display="block"><mi>d</mi><mo>∝</mo><msup><mi>N</mi><mrow><mo>−</mo><mi>p</mi></mrow></msup></math>
{SYMBOLS}
<p class="source">With twice the steps a lane of order 2 without fresh noise ends four times as close.</p>
<p class="code">computed by <code>ddpm.samplers.reverse_process</code></p>
"""


def race_lanes(
    registry: ModelRegistry, lanes: Any, n: Any, choice: Any, seed: Any, weights_id: Any
) -> dict[str, Settings]:
    """The lanes of a race as the page sends them, [{sampler, steps, eta, guidance, spacing, model}, ...], checked.

    model: the id of a lane's own weights; none for those chosen above.  Raises ValueError with one clear sentence.
    """
    if not isinstance(lanes, list) or not MIN_LANES <= len(lanes) <= MAX_LANES:
        raise ValueError(f"Lanes: from {MIN_LANES} to {MAX_LANES}, please.")
    checked, shapes = {}, set()
    for letter, lane in zip("ABCD", lanes, strict=False):
        lane = lane if isinstance(lane, dict) else {}
        sampling = {name: lane.get(name) for name in ("sampler", "steps", "eta", "guidance", "spacing")}
        try:
            own = lane.get("model") or weights_id
            checked[letter] = Settings.check(registry, n, choice, seed, own, middle=True, **sampling)
            shapes.add((checked[letter].weights.channels, checked[letter].weights.img_size))
            if len(shapes) > 1:
                raise ValueError("Model: its pictures are of another size or colour than lane A's.")
        except ValueError as error:
            raise ValueError(f"Lane {letter}. {error}") from None
    return checked


def models(registry: ModelRegistry, own: Any) -> dict[str, str]:
    """The models that a lane can have, by id.  own: those of this browser, as (label, id)."""
    mine = {each: label for label, each in registry.known(own)}
    return {"": "the model above"} | {name: name for name in registry.shipped} | mine


def build(shared: layout.Shared) -> None:
    registry, weights, references = shared.registry, shared.weights, References()
    runs = Streaming(shared.engine, "race")

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            n, choice = controls.digits_and_class("race", registry, weights, 6)
            start: dict[str, Any] = {
                "samplers": {name: each.label for name, each in SAMPLERS.items()},
                "spacings": LABELS,
                "suited": {name: each.spacing for name, each in SAMPLERS.items()},
                "with_eta": [name for name, each in SAMPLERS.items() if each.knob == "eta"],
                "models": models(registry, []),
                "lanes": FIRST_LANES,
                "fewest": MIN_LANES,
            }
            template = '<div class="lanes"></div>'
            editor = layout.scripted(SCRIPT, "lanes", value=start, html_template=template, elem_id="race-lanes")
            lanes = gr.JSON(visible=False)  # what the page's own controls say, filled in as Race is pressed
            seed = controls.seed_and_dice("race")
            go, halt = controls.go_and_stop("race", "Race")
        view = layout.stage_and_margin(
            "race",
            SCRIPT,
            None,
            [runs.replay, python_of(runs)],
            EQUATION,
            "All lanes spend network evaluations at the same rate. Which is first at a digit, and is it the digit "
            "that the others come to? Fresh noise (DDPM, or eta above 0) leads elsewhere. Unfold a lane to give it a "
            "model of its own, one of pixels, say, against one of latents: then all get equal seconds.",
        )

    def make(*question: Any) -> Race:
        return Race(race_lanes(registry, *question), references)

    read = "(lanes, ...others) => [DDPM.tabs.race.lanes(), ...others]"
    runs.start(go.click, make, [lanes, n, choice, seed, weights], view, js=read)
    runs.stop(halt, view)
    # Weights that were trained or opened in this browser are then the model above, too.
    weights.change(lambda own: start | {"models": models(registry, own)}, shared.own, editor, **QUIET)
