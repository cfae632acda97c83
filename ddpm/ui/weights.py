"""The models one can ask: those that ship in checkpoints/, and those that were trained on this server."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import CONFIG, load_checkpoint
from ..device import Inference, pick_device
from ..schedule import Schedule
from .parts import Kept

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
TRAINED_BYTES = 500_000_000
DEFAULT = "mnist"


@dataclass(frozen=True)
class Weights:
    """A model ready to be asked, with the schedule it was trained on."""

    label: str
    model: Inference
    sched: Schedule
    kind: str  # of the schedule
    num_classes: int
    img_size: int
    channels: int


class Library:
    """Weights by id: a folder's name in checkpoints/, or the id of a training run, which nobody can guess."""

    def __init__(self, folder: Path = CHECKPOINTS):
        self.folder = folder
        self.shipped = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
        self._loaded: dict[str, Weights] = {}
        self._trained = Kept(TRAINED_BYTES)
        self._lock = threading.Lock()

    @property
    def default(self) -> str:
        return DEFAULT

    def get(self, name: str) -> Weights:
        """Raises ValueError if there are none of that name, or if they are not whole."""
        if name in self.shipped:
            with self._lock:
                if name not in self._loaded:
                    loaded = load_checkpoint(self.folder / name, pick_device())
                    self._loaded[name] = wrap(loaded.model, loaded.sched, loaded.config.schedule.kind, name)
                return self._loaded[name]
        trained = self._trained.get(name)
        if trained is None:
            raise ValueError("These weights are no longer on the server. Choose others, or train again.")
        return trained

    def put(self, run_id: str, weights: Weights) -> None:
        parameters = sum(p.numel() for p in weights.model.model.parameters())
        self._trained.put(run_id, weights, 4 * parameters)


def wrap(model, sched: Schedule, kind: str, label: str) -> Weights:
    m = model.config
    return Weights(label, Inference(model, "auto"), sched, kind, m.num_classes, m.img_size, m.in_ch)
