"""What the Train tab may be asked for: presets, data sets, budgets, and what is under More; checked, and fetched."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from ddpm.config import Config
from ddpm.data import DATASETS, Dataset, load_dataset
from ddpm.denoiser import picture_shape_of
from ddpm.presets import LATENTS, PIXELS, PRESETS, for_dataset
from ddpm.storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, read_recipe, with_autoencoder
from ddpm.system.threads import apart
from ddpm.training.finetune import check_fits
from ddpm.ui.generation.models import CHECKPOINTS, dataset, offered
from ddpm.ui.server import limits, protocol

from .own import own
from .training_run import TrainingRun

FROM = "from "  # what the name of a choice begins with that continues from shipped weights
LEAST = {"seconds": 1, "steps": 1}  # that a run may last

# The controls under More: the field of the configuration that each sets.
MORE = (
    ("train", "lr"),
    ("train", "batch_size"),
    ("schedule", "kind"),
    ("model", "prediction"),
    ("train", "ema_decay"),
    ("train", "label_dropout"),
    ("model", "base"),
    ("train", "seed"),
)
WHOLE = {"batch_size": "Batch size", "base": "Width", "seed": "Seed"}
LABELS = WHOLE | {"lr": "Learning rate", "ema_decay": "EMA decay", "label_dropout": "Label dropout"}
LABELS |= {"kind": "Schedule", "prediction": "Predicts"}
NAMES = {"lr": "lr {:g}", "batch_size": "batch {}", "ema_decay": "EMA {:g}", "label_dropout": "label dropout {:g}"}
NAMES |= {"base": "width {}", "seed": "seed {}"}


@functools.cache
def recipes() -> dict[str, Config]:
    """The configurations of the shipped weights, by their names; a broken one has none."""
    found = {}
    for name in offered(CHECKPOINTS):
        with contextlib.suppress(CheckpointError):
            found[name] = read_recipe(CHECKPOINTS / name)
    return found


def beginnings() -> dict[str, Config]:
    """Shipped weights that a training can continue from, by the names of these choices: their network and schedule,
    trained as the first preset of their space is."""
    like = {name: PIXELS if config.autoencoder is None else LATENTS for name, config in recipes().items()}
    trained = {name: PRESETS[like[name]].train for name in recipes()}
    return {FROM + name: dataclasses.replace(config, train=trained[name]) for name, config in recipes().items()}


def known() -> dict[str, Config]:
    """All that the choice of preset offers."""
    return PRESETS | beginnings()


def is_latent(preset: str) -> bool:
    return known()[preset].autoencoder is not None


@functools.lru_cache(maxsize=2)
def begun_with(preset: str) -> Checkpoint | None:
    """The weights that a choice continues from; None of a preset, which has none.  Raises CheckpointError."""
    return load_checkpoint(CHECKPOINTS / preset.removeprefix(FROM)) if preset in beginnings() else None


def more_of(config: Config) -> list[Any]:
    """The values of the controls under More in a configuration."""
    return [getattr(getattr(config, part), name) for part, name in MORE]


def with_more(config: Config, values: Sequence[Any]) -> Config:
    """The configuration with the controls under More set.  Raises ValueError about the first that will not do."""
    changed: dict[str, dict[str, Any]] = {"model": {}, "schedule": {}, "train": {}}
    for (part, name), value in zip(MORE, values, strict=True):
        if name in WHOLE:
            times = 1 if config.autoencoder is None else 8  # what a step of latents costs less
            most = {"batch_size": times * limits.current().batch_size, "base": times * limits.current().width}
            value = protocol.whole_number(value, WHOLE[name], 0, most.get(name, protocol.MAX_SEED))
        changed[part][name] = value
    parts: dict[str, Any] = {}
    try:
        for part, fields in changed.items():
            parts[part] = dataclasses.replace(getattr(config, part), **fields)
    except ValueError as error:
        name, colon, why = str(error).partition(": ")
        raise ValueError(f"Under More: {LABELS.get(name, name)}{colon}{why}.") from None
    muon_lr = min(1.0, config.train.muon_lr * parts["train"].lr / config.train.lr)  # one knob turns both
    parts["train"] = dataclasses.replace(parts["train"], muon_lr=muon_lr)
    return dataclasses.replace(config, **parts)


def check(preset: Any, name: Any, kind: Any, budget: Any, *more: Any) -> TrainingRun:
    """A run as it was asked for.  name: of a data set, or somebody's own one.

    Raises ValueError with one clear sentence about the first value that will not do.
    """
    preset = protocol.one_of(preset, "Preset", known())
    mine = isinstance(name, Dataset)
    name = name if mine else protocol.one_of(name, "Data", DATASETS)
    kind = protocol.one_of(kind, "Budget", LEAST)
    most = {"seconds": limits.current().training_seconds, "steps": limits.current().training_steps}[kind]
    kind_of_number = protocol.number if kind == "seconds" else protocol.whole_number
    budget = kind_of_number(budget, kind.capitalize(), LEAST[kind], most)
    asked = known()[preset]
    config, begin = with_more(asked, more or more_of(asked)), begun_with(preset)
    if begin is not None and (config.model, config.schedule) != (asked.model, asked.schedule):
        raise ValueError("Under More: Schedule, Predicts and Width are those of the weights that you continue from.")
    config, codec = with_autoencoder(config)
    data = name if mine else dataset(name)
    if mine and begin is not None:
        data = own.suited(data, picture_shape_of(begin.model))
    elif mine and codec is not None:
        data = own.suited(data, codec.picture_shape)
    if begin is not None:
        with in_a_sentence("Data"):
            check_fits(begin.model, preset.removeprefix(FROM), data)
    elif codec is not None and tuple(data.images.shape[1:]) != codec.picture_shape:
        raise ValueError(f"Data: the autoencoder of {preset} knows other pictures than those of {data.name}.")
    config = for_dataset(config, data, config.train.seed)
    label = f"{describe(preset, config)}, {data.name}, {budget:g} {kind}"
    run = TrainingRun(config, data, kind, budget, label, begin and begin.model)
    run.of_a_window = mine
    return run


@contextlib.contextmanager
def in_a_sentence(about: str) -> Iterator[None]:
    """What is raised as ValueError, said as the page says things."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{about}: {error}.") from None


