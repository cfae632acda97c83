"""The controls that several tabs share, so that whoever knows one tab knows the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.data import Attribute
from ddpm.presets import PAGE_SAMPLING
from ddpm.samplers import SAMPLERS, VARIANCES
from ddpm.spacing import LABELS

from ..generation.labels import NONE, choices, read_attributes, text_of
from ..generation.models import Model, ModelRegistry
from ..server import limits, protocol
from . import layout, links
from .streaming import QUIET

GUIDED = "0: no class, 1: the class, above: more so"
SIGNS = {"small": "β̃ₜ", "large": "βₜ"}  # of VARIANCES
HOW = ("sampler", "steps", "guidance", "middle", "eta", "variance", "spacing", "clip")  # as check_how names them


def named(sampling: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(HOW, sampling, strict=True))


def digits_and_class(name: str, registry: ModelRegistry, weights: gr.Dropdown, n: int) -> tuple[gr.Number, gr.Dropdown]:
    """How many, and which."""
    with gr.Row(elem_classes="pair"):
        digits = gr.Number(n, label="Digits", elem_id=f"{name}-n")
        choice, panel = class_and_attributes(name, registry, weights)
    panel.render()
    return digits, choice


def class_of(
    name: str,
    registry: ModelRegistry,
    weights: gr.Dropdown,
    offer: Callable[[Model], Sequence[str]] = choices,
    first: int = 0,
    label: str = "Class",
    ending: str = "class",
) -> gr.Dropdown:
    """A class, of those that the chosen weights know.  offer: what can be chosen; first: which of it is at first."""
    choice, panel = class_and_attributes(name, registry, weights, offer, first, label, ending)
    panel.render()
    return choice


def class_and_attributes(
    name: str,
    registry: ModelRegistry,
    weights: gr.Dropdown,
    offer: Callable[[Model], Sequence[str]] = choices,
    first: int = 0,
    label: str = "Class",
    ending: str = "class",
) -> tuple[gr.Dropdown, gr.HTML]:
    """`class_of`, and what takes its place where the weights know attributes, not rendered yet: a choice of each.

    The value is the dropdown's in both cases; of attributes a text, see labels.py.
    """

    def known(weights_id: Any) -> tuple[str, ...]:
        try:
            return tuple(offer(registry.get(weights_id)))
        except ValueError:
            return ()

    def asks(weights_id: Any) -> tuple[Attribute, ...]:
        try:
            return registry.get(weights_id).attributes
        except ValueError:
            return ()

    def follow(weights_id: Any, chosen: Any) -> Any:
        offered, attributes = known(weights_id), asks(weights_id)
        if not offered:
            return gr.skip(), gr.skip()
        value = chosen if chosen in offered else offered[min(first, len(offered) - 1)]
        shown: dict[str, Any] = {"visible": "hidden" if attributes else True, "allow_custom_value": bool(attributes)}
        named = [[each.name, *each.values] for each in attributes]
        panel = {"attributes": named, "special": [each for each in offered if each != NONE], "chosen": value}
        shown |= {"choices": offered, "value": value}
        return gr.update(**shown), gr.update(visible=bool(attributes), value=panel)

    def check(weights_id: Any) -> Callable[[str], str] | None:
        attributes = asks(weights_id)

        def read(text: str) -> str:
            return text if text in known(weights_id) else text_of(attributes, read_attributes(attributes, text))

        return read if attributes else None

    offered = known(registry.default) or (NONE,)
    value = offered[min(first, len(offered) - 1)]
    choice = gr.Dropdown(offered, value=value, label=label, elem_id=f"{name}-{ending}")
    panel = layout.scripted(
        Path(__file__).with_name("attributes.js"),
        "attributes",
        constants={"label": label.replace("Class", "Attributes"), "none": NONE},
        html_template='<div class="attributes"></div>',
        visible=False,
        render=False,
    )
    weights.change(follow, [weights, choice], [choice, panel], **QUIET)
    panel.input(None, panel, choice, js="(value) => value.chosen")
    choice.change(None, [choice, panel], panel, js="(chosen, value) => value && { ...value, chosen }")
    links.follows_model(choice, known, check)
    return choice, panel


def seed_and_dice(name: str) -> gr.Number:
    with gr.Row(elem_classes="pair"):
        seed = gr.Number(0, label="Seed", elem_id=f"{name}-seed")
        dice = gr.Button("⚄ New seed", elem_id=f"{name}-dice")
    dice.click(None, None, seed, js=f"() => Math.floor(Math.random() * {protocol.MAX_SEED})")
    return seed


def go_and_stop(name: str, label: str) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes=["pair", "actions"]):
        go = gr.Button(label, variant="primary", elem_id=f"{name}-{label.split()[0].lower()}")
        halt = gr.Button("Stop", elem_id=f"{name}-stop")
    return go, halt


def sampling(name: str, registry: ModelRegistry, weights: gr.Dropdown) -> list[Any]:
    """Sampler, steps and guidance, which does nothing with weights that know no classes."""
    page = PAGE_SAMPLING
    sampler = gr.Dropdown(
        [(method.label, name) for name, method in SAMPLERS.items()],
        value=page.sampler,
        label="Sampler",
        filterable=False,
        elem_id=f"{name}-sampler",
    )
    steps = gr.Slider(1, limits.current().steps, page.num_steps, step=1, label="Steps", elem_id=f"{name}-steps")
    guidance = gr.Slider(
        0,
        5,
        page.guidance,
        step=0.1,
        label="Guidance scale w",
        info=GUIDED,
        elem_id=f"{name}-guidance",
    )

    no_classes = "without effect: these weights know no classes"
    only_where(lambda model: model.conditional, guidance, no_classes, registry, weights)
    return [sampler, steps, guidance]


def only_where(
    works: Callable[[Model], bool], control: Any, otherwise: str, registry: ModelRegistry, weights: gr.Dropdown
) -> None:
    """A control is disabled while the chosen weights make nothing of it.  otherwise: what it says then."""

    def follow(weights_id: Any) -> Any:
        try:
            on = works(registry.get(weights_id))
        except ValueError:
            return gr.skip()
        return gr.update(interactive=on, info=(control.info or "") if on else otherwise)

    weights.change(follow, weights, control, **QUIET)


def more(
    name: str, registry: ModelRegistry, weights: gr.Dropdown, sampler: gr.Dropdown, middle_only: bool = True
) -> list[Any]:
    """The rest of HOW, folded away.  A sampler shows the knob it has a use for, and takes the spacing that suits it;
    clipping does nothing with weights of latents.

    middle_only: whether guidance is limited to medium noise at first.
    """
    page = PAGE_SAMPLING
    with gr.Accordion("More", open=False, elem_id=f"{name}-more"):
        label = "η, stochasticity (DDIM)"
        eta = gr.Slider(0, 1, page.eta, step=0.05, label=label, elem_id=f"{name}-eta")
        label = "Variance σ² (DDPM)"
        signs = [(f"{SIGNS[each]}, {each}", each) for each in VARIANCES]
        variance = gr.Radio(signs, value=page.variance, label=label, visible=False, elem_id=f"{name}-variance")
        spacing = gr.Dropdown(
            [(label, each) for each, label in LABELS.items()],
            value=page.spacing,
            label="Timestep spacing",
            filterable=False,
            elem_id=f"{name}-spacing",
        )
        clip = gr.Checkbox(page.clip, label="Clip x̂₀ to [−1, 1] (static thresholding)", elem_id=f"{name}-clip")
        middle = gr.Checkbox(
            middle_only,
            label="Limited-interval guidance",
            info=f"from {page.guide_from} T to {page.guide_to} T; elsewhere guidance is 1",
            elem_id=f"{name}-middle",
        )

    def offer(chosen: Any) -> list[Any]:
        knob = SAMPLERS[chosen].knob if chosen in tuple(SAMPLERS) else None
        return [gr.update(visible=knob == "eta"), gr.update(visible=knob == "variance")]

    sampler.change(offer, sampler, [eta, variance], **QUIET)
    unbounded = "without effect: latents have no bounds"
    only_where(lambda model: model.model.codec is None, clip, unbounded, registry, weights)
    suited = {name: method.spacing for name, method in SAMPLERS.items()}
    # Of a person's choice only: a restored file brings its own spacing.
    sampler.input(None, sampler, spacing, js=f"(sampler) => ({json.dumps(suited)})[sampler]")
    links.leads(sampler, {name: {spacing: suits} for name, suits in suited.items()})
    return [middle, eta, variance, spacing, clip]
