"""Is what a GPU computes right: training, resuming and sampling beside a CPU's."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ddpm.config import Config, SamplingConfig
from ddpm.data import Dataset
from ddpm.device import Inference
from ddpm.generate import Sampler
from ddpm.storage.checkpoint import SHIPPED, load_checkpoint, load_training, save_training
from ddpm.training.state import Snapshot, TrainState

from .gpu_report import Report, in_precision, training

FALLS = 0.9  # a loss has fallen that ends below so much of what it began with
AGREES = 0.05  # of bfloat16's loss: relative to float32's, on the same pictures, times and noise
SAME_LOSS = 2e-3  # of a loss in float32 on two devices, relative
SAME_PICTURE = 2e-3  # of a pixel in float32 on two devices: a quarter of a grey level


@contextmanager
def exact() -> Iterator[None]:
    """Convolutions of float32 in float32: by torch's default a GPU rounds what they multiply to TF32, 10 bits."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def losses(states: Iterator[TrainState]) -> list[float]:
    return [state.loss for state in states]


def furthest(a: list[float], b: list[float]) -> float:
    """The largest difference, relative to b."""
    return max(abs(x - y) / abs(y) for x, y in zip(a, b, strict=True))


def check_training(report: Report, name: str, config: Config, data: Dataset) -> None:
    """Losses in float32 as on a CPU; both precisions fall, alike."""
    few, many = (3, 30) if report.tiny else (5, 200)
    options = {"steps": many}
    float32 = in_precision(config, "float32")
    with exact():
        here, there = (
            losses(itertools.islice(training(float32, data, device, **options), few))
            for device in (report.device, "cpu")
        )
    apart = furthest(here, there)
    report.tell(f"training {name}: float32 as on a CPU", apart < SAME_LOSS, steps=few, loss_apart=apart)
    ends = {}
    for precision in ("float32", "bfloat16"):
        found = losses(training(in_precision(config, precision), data, report.device, **options))
        first, last = statistics.mean(found[:5]), statistics.mean(found[-many // 4 :])
        ends[precision] = last
        finite = all(map(torch.isfinite, torch.tensor(found)))
        report.tell(
            f"training {name}: {precision} falls", finite and last < FALLS * first, steps=many, first=first, last=last
        )
    apart = abs(ends["bfloat16"] / ends["float32"] - 1)
    report.tell(f"training {name}: bfloat16 as float32", apart < AGREES, loss_apart=apart)


def check_resume(report: Report, name: str, config: Config, data: Dataset) -> None:
    """A run begun on one device goes on, from its file, on the other, as if it had never left the CPU."""
    config, half = in_precision(config, "float32", batch_size=min(32, config.train.batch_size)), 3 if report.tiny else 5
    options = {"steps": 2 * half}
    with exact(), tempfile.TemporaryDirectory() as folder:
        whole = losses(training(config, data, "cpu", **options))
        for begun, resumed in (("cpu", report.device.type), (report.device.type, "cpu")):
            *_, state = itertools.islice(training(config, data, begun, **options), half)
            snapshot = state.snapshot()
            save_training(folder, snapshot.tensors, {"numbers": snapshot.numbers})
            tensors, described = load_training(folder)
            saved = Snapshot(tensors, described["numbers"])
            apart = furthest(losses(training(config, data, resumed, resume=saved, **options)), whole[half:])
            row = f"resume {name}: begun on {begun}, resumed on {resumed}"
            report.tell(row, apart < SAME_LOSS, steps=f"{half} + {half}", loss_apart=apart)


def check_sampling(report: Report, name: str, sampling: SamplingConfig) -> None:
    """The pictures of a seed are a CPU's."""

    def drawn(device: torch.device | str, precision: str) -> Tensor:
        loaded = load_checkpoint(SHIPPED / name, device)
        return Sampler(Inference(loaded.model, precision), loaded.sched, sampling).draw(4 if report.tiny else 10)

    there = drawn("cpu", "float32")
    with exact():
        apart = (drawn(report.device, "float32") - there).abs()
    rows = {"furthest": apart.max().item(), "mean": apart.mean().item()}
    for label, precision in (("tf32", "float32"), ("bfloat16", "bfloat16")):
        other = (drawn(report.device, precision) - there).abs()
        rows |= {f"furthest_{label}": other.max().item(), f"mean_{label}": other.mean().item()}
    row = f"sampling {name}: {sampling.sampler}, {sampling.num_steps} steps"
    report.tell(row, rows["furthest"] < SAME_PICTURE, **rows)
