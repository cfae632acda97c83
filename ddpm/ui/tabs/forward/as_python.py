"""What Forward shows of a digit and its noise as lines of Python: what its inner tabs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm.schedule import SCHEDULES
from ddpm.ui.components import pictures
from ddpm.ui.generation.as_python import labels, packet_of, picture_lines, program
from ddpm.ui.generation.labels import name_of
from ddpm.ui.generation.models import Model, ModelRegistry, pictures_of
from ddpm.ui.server import protocol


def answering(
    registry: ModelRegistry, stem: str, about: str, of: Callable[[Model, dict[str, Any]], list[str]], where: str
) -> Callable[[Any], dict[str, str]]:
    """What answers who asks for Python: {weights, picture, seed, t, ...} -> {text, name, data} or {error}.

    stem: of the notebook's name.  about: what is drawn.  of: the lines that draw it, of a model and the question, once
    `x0` and `eps` are there.  where: to run them, if not anywhere.
    """

    def python(question: Any) -> dict[str, str]:
        asked = protocol.fields(question)
        weights = registry.get(asked.get("weights"))
        data, t = pictures_of(weights), protocol.whole_number(asked.get("t"), "t", 0, pictures.T - 1)
        if asked.get("picture") is None:
            raise ValueError("These lines can only name a picture of the data set. Press Another digit, then copy.")
        index = protocol.whole_number(asked["picture"], "Picture", 0, len(data.images) - 1)
        seed = protocol.whole_number(asked.get("seed"), "Noise", 0, protocol.MAX_SEED)
        shape = f"1, {weights.channels}, {weights.img_size}, {weights.img_size}"
        lines = [
            f'data = ddpm.load_dataset("{data.name}")',
            f"x0 = ddpm.from_uint8(data.images[{index}:{index + 1}])  # {name_of(data, index)}",
            f"eps = torch.randn({shape}, generator=ddpm.seeding.seeded({seed})).half().float()",
            *of(weights, asked),
        ]
        text = program(f"{about}, t = {t}, noise {seed}.", lines, where=where)
        return packet_of(about, f"{stem}-{index}-t{t}", [text])

    return python


def schedule_of(asked: dict[str, Any]) -> str:
    """The page's schedule, as an expression."""
    kind = protocol.one_of(asked.get("schedule"), "Schedule", SCHEDULES)
    return f'ddpm.make_schedule({pictures.T}, kind="{kind}")'


def predicted(weights: Model, t: str) -> str:
    """`x0_hat` of x_t by a model that is not told the class.  t: an expression."""
    y = labels(weights.unlabelled(1)) or "None"
    return f"x0_hat, _ = ddpm.samplers.predict(model, x_t, {t}, {y}, sched, clip=False)"


def shown(*names: str, n: int = 0) -> list[str]:
    """These as one picture.  n: how many they are, if not one each."""
    return picture_lines(n or len(names), f"torch.cat([{', '.join(names)}])")
