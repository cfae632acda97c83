"""What the Train tab's buttons do, and what its scripts ask: of the run that a browser started last."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ddpm.data import DATASETS, DataError, Dataset
from ddpm.device import Inference
from ddpm.evaluation.evaluate import DIGITS
from ddpm.presets import LATENTS, PIXELS, PRESETS
from ddpm.system.threads import apart
from ddpm.ui.components.neighbours import OF_SERVER, Neighbours
from ddpm.ui.components.streaming import window
from ddpm.ui.generation.as_python import packet_of
from ddpm.ui.generation.models import ModelRegistry, from_checkpoint
from ddpm.ui.generation.recording import pixels
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Engine, once

from . import zerogpu, zip_file
from .as_python import of_training
from .forecast import Forecast
from .loss_levels import LEVELS
from .own import own
from .request import MORE, check, check_both, fetch, is_latent, known, more_of
from .run_store import GOING, Runs
from .training_run import PREVIEWS, TrainingRun

CONTINUE_SECONDS = 60
PACKET_SECONDS = 0.25
REMEMBERED = 4  # runs of a browser, which it can look at again
SPACES = ("in pixels", "in latent space")


class Actions:
    """mine, in all of them: the ids of the runs that a browser remembers, the latest last."""

    def __init__(self, engine: Engine, registry: ModelRegistry):
        self.engine, self.registry = engine, registry
        self.runs, self.forecasts, self.pictures = Runs(engine), Forecast(engine), own.OwnPictures()
        self.neighbours = Neighbours(engine, self.samples_of, OF_SERVER)

    def latest(self, mine: Any) -> TrainingRun | None:
        return self.runs.get(mine[-1]) if isinstance(mine, list) and mine else None

    def known(self, mine: Any) -> list[dict[str, str]]:
        """The runs of a browser that are still here, for the choice of what to hold beside the latest."""
        found = [self.runs.get(run_id) for run_id in mine[-REMEMBERED:]] if isinstance(mine, list) else []
        return [{"run": run.id, "label": run.label} for run in found if run is not None]

    async def watch(self, run: TrainingRun, mine: Any) -> AsyncIterator[dict[str, Any]]:
        sent, last = dict.fromkeys(run.together, 0), list[Any]()
        ended = asyncio.wrap_future(run.job.finished) if run.job else None  # none of a run that came back finished
        while True:
            self.runs.watched(run)
            packets = [each.packet(sent[each]) for each in run.together]
            now: list[Any] = []
            for each, packet in zip(run.together, packets, strict=True):
                packet["done"] = not run.active or ended is None or ended.done()
                sent[each] += len(packet["frames"])
                now += map(packet.get, ("done", "paused", "waiting", "encoding", "step", "kept", "evaluating"))
            packet = packets[0] | {"beside": packets[1] if len(packets) > 1 else None}
            if now != last:
                yield packet | {"mine": self.known(mine)}
            if packet["done"] or ended is None:
                return
            last = now
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)

    async def start(self, request: gr.Request, *asked: Any) -> AsyncIterator:
        async for answer in self.begin(request, check, *asked):
            yield answer

    async def start_both(self, request: gr.Request, *asked: Any) -> AsyncIterator:
        async for answer in self.begin(request, check_both, *asked):
            yield answer

    async def begin(
        self,
        request: gr.Request,
        check: Callable[..., TrainingRun],
        preset: Any,
        name: Any,
        kind: Any,
        budget: Any,
        *rest: Any,
    ) -> AsyncIterator:
        """check: what makes a run of what was asked for."""
        *more, mine = rest
        more, where = more[: len(MORE)], more[len(MORE) :]  # where: on a ZeroGPU Space only
        other = self.latest(mine)
        try:
            if other is not None and other.active:
                raise ValueError(GOING)
            name = self.pictures.of(window(request)) if name == own.OWN else name
            try:
                run = await apart(check, preset, name, kind, budget, *more)
            except DataError:  # not on this server yet
                async for sentence in fetch(name):
                    yield {"notice": sentence}, gr.skip()
                run = await apart(check, preset, name, kind, budget, *more)
            for chosen in where:
                run.remote = protocol.one_of(chosen, "Compute on", zerogpu.PLACES) == zerogpu.REMOTE
                if run.remote and run.begin is not None:
                    raise ValueError("To continue from weights, choose this server's processor under More.")
                if run.remote and run.beside is not None:
                    raise ValueError("The two share this server's processor: choose it under More.")
            self.runs.start(run, request.session_hash)
            self.runs.looks(run, window(request))
        except DataError:
            why = "Is there a network, and room for it? Bundled digits need neither."
            yield {"error": f"{name} could not be downloaded. {why}"}, gr.skip()
            return
        except ValueError as error:
            yield {"error": str(error)}, gr.skip()
            return
        mine = [*(each["run"] for each in self.known(mine)), *(each.id for each in run.together[::-1])][-REMEMBERED:]
        keep = mine
        async for packet in self.watch(run, mine):
            yield packet, keep
            keep = gr.skip()

    async def go_on(self, request: gr.Request, mine: Any) -> AsyncIterator:
        run = self.latest(mine)
        try:
            if run is None:
                raise ValueError("There is nothing to continue: press Start.")
            self.runs.go_on(run, CONTINUE_SECONDS, request.session_hash)
        except ValueError as error:
            yield {"error": str(error)}
            return
        async for packet in self.watch(run, mine):
            yield packet

    def pause(self, mine: Any) -> Any:
        run = self.latest(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        self.runs.hold(run, not run.paused_by_hand)
        return gr.skip()

    async def attach(self, request: gr.Request, mine: Any) -> AsyncIterator:
        run = self.latest(mine)
        if run is not None:
            self.runs.looks(run, window(request))
            async for packet in self.watch(run, mine):
                yield packet

    def stop(self, mine: Any) -> Any:
        run = self.latest(mine)
        if run is None or run.job is None or not run.active:
            return {"error": "Nothing is training."}
        for each in run.together:
            each.halt = True
        self.engine.resume(run.job)
        return gr.skip()

    def chosen(self, preset: Any) -> tuple:
        """Where the diffusion of a preset is, and what is under More in it."""
        if preset not in tuple(known()):
            return gr.skip(), *(gr.skip() for _ in MORE)
        return SPACES[is_latent(preset)], *more_of(known()[preset])

    def space(self, chosen: Any) -> tuple:
        """The first preset of a space, and what is under More in it."""
        preset = LATENTS if chosen == SPACES[1] else PIXELS
        return preset, *more_of(PRESETS[preset])

    async def forecast(self, preset: Any, name: Any) -> str:
        """What a preset will do, of pictures of the size that it is measured with."""
        other_size = name in tuple(DATASETS) and DATASETS[name].img_size is not None
        if preset not in tuple(known()) or other_size:
            return ""
        return await self.forecasts.both(preset, name in DIGITS)

    def left(self, request: gr.Request) -> None:
        """A window is closed, or reloaded: its pictures go."""
        self.pictures.forget(window(request))
        self.runs.leave(window(request))

    def offer(self, own: Any, label: Any, weights_id: Any) -> tuple:
        """Make these weights the page's: the choice of weights with them in it, and what the browser has."""
        own = [*(pair for pair in self.registry.known(own) if pair[1] != weights_id), (label, weights_id)]
        return gr.update(choices=[*self.registry.shipped, *own], value=weights_id), own

    async def use(self, mine: Any, own: Any) -> tuple:
        run = self.latest(mine)
        if run is None or run.state is None:
            nothing = {"error": "There are no weights yet: press Start and train some."}
            return gr.skip(), gr.skip(), gr.skip(), nothing
        offered: tuple = ()
        for each in run.together:
            if each.state is not None:
                label = f"trained here: {each.label}, step {each.state.step}"
                self.registry.put(each.id, await self.engine.submit(once(each.weights, label)).result())
                offered = self.offer(own, label, each.id)
                own = offered[1]
        return *offered, gr.update(selected="reverse"), gr.skip()

    async def open_zip(self, path: Any, own: Any) -> tuple:
        try:
            if not isinstance(path, str):
                raise ValueError("That is no file. Choose a zip that was saved on this page.")
            name = f"opened: {Path(path).stem[:40]}"
            opened = await self.engine.submit(once(lambda: from_checkpoint(zip_file.read(path), name))).result()
        except ValueError as error:
            return gr.skip(), gr.skip(), gr.skip(), {"error": str(error)}
        weights_id = secrets.token_urlsafe(16)
        self.registry.put(weights_id, opened)
        notice = {"notice": "Opened: the weights are chosen above, for Forward and Reverse."}
        return *self.offer(own, name, weights_id), gr.update(selected="reverse"), notice

    async def download(self, question: Any) -> dict[str, Any]:
        """The checkpoint folder of a run as a zip: {run} -> {name, data} or {error}."""
        run = self.runs.get(protocol.fields(question).get("run"))
        if run is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        state = run.reached
        pack = once(lambda: zip_file.write(state.ema_model(), run.config, run.info(), "ddpm-trained"))
        data = await self.engine.submit(pack).result()
        space = "latent-" if run.latent else ""
        return {"name": f"ddpm-{space}{state.step}-steps.zip", "data": base64.b64encode(data).decode()}

    def samples_of(self, run_id: Any) -> tuple[Tensor, Callable[[], tuple[Dataset, str]]]:
        """The last samples of a run that has ended, and what finds the pictures that it was trained on."""
        run = self.runs.get(run_id)
        if run is None or run.active or not run.previews:
            raise ValueError("There are no samples yet: press Start, and let the training end, or stop it.")
        data = run.data
        samples = pixels(run.previews[-1]["averaged"], (PREVIEWS, *data.images.shape[1:]))
        return samples, lambda: (data, f"Compared with all {len(data.images):,} training pictures")

    def python(self, question: Any) -> dict[str, str]:
        """A run, and the one beside it, as lines of Python: {run} -> {text, name, data} or {error}."""
        run = self.runs.get(protocol.fields(question).get("run"))
        if run is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        return packet_of("Train", f"ddpm-{run.reached.step}-steps", [of_training(each) for each in run.together])

    def another(self, question: Any) -> dict[str, Any]:
        """Another run, whole, to be held beside the one that is shown: {run} -> its packet, or {error}."""
        run = self.runs.get(protocol.fields(question).get("run"))
        return run.packet() if run else {"error": "That run is no longer on the server."}

    async def level(self, question: Any) -> dict[str, Any]:
        """What a run's network says at a noise level: {run, level} -> {input, target, prediction, error, ...}."""
        question = protocol.fields(question)
        run = self.runs.get(question.get("run"))
        if run is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        chosen = protocol.whole_number(question.get("level"), "Level", 0, LEVELS - 1)
        live = run.reached.live_model
        look = once(lambda: run.levels.detail(Inference(live(), "auto"), chosen))
        return await self.engine.submit(look).result()

    def replay(self, question: Any) -> dict[str, Any]:
        """What the page asks if it has missed previews: {run, have: [index, ...]} -> {frames}."""
        run = self.runs.get(protocol.fields(question).get("run"))
        return {"frames": protocol.missed(question, run.previews if run else [])}
