"""Ways of drawing the same digits side by side, at equal network evaluations or, of different models, equal seconds."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ddpm.evaluation import classifiers
from ddpm.generate import Sampler, num_evaluations
from ddpm.samplers import SAMPLERS, SampleStep
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation.as_python import of_settings, packet_of
from ddpm.ui.generation.request import MAX_STEPS, Settings, deterministic
from ddpm.ui.generation.trajectory import Costs, Trajectory
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.sessions import Run

MAX_FRAMES = 50  # of each lane
REFERENCE_BYTES = 64_000_000
CURVE_POINTS = 40  # of the noise level along a lane
POSITIONS = 100  # of the timeline of a race of seconds, about


class Lane(Trajectory):
    """A trajectory of which the page sees the sample alone, and from which nothing branches."""

    max_frames = MAX_FRAMES

    @property
    def finished(self) -> Tensor:
        """What it came to: (n, C, S, S).  Raises ValueError before its first step."""
        if self.moment is None:
            raise ValueError("This lane has not begun.")
        return self.sampler.pictures(self.moment.x_t)

    @property
    def is_finished(self) -> bool:
        return self.moment is not None and self.moment.t < 0

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        start = time.perf_counter()
        shown = protocol.b64(self.shown(moment.x_t))
        if moment.t < 0:  # decoding what is finished is part of drawing it; what is shown on the way is not
            self.seconds += time.perf_counter() - start
        spent = {"evaluations": self.evaluations, "seconds": self.seconds}
        noise = self.settings.weights.sched.sqrt_one_minus_alphas_bar[moment.t].item() if moment.t >= 0 else 0.0
        return self.add({"step": moment.i, "t": moment.t, "noise": round(noise, 4), **spent, "x_t": shown})


def python_of(runs: Streaming) -> Callable[[Any], dict[str, str]]:
    """What answers who asks for Python: {run, lane: which, or none for all} -> {text, name, data} or {error}."""

    def python(question: Any) -> dict[str, str]:
        question = protocol.fields(question)
        run = runs.get(question.get("run"))
        if run is None or not run.frames:
            raise ValueError("That result is no longer on the server. Make it again.")
        lane = question.get("lane")
        last = len(run.lanes) - 1
        chosen = range(last + 1) if lane is None else [protocol.whole_number(lane, "Lane", 0, last)]
        texts = [run.python(i) for i in chosen]
        return packet_of("Lanes side by side", f"lanes-seed{run.first.seed}", texts)

    return python


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
            sampler = dataclasses.replace(s, sampling=sampling).sampler()
            for moment in sampler.steps(s.n, s.y(), s.seed):
                yield moment.i, sampling.num_steps
            known = sampler.pictures(moment.x_t)
            self._kept.put(key, (s.weights, known), known.numel() * 4)
        yield known


class Race(Run):
    """Lanes on their way.  Of those still running, whichever has used fewest network evaluations takes the next step.
    Where lanes have different models, of which one evaluation is not worth another, it is whichever has used fewest
    seconds.

    lanes: their names and settings, whose pictures are of one shape.  references: where the deterministic lanes'
    distances are measured from; None for no distances.
    unit: seconds from one position of the timeline to the next; None where they are network evaluations.
    """

    def __init__(self, lanes: dict[str, Settings], references: References | None = None):
        super().__init__()
        self.names, self.references = list(lanes), references
        self.lanes = [Lane(s) for s in lanes.values()]
        self.first = self.lanes[0].settings
        self.results: list[dict[str, Any]] = [{} for _ in self.lanes]
        self.reference: tuple[int, int] | None = None
        w = self.first.weights
        by_seconds = any(lane.settings.weights is not w for lane in self.lanes)
        self.unit = 0.01 if by_seconds else None
        self.expected = POSITIONS * 0.01  # seconds of the slowest lane, until that is measured
        self.fixed: dict[str, Any] = {"n": self.first.n, "size": w.img_size, "channels": w.channels}
        self.fixed |= {"about": self.about_lanes()}

    def used(self, i: int) -> float:
        """What a lane has used of what all get at the same rate: network evaluations or seconds."""
        return self.lanes[i].evaluations if self.unit is None else self.lanes[i].seconds

    @property
    def total(self) -> int:
        """Positions of the timeline."""
        if self.unit is None:
            return 1 + max(lane.sampler.evaluations for lane in self.lanes)
        most = max(lane.seconds for lane in self.lanes)
        return 1 + math.ceil((most if self.all_finished else max(most, self.expected)) / self.unit)

    @property
    def all_finished(self) -> bool:
        return all(lane.is_finished for lane in self.lanes)

    def measure_pace(self) -> Iterator[dict[str, Any]]:
        """How long the slowest lane will take, about; it warms each model up, too."""
        expected = [0.0] * len(self.lanes)
        for i, lane in enumerate(self.lanes):
            for evaluation in Costs.measure(lane.settings.weights, lane.settings.n):
                expected[i] = evaluation * lane.sampler.evaluations
                yield {}
        self.expected = max(expected)
        self.unit = round_up(self.expected / POSITIONS)

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job: the lanes, then what the classifier reads, then the distances."""
        if self.unit is not None:
            yield from self.measure_pace()
        running = {i: lane.steps() for i, lane in enumerate(self.lanes)}
        while running:
            i = min(running, key=self.used)
            try:
                yield self.of_lane(i, next(running[i]))
            except StopIteration:
                del running[i]
        for lane, result in zip(self.lanes, self.results, strict=True):
            if reader := lane.settings.weights.reader:
                result["read"] = classifiers.read(lane.finished, reader).digits.tolist()
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

    def python(self, i: int) -> str:
        """A lane as lines of Python, as far as it came."""
        lane = self.lanes[i]
        until = None if lane.is_finished or lane.moment is None else lane.moment.i
        return of_settings(lane.settings, self.names[i], until)

    def about_lanes(self) -> list[dict[str, Any]]:
        """What the lanes are, and the noise level along each, sqrt(1 - alphas_bar), against network evaluations."""
        lanes = []
        for name, lane in zip(self.names, self.lanes, strict=True):
            noise, labels = lane.settings.weights.sched.sqrt_one_minus_alphas_bar.tolist(), lane.settings.y()
            reader = lane.settings.weights.reader
            along, sampler = curve(lane.sampler), SAMPLERS[lane.settings.sampling.sampler].label
            lanes.append(
                {
                    "name": name,
                    "model": lane.settings.weights.label,
                    "how": f"{sampler}, {lane.num_steps} step{'s' * (lane.num_steps > 1)}",
                    "total": lane.sampler.evaluations,
                    "at": [e for e, _ in along],
                    "noise": [round(noise[t], 4) if t >= 0 else 0.0 for _, t in along],
                    "labels": None if labels is None else labels.tolist(),
                    "classes": None if reader is None else classifiers.classes_of(reader),
                    "deterministic": deterministic(lane.settings),
                }
            )
        return lanes

    def about(self) -> dict[str, Any]:
        """What the race is, and how far each lane."""
        lanes = [
            {
                "evaluations": lane.evaluations,
                "seconds": round(lane.seconds, 4),
                "finished": lane.is_finished,
            }
            | result
            for lane, result in zip(self.lanes, self.results, strict=True)
        ]
        return self.fixed | {"lanes": lanes, "reference": self.reference, "total": self.total, "unit": self.unit}


def round_up(seconds: float) -> float:
    """The next number above that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(seconds, 1e-6)))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= seconds)


def curve(sampler: Sampler) -> list[tuple[int, int]]:
    """(network evaluations used, t reached) along a lane, at some of its moments."""
    times, model, name = sampler.times, sampler.model, sampler.sampling.sampler
    shown = torch.linspace(0, len(times) - 1, min(len(times), CURVE_POINTS)).round().long().tolist()
    return [(num_evaluations(model, times[: i + 1], name), times[i]) for i in shown]
