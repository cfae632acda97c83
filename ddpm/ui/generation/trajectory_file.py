"""A trajectory as a file, out and in again: one safetensors file.  What comes in is a stranger's.

Of F frames of n pictures, F' of them before the finished one:
x_t (F, n, C, S, S) float16, to go on from; x0_hat (F, ...) and eps_hat (F', ...) uint8, as shown;
i, t (F,) int64: step and time; s (F',) int64 and c (F', 3) float32: the time it leads to, its equation's numbers;
signal (F,) float32: sqrt(alphas_bar).  In the metadata: format, version, dataset and, as recipe, the generation
parameters.

Of latents (version 2) x_t is those, (F, n, c, s, s), and there are more, so that it plays wherever it is opened:
x_t_shown (F, n, C, S, S) uint8: what x_t decodes to; x0_hat_latent (F, n, c, s, s) and eps_hat_latent (F', ...) uint8:
their channels, as shown.  In the metadata: the autoencoder's folder and sha256, as checkpoints have them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ddpm.config import AutoencoderName
from ddpm.data import names
from ddpm.schedule import MAX_T

from ..server import limits, protocol
from .image_file import BEFORE, MAGIC, MAX_BYTES, read_parameters
from .recording import MAX_FRAMES, Recording, channels, evenly, frame, pixels, read_channels
from .request import MAX_STEPS, Settings, check_how

FORMAT, VERSION, OF_LATENTS = "ddpm trajectory", "1", "2"
MAX_HEADER_BYTES = 20_000
MAX_SIZE = 256  # pixels across
MAX_LATENT = 64, 16  # channels, and numbers across
MAX_TEXT = 200
BYTES_PER_NUMBER = 4  # of what the diffusion is of: two of x_t, one each of x0_hat and eps_hat
MORE_BYTES_PER_PIXEL = 3  # of latents: one each of what these decode to
DTYPES = {"x_t": torch.float16, "x0_hat": torch.uint8, "eps_hat": torch.uint8, "c": torch.float32}
DTYPES |= {"i": torch.int64, "t": torch.int64, "s": torch.int64, "signal": torch.float32}
MORE_DTYPES = dict.fromkeys(("x_t_shown", "x0_hat_latent", "eps_hat_latent"), torch.uint8)


@dataclass
class Opened(Recording):
    """A recording that came as a file.  Its last frame need not be the finished sample."""

    parameters: dict[str, Any]
    dataset: str
    shape: tuple[int, int, int, int]
    latent_shape: tuple[int, int, int] | None
    autoencoder: AutoencoderName | None
    frames: list[dict[str, Any]]
    states: list[Tensor]
    times_kept: list[int]
    signal: list[float]
    settings: Settings | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    def __post_init__(self) -> None:
        there = {frame["step"] for frame in self.frames}
        to_come = {i for i in evenly(self.parameters["steps"], MAX_FRAMES) if i > max(there)}
        self.kept = there | to_come  # of a branch

    def belongs_to(self, s: Settings) -> bool:
        """Whether the settings' weights could have made these frames: pictures of that shape, or latents of that
        autoencoder, at those times."""
        sampler, w = s.sampler(), s.weights
        times, codec = sampler.times, sampler.codec
        fits = self.shape == (s.n, w.channels, w.img_size, w.img_size)
        fits = fits and self.autoencoder == (codec and codec.name)
        fits = fits and self.latent_shape == (codec and codec.latent_shape)
        return fits and all(times[f["step"]] == f["t"] for f in self.frames if f["step"] < len(times))


def write(recording: Recording) -> tuple[bytes, int]:
    """(the file, how many frames are in it): as many as fit into MAX_BYTES, evenly chosen, first and last included.

    Raises ValueError if not even these two would fit.
    """
    each = BYTES_PER_NUMBER * recording.states[0].numel()
    each += MORE_BYTES_PER_PIXEL * prod(recording.shape) if recording.latent_shape else 0
    fit = (MAX_BYTES - MAX_HEADER_BYTES - 100 * MAX_FRAMES) // each
    if fit < 2:
        raise ValueError("These pictures are too large for a file of 10 MB. Generate fewer at a time.")
    chosen = evenly(len(recording.frames) - 1, min(MAX_FRAMES, fit))
    frames = [recording.frames[k] for k in chosen]
    before = [frame for frame in frames if frame["t"] >= 0]
    largest = torch.finfo(torch.float16).max
    x_t = torch.stack([recording.states[k].clamp(-largest, largest).half() for k in chosen])
    tensors = {
        "x_t": x_t,
        "x0_hat": torch.stack([pixels(frame["x0_hat"], recording.shape) for frame in frames]),
        "eps_hat": torch.stack([pixels(frame["eps_hat"], recording.shape) for frame in before]),
        "i": torch.tensor([frame["step"] for frame in frames]),
        "t": torch.tensor([frame["t"] for frame in frames]),
        "s": torch.tensor([frame["s"] for frame in before]),
        "c": torch.tensor([frame["coefficients"] for frame in before], dtype=torch.float32),
        "signal": torch.tensor([frame["signal"] for frame in frames]),
    }
    about = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": recording.dataset,
        "recipe": json.dumps(recording.parameters),
    }
    if recording.latent_shape and recording.autoencoder:
        latents = recording.shape[0], *recording.latent_shape
        tensors["x_t_shown"] = torch.stack([pixels(frame["x_t"], recording.shape) for frame in frames])
        for name, of in (("x0_hat", frames), ("eps_hat", before)):
            tensors[f"{name}_latent"] = torch.stack([read_channels(frame["latents"][name], latents) for frame in of])
        about |= {"version": OF_LATENTS, "autoencoder": json.dumps(dataclasses.asdict(recording.autoencoder))}
    return safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()}, about), len(frames)


def read(path: str | Path) -> tuple[dict[str, Any], Opened | None]:
    """What a file that was saved on this page holds: generation parameters and, if it is a trajectory, the recording.

    It is known by its content.  Raises ValueError in words for whatever else a stranger may send.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(limits.current().upload_mb * 1_000_000 + 1)  # no more arrives
    except (OSError, TypeError):
        raise ValueError("That file did not arrive. Try again.") from None
    if raw.startswith(MAGIC):
        return read_parameters(raw), None
    require(len(raw) <= MAX_BYTES, "it is larger than 10 MB")
    recording = read_recording(raw)
    return recording.parameters, recording


