"""Quality against cost: the curve of weights that `python -m ddpm bench --curve` measured, and one point more, live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddpm.evaluation import metrics
from ddpm.evaluation.evaluate import classifiers_for, evaluating, evaluating_real, real_scores
from ddpm.generate import Sampler
from ddpm.samplers import SAMPLERS
from ddpm.spacing import LABELS
from ddpm.storage.checkpoint import renamed
from ddpm.ui.generation.as_python import model_lines, program, sampler_lines
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.server.sessions import Run

CURVE = "curve.json"
CURVE_N = 2000  # samples behind a point of the curve
SIZES = (200, 500, 1000)  # samples behind a live one
UNKNOWN = "No classifier here knows what these weights draw. Choose a model of MNIST, Fashion-MNIST, faces or CIFAR-10."
FIGURES = ("sampler", "steps", "evaluations", "n", "fid_over_real", "fid_error", "fid_real", "accuracy")


def load_curve(registry: ModelRegistry, weights_id: Any) -> dict[str, Any]:
    """The chart's lines: {weights, file, command, labels: of the samplers, points: [{each of FIGURES, and second: the
    FID over that of real data by the second classifier, None where it has not measured}]}.

    No points, and a sentence, for weights that nobody has measured.  A row that was cut off is no point.
    """
    name = weights_id if weights_id in registry.shipped else "NAME"
    file = f"checkpoints/{name}/{CURVE}"
    command = f"python -m ddpm bench --curve checkpoints/{name} --out {file}"
    labels = {sampler: method.label for sampler, method in SAMPLERS.items()}
    found: dict[str, Any] = {"weights": weights_id, "file": file, "command": command, "labels": labels, "points": []}
    try:
        text = (registry.folder / Path(name) / CURVE).read_text(encoding="utf-8")
        points = json.loads(text, object_hook=renamed)["points"]
        return found | {"points": [point_of(row) for row in points if "over" not in row]}
    except (OSError, ValueError, KeyError, TypeError):
        return found | {"notice": "Nobody has measured a curve of these weights yet. Measure points of your own."}


def point_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the benchmark as the chart has it.  Raises KeyError if one of FIGURES is missing."""
    second = row.get("second") or {}  # older rows, and those of pictures that one classifier knows, have none
    return {key: row[key] for key in FIGURES} | {"second": second.get("fid_over_real")}


class Measured(Run):
    """A measurement that has ended, as lines of Python; "" if there is no point."""

    def __init__(self, run_id: str, python: str):
        super().__init__()
        self.id, self.python = run_id, python


class Measurement(Run):
    """One point, measured live: samples drawn and evaluated, a network evaluation or a reading at a time."""

    def __init__(self, settings: Settings):
        """settings.n: how many, of all classes alike.  Raises ValueError for weights of pictures that no classifier
        here knows."""
        super().__init__()
        weights = settings.weights
        self.settings, self.sampler = settings, Sampler(weights.model, weights.sched, settings.sampling)
        try:
            self.classifiers = classifiers_for(self.sampler, weights.dataset)
        except ValueError as error:
            raise ValueError(UNKNOWN) from error
        self.drawn = 0  # of them, about
        self.point: dict[str, Any] | None = None

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job."""
        first = self.classifiers[0]
        for _ in evaluating_real(CURVE_N, first):
            yield {}
        for found in evaluating(self.sampler, self.settings.n, self.settings.seed, self.classifiers):
            if isinstance(found, dict):
                self.point = self.on_the_curve(found, real_scores(CURVE_N, first)["fid"])
            elif found is not None:
                self.drawn = round(found * self.settings.n)
            yield {}

    def on_the_curve(self, evaluation: dict[str, Any], fid_real: float) -> dict[str, Any]:
        """The classifier's evaluation as a point on the curve's scale.

        A Frechet distance of few samples is too large, by about as much as that of as many real digits: what exceeds
        their real-data FID is added to that of the curve's n.  The error is twice the jackknife's.
        """
        n, accuracy, sampling = evaluation["n"], evaluation["accuracy"], self.settings.sampling
        return {
            "sampler": sampling.sampler,
            "label": f"{SAMPLERS[sampling.sampler].label}, {sampling.num_steps} steps, eta {sampling.eta:g}, "
            f"guidance {sampling.guidance:g}, {LABELS[sampling.spacing]}",
            "evaluations": self.sampler.evaluations,
            "n": n,
            "fid_over_real": 1 + (evaluation["fid"] - evaluation["fid_real"]) / fid_real,
            "fid_error": 2 * evaluation["fid_error"] / fid_real,
            "accuracy": accuracy,
            "accuracy_between": None if accuracy is None else metrics.share_interval(round(accuracy * n), n),
        }

    def python(self) -> str:
        """The point as lines of Python."""
        s = self.settings
        lines = [
            *model_lines(s.weights_id, s.weights),
            *sampler_lines(self.sampler.sampling),
            f"classifiers = {self.classifiers}",
            f"for found in ddpm.evaluation.evaluate.evaluating(sampler, {s.n}, {s.seed}, classifiers): pass",
            f'real = ddpm.evaluation.evaluate.real_scores({CURVE_N}, classifiers[0])["fid"]',
            'fid_over_real = 1 + (found["fid"] - found["fid_real"]) / real',
            'print(fid_over_real, 2 * found["fid_error"] / real, found["accuracy"])',
        ]
        about = f"FID / real-data FID of {s.n} samples, its error, and the class accuracy."
        return program(about, lines, ["ddpm.evaluation.evaluate"])

    def left_behind(self) -> Measured:
        return Measured(self.id, self.python() if self.point else "")

    @property
    def size(self) -> int:
        return len(self.python())

    def about(self) -> dict[str, Any]:
        return {"drawn": self.drawn, "n": self.settings.n, "point": self.point}
