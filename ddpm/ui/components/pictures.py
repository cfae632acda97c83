"""A digit and its noise, as the page mixes them itself: x_t = sqrt(alphas_bar_t) x0 + sqrt(1 - alphas_bar_t) eps."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import gradio as gr
import torch

from ddpm.data import from_uint8
from ddpm.schedule import SCHEDULES, Schedule, make_schedule
from ddpm.seeding import seeded

from ..generation.labels import ANY, kinds, name_of, of_kind
from ..generation.models import Model, ModelRegistry, pictures_of
from ..server import protocol
from . import links
from .streaming import QUIET

T = 1000
FIRST_SCHEDULE = "cosine"
FIRST_DIGIT = 7  # its position among the bundled digits: the page opens on it
MOST_PICTURES = 100_000  # of a data set that an address can name one of


@functools.cache
def schedule(kind: str) -> Schedule:
    return make_schedule(T, kind=kind)


def constants() -> dict[str, Any]:
    """What the page's scripts know of the schedules: T, and of each its name, what digit and noise weigh by t, beta and
    the posterior variance, the last two to be read alone."""

    def told(table: torch.Tensor, digits: int = 9) -> list[float]:
        return [float(f"{v:.{digits}g}") for v in table.tolist()]  # 9 tell a float32 from all others

    def tables(sched: Schedule) -> dict[str, list[float]]:
        mixed = {"signal": told(sched.sqrt_alphas_bar), "noise": told(sched.sqrt_one_minus_alphas_bar)}
        return mixed | {"betas": told(sched.betas, 4), "variance": told(sched.posterior_variance, 4)}

    return {"T": T, "SCHEDULES": {kind: {"label": label(kind), **tables(schedule(kind))} for kind in SCHEDULES}}


def label(kind: str) -> str:
    """What the page calls a schedule."""
    return kind.replace("log_snr", "log-SNR")


def noise(seed: int, channels: int, size: int) -> torch.Tensor:
    """The eps of a seed as the page gets it: (C, S, S) float16."""
    return torch.randn(channels, size, size, generator=seeded(seed)).half()


def picture_packet(weights: Model, index: int) -> dict[str, Any]:
    data = pictures_of(weights)
    x0 = protocol.b64(data.images[index].permute(1, 2, 0).numpy())
    shape = {"size": weights.img_size, "channels": weights.channels}
    return {"x0": x0, "label": name_of(data, index), "picture": index} | shape


def noise_packet(weights: Model, seed: int) -> dict[str, Any]:
    eps = noise(seed, weights.channels, weights.img_size).permute(1, 2, 0)
    return {"seed": seed, "eps": protocol.b64(eps.numpy())}


def another_picture(weights: Model, choice: Any) -> dict[str, Any]:
    """A random picture of the chosen class: ANY, or how one is chosen."""
    data = pictures_of(weights)
    choice = protocol.one_of(choice, "Picture", (ANY, *kinds(data)))
    if choice == ANY:
        return picture_packet(weights, random.randrange(len(data.images)))
    return picture_packet(weights, random.choice(of_kind(data, choice).tolist()))


def offered(registry: ModelRegistry, weights_id: Any) -> tuple[str, ...]:
    """How a digit can be chosen with these weights; nothing if they are not there."""
    try:
        return (ANY, *kinds(pictures_of(registry.get(weights_id))))
    except ValueError:
        return ()


def asked_for(registry: ModelRegistry, model_id: Any, values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The digit, and the noise where the view has any, that an address names; by a class alone, the first of it.

    values: of all the view's keys; given: those that the address names.  Raises ValueError.
    """
    model = registry.get(model_id)
    data, index = pictures_of(model), values["picture"]
    if "picture" not in given and values.get("digit") in kinds(data):
        index = int(of_kind(data, values["digit"])[0])
    if index >= len(data.images):
        raise ValueError(f"picture={index}: this model's data set ends at {len(data.images) - 1}")
    return picture_packet(model, index) | (noise_packet(model, values["noise"]) if "noise" in values else {})


