"""What was drawn on the page as lines of Python that draw it again, to the pixel; and such lines as a notebook."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ddpm.config import SamplingConfig
from ddpm.samplers import SAMPLERS

from .models import Model
from .request import Settings
from .trajectory import Trajectory
from .trajectory_file import Opened

IN_A_CLONE = "Run them in a clone of this project, where checkpoints/ is."
ZIP = [
    "# The weights are not among those that ship: save them in Train as a zip, and unpack that here.",
    "# It holds them in half precision, so that of weights trained on the page greys may differ a little.",
]


def call(function: str, values: Any) -> str:
    """A dataclass as a call that makes it, with what differs from its defaults."""
    given = [
        f"{field.name}={getattr(values, field.name)!r}"
        for field in dataclasses.fields(values)
        if field.default is dataclasses.MISSING or getattr(values, field.name) != field.default
    ]
    return f"{function}({', '.join(given)})"


def precision(weights: Model) -> str:
    return str(weights.model.dtype).removeprefix("torch.")


def labels(y: Tensor | None) -> str:
    """The labels of a batch, as an expression; "" for none."""
    if y is None:
        return ""
    n = len(y)
    if y.ndim == 2:  # of attributes: a row each
        alike = bool((y == y[0]).all())
        return f"torch.tensor([{y[0].tolist()}] * {n})" if alike else f"torch.tensor({y.tolist()})"
    first = int(y[0])
    if bool((y == first).all()):
        return f"torch.full(({n},), {first})"
    k = int(y.max()) + 1
    return f"torch.arange({n}) % {k}" if y.tolist() == [i % k for i in range(n)] else f"torch.tensor({y.tolist()})"


def model_lines(weights_id: str, weights: Model) -> list[str]:
    """A model as the page has it: `model` and `sched`."""
    ships = weights_id == weights.label
    folder, notes = (f"checkpoints/{weights.label}", []) if ships else ("ddpm-trained", ZIP)
    return [
        *notes,
        f'model, sched, config, info = ddpm.load_checkpoint("{folder}")',
        f'model = ddpm.device.Inference(model, "{precision(weights)}")',
    ]


def sampler_lines(sampling: SamplingConfig, model: str = "model", terms: str = "") -> list[str]:
    """`sampler`.  terms: an expression for those of a sum."""
    return [
        f"how = {call('ddpm.config.SamplingConfig', sampling)}",
        f"sampler = ddpm.generate.Sampler({', '.join(filter(None, (model, 'sched', 'how', terms)))})",
    ]


def drawing_lines(n: int, y: str, seed: int, *more: str, until: int | None = None) -> list[str]:
    """`step`, the finished one, or the one at which the page was stopped."""
    given = ", ".join([str(n), *([f"y={y}"] if y else []), *([f"seed={seed}"] if seed else []), *more])
    return [last_of(f"sampler.steps({given})", until)]


def last_of(steps: str, until: int | None = None) -> str:
    """`step`, the last one of an iteration, or the one of that number."""
    if until is None:
        return f"for step in {steps}: pass"
    return f"step = next(step for step in {steps} if step.i == {until})"


def picture_lines(n: int, x: str = "sampler.pictures(step.x_t)", columns: int = 0) -> list[str]:
    """`pixels`, uint8 as the page shows them, and a picture of them as the page saves it.  x: n of them, in [-1, 1].

    columns: 0 for as many as rows.
    """
    columns, zoom = columns or math.ceil(math.sqrt(n)), 4 if n <= 16 else 2
    return [
        f"pixels = ddpm.to_uint8({x})  # (n, channels, height, width)",
        f"picture = ddpm.data.grid(pixels, {columns}, zoom={zoom})",
        'picture.save("again.png")',
    ]


def program(about: str, lines: Sequence[str], imports: Sequence[str] = (), where: str = IN_A_CLONE) -> str:
    """Lines as they are copied.  about: what they draw, in a sentence.  where: to run them, if not anywhere."""
    body = "\n".join(lines)
    modules = sorted({*imports, *(["torch"] if "torch." in body else [])})
    head = ["# " + " ".join(filter(None, (about, where))), *([f"import {', '.join(modules)}", ""] if modules else [])]
    return "\n".join([*head, "import ddpm", "", body]) + "\n"


def about(s: Settings) -> str:
    sampling = s.sampling
    return f"{s.n} pictures: {SAMPLERS[sampling.sampler].label}, {sampling.num_steps} steps, seed {s.seed}."


def of_trajectory(run: Trajectory | Opened) -> str:
    """A generation, or a branch with the past that it shares.  Raises ValueError in words for what came as a file."""
    if not isinstance(run, Trajectory):
        raise ValueError("These pictures came from elsewhere. Press Generate with their settings, then copy.")
    s, last = run.settings, run.frames[-1]
    lines = [*model_lines(s.weights_id, s.weights), *past(run)]
    lines += steps_of(run, last["step"] if last["t"] >= 0 else None)
    imports = ["safetensors.torch"] if any("safetensors" in line for line in lines) else []
    return program(
        f"{about(s)}{' A branch, with its past.' if run.parent else ''}", lines + picture_lines(s.n), imports
    )


def steps_of(run: Trajectory, until: int | None) -> list[str]:
    s, sampler = run.settings, run.sampler
    more = () if run.parent is None else ("start=start",)
    as_before = isinstance(run.parent, Trajectory) and run.parent.sampler.sampling == sampler.sampling
    anew = [] if as_before else sampler_lines(sampler.sampling)
    return [*anew, *drawing_lines(s.n, labels(s.y()), s.seed, *more, until=until)]


def past(run: Trajectory) -> list[str]:
    """`start`: where a branch begins, (step, x_t); nothing of what begins with noise."""
    if run.parent is None or run.start is None:
        return []
    if isinstance(run.parent, Trajectory):
        before = [*past(run.parent), *steps_of(run.parent, run.start[0])]
        return [*before, "start = step.i, step.x_t"]
    r = run.parent.parameters
    return [
        "# It begins in a trajectory that is not drawn here: save that in Reverse, and put it beside this file.",
        "# There x_t is in half precision, as it was for the page if the page has opened such a file.",
        f'kept = safetensors.torch.load_file("digits-{r["sampler"]}-{r["steps"]}-seed{r["seed"]}.safetensors")',
        f'start = {run.start[0]}, kept["x_t"][kept["i"].tolist().index({run.start[0]})].float()',
    ]


def of_settings(s: Settings, name: str = "", until: int | None = None) -> str:
    """One lane of a race, by its name."""
    sampling = s.sampler().sampling
    lines = [*model_lines(s.weights_id, s.weights), *sampler_lines(sampling)]
    lines += drawing_lines(s.n, labels(s.y()), s.seed, until=until)
    return program(f"{name}: {about(s)}", lines + picture_lines(s.n))


def packet_of(title: str, stem: str, programs: Sequence[str], shown: str = "picture") -> dict[str, str]:
    """What a page gets that asks for them: the text to copy, and the notebook, a file of that stem."""
    book = base64.b64encode(notebook(title, programs, shown)).decode()
    return {"text": "\n".join(programs), "name": f"{stem}.ipynb", "data": book}


def notebook(title: str, programs: Sequence[str], shown: str = "picture") -> bytes:
    """Each program as a cell that shows its picture, or what else `shown` names: a notebook of format 4.5."""

    def cell(kind: str, text: str, i: int) -> dict[str, Any]:
        made = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text.splitlines(keepends=True)}
        return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})

    cells = [cell("markdown", f"# {title}\n\nEach cell makes again what the page has shown.", 0)]
    cells += [cell("code", f"{text}{shown}", i + 1) for i, text in enumerate(programs)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()
