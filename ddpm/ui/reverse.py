"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Iterable
from typing import Any

import gradio as gr

from .. import metrics
from . import controls, parts
from .engine import Engine, once
from .equations import EQUATIONS
from .recipe import read_recipe, save
from .sampling import Costs, Settings, Trajectory, choices, is_judged
from .weights import Library

KEPT_BYTES = 256_000_000

# What Generate sends, in this order: what Settings.check takes.
FIELDS = ("n", "choice", "seed", "weights_id", *controls.HOW)
# Files that were saved before the page offered a choice did without saying:
BEFORE = {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}


def build(engine: Engine, library: Library, demo: gr.Blocks, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose samples are drawn."""
    kept, costs = parts.Kept(KEPT_BYTES), Costs(engine)

    def check(asked: Iterable[Any]) -> Settings:
        return Settings.check(library, **dict(zip(FIELDS, asked, strict=True)))

    def keep(run: Trajectory) -> None:
        kept.put(run.id, run, run.size)

    def branch(at, *asked) -> Trajectory:
        """at: where the page's playhead is, {run, k}."""
        parent = kept.get(at.get("run")) if isinstance(at, dict) else None
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
        asked = asked if isinstance(asked, dict) else {}
        have, run = asked.get("have"), kept.get(asked.get("run"))
        return {"frames": [f for f in (run.frames if run else []) if not isinstance(have, list) or f["k"] not in have]}

    async def readings(asked: Any) -> dict[str, Any]:
        """What the judge makes of one digit along a run: {run, i} -> {digits, confidence: of each frame} or {error}."""
        asked = asked if isinstance(asked, dict) else {}
        run = kept.get(asked.get("run"))
        try:
            if run is None or not run.frames:
                raise ValueError("Let the run finish, or stop it: then the judge reads this digit along the way.")
            if not is_judged(run.settings):
                raise ValueError("The judge reads MNIST's digits only; these weights draw something else.")
            i = parts.whole_number(asked.get("i"), "Digit", 0, run.settings.n - 1)
            found = await engine.submit(once(metrics.read, run.guesses(i))).result()
            confidence = [round(share, 3) for share in found.confidence.tolist()]
            return {"digits": found.digits.tolist(), "confidence": confidence}
        except ValueError as error:
            return {"error": str(error)}

    async def picture(asked: Any) -> dict[str, Any]:
        """A run as a file: {run, kind: png or gif} -> {name, data} or {error}."""
        asked = asked if isinstance(asked, dict) else {}
        run, kind = kept.get(asked.get("run")), asked.get("kind")
        if run is None or not run.frames or kind not in ("png", "gif"):
            return {"error": "These digits are no longer on the server. Press Generate, then save."}
        data = await asyncio.to_thread(save, run.frames, run.settings, kind)
        s = run.settings
        return {
            "name": f"digits-{s.how.sampler}-{s.how.num_steps}-seed{s.seed}.{kind}",
            "data": base64.b64encode(data).decode(),
        }

    def restore(now, event: gr.EventData) -> list[Any]:
        """The settings of a dropped file, or a sentence that says why not.  What is not right changes nothing."""
        nothing = [gr.skip()] * len(FIELDS)
        try:
            recipe = read_recipe(event._data.get("head") if isinstance(event._data, dict) else None)
            here = recipe.get("weights") in library.shipped
            weights_id = recipe["weights"] if here else now
            known = BEFORE | recipe | {"choice": recipe.get("class"), "weights_id": weights_id}
            s = check(known.get(name) for name in FIELDS)
        except ValueError as error:
            return [*nothing, {"error": str(error)}]
        notice = "Settings restored from that file." if here else "Settings restored, but its weights are not here."
        found = dataclasses.asdict(s.how) | {"n": s.n, "middle": s.middle, "seed": s.seed, "weights_id": s.weights_id}
        found |= {"steps": s.how.num_steps, "choice": gr.update(choices=choices(s.weights), value=s.choice)}
        return [*(found[name] for name in FIELDS), {"notice": notice}]

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            n, choice = controls.digits_and_class("reverse", library, weights, 16)
            how = controls.how("reverse")
            seed = controls.seed_and_dice("reverse")
            go, halt = controls.go_and_stop("reverse", "Generate")
            at = gr.JSON(visible=False)  # where the playhead is, filled in as Branch is pressed
            fork = gr.Button("Branch from here, as set above", elem_id="reverse-branch")
            how += controls.more("reverse", how[0])
            forecast = parts.sentence("reverse-cost")
        view = parts.stage_and_margin(
            "reverse",
            None,
            [replay, picture, readings],
            EQUATIONS,
            "The guess x̂₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
            "rest back as noise; the digit is decided early, its edges late.",
        )

    inputs, sessions = [n, choice, seed, weights, *how], controls.stoppable(engine, halt, view)
    controls.runs(sessions, lambda *asked: Trajectory(check(asked)), go.click, inputs, view, keep)
    here = "(at, ...others) => [DDPM.tabs.reverse.at(), ...others]"
    controls.runs(sessions, branch, fork.click, [at, *inputs], view, keep, js=here)
    view.submit(restore, weights, [*inputs, view], **controls.QUIET)
    changes = [demo.load, *(each.change for each in inputs)]
    gr.on(changes, cost, inputs, forecast, trigger_mode="always_last", concurrency_limit=8, show_progress="hidden")
