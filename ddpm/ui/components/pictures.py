"""A digit and its noise, as the page mixes them itself: x_t = sqrt(alphas_bar_t) x0 + sqrt(1 - alphas_bar_t) eps."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import gradio as gr
import torch

from ddpm.data import Dataset, from_uint8
from ddpm.schedule import SCHEDULES, Schedule, make_schedule
from ddpm.seeding import seeded
from ddpm.system.threads import apart

from ..generation import drawn
from ..generation.labels import ANY, kinds, name_of, of_kind
from ..generation.models import Model, ModelRegistry, pictures_of
from ..server import protocol
from ..server.engine import Engine
from . import links
from .streaming import QUIET

T = 1000
FIRST_SCHEDULE = "cosine"
FIRST_DIGIT = 7  # its position among the bundled digits: the page opens on it
MOST_PICTURES = 100_000  # of a data set, or of those that a model draws, that an address can name one of
DRAWN = 1000  # of those that a model draws, among which another one is chosen
NOT_HERE = "The pictures this model was trained on are not on this server: it draws its own."

Second = Callable[[dict[str, Any]], dict[str, Any]]


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


def noise_packet(weights: Model, seed: int) -> dict[str, Any]:
    eps = noise(seed, weights.channels, weights.img_size).permute(1, 2, 0)
    return {"seed": seed, "eps": protocol.b64(eps.numpy())}


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


class Pictures:
    """What the views show of a model: pictures like those it was trained on or, where none are here, that it draws."""

    def __init__(self, engine: Engine, registry: ModelRegistry):
        self._registry, self._drawn = registry, drawn.Drawn(engine)

    def kinds(self, weights_id: Any) -> tuple[str, ...]:
        """How a picture is chosen, other than any.  Raises ValueError if there are no such weights."""
        weights = self._registry.get(weights_id)
        return kinds_of(weights, pictures_of(weights))

    def offered(self, weights_id: Any) -> tuple[str, ...]:
        """How one can be chosen with these weights; nothing if they are not there."""
        try:
            return (ANY, *self.kinds(weights_id))
        except ValueError:
            return ()

    async def _known(self, weights_id: Any) -> tuple[Model, Dataset | None]:
        """The model and its pictures, if they are here; apart, as it may take seconds to read them."""
        weights = self._registry.get(weights_id)
        return weights, await apart(pictures_of, weights)

    async def packet(self, weights_id: Any, index: int) -> dict[str, Any]:
        """Picture `index`, of the data set or drawn with that seed.  Raises ValueError."""
        return await self._packet(weights_id, *await self._known(weights_id), index)

    async def _packet(self, weights_id: Any, weights: Model, data: Dataset | None, index: int) -> dict[str, Any]:
        if data is not None:
            return of_data(data, index)
        return of_drawn(weights, index, await self._drawn.picture(weights_id, weights, index))

    async def another(self, weights_id: Any, choice: Any = ANY) -> dict[str, Any]:
        """A random picture of the chosen class: ANY, or how one is chosen."""
        weights, data = await self._known(weights_id)
        names = kinds_of(weights, data)
        choice = protocol.one_of(choice, "Picture", (ANY, *names))
        if data is None:
            among: Sequence[int] = range(DRAWN) if choice == ANY else range(names.index(choice), DRAWN, len(names))
        else:
            among = range(len(data.images)) if choice == ANY else of_kind(data, choice).tolist()
        return await self._packet(weights_id, weights, data, random.choice(among))

    async def first(self, weights_id: Any, which: int = 0) -> dict[str, Any]:
        """What a view shows as these weights are chosen: any picture; of drawn ones the same in all views.

        which: 1 for a second one beside it.
        """
        weights, data = await self._known(weights_id)
        index = FIRST_DIGIT + which if data is None else random.randrange(len(data.images))
        return await self._packet(weights_id, weights, data, index)

    async def asked_for(self, weights_id: Any, values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """The digit, and the noise where the view has any, that an address names; by a class alone, the first of it.

        values: of all the view's keys; given: those that the address names.  Raises ValueError.
        """
        weights, data = await self._known(weights_id)
        names, index = kinds_of(weights, data), values["picture"]
        if "picture" not in given and values.get("digit") in names:
            index = names.index(values["digit"]) if data is None else int(of_kind(data, values["digit"])[0])
        if data is not None and index >= len(data.images):
            raise ValueError(f"picture={index}: this model's data set ends at {len(data.images) - 1}")
        noised = noise_packet(weights, values["noise"]) if "noise" in values else {}
        return await self._packet(weights_id, weights, data, index) | noised

    def opening(self, second: Second | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What a tab opens with, and how its classes are chosen.  second: see `follow`."""
        first = self._registry.default
        start: dict[str, Any] = {"weights": first}
        try:
            weights = self._registry.get(first)
            start |= self._at_once(weights, FIRST_DIGIT) | noise_packet(weights, 0)
            return start | (second(self._at_once(weights, FIRST_DIGIT + 1)) if second else {}), self.kinds(first)
        except ValueError as error:  # the page opens all the same, and says what is wrong
            return start | {"error": str(error)}, ()

    def _at_once(self, weights: Model, index: int) -> dict[str, Any]:
        if (data := pictures_of(weights)) is not None:
            return of_data(data, index)
        return of_drawn(weights, index, self._drawn.at_once(str(self._registry.default), weights, index))

    def follow(
        self,
        weights: gr.Dropdown,
        view: gr.HTML,
        choice: gr.Dropdown,
        another: gr.Button,
        again: gr.Button | None = None,
        second: Second | None = None,
    ) -> None:
        """Another digit, another noise and other weights reach the view.

        second: for a view of two digits, what it calls the other one, from the packet of a picture: it may not have
        been opened before other weights came.
        """

        @protocol.in_words
        async def of_weights(weights_id: Any) -> dict[str, Any]:
            noised = noise_packet(self._registry.get(weights_id), 0)
            packet = {"weights": weights_id} | noised | await self.first(weights_id)
            return packet | (second(await self.first(weights_id, which=1)) if second else {})

        async def change_weights(weights_id: Any) -> tuple[dict[str, Any], Any]:
            packet = await of_weights(weights_id)
            names = () if "error" in packet else self.kinds(weights_id)
            info = NOT_HERE if packet.get("drawn") else ""
            return packet, gr.update(choices=[ANY, *names], value=ANY, info=info)

        @protocol.in_words
        async def change_picture(chosen: Any, weights_id: Any) -> dict[str, Any]:
            return await self.another(weights_id, chosen)

        @protocol.in_words
        def change_noise(weights_id: Any) -> dict[str, Any]:
            return noise_packet(self._registry.get(weights_id), random.randrange(protocol.MAX_SEED))

        for event in (choice.input, another.click):
            event(change_picture, [choice, weights], view, **QUIET)
        if again is not None:
            again.click(change_noise, weights, view, **QUIET)
        weights.change(change_weights, weights, [view, choice], **QUIET)
        links.follows_model(choice, self.offered)
        links.keep(view, picture=links.whole(MOST_PICTURES - 1, FIRST_DIGIT))
        if again is not None:
            links.keep(view, noise=links.whole(protocol.MAX_SEED, 0))


def kinds_of(weights: Model, data: Dataset | None) -> tuple[str, ...]:
    """How a picture of the data set is chosen or, without one, of those that the model draws."""
    return drawn.kinds(weights) if data is None else kinds(data)


def of_data(data: Dataset, index: int) -> dict[str, Any]:
    """Picture `index` of a data set, for a page."""
    return packet_of(data.images[index], name_of(data, index), index, False)


def of_drawn(weights: Model, index: int, pixels: torch.Tensor) -> dict[str, Any]:
    return packet_of(pixels, drawn.name_of(weights, index), index, True)


def packet_of(pixels: torch.Tensor, label: str, index: int, is_drawn: bool) -> dict[str, Any]:
    """pixels: (C, S, S) uint8.  is_drawn: whether the model has drawn it."""
    x0 = protocol.b64(pixels.permute(1, 2, 0).numpy())
    shape = {"size": pixels.shape[1], "channels": pixels.shape[0]}
    return {"x0": x0, "label": label, "picture": index, "drawn": is_drawn} | shape
