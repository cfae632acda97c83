"""The Train tab: a training run is a job on the server with an id; the page watches it, and may come back to it."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..config import PREDICTIONS, PRESETS, SCHEDULES
from ..data import DataError
from . import archive, parts
from .engine import Engine, once
from .training import BUDGETS, DATASETS, Runs, TrainingRun, check, fetch, more_of
from .weights import Library, from_checkpoint

CONTINUE_SECONDS = 60
PACKET_SECONDS = 0.25
ABOUT = {
    "fast": "fast: legible in 30 seconds",
    "best": "best: as the shipped weights",
    "tutorial": "tutorial: as published (hours)",
}

EQUATION = """
<math display="block"><mi>L</mi><mo>=</mo><mi>E</mi><msup><mrow><mo>‖</mo><mi data-live="target">v</mi><mo>−</mo>
<msub><mi data-live="target">v</mi><mi>θ</mi></msub><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><mi>t</mi>
<mo>)</mo><mo>‖</mo></mrow><mn>2</mn></msup></math>
<math display="block" class="numbers"><mi>L</mi><mo>≈</mo><mn class="noise" data-live="loss">·</mn></math>
<p class="source" data-live="source">Ho et al. 2020, Algorithm 1: a random digit, a random t, a random ε; one step
down the gradient. Asked for v, the network says a mix of ε and x₀ (Salimans and Ho 2022).</p>
<p class="code">computed by <code>ddpm.train.train_step</code></p>
"""


def build(
    engine: Engine, library: Library, demo: gr.Blocks, run_id: gr.BrowserState, weights: gr.Dropdown, tabs: gr.Tabs
) -> None:
    """The tab.  run_id: where the browser remembers its run; weights, tabs: what "Use these weights" sets."""
    runs = Runs(engine)

    async def watch(run: TrainingRun) -> AsyncIterator[dict[str, Any]]:
        sent, last = 0, None
        ended = asyncio.wrap_future(run.job.finished)
        while True:
            done = ended.done()
            packet = run.packet(sent)
            sent += len(packet["previews"])
            now = (done, packet["paused"], packet.get("step"), packet["num_previews"])
            if now != last:
                yield packet
            if done:
                return
            last = now
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)

    async def start(preset, name, kind, budget, *rest) -> AsyncIterator:
        *more, mine = rest
        other = runs.get(mine)
        try:
            if other is not None and other.active:
                raise ValueError("Your training run is still going. Press Stop first.")
            try:
                run = await asyncio.to_thread(check, preset, name, kind, budget, *more)
            except DataError:  # not on this server yet
                async for sentence in fetch(name):
                    yield {"notice": sentence}, gr.skip()
                run = await asyncio.to_thread(check, preset, name, kind, budget, *more)
            runs.start(run)
        except DataError:
            yield {"error": f"{name} could not be downloaded. Is there a network? Bundled digits need none."}, gr.skip()
            return
        except ValueError as error:
            yield {"error": str(error)}, gr.skip()
            return
        keep = run.id
        async for packet in watch(run):
            yield packet, keep
            keep = gr.skip()

    async def go_on(mine) -> AsyncIterator:
        run = runs.get(mine)
        try:
            if run is None:
                raise ValueError("There is nothing to continue: press Start.")
            runs.go_on(run, CONTINUE_SECONDS)
        except ValueError as error:
            yield {"error": str(error)}
            return
        async for packet in watch(run):
            yield packet

    def pause(mine) -> Any:
        run = runs.get(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        (engine.resume if run.job.paused else engine.pause)(run.job)
        return gr.skip()

    async def attach(mine) -> AsyncIterator:
        run = runs.get(mine)
        if run is not None:
            async for packet in watch(run):
                yield packet

    def stop(mine) -> Any:
        run = runs.get(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        run.halt = True
        engine.resume(run.job)
        return gr.skip()

    def offer(own, label, weights_id) -> tuple:
        """Make these weights the page's: the choice of weights with them in it, and what the browser window has."""
        own = [*(pair for pair in own if pair[1] != weights_id), (label, weights_id)]
        return gr.update(choices=[*library.shipped, *own], value=weights_id), own

    async def use(mine, own) -> tuple:
        run = runs.get(mine)
        if run is None or run.state is None:
            nothing = {"error": "There are no weights yet: press Start and train some."}
            return gr.skip(), gr.skip(), gr.skip(), nothing
        label = f"trained here: {run.label}, step {run.state.step}"
        library.put(run.id, await engine.submit(once(run.weights, label)).result())
        return *offer(own, label, run.id), gr.update(selected="reverse"), gr.skip()

    async def open_zip(path, own) -> tuple:
        name = f"opened: {Path(path).stem[:40]}"
        try:
            opened = await engine.submit(once(lambda: from_checkpoint(archive.read(path), name))).result()
        except ValueError as error:
            return gr.skip(), gr.skip(), {"error": str(error)}
        weights_id = secrets.token_urlsafe(16)
        library.put(weights_id, opened)
        return *offer(own, name, weights_id), {
            "notice": "Opened: the weights are chosen above, for Forward and Reverse."
        }

    async def download(asked: Any) -> dict[str, Any]:
        """The checkpoint folder of a run as a zip: {run} -> {name, data} or {error}."""
        run = runs.get(asked.get("run")) if isinstance(asked, dict) else None
        if run is None or run.state is None:
            return {"error": "There are no weights yet: press Start and train some."}
        pack = once(lambda: archive.write(run.state.ema_model(), run.config, run.info(), "ddpm-trained"))
        try:
            data = await engine.submit(pack).result()
        except ValueError as error:
            return {"error": str(error)}
        return {"name": f"ddpm-{run.state.step}-steps.zip", "data": base64.b64encode(data).decode()}

    def missed(asked: Any) -> dict[str, Any]:
        """The previews of a run that the page has missed: {run, have: [k, ...]} -> {previews}."""
        asked = asked if isinstance(asked, dict) else {}
        run, have = runs.get(asked.get("run")), asked.get("have")
        previews = run.previews if run else []
        return {"previews": [p for p in previews if not isinstance(have, list) or p["k"] not in have]}

    own = gr.State([])  # weights trained or opened in this window: (label, id)
    fast = PRESETS["fast"]
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            preset = gr.Dropdown([(ABOUT[p], p) for p in ABOUT], value="fast", label="Preset", elem_id="train-preset")
            name = gr.Dropdown(list(DATASETS.items()), value="bundled", label="Data", elem_id="train-data")
            with gr.Row(elem_classes="pair"):
                kind = gr.Dropdown(list(BUDGETS), value="seconds", label="Budget in", elem_id="train-kind")
                budget = gr.Number(30, label="How many", elem_id="train-budget")
            with gr.Accordion("More", open=False, elem_id="train-more"):
                with gr.Row(elem_classes="pair"):
                    lr = gr.Number(fast.train.lr, label="Learning rate", elem_id="train-lr")
                    batch = gr.Number(fast.train.batch_size, label="Batch size", precision=0, elem_id="train-batch")
                with gr.Row(elem_classes="pair"):
                    schedule = gr.Dropdown(list(SCHEDULES), value=fast.schedule.kind, label="Schedule")
                    predicts = gr.Dropdown(list(PREDICTIONS), value=fast.model.prediction, label="Predicts")
                with gr.Row(elem_classes="pair"):
                    decay = gr.Number(fast.train.ema_decay, label="EMA decay", elem_id="train-decay")
                    dropout = gr.Number(fast.train.label_dropout, label="Label dropout", elem_id="train-dropout")
                with gr.Row(elem_classes="pair"):
                    width = gr.Number(fast.model.base, label="Width", precision=0, step=8, elem_id="train-width")
                    seed = gr.Number(fast.train.seed, label="Seed", precision=0, elem_id="train-seed")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Start", variant="primary", elem_id="train-start")
                hold = gr.Button("Pause", elem_id="train-pause")
                halt = gr.Button("Stop", elem_id="train-stop")
            to_reverse = gr.Button("Use in Reverse", elem_id="train-use")
            with gr.Row(elem_classes="pair"):
                again = gr.Button(f"Continue {CONTINUE_SECONDS} s", elem_id="train-continue")
                opener = gr.UploadButton("Open a zip", file_types=[".zip"], elem_id="train-open", size="lg")
            gr.HTML(
                '<p class="hint">The run is on the server: it goes on if you reload this page, and Reverse stays '
                "usable while it runs. Seconds count training alone, not the pictures in between.</p>"
            )
        view = parts.stage_and_margin(
            "train",
            None,
            [missed, download],
            EQUATION,
            "The loss falls fast, then looks flat, while the digits still improve: most of it is noise that nobody "
            "could predict. Drag the playhead back to see the same noise become the same digits earlier.",
        )

    quiet = {"show_progress": "hidden", "trigger_mode": "multiple"}
    more = [lr, batch, schedule, predicts, decay, dropout, width, seed]
    inputs = [preset, name, kind, budget, *more, run_id]
    preset.input(lambda p: more_of(PRESETS[parts.one_of(p, "Preset", PRESETS)]), preset, more, queue=False, **quiet)
    go.click(start, inputs, [view, run_id], concurrency_limit=64, **quiet)
    again.click(go_on, run_id, view, concurrency_limit=64, **quiet)
    demo.load(attach, run_id, view, concurrency_limit=64, show_progress="hidden")
    hold.click(pause, run_id, view, queue=False, **quiet)
    halt.click(stop, run_id, view, queue=False, **quiet)
    to_reverse.click(use, [run_id, own], [weights, own, tabs, view], queue=False, **quiet)
    opener.upload(open_zip, [opener, own], [weights, own, view], **quiet)
