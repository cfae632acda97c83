"""A digit and its noise, as the page mixes them itself: x_t = sqrt(alphas_bar_t) x0 + sqrt(1 - alphas_bar_t) eps."""

from __future__ import annotations

import functools
import random
from typing import Any

import gradio as gr
import numpy as np
import torch

from ..config import SCHEDULES
from ..diffusion import seeded
from ..schedule import Schedule, make_schedule
from . import controls, parts
from .weights import Library, Weights, pictures_of

T = 1000
FIRST_DIGIT = 7  # its position among the bundled digits: the page opens on it


@functools.cache
def schedule(kind: str) -> Schedule:
    return make_schedule(T, kind=kind)


def noise(seed: int, channels: int, size: int) -> torch.Tensor:
    """The eps of a seed as the page gets it: (C, S, S) float16."""
    return torch.randn(channels, size, size, generator=seeded(seed)).half()


def picture_packet(weights: Weights, index: int) -> dict[str, Any]:
    data = pictures_of(weights)
    x0 = parts.b64(data.images[index].permute(1, 2, 0).numpy())
    shape = {"size": weights.img_size, "channels": weights.channels}
    return {"x0": x0, "label": data.class_names[data.labels[index]] if data.labels is not None else ""} | shape


def noise_packet(weights: Weights, seed: int) -> dict[str, Any]:
    eps = noise(seed, weights.channels, weights.img_size).permute(1, 2, 0)
    return {"seed": seed, "eps": parts.b64(eps.numpy())}


def another_picture(weights: Weights, choice: Any) -> dict[str, Any]:
    """A random picture of the chosen class: "random", or the name of one."""
    data = pictures_of(weights)
    choice = parts.one_of(choice, "Digit", ("random", *data.class_names))
    if choice == "random":
        return picture_packet(weights, random.randrange(len(data.images)))
    members = np.flatnonzero(data.labels.numpy() == data.class_names.index(choice))
    return picture_packet(weights, int(random.choice(members)))


def opening(library: Library) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a tab opens with, the schedules' sqrt(alphas_bar) included; and the names of the classes."""
    start: dict[str, Any] = {"weights": library.default, "schedule": "cosine", "T": T}
    start["signal"] = {k: [round(v, 6) for v in schedule(k).sqrt_alphas_bar.tolist()] for k in SCHEDULES}
    try:
        first = library.get(library.default)
        start |= picture_packet(first, FIRST_DIGIT) | noise_packet(first, 0)
        return start, pictures_of(first).class_names
    except ValueError as error:  # the page opens all the same, and says what is wrong
        return start | {"error": str(error)}, ()


def follow(
    library: Library, weights: gr.Dropdown, view: gr.HTML, choice: gr.Dropdown, another: gr.Button, again: gr.Button
) -> None:
    """Another digit, another noise and other weights reach the view."""

    def told(make):
        """A packet, or the reason why there is none."""
        try:
            return make()
        except ValueError as error:
            return {"error": str(error)}

    def change_weights(weights_id):
        def make():
            model = library.get(weights_id)
            shown = {"weights": weights_id}
            return shown | noise_packet(model, 0) | another_picture(model, "random")

        packet = told(make)
        names = () if "error" in packet else pictures_of(library.get(weights_id)).class_names
        return packet, gr.update(choices=["random", *names], value="random")

    def change_picture(chosen, weights_id):
        return told(lambda: another_picture(library.get(weights_id), chosen))

    def change_noise(weights_id):
        return told(lambda: noise_packet(library.get(weights_id), random.randrange(parts.MAX_SEED)))

    for event in (choice.input, another.click):
        event(change_picture, [choice, weights], view, **controls.QUIET)
    again.click(change_noise, weights, view, **controls.QUIET)
    weights.change(change_weights, weights, [view, choice], **controls.QUIET)
