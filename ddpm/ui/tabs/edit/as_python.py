"""A result of Edit as lines of Python.  What was drawn, chosen or erased is read from the PNG that the page saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ddpm.ui.generation.as_python import (
    drawing_lines,
    labels,
    last_of,
    model_lines,
    picture_lines,
    precision,
    program,
    sampler_lines,
)
from ddpm.ui.generation.edited import Edited
from ddpm.ui.generation.labels import label_of

LERP = "torch.lerp({a}[None], {b}[None], shares.reshape(-1, 1, 1, 1))"


def of_edit(run: Edited, file: str) -> str:
    """file: the name of the PNG.  Raises ValueError in words for a run that was stopped."""
    if run.frames[-1]["t"] >= 0 or len(run.frames) < len(run.way):
        raise ValueError("It was stopped on its way. Let it finish, then copy.")
    kind = run.parameters["edit"]
    s, lines = run.settings, model_lines(run.settings.weights_id, run.settings.weights)
    reads = [name for name in ("x0", "other") if name in run.edit.page]
    if reads:
        lines += [
            f"# {WHAT[kind]} in the picture that the page saves (Save, PNG): put that beside this file.",
            f'asked = json.loads(PIL.Image.open("{file}").text["ddpm"])["asked"]["page"]',
        ]
        lines += [line for name in reads for line in read_picture(name, run)]
    lines += KINDS[kind](run)
    imports = ["base64", "json", "PIL.Image"] if reads else []
    return program(f"Edit, {kind}: {s.n} pictures.", lines, imports)


def read_picture(name: str, run: Edited) -> list[str]:
    """A picture of the page's as (1, C, S, S) in [-1, 1]."""
    w = run.settings.weights
    shape = f"1, {w.img_size}, {w.img_size}, {w.channels}"
    data = f'torch.tensor(list(base64.b64decode(asked["{name}"])))'
    return [f"{name} = ddpm.from_uint8({data}.reshape({shape}).permute(0, 3, 1, 2))"]


def draw(run: Edited) -> list[str]:
    s = run.settings
    drafts = f"sampler.seen(x0).expand({s.n}, -1, -1, -1)"
    return [
        *sampler_lines(run.sampler.sampling),
        f"start = ddpm.editing.draft({drafts}, {run.begin}, sampler.times, sched, seed={s.seed})",
        *drawing_lines(s.n, labels(s.y()), s.seed, "start=start"),
        *picture_lines(s.n),
    ]


def inpaint(run: Edited) -> list[str]:
    s, size = run.settings, run.settings.weights.img_size
    r = run.parameters["asked"]["resamplings"]
    return [
        *sampler_lines(run.sampler.sampling),
        f'mask = torch.tensor(list(base64.b64decode(asked["erased"]))).reshape({size}, {size}) == 0',
        f"known = ddpm.editing.Known(sampler.seen(x0).expand({s.n}, -1, -1, -1), mask, resamplings={int(r)})",
        *drawing_lines(s.n, labels(s.y()), s.seed, "known=known"),
        *picture_lines(s.n),
    ]


def invert(run: Any) -> list[str]:
    s = run.settings
    y = "" if run.y is None else f", y=torch.tensor({run.y.tolist()})"
    return [
        *sampler_lines(run.sampler.sampling),
        last_of(f"ddpm.invert(sampler.model, sched, sampler.seen(x0){y}, num_steps={s.sampling.num_steps})"),
        f"start = 0, step.x_t.expand({s.n}, -1, -1, -1)",
        *drawing_lines(s.n, labels(run.others), 0, "start=start"),
        *picture_lines(s.n),
    ]


def compose(run: Edited) -> list[str]:
    s, asked = run.settings, run.parameters["asked"]
    a, b = (label_of(s.weights, asked[name]) for name in ("a", "b"))
    w, v = float(asked["w"]), float(asked["v"])
    terms = {
        "both": f"ddpm.compose.classes({{{a}: {w}, {b}: {v}}})",
        "without": f"ddpm.compose.classes({{{a}: {w}, {b}: {-v}}})",
        "illusion": f"ddpm.compose.illusion({a}, {b}, {w})",
        "hybrid": f"ddpm.compose.hybrid({a}, {b}, {w})",
    }[asked["kind"]]
    return [
        f"terms = {terms}",
        *sampler_lines(run.sampler.sampling, terms="terms"),
        *drawing_lines(s.n, labels(s.y()), s.seed),
        *picture_lines(s.n),
    ]


def between_labels(y: Tensor | None) -> str:
    """The labels of what is between two, which count up from the model's own."""
    if y is None:
        return ""
    first = y[0].tolist()
    return (
        f"{first} + torch.arange({len(y)})"
        if y.ndim == 1
        else f"torch.tensor({first}) + torch.arange({len(y)})[:, None]"
    )


def interpolate(run: Any) -> list[str]:
    s, of = run.settings, run.of
    told, y = f"torch.tensor({list(of.labels)})", of.y(s.weights, torch.zeros(s.n))
    lines = [f"shares = torch.linspace(0, 1, {s.n})"]
    model = "model"
    if y is not None:
        a, b = of.labels
        between = f"ddpm.editing.classes_between(model.model, {a}, {b}, shares)"
        lines.append(f'model = ddpm.device.Inference({between}, "{precision(s.weights)}")')
    lines += sampler_lines(run.sampler.sampling, model)
    if of.x0 is None:
        m = run.sampler.config
        shape = f"{m.in_ch}, {m.img_size}, {m.img_size}"
        noise = f"torch.randn({shape}, generator=ddpm.seeding.seeded(seed, 0))"
        lines.append(f"ends = torch.stack([{noise} for seed in {list(of.seeds)}])")
    else:
        also = f", y={told}" if y is not None else ""
        ends, steps = "sampler.seen(torch.cat([x0, other]))", s.sampling.num_steps
        lines += [last_of(f"ddpm.invert(sampler.model, sched, {ends}{also}, num_steps={steps})"), "ends = step.x_t"]
    if of.mixes_noise:
        straight = LERP.format(a="ends[0]", b="ends[1]")
        lines.append(f"start = 0, {'ddpm.editing.slerp(*ends, shares)' if of.way == 'slerp' else straight}")
        return [*lines, *drawing_lines(s.n, between_labels(y), 0, "start=start"), *picture_lines(s.n)]
    lines += drawing_lines(2, told if y is not None else "", 0, "start=(0, ends)")
    if of.way == "latents" and run.sampler.codec is None:
        name = 'ddpm.config.AutoencoderName("mnist-autoencoder")'
        lines.append(f"codec = ddpm.storage.checkpoint.find_codec({name})")
        lines.append("z = codec.posterior(step.x_t.cpu())[0]")
        x = f"codec.decode({LERP.format(a='z[0]', b='z[1]')})"
    else:
        x = LERP.format(a="step.x_t[0]", b="step.x_t[1]")
    return [*lines, f"x = {x}", *picture_lines(s.n, "sampler.pictures(x)")]


WHAT = {
    "draw": "The drawing is",
    "inpaint": "The digit, and what is erased of it, is",
    "interpolate": "The two digits are",
    "invert": "The digit is",
}
KINDS: dict[str, Callable[[Any], list[str]]] = {
    "draw": draw,
    "inpaint": inpaint,
    "interpolate": interpolate,
    "invert": invert,
    "compose": compose,
}
