"""The Compare tab: samplers in a race, one knob at a time, quality against cost, and the schedules side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from ddpm.presets import PAGE_SAMPLING
from ddpm.samplers import SAMPLERS
from ddpm.spacing import LABELS as SPACING_LABELS
from ddpm.ui.components import controls, layout, pictures
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import ALL, NONE, Settings
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.engine import Engine

from .lanes import Race, References
from .quality import SIZES, Measurement, load_curve

MIN_LANES, MAX_LANES = 2, 4
FIRST_LANES = [
    {"sampler": name, "steps": steps, "eta": 0, "guidance": PAGE_SAMPLING.guidance, "spacing": SAMPLERS[name].spacing}
    for name, steps in (("ddpm", 50), ("ddim", 20), ("dpmpp", 10), ("heun", 10))
]
KEPT_BYTES = 128_000_000
KNOBS: dict[str, tuple[float, ...]] = {
    "steps": (2, 5, 10, 20, 50, 100),
    "eta": (0, 0.2, 0.4, 0.6, 0.8, 1),
    "guidance": (0, 1, 1.5, 2.5, 4, 8),
    "seed": (0, 1, 2, 3, 4, 5),  # added to the seed
}
LABELS = {"steps": "{:g} steps", "eta": "η = {:g}", "guidance": "w = {:g}", "seed": "seed {}"}

RACE_MARGIN = """
<math display="block"><mi>d</mi><mo>=</mo><msqrt><mrow><mtext>mean</mtext><mo>(</mo><msub><mi>x</mi><mn>0</mn></msub>
<mo>−</mo><msubsup><mi>x</mi><mn>0</mn><mo>∞</mo></msubsup><msup><mo>)</mo><mn>2</mn></msup></mrow></msqrt></math>
<p class="source">How far a deterministic lane ends from where the ODE itself leads from the same noise, DDIM with 1000
steps: root mean square over pixels, which go from −1 to 1.</p>
<math display="block"><mi>d</mi><mo>∝</mo><msup><mi>N</mi><mrow><mo>−</mo><mi>p</mi></mrow></msup></math>
<p class="source">With N steps. DDIM: p = 1. DPM-Solver++ and Heun: p = 2.</p>
<p class="code">computed by <code>ddpm.samplers.reverse_process</code></p>
"""
KNOB_MARGIN = """
<math display="block"><msub><mi>x</mi><mi>T</mi></msub><mo>⟶</mo><msub><mi>x</mi><mn>0</mn></msub></math>
<p class="source">Every column starts from the same x<sub>T</sub> (but for the seed, which is what draws it), and only
one thing differs.</p><p class="code">computed by <code>ddpm.samplers.reverse_process</code></p>
"""
QUALITY_MARGIN = """
<math display="block"><mtext>FID</mtext><mo>=</mo><msup><mrow><mo>|</mo><msub><mi>μ</mi><mn>1</mn></msub><mo>−</mo>
<msub><mi>μ</mi><mn>2</mn></msub><mo>|</mo></mrow><mn>2</mn></msup><mo>+</mo></math>
<math display="block"><mtext>tr</mtext><mo>(</mo><msub><mi>Σ</mi><mn>1</mn></msub><mo>+</mo>
<msub><mi>Σ</mi><mn>2</mn></msub><mo>−</mo><mn>2</mn><msqrt><mrow><msub><mi>Σ</mi><mn>1</mn></msub><msub><mi>Σ</mi><mn>2</mn></msub></mrow></msqrt>
<mo>)</mo></math>
<p class="source">Heusel et al. 2017, Eq. 6: means and covariances of what a digit reader sees in the samples and in the
MNIST test digits. 1 is what as many real digits score.</p>
<p class="code">computed by <code>ddpm.evaluation.metrics.frechet_distance</code></p>
"""
SCHEDULE_MARGIN = """
<math display="block"><mtext>SNR</mtext><mo>=</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub><mo>/</mo>
<mo>(</mo><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub><mo>)</mo></math>
<p class="source">linear: Ho et al. 2020. cosine: Nichol and Dhariwal 2021, Eq. 17. log-SNR: a straight line in decibels
between the ends of the linear one.</p>
<p class="code">computed by <code>ddpm.schedule.make_schedule</code></p>
<h2>Signal to noise, dB</h2><div class="ratios"></div><p class="legend"></p>
"""


def race_lanes(registry: ModelRegistry, lanes: Any, n, choice, seed, weights_id) -> dict[str, Settings]:
    """The lanes of a race as the page sends them, [{sampler, steps, eta, guidance, spacing}, ...], checked.

    Raises ValueError with one clear sentence.
    """
    if not isinstance(lanes, list) or not MIN_LANES <= len(lanes) <= MAX_LANES:
        raise ValueError(f"Lanes: from {MIN_LANES} to {MAX_LANES}, please.")
    checked = {}
    for letter, lane in zip("ABCD", lanes, strict=False):
        lane = lane if isinstance(lane, dict) else {}
        sampling = {name: lane.get(name) for name in ("sampler", "steps", "eta", "guidance", "spacing")}
        try:
            checked[letter] = Settings.check(registry, n, choice, seed, weights_id, middle=True, **sampling)
        except ValueError as error:
            raise ValueError(f"Lane {letter}. {error}") from None
    return checked


def knob_lanes(registry: ModelRegistry, knob, n, choice, seed, weights_id, **sampling) -> dict[str, Settings]:
    """The same settings with one of them at several values.  Raises ValueError with one clear sentence."""
    base = Settings.check(registry, n, choice, seed, weights_id, **sampling)
    knob = protocol.one_of(knob, "Knob", KNOBS)
    values = KNOBS[knob]
    if knob == "eta" and SAMPLERS[base.sampling.sampler].knob != "eta":
        raise ValueError("Eta is DDIM's knob, and no other sampler's. Choose DDIM under All else.")
    if knob == "guidance" and (base.choice == NONE or not base.weights.num_classes):
        raise ValueError("Without a class there is nothing to be guided by. Choose a class, or other weights.")
    if knob == "steps":
        values = tuple(v for v in values if v <= base.weights.sched.T)
    lanes = {}
    for value in values:
        if knob == "seed":
            lane = dataclasses.replace(base, seed=(base.seed + int(value)) % (protocol.MAX_SEED + 1))
            value = lane.seed
        else:
            field = "num_steps" if knob == "steps" else knob
            lane = dataclasses.replace(base, sampling=dataclasses.replace(base.sampling, **{field: value}))
        lanes[LABELS[knob].format(value)] = lane
    return lanes


def measurement(registry: ModelRegistry, n, seed, weights_id, **sampling) -> Measurement:
    """A point for the chart: n samples, all classes alike.  Raises ValueError with one clear sentence."""
    choice = ALL if registry.get(weights_id).num_classes else NONE
    settings = Settings.check(registry, 1, choice, seed, weights_id, **sampling)
    return Measurement(dataclasses.replace(settings, n=protocol.one_of(n, "Samples", SIZES)))


def build(engine: Engine, registry: ModelRegistry, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose samples are compared."""
    kept = cache.LRUCache(KEPT_BYTES)

    def keep(run: Race) -> None:
        kept.put(run.id, run, sum(lane.size for lane in run.lanes))

    def replay(question: Any) -> dict[str, Any]:
        """All frames of a run, for a page that has missed some: {run} -> {frames}."""
        return {"frames": protocol.missed(question, kept, lambda run: run.frames())}

    with gr.Tabs(elem_classes="inner-tabs", overflow_behavior="wrap"):
        with gr.Tab("Race", id="race"):
            race(engine, registry, weights, keep, replay)
        with gr.Tab("One knob", id="knob"):
            one_knob(engine, registry, weights, keep, replay)
        with gr.Tab("Quality", id="quality"):
            quality(engine, registry, weights)
        with gr.Tab("Schedules", id="schedules"):
            schedules(registry, weights)