def read_recording(raw: bytes) -> Opened:
    """The recording in the bytes of a file.  Raises ValueError in words."""
    about, tensors = unpack(raw)
    parameters, x_t, of_latents = about["recipe"], tensors["x_t"], about["autoencoder"] is not None
    pictures = tensors["x_t_shown"] if of_latents else x_t
    require(pictures.ndim == 5 and pictures.shape[3] == pictures.shape[4], "its pictures are not square")
    count, n, colours, size, _ = pictures.shape
    require(1 <= count <= MAX_FRAMES, f"it has {count} frames, and from 1 to {MAX_FRAMES} can be shown")
    most = limits.current().digits
    require(1 <= n <= most, f"it has {n} digits, and from 1 to {most} can be shown")
    require(colours in (1, 3), f"its pictures have {colours} channels, and 1 or 3 can be shown")
    require(1 <= size <= MAX_SIZE, f"its pictures are {size} pixels wide, and from 1 to {MAX_SIZE} can be shown")
    require(n == parameters["n"], "its pictures are not as many as its settings say")

    before = count - int(tensors["t"].numel() > 0 and tensors["t"].flatten()[-1] == -1)
    one = (n, colours, size, size)
    shapes = {"x_t": (count, *one), "x0_hat": (count, *one), "eps_hat": (before, *one), "c": (before, 3)}
    shapes |= {"i": (count,), "t": (count,), "s": (before,), "signal": (count,)}
    latent = None
    if of_latents:
        latent = latent_shape(x_t)
        shapes |= {"x_t": (count, n, *latent), "x_t_shown": (count, *one)}
        shapes |= {"x0_hat_latent": (count, n, *latent), "eps_hat_latent": (before, n, *latent)}
    for name, value in tensors.items():
        require(tuple(value.shape) == shapes[name], f"{name} has not the shape it should have")
        require(bool(value.isfinite().all()), f"{name} has numbers that are not finite")
    check_times(tensors, before, parameters["steps"])

    i, t, s, c, signal = (tensors[name].tolist() for name in ("i", "t", "s", "c", "signal"))
    x0_hat, eps_hat = (tensors[name].movedim(2, -1).numpy() for name in ("x0_hat", "eps_hat"))
    shown = tensors["x_t_shown"].movedim(2, -1).numpy() if of_latents else [frame(x.float()) for x in x_t]
    frames = []
    for k in range(count):
        towards = (s[k], [round(number, 4) for number in c[k]], eps_hat[k]) if k < before else None
        latents = None
        if of_latents:
            latents = {"x_t": channels(x_t[k].float()), "x0_hat": tensors["x0_hat_latent"][k].numpy()}
            latents |= {"eps_hat": tensors["eps_hat_latent"][k].numpy()} if k < before else {}
        made = Recording.frame(i[k], t[k], signal[k], shown[k], x0_hat[k], towards, latents)
        frames.append(made | {"index": k})
    signal = [frame["signal"] for frame in frames]
    return Opened(parameters, about["dataset"], one, latent, about["autoencoder"], frames, list(x_t), t, signal)


