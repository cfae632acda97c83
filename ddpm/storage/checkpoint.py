"""Checkpoint folders: config.json, model.safetensors (averaged weights, float16), README.md.  Nothing is unpickled.

A file appears whole or not at all (see atomic.py).  config.json is written last and names the sha256 of the weights, so
that a pair that does not belong together is seen.  Who saves holds the folder's lock, so that of two processes the
files of one end up there, not some of each.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
import torch.nn as nn
from safetensors import SafetensorError
from torch import Tensor

from ..autoencoder import VAE, AutoencoderConfig, Codec
from ..config import AutoencoderName, Config, build_schedule, from_dict, to_dict
from ..networks import network, with_codec
from ..schedule import Schedule
from .atomic import lock, readable, remove_unfinished, write_atomic, write_together

VERSION = 1
PARTS = ("model", "schedule", "train")  # of a Config, beside the autoencoder
AUTOENCODER = "autoencoder"  # the kind of a folder that holds one; one that holds a diffusion model says none
SHIPPED = Path(__file__).parents[2] / "checkpoints"
CONFIG, WEIGHTS, CARD, TRAINING = "config.json", "model.safetensors", "README.md", "training.safetensors"
OLD_NAMES = {  # that files written before 2026-12 have for a field, and what it is called since
    "fid_over_floor": "fid_over_real",
    "fid_floor": "fid_real",
    "verdict": "evaluation",
    "held": "paused_by_hand",
    "lent": "remote",
}
MAX_CONFIG_BYTES = 1_000_000
MAX_WEIGHT_BYTES = 1_000_000_000
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why."""


