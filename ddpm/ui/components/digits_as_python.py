"""What is shown of a digit and its noise as lines of Python: what the tabs that show one share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm.data import Dataset
from ddpm.schedule import SCHEDULES

from ..generation.as_python import labels, packet_of, picture_lines, program
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
        weights = registry.get(asked.get("weights"))
        data, t = pictures_of(weights), protocol.whole_number(asked.get("t"), "t", 0, pictures.T - 1)
        index = index_of(data, asked.get("picture"))
        seed = protocol.whole_number(asked.get("seed"), "Noise", 0, protocol.MAX_SEED)
        shape = f"1, {weights.channels}, {weights.img_size}, {weights.img_size}"
        eps = f"eps = torch.randn({shape}, generator=ddpm.seeding.seeded({seed})).half().float()"
        lines = [f'data = ddpm.load_dataset("{data.name}")', picture_line("x0", data, index), *([eps] * noise)]
        text = program(f"{about}, t = {t}, noise {seed}.", [*lines, *of(weights, asked)], where=where)
        return packet_of(about, f"{stem}-{index}-t{t}", [text])

    return python


def index_of(data: Dataset, picture: Any) -> int:
    """The position of a picture in its data set.  Raises ValueError where it is of none."""
    if picture is None:
        raise ValueError("These lines can only name a picture of the data set. Press Another digit, then copy.")
    return protocol.whole_number(picture, "Picture", 0, len(data.images) - 1)


def picture_line(name: str, data: Dataset, index: int) -> str:
    return f"{name} = ddpm.from_uint8(data.images[{index}:{index + 1}])  # {name_of(data, index)}"


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