def opening(registry: ModelRegistry) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a tab opens with, and how its classes are chosen."""
    start: dict[str, Any] = {"weights": registry.default}
    try:
        first = registry.get(registry.default)
        start |= picture_packet(first, FIRST_DIGIT) | noise_packet(first, 0)
        return start, kinds(pictures_of(first))
    except ValueError as error:  # the page opens all the same, and says what is wrong
        return start | {"error": str(error)}, ()


def read_picture(text: Any, weights: Model) -> torch.Tensor:
    """The x0 that a page sends: base64 of (S, S, C) uint8.  Returns (1, C, S, S) in [-1, 1].  Raises ValueError."""
    shape = (weights.img_size, weights.img_size, weights.channels)
    sorry = "That picture is not of the size these weights know. Choose another."
    pixels = protocol.pixels(text, shape, sorry)
    return from_uint8(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])


def asked_about(registry: ModelRegistry, question: dict[str, Any]) -> tuple[Model, torch.Tensor, int]:
    """What a page asks about, {x0, seed, weights}: the weights, x0, and the seed of its noise.  Raises ValueError."""
    weights = registry.get(question.get("weights"))
    x0 = read_picture(question.get("x0"), weights)
    return weights, x0, protocol.whole_number(question.get("seed"), "Noise", 0, protocol.MAX_SEED)


def noise_of(weights: Model, seed: int) -> torch.Tensor:
    """The eps of a seed as it is computed with: (1, C, S, S) float32."""
    return noise(seed, weights.channels, weights.img_size).float()[None]


def choosing(
    name: str,
    names: Sequence[str],
    variant: Literal["primary", "secondary"] = "secondary",
    beside: tuple[str, str] = ("noise", "New noise ε"),
) -> tuple[gr.Dropdown, gr.Button, gr.Button]:
    """Which digit, another one, and a button beside that: how its id ends, and its text.

    name: a tab; names: how one chooses classes; variant: of the button for another digit.
    """
    choice = gr.Dropdown([ANY, *names], value=ANY, label="Digit", elem_id=f"{name}-digit")
    with gr.Row(elem_classes="pair"):
        another = gr.Button("Another digit", variant=variant, elem_id=f"{name}-another")
        second = gr.Button(beside[1], elem_id=f"{name}-{beside[0]}")
    return choice, another, second


def which_schedule(name: str) -> gr.Radio:
    """The schedule, which the tab's own script is told of."""
    kinds = [(label(kind), kind) for kind in SCHEDULES]
    kind = gr.Radio(kinds, value=FIRST_SCHEDULE, label="Schedule", elem_id=f"{name}-schedule")
    kind.change(None, kind, None, js=f"(kind) => {{ DDPM.tabs.{name}.receive({{schedule: kind}}); }}")
    return kind


def follow(
    registry: ModelRegistry,
    weights: gr.Dropdown,
    view: gr.HTML,
    choice: gr.Dropdown,
    another: gr.Button,
    again: gr.Button | None = None,
    more: Callable[[Model], dict[str, Any]] = lambda model: {},
) -> None:
    """Another digit, another noise and other weights reach the view.

    more: what the view needs of other weights beside a digit and noise: it may not have been opened before they came.
    """

    def told(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A packet, or the reason why there is none."""
        try:
            return make()
        except ValueError as error:
            return {"error": str(error)}

    def change_weights(weights_id: Any) -> tuple[dict[str, Any], Any]:
        def make() -> dict[str, Any]:
            model = registry.get(weights_id)
            shown = {"weights": weights_id}
            return shown | noise_packet(model, 0) | another_picture(model, ANY) | more(model)

        packet = told(make)
        names = () if "error" in packet else kinds(pictures_of(registry.get(weights_id)))
        return packet, gr.update(choices=[ANY, *names], value=ANY)

    def change_picture(chosen: Any, weights_id: Any) -> dict[str, Any]:
        return told(lambda: another_picture(registry.get(weights_id), chosen))

    def change_noise(weights_id: Any) -> dict[str, Any]:
        return told(lambda: noise_packet(registry.get(weights_id), random.randrange(protocol.MAX_SEED)))

    for event in (choice.input, another.click):
        event(change_picture, [choice, weights], view, **QUIET)
    if again is not None:
        again.click(change_noise, weights, view, **QUIET)
    weights.change(change_weights, weights, [view, choice], **QUIET)
    links.follows_model(choice, lambda weights_id: offered(registry, weights_id))
    links.keep(view, picture=links.whole(MOST_PICTURES - 1, FIRST_DIGIT))
    if again is not None:
        links.keep(view, noise=links.whole(protocol.MAX_SEED, 0))
