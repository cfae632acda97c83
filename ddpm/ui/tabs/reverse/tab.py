"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

from ddpm.evaluation import judges
from ddpm.ui.components import controls, parts
from ddpm.ui.generation.equations import EQUATIONS
from ddpm.ui.generation.film import Film
from ddpm.ui.generation.sampling import Costs, Trajectory
from ddpm.ui.generation.settings import Settings
from ddpm.ui.generation.weights import Library, can_be_judged
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.engine import Engine, once

from .files import FIELDS, files

KEPT_BYTES = 256_000_000


def build(engine: Engine, library: Library, demo: gr.Blocks, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose samples are drawn."""
    kept, costs = cache.Kept(KEPT_BYTES), Costs(engine)

    def check(asked: Iterable[Any]) -> Settings:
        return Settings.check(library, **dict(zip(FIELDS, asked, strict=True)))

    def keep(run: Film) -> None:
        kept.put(run.id, run, run.size)

    file, opened = files(engine, library, kept, check)

    def branch(at, *asked) -> Trajectory:
        """at: where the page's playhead is, {run, k}."""
        at = protocol.fields(at)
        parent = kept.get(at.get("run"))
        if parent is None or not parent.frames:
            raise ValueError("There is nothing to branch from. Press Generate, and let it finish or stop it.")
        return Trajectory.branch(parent, at.get("k"), check(asked))

    async def cost(*asked) -> str:
        try:
            return await costs.sentence(check(asked))
        except ValueError as error:
            return str(error)

    def replay(asked: Any) -> dict[str, Any]:
        """The frames of a run that the page has missed: {run, have: [k, ...]} -> {frames}."""
        return {"frames": protocol.missed(asked, kept, lambda run: run.frames)}

    async def readings(asked: Any) -> dict[str, Any]:
        """What the judge makes of one digit along a run: {run, i} -> {digits, confidence: of each frame} or {error}."""
        asked = protocol.fields(asked)
        run = kept.get(asked.get("run"))
        if run is None or not run.frames:
            raise ValueError("Let the run finish, or stop it: then the judge reads this digit along the way.")
        if not can_be_judged(run.dataset, run.shape):
            raise ValueError("The judge reads MNIST's digits only; these weights draw something else.")
        i = protocol.whole_number(asked.get("i"), "Digit", 0, run.shape[0] - 1)
        found = await engine.submit(once(judges.read, run.guesses(i))).result()
        confidence = [round(share, 3) for share in found.confidence.tolist()]
        return {"digits": found.digits.tolist(), "confidence": confidence}

    async def open_file(request: gr.Request, path, now) -> list[Any]:
        answer = await opened(path, now)
        if "run" in answer[-1]:  # a film has taken the place of what this window had running
            sessions.stop(request.session_hash)
        return answer

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            n, choice = controls.digits_and_class("reverse", library, weights, 16)
            how = controls.how("reverse")
            seed = controls.seed_and_dice("reverse")
            go, halt = controls.go_and_stop("reverse", "Generate")
            at = gr.JSON(visible=False)  # where the playhead is, filled in as Branch is pressed
            with gr.Row(elem_classes="pair"):
                fork = gr.Button("Branch here", elem_id="reverse-branch")
                endings = [".safetensors", ".png", ".gif"]
                opener = gr.UploadButton("Open a file", file_types=endings, elem_id="reverse-open", size="lg")
            how += controls.more("reverse", how[0])
            forecast = parts.sentence("reverse-cost")
        view = parts.stage_and_margin(
            "reverse",
            None,
            [replay, file, readings],
            EQUATIONS,
            "The guess x̂₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
            "rest back as noise; the digit is decided early, its edges late.",
        )

    inputs, sessions = [n, choice, seed, weights, *how], controls.stoppable(engine, halt, view)
    controls.runs(sessions, lambda *asked: Trajectory(check(asked)), go.click, inputs, view, keep)
    here = "(at, ...others) => [DDPM.tabs.reverse.at(), ...others]"
    controls.runs(sessions, branch, fork.click, [at, *inputs], view, keep, js=here)
    opener.upload(open_file, [opener, weights], [*inputs, view], **controls.QUIET)
    changes = [demo.load, *(each.change for each in inputs)]
    gr.on(changes, cost, inputs, forecast, trigger_mode="always_last", concurrency_limit=8, show_progress="hidden")