def race(engine: Engine, registry: ModelRegistry, weights: gr.Dropdown, keep, replay) -> None:
    references = References()

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            n, choice = controls.digits_and_class("race", registry, weights, 6)
            gr.HTML(
                value={
                    "samplers": {name: each.label for name, each in SAMPLERS.items()},
                    "spacings": SPACING_LABELS,
                    "suited": {name: each.spacing for name, each in SAMPLERS.items()},
                    "with_eta": [name for name, each in SAMPLERS.items() if each.knob == "eta"],
                    "lanes": FIRST_LANES,
                    "fewest": MIN_LANES,
                },
                html_template='<div class="lanes"></div>',
                js_on_load="DDPM.laneEditor(element.querySelector('.lanes'), props.value)",
                apply_default_css=False,
                elem_id="race-lanes",
            )
            lanes = gr.JSON(visible=False)  # what the page's own controls say, filled in as Race is pressed
            seed = controls.seed_and_dice("race")
            go, halt = controls.go_and_stop("race", "Race")
        view = layout.stage_and_margin(
            "race",
            None,
            [replay],
            RACE_MARGIN,
            "All lanes spend network evaluations at the same rate. Which is first at a digit, and is it the digit "
            "that the others come to? Fresh noise (DDPM, or eta above 0) leads elsewhere.",
        )

    def make(*question) -> Race:
        return Race(race_lanes(registry, *question), references)

    read = "(lanes, ...others) => [DDPM.tabs.race.lanes(), ...others]"
    sessions = controls.stoppable(engine, halt, view)
    controls.runs(sessions, make, go.click, [lanes, n, choice, seed, weights], view, keep, js=read)