class Checkpoint(NamedTuple):
    """What a folder holds.  `info` is what its maker wrote about it: dataset, class_names, training figures."""

    model: nn.Module
    sched: Schedule
    config: Config
    info: dict[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its classes are called, in the order of their labels: as its maker says, or else 0, 1, 2, ..."""
        n, names = self.config.model.num_classes, self.info.get("class_names")
        if isinstance(names, list) and len(names) == n and all(isinstance(name, str) for name in names):
            return tuple(names)
        return tuple(map(str, range(n)))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else saves a checkpoint here meanwhile; so what lies unfinished is of one that was killed, and goes."""
    handle = lock(folder, wait=True)
    try:
        remove_unfinished(folder, CARD, WEIGHTS, CONFIG)
        yield
    finally:
        if handle is not None:  # else there is no such folder, which whoever writes into it will find
            os.close(handle)


def save_checkpoint(
    folder: str | Path, model: nn.Module, config: Config, info: dict[str, Any] | None = None, card: str | None = None
) -> None:
    """Write a checkpoint folder.  model: the averaged weights; stored as float16.  info: anything JSON, kept as it is
    but for text that is none (see `readable`).

    card: the text of README.md.  Raises OSError where the folder cannot be written; what it held before is then intact.
    """
    _write(Path(folder), model, to_dict(config) | {"info": info or {}}, card)


def _write(folder: Path, model: nn.Module, about: dict[str, Any], card: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    weights = safetensors.torch.save(half)
    described = {"version": VERSION, "weights_sha256": hashlib.sha256(weights).hexdigest()} | about
    text = json.dumps(readable(described), indent=2) + "\n"
    files = {folder / WEIGHTS: weights, folder / CONFIG: text.encode()}
    with alone_in(folder):
        write_together(files if card is None else {folder / CARD: readable(card).encode()} | files)


def save_info(folder: str | Path, info: dict[str, Any], card: str) -> None:
    """Say something else about a checkpoint: a new `info` and model card beside the weights it has."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a checkpoint folder")
    with alone_in(folder):
        described = read_config(folder / CONFIG) | {"info": info}
        files = {CARD: readable(card), CONFIG: json.dumps(readable(described), indent=2) + "\n"}
        write_together({folder / name: text.encode() for name, text in files.items()})


def read_info(folder: str | Path) -> dict[str, Any]:
    """What the maker of a checkpoint folder wrote about it.  Raises CheckpointError if it is no such folder."""
    return _info(read_config(Path(folder) / CONFIG))


def read_recipe(folder: Path) -> Config:
    """The configuration in a checkpoint folder, without its weights.  Raises CheckpointError."""
    return _config(read_config(folder / CONFIG), folder)


def _config(described: dict[str, Any], folder: Path) -> Config:
    parts = {part: described.get(part, {}) for part in PARTS} | {"autoencoder": described.get("autoencoder")}
    try:
        return from_dict(parts)
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error


def _info(described: dict[str, Any]) -> dict[str, Any]:
    info = described.get("info")
    return info if isinstance(info, dict) else {}


def is_autoencoder(folder: Path) -> bool:
    """Whether a checkpoint folder holds an autoencoder, not a diffusion model.  Of one that is broken nobody knows."""
    try:
        return read_config(folder / CONFIG).get("kind") == AUTOENCODER
    except CheckpointError:
        return False


def load_checkpoint(path_or_hub_id: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder, or `owner/name` from the Hugging Face Hub where no such folder exists.

    Raises CheckpointError, with one line that says what is wrong, if it is not a checkpoint or not a whole one.
    """
    folder, hub_id = Path(path_or_hub_id), None
    if not folder.is_dir():
        if not HUB_ID.fullmatch(str(path_or_hub_id)):
            raise CheckpointError(f"{folder} is not a checkpoint folder, nor a Hub id (owner/name)")
        hub_id = str(path_or_hub_id)
        folder = _download(hub_id, "")
    data = read_config(folder / CONFIG)
    if data.get("kind") == AUTOENCODER:
        raise CheckpointError(f"{folder} is an autoencoder, not a diffusion model; name the model of its latents")
    config = _config(data, folder)
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in network(config.model).state_dict().items()}
    tensors = read_weights(folder / WEIGHTS, data.get("weights_sha256"), expected)
    model = network(config.model)
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    sched = build_schedule(config.schedule, device)
    if config.autoencoder is not None:
        if hub_id is not None:
            folder = _download(hub_id, f"{config.autoencoder.folder}/")
        codec = find_codec(config.autoencoder, folder, device, hub_id)
        try:
            with_codec(model, codec)
        except ValueError as error:
            raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    return Checkpoint(model.to(device).eval(), sched, config, _info(data))


def find_codec(
    name: AutoencoderName,
    beside: Path | None = None,
    device: torch.device | str = "cpu",
    hub_id: str | None = None,
) -> Codec:
    """The autoencoder of that name: in a checkpoint folder or beside it, or among those that ship.

    hub_id: whose copy that folder is; there is nothing of it beside a copy.
    Raises CheckpointError, with one sentence, if there is none, or if none is the one that was meant.
    """
    near = [] if beside is None else [beside.resolve(), beside.resolve().parent]
    places = [*(near[:1] if hub_id else near), SHIPPED]
    folders = [place / name.folder for place in places if (place / name.folder).is_dir()]
    if not folders:
        missing = f"the autoencoder of this model, {name.folder}, is not in"
        if hub_id:
            raise CheckpointError(
                f"{missing} {hub_id} on the Hub nor in {SHIPPED}: ask its maker to add the folder to the repository, "
                f"or clone that, put the folder {name.folder} beside it and give the clone's path"
            )
        looked = list(dict.fromkeys([*near[1:], SHIPPED]))
        own = f", or make one: python -m ddpm train-autoencoder --out {looked[0] / name.folder}"
        raise CheckpointError(
            f"{missing} {' nor in '.join(map(str, looked))}: put its folder there (those that ship are in "
            f"{SHIPPED.name}/ of a clone of the repository){'' if name.sha256 else own}"
        )
    for folder in folders:
        found = load_autoencoder(folder, device)
        if name.sha256 in ("", found.name.sha256):
            return found
    raise CheckpointError(
        f"{folder} is another autoencoder than the one whose latents this model draws: its weights have the sha256 "
        f"{found.name.sha256[:12]}..., not {name.sha256[:12]}..."
    )


def with_autoencoder(
    config: Config, beside: Path | None = None, device: torch.device | str = "cpu"
) -> tuple[Config, Codec | None]:
    """A configuration that names exactly the autoencoder it is to have, and that; None of a run on pixels.

    Raises CheckpointError.
    """
    if config.autoencoder is None:
        return config, None
    codec = find_codec(config.autoencoder, beside, device)
    return dataclasses.replace(config, autoencoder=codec.name), codec


def save_autoencoder(folder: str | Path, model: VAE, info: dict[str, Any], card: str) -> None:
    """Write an autoencoder's checkpoint folder: see `save_checkpoint`."""
    described = {"kind": AUTOENCODER, AUTOENCODER: dataclasses.asdict(model.config)}
    _write(Path(folder), model, described | {"info": info}, card)


def load_autoencoder(folder: str | Path, device: torch.device | str = "cpu") -> Codec:
    """Read an autoencoder's checkpoint folder.  Raises CheckpointError if it is none, or not a whole one."""
    folder = Path(folder)
    data = read_config(folder / CONFIG)
    if data.get("kind") != AUTOENCODER:
        raise CheckpointError(f"{folder} is not an autoencoder")
    try:
        config = AutoencoderConfig(**data.get(AUTOENCODER, {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in VAE(**vars(config)).state_dict().items()}
    sha256 = data.get("weights_sha256")
    tensors = read_weights(folder / WEIGHTS, sha256, expected)
    model = VAE(**vars(config))
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return Codec(model.to(device), AutoencoderName(folder.resolve().name, str(sha256)))


def _download(hub_id: str, within: str) -> Path:
    """The repository's folder on this machine, with the files of a checkpoint there, or `within` a folder of it."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[within + name for name in (CONFIG, WEIGHTS, CARD)]))
    except Exception as error:  # the Hub's own errors, and those of whichever HTTP library it uses
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"there is no folder {hub_id}, and it could not be had from the Hub ({first_line}); "
            f"check the name and the network, or give the path of a checkpoint folder"
        ) from error


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """An object of a JSON file, in today's names."""
    return {OLD_NAMES.get(name, name): value for name, value in fields.items()}


def read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{path} is too large to be a checkpoint's description")
        data = json.loads(path.read_text(encoding="utf-8"), object_hook=renamed)
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is not a checkpoint: it has no {path.name}") from None
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise CheckpointError(f"{path} does not describe a checkpoint of version {VERSION}")
    return data


def read_weights(path: Path, sha256: Any, expected: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of a weights file, after its digest, names and shapes have been found to be what they should be."""
    try:
        if path.stat().st_size > MAX_WEIGHT_BYTES:
            raise CheckpointError(f"{path} is too large for a model of this package")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is not a checkpoint: it has no {path.name}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise CheckpointError(
            f"{path} is damaged, or belongs to another {CONFIG}: its sha256 is not the one named there. If it is just "
            f"being saved, try again; otherwise save or copy the folder again"
        )
    try:
        tensors = safetensors.torch.load(raw)
    except (SafetensorError, KeyError) as error:  # KeyError: a type of number that torch does not have
        raise CheckpointError(f"{path} is not a safetensors file ({error})") from error
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))[0][0]
        raise CheckpointError(f"{path} holds the weights of another architecture than {CONFIG} describes: see {wrong}")
    if not all(value.float().isfinite().all() for value in tensors.values()):
        raise CheckpointError(f"{path} holds weights that are not finite numbers")
    return tensors


def save_training(folder: str | Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """What `--resume` needs, in one file, so that a crash cannot leave two halves that do not belong together."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / TRAINING, safetensors.torch.save(tensors, metadata={"numbers": json.dumps(numbers)}))


def load_training(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `save_training`.  Raises CheckpointError."""
    path = Path(folder) / TRAINING
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume in {path.parent}: it has no {path.name}")
    try:
        raw = path.read_bytes()  # safe_open takes no path that is not UTF-8
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        return safetensors.torch.load(raw), json.loads(header["__metadata__"]["numbers"], object_hook=renamed)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
