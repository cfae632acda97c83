"""What is shown of a digit and its noise as lines of Python: what the tabs that show one share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm.schedule import SCHEDULES

from ..generation import drawn
from ..generation.as_python import IN_A_CLONE, labels, packet_of, picture_lines, program
from ..generation.labels import name_of
from ..generation.models import Model, ModelRegistry, pictures_of
from ..server import protocol
from . import pictures


def answering(
    registry: ModelRegistry,
    stem: str,
    about: str,
    of: Callable[[Model, dict[str, Any]], list[str]],
    where: str = "",
    noise: bool = True,
) -> Callable[[Any], dict[str, str]]:
    """What answers who asks for Python: {weights, picture, seed, t, ...} -> {text, name, data} or {error}.

    stem: of the notebook's name.  about: what is drawn.  of: the lines that draw it, of a model and the question, once
    `x0` and, with noise, `eps` are there.  where: to run them, if not anywhere.
    """

    def python(question: Any) -> dict[str, str]:
        asked = protocol.fields(question)
        weights_id: Any = asked.get("weights")
        weights = registry.get(weights_id)
        data = pictures_of(weights)
        t = protocol.whole_number(asked.get("t"), "t", 0, pictures.T - 1)
        index = index_of(weights, asked.get("picture"))
        seed = protocol.whole_number(asked.get("seed"), "Noise", 0, protocol.MAX_SEED)
        shape = f"1, {weights.channels}, {weights.img_size}, {weights.img_size}"
        eps = f"eps = torch.randn({shape}, generator=ddpm.seeding.seeded({seed})).half().float()"
        source = [f'data = ddpm.load_dataset("{data.name}")'] if data else drawn.sampler_of(weights_id, weights)
        lines = [*source, *lines_of("x0", weights_id, weights, index), *([eps] * noise), *of(weights, asked)]
        text = program(f"{about}, t = {t}, noise {seed}.", lines, where=where if data else IN_A_CLONE)
        return packet_of(about, f"{stem}-{index}-t{t}", [text])

    return python


def index_of(weights: Model, picture: Any) -> int:
    """The number of a picture in the data set, or of those that the model draws.  Raises ValueError of any other."""
    if picture is None:
        raise ValueError("These lines can only name a picture of the data set. Press Another digit, then copy.")
    data = pictures_of(weights)
    return protocol.whole_number(picture, "Picture", 0, (len(data.images) if data else pictures.MOST_PICTURES) - 1)


def lines_of(name: str, weights_id: Any, weights: Model, index: int) -> list[str]:
    """A picture under that name, (1, C, S, S) in [-1, 1], after `data` or, without pictures here, `sampler`."""
    if (data := pictures_of(weights)) is None:
        return drawn.lines(name, weights_id, weights, index)
    return [f"{name} = ddpm.from_uint8(data.images[{index}:{index + 1}])  # {name_of(data, index)}"]


def schedule_of(asked: dict[str, Any]) -> str:
    """The page's schedule, as an expression."""
    kind = protocol.one_of(asked.get("schedule"), "Schedule", SCHEDULES)
    return f'ddpm.make_schedule({pictures.T}, kind="{kind}")'


def predicted(weights: Model, t: str) -> str:
    """`x0_hat` of x_t by a model that is not told the class.  t: an expression."""
    y = labels(weights.unlabelled(1)) or "None"
    return f"x0_hat, _ = ddpm.samplers.predict(model, x_t, {t}, {y}, sched, clip=False)"


def shown(*names: str, n: int = 0, columns: int = 0) -> list[str]:
    """These as one picture.  n: how many they are, if not one each.  columns: 0 for as many as rows."""
    return picture_lines(n or len(names), f"torch.cat([{', '.join(names)}])", columns)
