"""A reverse process that is asked for more than a class: from a draft, around what is given, of several statements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddpm.compose import Term
from ddpm.device import Inference
from ddpm.evaluation import classifiers
from ddpm.generate import Sampler, num_evaluations
from ddpm.samplers import SampleStep

from .trajectory import Trajectory
from .trajectory_file import Opened

Process = Callable[[Sampler], Iterator[SampleStep | None]]


def resampled(begin: int, end: int, r: int) -> list[int]:
    """The step that each moment is, where each but the last is taken r times: r - 1 times to its end, and back."""
    return [i for step in range(begin, end - 1) for i in [step, step + 1] * (r - 1) + [step]] + [end - 1, end]


@dataclass(frozen=True)
class Edit:
    """What is asked beside the settings.

    page: what the page's script said, as JSON, of what it takes to ask again.
    process: makes the moments, of a sampler as the settings say; in the engine.  way: the sampler's step that each is;
    None: all of them in turn.  folded: whether the timeline has one place for each step, however often it is taken.
    terms: of a sum that the sampler's model is.  model: in place of the settings' own, with labels more.
    """

    page: Mapping[str, Any]
    process: Process
    way: Sequence[int] | None = None
    folded: bool = True
    terms: tuple[Term, ...] = ()
    model: Callable[[], Inference] | None = None


@dataclass
class Edited(Trajectory):
    """A trajectory of an edit, all of whose moments are kept.  `place`: where on the timeline a frame lies."""

    edit: Edit = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.way = list(range(self.num_steps + 1)) if self.edit.way is None else list(self.edit.way)
        self.begin = min(self.way)
        self.places = [step - self.begin for step in self.way] if self.edit.folded else list(range(len(self.way)))
        steps = range(self.begin, self.num_steps + 1) if self.edit.folded else self.way
        self.times_kept = [self.times[step] for step in steps]
        signal = self.settings.weights.sched.sqrt_alphas_bar[self.times_kept].tolist()
        self.signal = [1.0 if t < 0 else round(a, 4) for a, t in zip(signal, self.times_kept, strict=True)]

    def steps(self) -> Iterator[dict[str, Any] | None]:
        if self.edit.model is not None:  # made here, where all that torch does belongs
            self.sampler = self.sampler_of(self.edit.model())
        yield from super().steps()

    def make_sampler(self) -> Sampler:
        return self.sampler_of(self.settings.weights.model) if self.edit.terms else super().make_sampler()

    def sampler_of(self, model: Inference) -> Sampler:
        return Sampler(model, self.settings.weights.sched, self.settings.sampling, self.edit.terms)

    def process(self) -> Iterator[SampleStep | None]:
        return self.edit.process(self.sampler)

    def is_kept(self, moment: SampleStep) -> bool:
        return True

    def goes_back(self, k: int) -> bool:
        """Whether noise comes next, not less of it: a step that is taken again, or the way from a picture to noise."""
        return k + 1 < len(self.way) and self.way[k + 1] < self.way[k]

    def spent(self, moment: SampleStep) -> int:
        k = range(len(self.frames) + 1)
        if self.edit.folded:  # a step that is taken again is not asked where it arrives
            asked = [self.times[self.way[i]] for i in k if not self.goes_back(i)]
        else:  # a picture that is to become noise is asked at time 0
            asked = [max(self.times[self.way[i]], 0) for i in k if i + 1 < len(self.way)]
        return num_evaluations(self.sampler.model, asked, self.settings.sampling.sampler)

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        k = len(self.frames)
        self.states.append(moment.x_t.cpu())
        if self.goes_back(k):  # no step of the sampler's leads on from here
            moment = dataclasses.replace(moment, eps_hat=None)
        frame = self.frame_of(moment, self.way[k]) | {"place": self.places[k]}
        return self.add(frame | self.also(moment, k + 1 == len(self.way)))

    def also(self, moment: SampleStep, last: bool) -> dict[str, Any]:
        """What a frame says more: of the finished pictures how they are classified, where a classifier knows such."""
        reader = self.settings.weights.reader
        if not last or reader is None:
            return {}
        return {"read": classifiers.read(self.sampler.pictures(moment.x_t), reader).names}

    def end(self) -> list[dict[str, Any]]:
        return []

    def about(self) -> dict[str, Any]:
        """places: of all moments there are or will be."""
        return super().about() | {
            "step": max(0, len(self.frames) - 1),
            "num_steps": len(self.way) - 1,
            "places": self.places,
        }

    def plain(self) -> Opened:
        """Itself as Reverse shows and saves trajectories, whose times fall: of each step the last frame."""
        last = {frame["step"]: k for k, frame in enumerate(self.frames)}
        chosen = [last[step] for step in sorted(last)]
        frames = [self.frames[k] | {"index": index} for index, k in enumerate(chosen)]
        about = self.parameters, self.dataset, self.shape, self.latent_shape, self.autoencoder
        states, signal = [self.states[k] for k in chosen], [frame["signal"] for frame in frames]
        return Opened(*about, frames, states, [frame["t"] for frame in frames], signal, self.settings)
