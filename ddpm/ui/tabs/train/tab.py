"""The Train tab: a training run is a job on the server with an id; the page watches it, and may come back to it."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.config import PREDICTIONS
from ddpm.data import DATASETS, DataError
from ddpm.device import Inference, on_zerogpu
from ddpm.presets import PRESETS, labelled
from ddpm.schedule import SCHEDULES
from ddpm.system.threads import apart
from ddpm.ui.components import layout
from ddpm.ui.generation.models import from_checkpoint
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import once

from . import zerogpu, zip_file
from .forecast import Forecast
from .loss_levels import LEVELS
from .request import LEAST, MORE, check, fetch, more_of
from .run_store import GOING, Runs
from .training_run import TrainingRun

TITLE = "Train"
CONTINUE_SECONDS = 60
PACKET_SECONDS = 0.25
REMEMBERED = 4  # runs of a browser, which it can look at again

EQUATION = """
<math display="block"><mi>L</mi><mo>=</mo><mi>E</mi><msup><mrow><mo>‖</mo><mi data-live="target">v</mi><mo>−</mo>
<msub><mi data-live="target">v</mi><mi>θ</mi></msub><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><mi>t</mi>
<mo>)</mo><mo>‖</mo></mrow><mn>2</mn></msup></math>
<math display="block" class="numbers"><mi>L</mi><mo>≈</mo><mn class="noise" data-live="loss">·</mn></math>
<p class="source" data-live="source">Ho et al. 2020, Algorithm 1: a random digit, a random t, a random ε; one step
down the gradient. Asked for v, the network says a mix of ε and x₀ (Salimans and Ho 2022).</p>
<p class="code">computed by <code>ddpm.objective.train_step</code></p>
<p class="figures">gradient <b data-live="norm">·</b>, clipped in <b data-live="clipped">·</b> of steps, learning rate
<b data-live="lr">·</b></p>
<h2>Loss by noise level</h2><div class="levels"></div><p data-live="about">Press Start. Each bar will be a part of the
loss: that of the digits as noisy as the picture under it. Press one to see what the network is asked there.</p>
"""


def build(shared: layout.Shared) -> None:
    engine, registry, mine = shared.engine, shared.registry, shared.mine
    runs, forecasts = Runs(engine), Forecast(engine)
    shared.counts["training"] = runs.active
    shared.at_end.append(runs.save)

    def latest(mine: Any) -> TrainingRun | None:
        return runs.get(mine[-1]) if isinstance(mine, list) and mine else None

    def known(mine: Any) -> list[dict[str, str]]:
        """The runs of a browser that are still here, for the choice of what to hold beside the latest."""
        found = [runs.get(run_id) for run_id in mine[-REMEMBERED:]] if isinstance(mine, list) else []
        return [{"run": run.id, "label": run.label} for run in found if run is not None]

    async def watch(run: TrainingRun, mine: Any) -> AsyncIterator[dict[str, Any]]:
        sent, last = 0, tuple[Any, ...]()
        ended = asyncio.wrap_future(run.job.finished) if run.job else None  # none of a run that came back finished
        while True:
            runs.watched(run)
            packet = run.packet(sent)
            packet["done"] = not run.active or ended is None or ended.done()
            sent += len(packet["frames"])
            now = tuple(map(packet.get, ("done", "paused", "waiting", "step", "kept", "evaluating")))
            if now != last:
                yield packet | {"mine": known(mine)}
            if packet["done"] or ended is None:
                return
            last = now
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)

    async def start(request: gr.Request, preset: Any, name: Any, kind: Any, budget: Any, *rest: Any) -> AsyncIterator:
        *more, mine = rest
        more, where = more[: len(MORE)], more[len(MORE) :]  # where: on a ZeroGPU Space only
        other = latest(mine)
        try:
            if other is not None and other.active:
                raise ValueError(GOING)
            try:
                run = await apart(check, preset, name, kind, budget, *more)
            except DataError:  # not on this server yet
                async for sentence in fetch(name):
                    yield {"notice": sentence}, gr.skip()
                run = await apart(check, preset, name, kind, budget, *more)
            for chosen in where:
                run.remote = protocol.one_of(chosen, "Compute on", zerogpu.PLACES) == zerogpu.REMOTE
            runs.start(run, request.session_hash)
        except DataError:
            why = "Is there a network, and room for it? Bundled digits need neither."
            yield {"error": f"{name} could not be downloaded. {why}"}, gr.skip()
            return
        except ValueError as error:
            yield {"error": str(error)}, gr.skip()
            return
        mine = [*(each["run"] for each in known(mine)), run.id][-REMEMBERED:]
        keep = mine
        async for packet in watch(run, mine):
            yield packet, keep
            keep = gr.skip()

    async def go_on(request: gr.Request, mine: Any) -> AsyncIterator:
        run = latest(mine)
        try:
            if run is None:
                raise ValueError("There is nothing to continue: press Start.")
            runs.go_on(run, CONTINUE_SECONDS, request.session_hash)
        except ValueError as error:
            yield {"error": str(error)}
            return
        async for packet in watch(run, mine):
            yield packet

    def pause(mine: Any) -> Any:
        run = latest(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        runs.hold(run, not run.paused_by_hand)
        return gr.skip()

    async def attach(mine: Any) -> AsyncIterator:
        run = latest(mine)
        if run is not None:
            async for packet in watch(run, mine):
                yield packet

    def stop(mine: Any) -> Any:
        run = latest(mine)
        if run is None or run.job is None or not run.active:
            return {"error": "Nothing is training."}
        run.halt = True
        engine.resume(run.job)
        return gr.skip()

    def fill(chosen: Any) -> list[Any]:
        """What is under More in a preset."""
        return more_of(PRESETS[chosen]) if chosen in tuple(PRESETS) else [gr.skip() for _ in MORE]

    async def forecast(chosen: Any) -> str:
        return await forecasts.sentence(chosen) if chosen in tuple(PRESETS) else ""

    def offer(own: Any, label: Any, weights_id: Any) -> tuple:
        """Make these weights the page's: the choice of weights with them in it, and what the browser window has."""
        own = [*(pair for pair in own if pair[1] != weights_id), (label, weights_id)]
        return gr.update(choices=[*registry.shipped, *own], value=weights_id), own

    async def use(mine: Any, own: Any) -> tuple:
        run = latest(mine)
        if run is None or run.state is None:
            nothing = {"error": "There are no weights yet: press Start and train some."}
            return gr.skip(), gr.skip(), gr.skip(), nothing
        label = f"trained here: {run.label}, step {run.state.step}"
        registry.put(run.id, await engine.submit(once(run.weights, label)).result())
        return *offer(own, label, run.id), gr.update(selected="reverse"), gr.skip()

    async def open_zip(path: Any, own: Any) -> tuple:
        try:
            if not isinstance(path, str):
                raise ValueError("That is no file. Choose a zip that was saved on this page.")
            name = f"opened: {Path(path).stem[:40]}"
            opened = await engine.submit(once(lambda: from_checkpoint(zip_file.read(path), name))).result()
        except ValueError as error:
            return gr.skip(), gr.skip(), {"error": str(error)}
        weights_id = secrets.token_urlsafe(16)
        registry.put(weights_id, opened)
        return *offer(own, name, weights_id), {
            "notice": "Opened: the weights are chosen above, for Forward and Reverse."
        }

    async def download(question: Any) -> dict[str, Any]:
        """The checkpoint folder of a run as a zip: {run} -> {name, data} or {error}."""
        run = runs.get(protocol.fields(question).get("run"))
        if run is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        state = run.reached
        pack = once(lambda: zip_file.write(state.ema_model(), run.config, run.info(), "ddpm-trained"))
        data = await engine.submit(pack).result()
        return {"name": f"ddpm-{state.step}-steps.zip", "data": base64.b64encode(data).decode()}

    def another(question: Any) -> dict[str, Any]:
        """Another run, whole, to be held beside the one that is shown: {run} -> its packet, or {error}."""
        run = runs.get(protocol.fields(question).get("run"))
        return run.packet() if run else {"error": "That run is no longer on the server."}

    async def level(question: Any) -> dict[str, Any]:
        """What a run's network says at a noise level: {run, level} -> {input, target, prediction, error, ...}."""
        question = protocol.fields(question)
        run = runs.get(question.get("run"))
        if run is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        chosen = protocol.whole_number(question.get("level"), "Level", 0, LEVELS - 1)
        live = run.reached.live_model
        look = once(lambda: run.levels.detail(Inference(live(), "auto"), chosen))
        return await engine.submit(look).result()

    def replay(question: Any) -> dict[str, Any]:
        """What the page asks if it has missed previews: {run, have: [index, ...]} -> {frames}."""
        run = runs.get(protocol.fields(question).get("run"))
        return {"frames": protocol.missed(question, run.previews if run else [])}

    own = gr.State([])  # weights trained or opened in this window: (label, id)
    fast = PRESETS["fast"]
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            preset = gr.Dropdown(labelled(), value="fast", label="Preset", elem_id="train-preset")
            expected = layout.sentence("train-expected")
            name = gr.Dropdown(
                [(each.label, name) for name, each in DATASETS.items()],
                value="bundled",
                label="Data",
                elem_id="train-data",
            )
            with gr.Row(elem_classes="pair"):
                kind = gr.Dropdown(list(LEAST), value="seconds", label="Budget in", elem_id="train-kind")
                budget = gr.Number(30, label="How many", elem_id="train-budget")
            with gr.Accordion("More", open=False, elem_id="train-more"):
                with gr.Row(elem_classes="pair"):
                    lr = gr.Number(fast.train.lr, label="Learning rate", elem_id="train-lr")
                    batch = gr.Number(fast.train.batch_size, label="Batch size", precision=0, elem_id="train-batch")
                with gr.Row(elem_classes="pair"):
                    schedule = gr.Dropdown(
                        list(SCHEDULES), value=fast.schedule.kind, label="Schedule", elem_id="train-schedule"
                    )
                    predicts = gr.Dropdown(list(PREDICTIONS), value=fast.model.prediction, label="Predicts")
                with gr.Row(elem_classes="pair"):
                    decay = gr.Number(fast.train.ema_decay, label="EMA decay", elem_id="train-decay")
                    dropout = gr.Number(fast.train.label_dropout, label="Label dropout", elem_id="train-dropout")
                with gr.Row(elem_classes="pair"):
                    width = gr.Number(fast.model.base, label="Width", precision=0, step=8, elem_id="train-width")
                    seed = gr.Number(fast.train.seed, label="Seed", precision=0, elem_id="train-seed")
                where = []
                if on_zerogpu():
                    where.append(gr.Dropdown(list(zerogpu.PLACES), value=zerogpu.HERE, label="Compute on"))
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
                "usable while it runs. Seconds are the clock's, from Start to the end of training.</p>"
            )
        view = layout.stage_and_margin(
            "train",
            Path(__file__).with_name("train.js"),
            None,
            [replay, download, another, level],
            EQUATION,
            "The loss falls fast, then looks flat, while the digits still improve. Drag the playhead back: the same "
            "noise, at every moment of the training.",
        )

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "multiple"}
    more = [lr, batch, schedule, predicts, decay, dropout, width, seed]
    inputs = [preset, name, kind, budget, *more, *where, mine]
    preset.input(fill, preset, more, queue=False, **quiet)
    preset.input(forecast, preset, expected, queue=False, **quiet)
    shared.demo.load(forecast, preset, expected, queue=False, show_progress="hidden")
    go.click(start, inputs, [view, mine], concurrency_limit=64, **quiet)
    again.click(go_on, mine, view, concurrency_limit=64, **quiet)
    shared.demo.load(attach, mine, view, concurrency_limit=64, show_progress="hidden")
    hold.click(pause, mine, view, queue=False, **quiet)
    halt.click(stop, mine, view, queue=False, **quiet)
    to_reverse.click(use, [mine, own], [shared.weights, own, shared.tabs, view], queue=False, **quiet)
    opener.upload(open_zip, [opener, own], [shared.weights, own, view], **quiet)
