"""Copying or creating?  Samples on the page with their nearest training pictures, beside how near real ones are."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ddpm.data import DATASETS, DataError, Dataset
from ddpm.evaluation.classifiers import known_by
from ddpm.evaluation.neighbours import FEATURES, PIXELS, Comparison, TrainingSet, held_out, verdict
from ddpm.system.threads import apart

from ..generation.models import BUNDLED, dataset
from ..server import protocol
from ..server.cache import LRUCache
from ..server.engine import Engine, Job

KEPT_BYTES = 20_000_000
KEPT_SETS = 3  # training sets whose features are kept
Sets = OrderedDict[int, tuple[TrainingSet, str]]  # by their pictures' identity
OF_SERVER: Sets = OrderedDict()  # what the tabs of this server share: reading features takes seconds
POLL_SECONDS = 0.4
BINS = 32


def trained_on(name: str) -> tuple[Dataset, str]:
    """What is here of the training pictures of a model, and in words which they are.  Raises ValueError."""
    try:
        data = dataset(name)
        return data, f"Compared with all {len(data.images):,} training pictures"
    except DataError:
        if name not in BUNDLED:
            raise ValueError("The pictures that this model was trained on are not on this server.") from None
    data = dataset(BUNDLED[name])
    return data, f"Compared with the {len(data.images):,} bundled pictures, a sixth of what it was trained on"


def training_set(data: Dataset) -> tuple[TrainingSet, str]:
    """A data set to compare samples with, and in words which real pictures they are held against."""
    real = held_out(data.name, os.environ.get("DDPM_DATA_DIR", "data"), data.images.shape[-1])
    made = TrainingSet(data.images, data.labels, real, known_by(data.name, data.images.shape[1:]))
    if real is None:
        return made, f"beside how near {len(made.held_out):,} of these are to the others"
    return made, f"beside how near {len(real):,} real test pictures are to them"


class Asked:
    """One comparison, and what the page gets of it."""

    def __init__(self, samples: Tensor, known: TrainingSet, about: str):
        """samples: (N, C, S, S) uint8."""
        self.samples, self.about = samples, about
        self.known: TrainingSet | None = known  # until it has ended: pictures of somebody's own are not kept
        self.total, self.features = len(known.images), known.classifier is not None
        self.read, self.verdict = 0, ""
        self.spaces: dict[str, dict[str, Any]] = {}
        self.job: Job | None = None

    def steps(self) -> Iterator[None]:
        """The engine's job."""
        known, self.known = self.known, None
        assert known is not None
        pixels = yield from known.in_pixels(self.samples)
        self.verdict = verdict(pixels)
        self.spaces[PIXELS] = told(pixels, known.images, 1.0)
        features = known.in_features(self.samples) if self.features else None
        while features is not None:
            try:
                self.read = next(features) or self.read
            except StopIteration as end:
                self.spaces[FEATURES] = told(end.value, known.images, end.value.real.median().item())
                return
            yield

    def packet(self, have: Any) -> dict[str, Any]:
        """have: the spaces that the page knows."""
        assert self.job is not None
        n, channels, size, _ = self.samples.shape
        new = {name: space for name, space in self.spaces.items() if not isinstance(have, list) or name not in have}
        return {
            "done": self.job.finished.done(),
            "about": self.about,
            "verdict": self.verdict,
            "n": n,
            "size": size,
            "channels": channels,
            "samples": protocol.b64(self.samples.permute(0, 2, 3, 1).numpy()),
            "features": self.features,
            "read": self.read,
            "total": self.total,
            "spaces": new,
        }


def told(compared: Comparison, training: Tensor, unit: float) -> dict[str, Any]:
    """A space as the page draws it.  training: the pictures.  unit: the distance that it calls 1."""
    real, mine = compared.real / unit, compared.found.distances / unit
    end = 1.05 * max(torch.quantile(real, 0.995).item(), mine[:, 0].max().item())
    place = (real / end * BINS).long().clamp(max=BINS - 1)
    bars = torch.zeros(BINS).double().index_add(0, place, compared.weights)
    nearest = training[compared.found.index]  # (N, k, C, S, S)
    return {
        "pictures": protocol.b64(nearest.permute(0, 1, 3, 4, 2).numpy()),
        "distances": [[float(f"{v:.3g}") for v in row] for row in mine.tolist()],
        "nearer": [round(v, 3) for v in compared.nearer.tolist()],
        "near": compared.near.tolist(),
        "end": end,
        "bars": [round(v, 4) for v in bars.tolist()],
    }


class Neighbours:
    """Answers a tab's questions about its finished runs."""

    def __init__(
        self,
        engine: Engine,
        samples_of: Callable[[Any], tuple[Tensor, Callable[[], tuple[Dataset, str]]]],
        sets: Sets | None = None,
    ):
        """samples_of: of a run's id its samples, (N, C, S, S) uint8, and what finds its training pictures, with words
        for them as in `trained_on`; raises ValueError of a run that has no samples yet.  sets: those that are kept."""
        self.engine, self.samples_of = engine, samples_of
        self.asked = LRUCache(KEPT_BYTES)
        self.sets: Sets = OrderedDict() if sets is None else sets

    def prepare(self, find: Callable[[], tuple[Dataset, str]]) -> tuple[TrainingSet, str]:
        """Of the data sets that have a name the features are kept; what is somebody's own goes with its session."""
        data, words = find()
        known = self.sets.get(id(data.images)) or training_set(data)
        if data.name in DATASETS:
            self.sets[id(data.images)] = known
            while len(self.sets) > KEPT_SETS:
                self.sets.popitem(last=False)
        return known[0], f"{words}, {known[1]}"

    async def nearest(self, question: Any) -> dict[str, Any]:
        """{run, have: [space, ...], stop: whether to end it} -> how far it is, and what is new; asked again until done.

        Raises ValueError in words.
        """
        question = protocol.fields(question)
        run = question.get("run")
        asked: Any = self.asked.get(run)
        if question.get("stop"):
            if asked is not None and asked.job is not None:
                asked.job.close()
            return {}
        samples, find = self.samples_of(run)
        again = asked is None or asked.job is None or asked.job.stopped or asked.job.error
        if again or not asked.samples.equal(samples):  # a training that went on has others
            asked = Asked(samples, *await apart(self.prepare, find))
            asked.job = self.engine.submit(asked.steps(), f"nearest {run}", "nearest")
            self.asked.put(run, asked, 10 * samples.numel())
        await asyncio.wait({asyncio.wrap_future(asked.job.finished)}, timeout=POLL_SECONDS)
        if asked.job.error:
            raise ValueError(asked.job.error)
        return asked.packet(question.get("have"))
