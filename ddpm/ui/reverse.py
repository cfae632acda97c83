"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import gradio as gr

from ..config import PAGE_SAMPLING, SAMPLERS, VARIANCES
from . import parts
from .engine import Engine, Sessions
from .equations import EQUATIONS, NAMES, SPACING_NAMES
from .recipe import read_recipe, save
from .sampling import MAX_STEPS, NONE, Costs, Settings, Trajectory, choices
from .weights import Library

KEPT_BYTES = 256_000_000

# What Generate sends, in this order: what Settings.check takes.
FIELDS = ("n", "choice", "seed", "weights_id")
FIELDS += ("sampler", "steps", "guidance", "middle", "eta", "variance", "spacing", "clip")
# Files that were saved before the page offered a choice did without saying:
BEFORE = {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}


def build(engine: Engine, library: Library, demo: gr.Blocks, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose samples are drawn."""
    sessions, kept, costs = Sessions(engine), parts.Kept(KEPT_BYTES), Costs(engine)

    def check(asked: Iterable[Any]) -> Settings:
        return Settings.check(library, **dict(zip(FIELDS, asked, strict=True)))

    async def generate(request: gr.Request, *asked) -> AsyncIterator:
        try:
            run = Trajectory(check(asked))
            async with aclosing(sessions.stream(request.session_hash, run)) as packets:
                async for packet in packets:
                    if packet.get("done"):
                        kept.put(run.id, run, sum(len(f["x"]) + len(f["h"]) for f in run.frames))
                    yield packet
        except ValueError as error:
            yield {"error": str(error)}

    def stop(request: gr.Request) -> dict[str, Any] | None:
        return None if sessions.stop(request.session_hash) else {"notice": "Nothing is running."}

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

    def suit(sampler) -> list[Any]:
        """What a sampler has a use for: eta, variance; and the spacing it does best with."""
        suited = gr.update(value="log_snr" if sampler in ("dpmpp", "heun") else PAGE_SAMPLING.spacing)
        return [gr.update(visible=sampler == "ddim"), gr.update(visible=sampler == "ddpm"), suited]

    def classes(weights_id) -> tuple[str, ...]:
        """What can be asked of these weights; nothing if they cannot be used."""
        try:
            return choices(library.get(weights_id))
        except ValueError:
            return ()

    def offer_classes(weights_id, chosen):
        known = classes(weights_id)
        return gr.update(choices=known, value=chosen if chosen in known else known[0]) if known else gr.skip()

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            with gr.Row(elem_classes="pair"):
                n = gr.Number(16, label="Digits", precision=0, elem_id="reverse-n")
                known = classes(library.default) or (NONE,)
                choice = gr.Dropdown(known, value=known[0], label="Class", elem_id="reverse-class")
            sampler = gr.Dropdown(
                [(NAMES[name], name) for name in SAMPLERS],
                value=PAGE_SAMPLING.sampler,
                label="Sampler",
                filterable=False,
                elem_id="reverse-sampler",
            )
            steps = gr.Slider(1, MAX_STEPS, PAGE_SAMPLING.num_steps, step=1, label="Steps", elem_id="reverse-steps")
            guidance = gr.Slider(
                0,
                5,
                PAGE_SAMPLING.guidance,
                step=0.1,
                label="Guidance (1: the label, above: more so)",
                elem_id="reverse-guidance",
            )
            with gr.Row(elem_classes="pair"):
                seed = gr.Number(0, label="Seed", precision=0, elem_id="reverse-seed")
                dice = gr.Button("⚄ New seed", elem_id="reverse-dice")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Generate", variant="primary", elem_id="reverse-generate")
                halt = gr.Button("Stop", elem_id="reverse-stop")
            with gr.Accordion("More", open=False, elem_id="reverse-more"):
                eta = gr.Slider(
                    0, 1, PAGE_SAMPLING.eta, step=0.05, label="Eta (fresh noise in DDIM)", elem_id="reverse-eta"
                )
                variance = gr.Radio(
                    list(VARIANCES),
                    value=PAGE_SAMPLING.variance,
                    label="Variance (fresh noise in DDPM)",
                    visible=False,
                    elem_id="reverse-variance",
                )
                spacing = gr.Dropdown(
                    [(label, name) for name, label in SPACING_NAMES.items()],
                    value=PAGE_SAMPLING.spacing,
                    label="Spacing of the steps",
                    filterable=False,
                    elem_id="reverse-spacing",
                )
                clip = gr.Checkbox(PAGE_SAMPLING.clip, label="Clip the guess to [−1, 1]", elem_id="reverse-clip")
                middle = gr.Checkbox(
                    True,
                    label="Guide at medium noise only",
                    info=f"from {PAGE_SAMPLING.guide_from} T to {PAGE_SAMPLING.guide_to} T; elsewhere guidance is 1",
                    elem_id="reverse-middle",
                )
            forecast = parts.sentence("reverse-cost")
        with gr.Column(elem_classes="middle"):
            view = parts.view("reverse", None, [replay, picture])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "reverse",
                EQUATIONS,
                "The guess x̂₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
                "rest back as noise; the digit is decided early, its edges late.",
            )

    inputs = [n, choice, seed, weights, sampler, steps, guidance, middle, eta, variance, spacing, clip]
    quiet = {"show_progress": "hidden", "queue": False}
    go.click(generate, inputs, view, show_progress="hidden", concurrency_limit=64, trigger_mode="multiple")
    halt.click(stop, None, view, **quiet)
    dice.click(None, None, seed, js=f"() => Math.floor(Math.random() * {parts.MAX_SEED})")
    sampler.input(suit, sampler, [eta, variance, spacing], **quiet)
    weights.change(offer_classes, [weights, choice], choice, **quiet)
    view.submit(restore, weights, [*inputs, view], **quiet)
    changes = [demo.load, *(each.change for each in inputs)]
    gr.on(changes, cost, inputs, forecast, trigger_mode="always_last", concurrency_limit=8, show_progress="hidden")