def one_knob(engine: Engine, registry: ModelRegistry, weights: gr.Dropdown, keep, replay) -> None:
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            knob = gr.Radio(list(KNOBS), value="steps", label="Knob", elem_id="knob-knob")
            n, choice = controls.digits_and_class("knob", registry, weights, 5)
            seed = controls.seed_and_dice("knob")
            go, halt = controls.go_and_stop("knob", "Vary")
            with gr.Accordion("All else", open=False, elem_id="knob-else"):
                sampling = controls.sampling("knob")
                sampling += controls.more("knob", sampling[0])
        view = layout.stage_and_margin(
            "knob",
            None,
            [replay],
            KNOB_MARGIN,
            "Too few steps leave digits half-made; more guidance makes them plainer and more alike; more eta lets "
            "them wander from what their noise began as; another seed is another digit altogether.",
        )

    def make(knob, n, choice, seed, weights_id, *sampling) -> Race:
        return Race(knob_lanes(registry, knob, n, choice, seed, weights_id, **controls.named(sampling)))

    sessions = controls.stoppable(engine, halt, view)
    controls.runs(sessions, make, go.click, [knob, n, choice, seed, weights, *sampling], view, keep)


def quality(engine: Engine, registry: ModelRegistry, weights: gr.Dropdown) -> None:
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            sampling = controls.sampling("quality")
            n = gr.Radio(list(SIZES), value=SIZES[1], label="Samples", elem_id="quality-n")
            seed = controls.seed_and_dice("quality")
            go, halt = controls.go_and_stop("quality", "Measure this")
            sampling += controls.more("quality", sampling[0])
        view = layout.stage_and_margin(
            "quality",
            load_curve(registry, registry.default),
            [],
            QUALITY_MARGIN,
            "Twenty evaluations are as good as a thousand, if the sampler is right; and a digit can be classified as "
            "asked long before its stroke is as real digits' are.",
        )

    def make(n, seed, weights_id, *sampling) -> Measurement:
        return measurement(registry, n, seed, weights_id, **controls.named(sampling))

    sessions = controls.stoppable(engine, halt, view)
    controls.runs(sessions, make, go.click, [n, seed, weights, *sampling], view)
    weights.change(lambda chosen: load_curve(registry, chosen), weights, view, **controls.QUIET)


def schedules(registry: ModelRegistry, weights: gr.Dropdown) -> None:
    start, names = pictures.opening(registry)
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("schedules", names, "primary")
            gr.HTML('<p class="hint">One digit and one ε, along each schedule. Drag <b>t</b> under the pictures.</p>')
        view = layout.stage_and_margin(
            "schedules",
            start,
            [],
            SCHEDULE_MARGIN,
            "The linear schedule spends half its steps on pictures that are noise already; the cosine one spends "
            "them evenly; the straight one loses as many decibels in every step.",
        )
    pictures.follow(registry, weights, view, choice, another, again)
