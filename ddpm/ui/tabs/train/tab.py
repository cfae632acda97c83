"""The Train tab: a training run is a job on the server with an id; the page watches it, and may come back to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.config import PREDICTIONS
from ddpm.data import DATASETS
from ddpm.device import on_zerogpu
from ddpm.evaluation.evaluate import DIGITS
from ddpm.presets import LATENTS, PIXELS, PRESETS, labelled
from ddpm.schedule import SCHEDULES
from ddpm.ui.components import layout, links
from ddpm.ui.components.streaming import tell_settings
from ddpm.ui.generation.maths import symbols

from . import zerogpu
from .actions import CONTINUE_SECONDS, SPACES, Actions
from .chip import chip, with_chip
from .own import own as pictures
from .request import LEAST, beginnings, is_latent, known, more_of

TITLE = "Train"
CHOSEN = "(name) => { const { own, train } = window.DDPM?.tabs || {}; own?.choose(name); train?.choose(name); }"

SYMBOLS = symbols(
    {
        "x_t": "a random digit, noised to a random t",
        "E": "the mean over x<sub>0</sub>, t and ε",
        "θ": "the weights, which descend L",
    }
)
EQUATION = f"""
<math display="block"><mi>L</mi><mo>=</mo><mi>E</mi><msup><mrow><mo>‖</mo><mi data-live="target">v</mi><mo>−</mo>
<msub><mi data-live="target">v</mi><mi>θ</mi></msub><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><mi>t</mi>
<mo>)</mo><mo>‖</mo></mrow><mn>2</mn></msup></math>
<math display="block" class="numbers"><mi>L</mi><mo>≈</mo><mn class="noise"
data-live="loss" data-expr="value">·</mn></math>
<dl class="symbols"><dt><math><mi data-live="target">v</mi></math></dt>
<dd>what is asked for: ε, x<sub>0</sub>, or v, a mix of both</dd></dl>{SYMBOLS}
<p class="code">Ho et al. 2020, Algorithm 1: <code>ddpm.objective.train_step</code>,
<code>ddpm.objective.losses</code></p>
<p class="figures">gradient <b data-live="norm">·</b>, clipped in <b data-live="clipped">·</b> of steps, learning rate
<b data-live="lr">·</b></p>
<div id="train-levels"><h2>Loss by noise level</h2><div class="levels"></div>
<p data-live="about">Press Start. Each bar will be a part of the
loss: that of the digits as noisy as the picture under it. Press one to see what the network is asked there.</p></div>
"""


def build(shared: layout.Shared) -> None:
    act, mine = Actions(shared.engine, shared.registry), shared.mine
    shared.counts["training"] = act.runs.active
    shared.at_end.append(act.runs.save)
    told = chip()
    shared.header.append(told)
    own = shared.own
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            space = gr.Radio(SPACES, value=SPACES[0], label="Diffusion", elem_id="train-space")
            presets = [*labelled(), *((f"{name}: continue its training", name) for name in beginnings())]
            preset = gr.Dropdown(presets, value=PIXELS, label="Preset", elem_id="train-preset")
            expected = layout.sentence("train-expected")
            name = gr.Dropdown(
                [*((each.label, name) for name, each in DATASETS.items()), (pictures.LABEL, pictures.OWN)],
                value="bundled",
                label="Data",
                elem_id="train-data",
            )
            brought, zip_of_pictures, draw = pictures.controls()
            with gr.Row(elem_classes="pair"):
                budget = gr.Number(30, label="Train for", elem_id="train-budget")
                kind = gr.Dropdown(list(LEAST), value="seconds", label="Unit", elem_id="train-kind")
            more, where = more_controls()
            with gr.Row(elem_classes=["pair", "actions"]):  # Start and Pause take each other's place: actions.js
                go = gr.Button("Start", variant="primary", elem_id="train-start")
                hold = gr.Button("Pause", variant="primary", elem_id="train-pause")
                halt = gr.Button("Stop", elem_id="train-stop")
            with gr.Row(elem_classes="pair"):
                to_reverse = gr.Button("Use in Reverse", elem_id="train-use")
                again = gr.Button(f"Continue {CONTINUE_SECONDS} s", elem_id="train-continue")
            with gr.Row(elem_classes="pair"):
                both = gr.Button("Train both", elem_id="train-both")
                opener = gr.UploadButton("Open a zip", file_types=[".zip"], elem_id="train-open", size="lg")
            gr.HTML(
                '<p class="hint">Train both: one in pixels and one in latent space, side by side, with equal seconds '
                "of this machine each. Runs are on the server: they go on if you reload this page, and Reverse stays "
                "usable. Seconds are the clock's.</p>",
                elem_id="train-hint",
            )
        view = layout.stage_and_margin(
            "train",
            Path(__file__).with_name("train.js"),
            None,
            [act.replay, act.download, act.python, act.another, act.level, act.neighbours.nearest],
            EQUATION,
            "The loss falls fast, then looks flat, while the digits still improve: drag the playhead back.",
            constants={"digits": {each: DATASETS[each].label for each in DIGITS}},
        )

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple"}
    inputs = [preset, name, kind, budget, *more, *where, mine]
    preset.input(act.chosen, preset, [space, *more], queue=False, **quiet)
    space.input(act.space, space, [preset, *more], queue=False, **quiet)
    of_preset = {each: dict(zip(more, more_of(config), strict=True)) for each, config in known().items()}
    links.leads(space, {SPACES[i]: {preset: each} | of_preset[each] for i, each in enumerate((PIXELS, LATENTS))})
    links.leads(preset, {each: {space: SPACES[is_latent(each)]} | of_preset[each] for each in known()})
    # One at a time, and at last what is then chosen: the answer for another preset may come late.
    now = {"show_progress": "hidden", "trigger_mode": "always_last"}
    gr.on([shared.demo.load, preset.change, name.change], act.forecast, [preset, name], expected, queue=False, **now)
    name.change(None, name, None, js=CHOSEN)
    zip_of_pictures.upload(act.pictures.open, zip_of_pictures, brought, **quiet)
    draw.click(None, None, None, js="() => { window.DDPM?.tabs.own?.draw(); }")
    brought.input(act.pictures.draw, brought, brought, queue=False, **quiet)
    shared.demo.unload(act.left)
    tell_settings("train", inputs, go.click, both.click)
    go.click(with_chip(act.start), inputs, [view, mine, told], concurrency_limit=64, **quiet)
    both.click(with_chip(act.start_both), inputs, [view, mine, told], concurrency_limit=64, **quiet)
    again.click(with_chip(act.go_on), mine, [view, told], concurrency_limit=64, **quiet)
    shared.demo.load(with_chip(act.attach), mine, [view, told], concurrency_limit=64, show_progress="hidden")
    hold.click(act.pause, mine, view, queue=False, **quiet)
    halt.click(act.stop, mine, view, queue=False, **quiet)
    to_reverse.click(act.use, [mine, own], [shared.weights, own, shared.tabs, view], queue=False, **quiet)
    opener.upload(act.open_zip, [opener, own], [shared.weights, own, shared.tabs, view], **quiet)


def more_controls() -> tuple[list[Any], list[Any]]:
    """What is under More, in the order of MORE; and where to compute, on a Space that has the choice."""
    fast = PRESETS[PIXELS]
    with gr.Accordion("More", open=False, elem_id="train-more"):
        with gr.Row(elem_classes="pair"):
            lr = gr.Number(fast.train.lr, label="Learning rate", elem_id="train-lr")
            batch = gr.Number(fast.train.batch_size, label="Batch size", elem_id="train-batch")
        with gr.Row(elem_classes="pair"):
            schedule = gr.Dropdown(
                list(SCHEDULES), value=fast.schedule.kind, label="Schedule", elem_id="train-schedule"
            )
            predicts = gr.Dropdown(
                list(PREDICTIONS), value=fast.model.prediction, label="Predicts", elem_id="train-prediction"
            )
        with gr.Row(elem_classes="pair"):
            decay = gr.Number(fast.train.ema_decay, label="EMA decay", elem_id="train-decay")
            dropout = gr.Number(fast.train.label_dropout, label="Label dropout", elem_id="train-dropout")
        with gr.Row(elem_classes="pair"):
            width = gr.Number(fast.model.base, label="Width", step=8, elem_id="train-width")
            seed = gr.Number(fast.train.seed, label="Seed", elem_id="train-seed")
        where = []
        if on_zerogpu():
            where.append(gr.Dropdown(list(zerogpu.PLACES), value=zerogpu.HERE, label="Compute on"))
    return [lr, batch, schedule, predicts, decay, dropout, width, seed], where
