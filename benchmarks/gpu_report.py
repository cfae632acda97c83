"""The rows of gpu.py, each told and written when it is known, and the runs that they are of."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ddpm.config import Config, ModelConfig, ScheduleConfig, TrainConfig, build_schedule
from ddpm.data import Dataset
from ddpm.networks import build_model
from ddpm.presets import PRESETS
from ddpm.storage.atomic import write_atomic
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.training.loop import fit
from ddpm.training.state import TrainState

ROW_SECONDS = 60.0  # that no row may exceed
TINY = Config(
    ModelConfig(base=8, t_dim=8, mults=(1, 2), patch_size=4),
    ScheduleConfig(T=20, kind="cosine"),
    TrainConfig(batch_size=8, lr=5e-3),
)


class TimeUp(Exception):
    """A row has taken longer than it may."""


@dataclasses.dataclass
class Report:
    """The rows so far, and how each is told.  tiny: networks and times for a test on a CPU."""

    device: torch.device
    out: Path
    tiny: bool
    deadline: float
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def tell(self, row: str, ok: bool | None = None, **figures: Any) -> None:
        """ok: whether a check holds; None of a measurement."""
        said = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items()}
        mark = {None: "", True: "ok    ", False: "WRONG "}[ok]
        print(f"{mark}{row}: " + ", ".join(f"{k} {v}" for k, v in said.items()), flush=True)
        self.rows.append({"row": row} | ({} if ok is None else {"ok": ok}) | said)
        write_atomic(self.out, (json.dumps(self.rows, indent=2) + "\n").encode())

    def attempt(self, row: str, function: Callable[[], Any], seconds: float = ROW_SECONDS) -> None:
        """Measure something, for so many seconds at most.  What goes wrong is a row too, and the next ones follow."""

        def stop(*_: Any) -> None:
            raise TimeUp(f"took more than {seconds:.0f} s")

        begin, before = time.monotonic(), signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            function()
        except Exception as error:  # a compiler wraps TimeUp in errors of its own
            over = time.monotonic() - begin >= seconds
            self.tell(row, None if over else False, error=f"{type(error).__name__}: {error}"[:500])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    @property
    def seconds(self) -> float:
        """For which a speed is measured."""
        return 0.05 if self.tiny else 1.5

    @property
    def presets(self) -> dict[str, Config]:
        return {"tiny": TINY} if self.tiny else PRESETS

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float | None:
        """The most megabytes that tensors have taken on the device since `forget_peak`."""
        return torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else None


def training(
    config: Config, data: Dataset, device: torch.device | str, *, compiled: bool = False, **options: Any
) -> Iterator[TrainState]:
    """The steps of a run on this device.  options: those of `fit`."""
    config, codec = with_autoencoder(config, device=device)
    model = build_model(config.model, config.train.seed, codec).to(device)
    if compiled:
        model.compile()
    labels = data.labels if model.num_classes else None
    sched = build_schedule(config.schedule, device)
    return filter(None, fit(model, data.images, labels, sched=sched, config=config.train, **options))


def in_precision(config: Config, precision: str, **changes: Any) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision, **changes))
