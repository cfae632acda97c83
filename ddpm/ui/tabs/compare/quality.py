"""Quality against cost: the curve of weights that `python -m ddpm bench --curve` measured, and one point more, live."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddpm.evaluation import metrics
from ddpm.evaluation.evaluate import judged, judging_real, real_scores
from ddpm.ui.generation.equations import NAMES, SPACING_NAMES
from ddpm.ui.generation.settings import Settings
from ddpm.ui.generation.weights import Library

CURVE = "curve.json"
CURVE_N = 2000  # samples behind a point of the curve
SIZES = (200, 500, 1000)  # samples behind a live one
FIGURES = ("sampler", "steps", "evaluations", "n", "fid_over_floor", "fid_error", "fid_floor", "accuracy")


def load_curve(library: Library, weights_id: str) -> dict[str, Any]:
    """The chart's lines: {weights, file, command, points: [{each of FIGURES}]}.

    No points, and a sentence, for weights that nobody has measured.
    """
    name = weights_id if weights_id in library.shipped else "NAME"
    file = f"checkpoints/{name}/{CURVE}"
    command = f"python -m ddpm bench --curve checkpoints/{name} --out {file}"
    found: dict[str, Any] = {"weights": weights_id, "file": file, "command": command, "points": []}
    try:
        points = json.loads((library.folder / Path(name) / CURVE).read_text(encoding="utf-8"))["points"]
        return found | {"points": [{key: point[key] for key in FIGURES} for point in points]}
    except (OSError, ValueError, KeyError, TypeError):
        return found | {"notice": "Nobody has measured a curve of these weights yet. Measure points of your own."}


class Measurement:
    """One point, measured live: samples drawn and judged, a network evaluation or a reading at a time."""

    def __init__(self, settings: Settings):
        """settings.n: how many.  Raises ValueError for weights whose pictures the judge cannot read."""
        if not settings.weights.judged:
            raise ValueError("The judge reads MNIST's digits only; these weights draw something else.")
        self.settings, self.sampler = settings, settings.sampler()
        self.id = secrets.token_urlsafe(16)
        self.drawn = 0  # of them, about
        self.point: dict[str, Any] | None = None

    def steps(self) -> Iterator[bool]:
        """The engine's job."""
        yield from judging_real(CURVE_N)
        for found in judged(self.sampler, self.settings.n, self.settings.seed):
            if isinstance(found, dict):
                self.point = self.on_the_curve(found, real_scores(CURVE_N)["fid"])
            elif found is not None:
                self.drawn = round(found * self.settings.n)
            yield True

    def on_the_curve(self, verdict: dict[str, Any], floor: float) -> dict[str, Any]:
        """The judge's verdict as a point on the curve's scale.

        A Frechet distance of few samples is too large, by about as much as that of as many real digits: what exceeds
        their floor is added to the floor of the curve's n.  The error is twice the jackknife's.
        """
        n, accuracy, how = verdict["n"], verdict["accuracy"], self.settings.how
        return {
            "sampler": how.sampler,
            "label": f"{NAMES[how.sampler]}, {how.num_steps} steps, eta {how.eta:g}, guidance {how.guidance:g}, "
            f"{SPACING_NAMES[how.spacing]}",
            "evaluations": self.sampler.evaluations,
            "n": n,
            "fid_over_floor": 1 + (verdict["fid"] - verdict["fid_floor"]) / floor,
            "fid_error": 2 * verdict["fid_error"] / floor,
            "accuracy": accuracy,
            "accuracy_between": None if accuracy is None else metrics.share_interval(round(accuracy * n), n),
        }

    def packet(self, results: list[bool], **more: Any) -> dict[str, Any]:
        return {"run": self.id, "drawn": self.drawn, "n": self.settings.n, "point": self.point} | more

    def end(self) -> list[bool]:
        return []