def check_both(preset: Any, name: Any, kind: Any, budget: Any, *more: Any) -> TrainingRun:
    """The same in pixels, with a run in latent space beside it: one of them as asked, the other as its preset has it.

    Each gets the budget, so that the two together last as long as one run may.  Raises ValueError as `check` does.
    """
    kind = protocol.one_of(kind, "Budget", LEAST)
    if kind != "seconds":
        raise ValueError("Train both: a budget in seconds, please, so that each gets as many.")
    protocol.number(budget, "Seconds for each", LEAST[kind], limits.current().training_seconds / 2)
    asked = check(preset, name, kind, budget, *more)
    other = PIXELS if asked.latent else LATENTS
    config = PRESETS[other]
    same = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=asked.config.train.seed))
    beside = check(other, name, kind, budget, *more_of(same))
    pixels, latents = (beside, asked) if asked.latent else (asked, beside)
    pixels.beside, latents.is_beside = latents, True
    return pixels


def describe(preset: str, config: Config) -> str:
    """The preset, and what differs from it: what tells a person's runs apart."""
    before, now = more_of(known()[preset]), more_of(config)
    changed = [NAMES.get(name, "{}").format(b) for (_, name), a, b in zip(MORE, before, now, strict=True) if a != b]
    return ", ".join([preset, *changed])


async def fetch(name: Any) -> AsyncIterator[str]:
    """Download a data set to this server in a thread of its own, saying how far it is.  Raises DataError."""
    name = protocol.one_of(name, "Data", DATASETS)
    folder = Path(os.environ.get("DDPM_DATA_DIR", "data"))

    def megabytes() -> float:
        with contextlib.suppress(OSError):  # what was there a moment ago may have been moved
            return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        return 0.0

    before, whole = megabytes(), DATASETS[name].megabytes
    work = asyncio.ensure_future(apart(load_dataset, name, folder, download=True))
    while not (await asyncio.wait({work}, timeout=0.5))[0]:
        yield f"Downloading {name}: {min(megabytes() - before, whole):.0f} of {whole} MB…"
    work.result()
