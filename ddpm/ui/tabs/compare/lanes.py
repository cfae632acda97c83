"""Ways of drawing the same digits from the same noise, side by side, at equal network evaluations per second."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ddpm.evaluation import classifiers
from ddpm.generate import Sampler, num_evaluations
from ddpm.samplers import SAMPLERS, SampleStep
from ddpm.ui.generation.request import MAX_STEPS, Settings, deterministic
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.sessions import Run

MAX_FRAMES = 50  # of each lane
REFERENCE_BYTES = 64_000_000
CURVE_POINTS = 40  # of the noise level along a lane


class Lane(Trajectory):
    """A trajectory of which the page sees the sample alone, and from which nothing branches."""

    max_frames = MAX_FRAMES

    @property
    def finished(self) -> Tensor:
        """What it came to: (n, C, S, S).  Raises ValueError before its first step."""
        if self.moment is None:
            raise ValueError("This lane has not begun.")
        return self.sampler.pictures(self.moment.x_t)

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        shown = protocol.b64(self.shown(moment.x_t))
        return self.add({"step": moment.i, "t": moment.t, "evaluations": self.evaluations, "x_t": shown})


class References:
    """Where the ODE ends from a given noise: DDIM's finished samples of MAX_STEPS steps, the latest kept."""

    def __init__(self) -> None:
        self._kept = cache.LRUCache(REFERENCE_BYTES)

    def find(self, s: Settings) -> Iterator[tuple[int, int] | Tensor]:
        """Yields (steps done, all steps) now and then, and at last the samples, (n, C, S, S)."""
        ode: dict[str, Any] = {
            "sampler": "ddim",
            "num_steps": min(MAX_STEPS, s.weights.sched.T),
            "eta": 0.0,
            "spacing": "linspace",
        }
        sampling = dataclasses.replace(s.sampling, **ode)
        key = repr((s.weights_id, s.n, s.labels, s.seed, sampling))
        weights, known = self._kept.get(key) or (None, None)
        if known is None or weights is not s.weights:  # none yet, or a training run has other weights by now
            for moment in dataclasses.replace(s, sampling=sampling).sampler().steps(s.n, s.y(), s.seed):
                yield moment.i, sampling.num_steps
            known = moment.x_t.cpu()
            self._kept.put(key, (s.weights, known), known.numel() * 4)
        yield known


class Race(Run):
    """Lanes on their way.  Of those still running, whichever has used fewest network evaluations takes the next step.

    lanes: their names and settings, which differ in how and seed only.  references: where the deterministic lanes'
    distances are measured from; None for no distances.
    """

    def __init__(self, lanes: dict[str, Settings], references: References | None = None):
        super().__init__()
        self.names, self.references = list(lanes), references
        self.lanes = [Lane(s) for s in lanes.values()]
        self.first = self.lanes[0].settings
        self.results: list[dict[str, Any]] = [{} for _ in self.lanes]
        self.reference: tuple[int, int] | None = None
        labels, w = self.first.y(), self.first.weights
        self.fixed: dict[str, Any] = {"n": self.first.n, "size": w.img_size, "channels": w.channels}
        self.fixed |= {"labels": None if labels is None else labels.tolist(), "about": self.about_lanes()}
        self.fixed |= {"total": 1 + max(lane.sampler.evaluations for lane in self.lanes)}  # positions: evaluations used

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job: the lanes, then what the classifier reads, then the distances."""
        running = {i: lane.steps() for i, lane in enumerate(self.lanes)}
        while running:
            i = min(running, key=lambda i: self.lanes[i].evaluations)
            try:
                yield self.of_lane(i, next(running[i]))
            except StopIteration:
                del running[i]
        if self.first.weights.classifiable:
            for lane, result in zip(self.lanes, self.results, strict=True):
                readings = classifiers.read(lane.finished)
                result["digits"] = readings.digits.tolist()
                yield {}
        if self.references is not None:
            for lane, result in zip(self.lanes, self.results, strict=True):
                if deterministic(lane.settings):
                    yield from self.measure(self.references, lane, result)
            self.reference = None

    def of_lane(self, i: int, frame: dict[str, Any] | None) -> dict[str, Any]:
        """A frame as the page gets it: in its lane."""
        return self.add(frame | {"lane": i}) if frame else {}

    def measure(self, references: References, lane: Lane, result: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The distance of each digit to the reference: root mean square over its pixels, which are in [-1, 1]."""
        for found in references.find(lane.settings):
            if isinstance(found, tuple):
                self.reference = found
                yield {}
            else:
                squares = (lane.finished.cpu() - found).square().mean(dim=(1, 2, 3))
                result["distance"] = round(squares.sqrt().mean().item(), 4)

    def end(self) -> list[dict[str, Any]]:
        return [self.of_lane(i, frame) for i, lane in enumerate(self.lanes) for frame in lane.end()]

    def about_lanes(self) -> list[dict[str, Any]]:
        """What the lanes are, and the noise level along each, sqrt(1 - alphas_bar), against network evaluations."""
        noise, lanes = self.first.weights.sched.sqrt_one_minus_alphas_bar.tolist(), []
        for name, lane in zip(self.names, self.lanes, strict=True):
            along, sampler = curve(lane.sampler), SAMPLERS[lane.settings.sampling.sampler].label
            lanes.append(
                {
                    "name": name,
                    "how": f"{sampler}, {lane.num_steps} step{'s' * (lane.num_steps > 1)}",
                    "total": lane.sampler.evaluations,
                    "at": [e for e, _ in along],
                    "noise": [round(noise[t], 4) if t >= 0 else 0.0 for _, t in along],
                    "deterministic": deterministic(lane.settings),
                }
            )
        return lanes

    def about(self) -> dict[str, Any]:
        """What the race is, and how far each lane."""
        lanes = [
            {
                "evaluations": lane.evaluations,
                "seconds": round(lane.seconds, 2),
                "finished": lane.moment is not None and lane.moment.t < 0,
            }
            | result
            for lane, result in zip(self.lanes, self.results, strict=True)
        ]
        return self.fixed | {"lanes": lanes, "reference": self.reference}


def curve(sampler: Sampler) -> list[tuple[int, int]]:
    """(network evaluations used, t reached) along a lane, at some of its moments."""
    times, model, name = sampler.times, sampler.model, sampler.sampling.sampler
    shown = torch.linspace(0, len(times) - 1, min(len(times), CURVE_POINTS)).round().long().tolist()
    return [(num_evaluations(model, times[: i + 1], name), times[i]) for i in shown]
