"""What one server gives to whom: a profile, DDPM_PROFILE, and whatever is set beside it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "DDPM_"


def _limit(default: int, low: int, high: int, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "text": text})


@dataclass(frozen=True)
class Limits:
    """The defaults are those of the profile local: one person, on a computer of their own."""

    digits: int = _limit(64, 1, 64, "digits drawn at once")
    steps: int = _limit(1000, 10, 1000, "steps of a sampler")
    training_seconds: int = _limit(600, 10, 86_400, "seconds of a training run")
    training_steps: int = _limit(20_000, 10, 1_000_000, "or steps of it")
    batch_size: int = _limit(512, 8, 512, "largest batch of a training run")
    width: int = _limit(
        128, 8, 128, "largest width of its network: with the batch, how long a step keeps others waiting"
    )
    training_runs: int = _limit(4, 1, 64, "training runs at once, of all people together")
    jobs: int = _limit(128, 4, 4096, "computations under way or waiting, of all people together")
    runs_per_address: int = _limit(64, 1, 4096, "runs under way from one address (a class may share one)")
    requests_per_minute: int = _limit(6000, 10, 1_000_000, "questions from one address")
    # A zip of the tutorial's network, the largest that the page saves, is 7.7 MB.
    upload_mb: int = _limit(12, 1, 100, "megabytes of an uploaded file")


PROFILES = {
    "local": Limits(),
    # Thirty students behind one address, two cores: everybody may do everything, training is shared.
    "classroom": Limits(
        training_seconds=120, training_steps=5000, batch_size=128, width=64, jobs=256, runs_per_address=80
    ),
    # Strangers: less of everything, one training run at a time.
    "public": Limits(
        digits=36,
        steps=250,
        training_seconds=60,
        training_steps=2000,
        batch_size=128,
        width=48,
        training_runs=1,
        jobs=64,
        runs_per_address=8,
        requests_per_minute=600,
    ),
}


def load(environ: Mapping[str, str]) -> Limits:
    """The limits that an environment asks for.  Raises ValueError in one sentence about the first that will not do."""
    name = environ.get(f"{PREFIX}PROFILE") or "local"
    if name not in PROFILES:
        raise ValueError(f"{PREFIX}PROFILE: one of {', '.join(PROFILES)}, not {name!r}")
    changed = {}
    for each in dataclasses.fields(Limits):
        text, key = environ.get(PREFIX + each.name.upper()), PREFIX + each.name.upper()
        if text is None or text == "":
            continue
        low, high = each.metadata["low"], each.metadata["high"]
        if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
            raise ValueError(f"{key}: a whole number from {low} to {high}, not {text[:40]!r}")
        changed[each.name] = int(text)
    return dataclasses.replace(PROFILES[name], **changed)


@functools.cache
def current() -> Limits:
    """The limits of this process, read once."""
    return load(os.environ)


def table() -> str:
    """All settings with what they are in each profile, as text."""
    rows = [(f"{PREFIX}PROFILE", *PROFILES, "")]
    for each in dataclasses.fields(Limits):
        values = (str(getattr(limits, each.name)) for limits in PROFILES.values())
        rows.append((PREFIX + each.name.upper(), *values, each.metadata["text"]))
    return "\n".join(f"{a:26}{b:>8}{c:>11}{d:>8}  {e}".rstrip() for a, b, c, d, e in rows)
