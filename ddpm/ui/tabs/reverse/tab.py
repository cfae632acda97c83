"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from ddpm.data import Dataset
from ddpm.evaluation import classifiers
from ddpm.presets import PAGE_SAMPLING
from ddpm.ui.components import controls, layout
from ddpm.ui.components.neighbours import OF_SERVER, Neighbours, trained_on
from ddpm.ui.components.streaming import QUIET, Streaming, window
from ddpm.ui.generation.coefficients import equations
from ddpm.ui.generation.recording import Recording, pixels
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Costs, Trajectory
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import once

from .save_and_open import FIELDS, files

TITLE = "Reverse"
KEPT_BYTES = 256_000_000


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights
    runs, costs = Streaming(engine, "reverse", KEPT_BYTES), Costs(engine)

    def check(question: Iterable[Any]) -> Settings:
        return Settings.check(registry, **dict(zip(FIELDS, question, strict=True)))

    file, python, opened = files(engine, registry, runs, check)

    def branch(at: Any, *question: Any) -> Trajectory:
        """at: where the page's playhead is, {run, index}."""
        at = protocol.fields(at)
        parent = runs.get(at.get("run"))
        if parent is None or not parent.frames:
            raise ValueError("There is nothing to branch from. Press Generate, and let it finish or stop it.")
        return Trajectory.branch(parent, at.get("index"), check(question))

    async def cost(*question: Any) -> str:
        try:
            return await costs.sentence(check(question))
        except ValueError as error:
            return str(error)

    async def readings(question: Any) -> dict[str, Any]:
        """One digit classified along a run: {run, i} -> {classes, confidence: of each frame} or {error}."""
        question = protocol.fields(question)
        run = runs.get(question.get("run"))
        if run is None or not run.frames:
            raise ValueError("Let the run finish, or stop it: then this digit is classified along the way.")
        reader = classifiers.reader_of(run.dataset, run.shape[1:])
        if reader is None:
            raise ValueError("No classifier here knows the classes of these pictures.")
        i = protocol.whole_number(question.get("i"), "Digit", 0, run.shape[0] - 1)
        found = await engine.submit(once(classifiers.read, run.x0_hats_of(i), reader)).result()
        confidence = [round(share, 3) for share in found.confidence.tolist()]
        return {"classes": found.names, "confidence": confidence}

    def samples_of(run_id: Any) -> tuple[Tensor, Callable[[], tuple[Dataset, str]]]:
        """The finished samples of a run, and what finds the pictures that its model was trained on."""
        run = runs.get(run_id)
        if run is None or not run.frames or run.frames[-1]["t"] >= 0:
            raise ValueError("There are no finished samples: press Generate, and let it come to its end.")
        return pixels(run.frames[-1]["x_t"], run.shape), functools.partial(trained_on, run.dataset)

    async def open_file(request: gr.Request, path: Any, now: Any) -> list[Any]:
        answer = await opened(path, now)
        if "run" in answer[-1]:  # a recording has taken the place of what this window had running
            runs.sessions.stop(window(request))
        return answer

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            n, choice = controls.digits_and_class("reverse", registry, weights, 16)
            sampling = controls.sampling("reverse", registry, weights)
            seed = controls.seed_and_dice("reverse")
            go, halt = controls.go_and_stop("reverse", "Generate")
            at = gr.JSON(visible=False)  # where the playhead is, filled in as Branch is pressed
            with gr.Row(elem_classes="pair"):
                fork = gr.Button("Branch here", elem_id="reverse-branch")
                endings = [".safetensors", ".png", ".gif"]
                opener = gr.UploadButton("Open a file", file_types=endings, elem_id="reverse-open", size="lg")
            sampling += controls.more("reverse", registry, weights, sampling[0])
            forecast = layout.sentence("reverse-cost")
        view = layout.stage_and_margin(
            "reverse",
            Path(__file__).with_name("reverse.js"),
            None,
            [runs.replay, file, python, readings, Neighbours(engine, samples_of, OF_SERVER).nearest],
            equations(PAGE_SAMPLING.sampler),
            "Predicted x₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
            "rest back as noise; the digit is decided early, its edges late.",
        )

    def take(recording: Recording) -> dict[str, Any]:
        """A finished recording of another tab, as the packet that shows it in this one."""
        runs.keep(recording)
        notice = "From Edit: play it, drag the playhead, or branch from any moment with the settings here."
        return recording.packet(recording.frames, done=True, opened=notice)

    shared.takers["reverse"] = take
    inputs = [n, choice, seed, weights, *sampling]
    runs.start(go.click, lambda *question: Trajectory(check(question)), inputs, view)
    here = "(at, ...others) => [DDPM.tabs.reverse.at(), ...others]"
    runs.start(fork.click, branch, [at, *inputs], view, js=here)
    runs.stop(halt, view)
    follow = "(sampler) => { window.DDPM?.tabs.reverse?.chosen(sampler); }"
    sampling[0].change(None, sampling[0], None, js=follow)
    opener.upload(open_file, [opener, weights], [*inputs, view], **QUIET)
    changes = [shared.demo.load, *(each.change for each in inputs)]
    gr.on(changes, cost, inputs, forecast, trigger_mode="always_last", **QUIET)