def latent_shape(x_t: Tensor) -> tuple[int, int, int]:
    """(c, s, s) of the latents in a file.  Raises ValueError in words."""
    most, across = MAX_LATENT
    require(x_t.ndim == 5 and x_t.shape[3] == x_t.shape[4], "its latents are not square")
    c, s = x_t.shape[2:4]
    fits = 1 <= c <= most and 1 <= s <= across
    require(fits, f"its latents are {c} x {s} x {s}, and at most {most} x {across} x {across} can be shown")
    return c, s, s


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata, checked, and the tensors, each of its type, of a safetensors file.  Raises ValueError in words."""
    wrong = ValueError("That is neither a picture nor a trajectory that was saved on this page.")
    length = int.from_bytes(raw[:8], "little")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise wrong
    try:
        about = json.loads(raw[8 : 8 + length])["__metadata__"]
        known, parameters = about["format"] == FORMAT, json.loads(about["recipe"])
        named = json.loads(about.get("autoencoder", "null"))
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        raise wrong from None
    if not known:
        raise wrong
    version = about.get("version")
    require(version in (VERSION, OF_LATENTS), "another version of this page has saved it")
    dtypes = DTYPES | MORE_DTYPES if version == OF_LATENTS else DTYPES
    require({name: value.dtype for name, value in tensors.items()} == dtypes, "it does not hold what it should")
    autoencoder = check_autoencoder(named) if version == OF_LATENTS else None
    dataset = about.get("dataset")
    dataset = dataset if dataset in names() else "unknown"
    return {"recipe": check_parameters(parameters), "dataset": dataset, "autoencoder": autoencoder}, tensors


def check_autoencoder(named: Any) -> AutoencoderName:
    """The name of an autoencoder in a file.  Raises ValueError in words."""
    name = None
    with contextlib.suppress(TypeError, ValueError):
        name = AutoencoderName(**named)
    if name is None or name.sha256 == "":
        raise ValueError("That trajectory cannot be opened: it does not say which autoencoder its latents are of.")
    return name


def check_parameters(parameters: Any) -> dict[str, Any]:
    """What a trajectory's parameters must have, for whatever weights, and no more.  Raises ValueError in words."""
    parameters = BEFORE | parameters if isinstance(parameters, dict) else {}
    texts = {name: parameters.get(name) for name in ("ddpm", "weights", "class")}
    require(all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts.values()), "it has no settings")
    n = protocol.whole_number(parameters.get("n"), "Digits", 1, limits.current().digits)
    seed = protocol.whole_number(parameters.get("seed"), "Seed", 0, protocol.MAX_SEED)
    sampling = {name: parameters.get(name) for name in ("sampler", "steps", "guidance", "eta", *BEFORE)}
    return texts | sampling | {"n": n, "seed": seed, "steps": check_how(MAX_STEPS, **sampling).num_steps}


def check_times(tensors: dict[str, Tensor], before: int, num_steps: int) -> None:
    """Steps rise from 0 to num_steps at most, times fall to -1 at the last, and each leads to a lower one."""
    i, t, s, signal = (tensors[name] for name in ("i", "t", "s", "signal"))
    rising = bool((i.diff() > 0).all()) and int(i[0]) >= 0 and int(i[-1]) <= num_steps
    require(rising and (int(i[-1]) == num_steps) == (before < len(i)), "its steps are not in order")
    falling = bool((t.diff() < 0).all()) and int(t[0]) < MAX_T and int(t[-1]) >= -1
    require(falling and bool(((s >= -1) & (s < t[:before])).all()), "its times do not fall")
    bounded = bool(((signal >= 0) & (signal <= 1)).all())
    require(bounded and bool((signal.diff() >= 0).all()), "its noise levels do not fall from 1 to 0")


def require(ok: bool, why: str) -> None:
    if not ok:
        raise ValueError(f"That trajectory cannot be opened: {why}.")
