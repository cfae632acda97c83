"""What this package does on a GPU: training, sampling, resuming, their speed, and what would make it faster.

    python -m benchmarks.gpu --out gpu.json

About two minutes.  Each row is printed and written as soon as it is known.  Without CUDA it says so and ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ddpm.config import Config, SamplingConfig
from ddpm.data import Dataset, load_dataset
from ddpm.device import bfloat16_is_faster
from ddpm.presets import LATENT, PAGE_SAMPLING
from ddpm.samplers import SAMPLERS

from .gpu_checks import check_resume, check_sampling, check_training
from .gpu_report import Report
from .gpu_speed import measure_bare_step, measure_sampling, measure_training

ENOUGH = 20.0  # seconds that must be left for something to be compiled


def coloured(data: Dataset, config: Config) -> Dataset:
    """The same pictures in as many channels as a network takes: its speed does not ask what they show."""
    channels = config.model.in_ch if config.autoencoder is None else 1
    return dataclasses.replace(data, images=data.images.repeat(1, channels, 1, 1))


def everything(report: Report) -> None:
    data, cuda = load_dataset("bundled"), report.device.type == "cuda"
    checked = {
        name: config for name, config in report.presets.items() if name in ("tutorial", "fast", "latent", "tiny")
    }
    pictures = {
        ("mnist", dataclasses.replace(PAGE_SAMPLING, sampler=name, spacing=each.spacing, num_steps=20, eta=0.0))
        for name, each in SAMPLERS.items()
    }
    pictures |= {("mnist", PAGE_SAMPLING), ("mnist-tutorial", SamplingConfig("ddpm", 50)), ("mnist-latent", LATENT)}
    for name, sampling in sorted(pictures, key=str)[: 1 if report.tiny else None]:
        sampling = dataclasses.replace(sampling, num_steps=3) if report.tiny else sampling
        report.attempt(f"sampling {name}: {sampling.sampler}", lambda n=name, s=sampling: check_sampling(report, n, s))
    for name, config in checked.items():
        report.attempt(f"training {name}", lambda n=name, c=config: check_training(report, n, c, data))
        report.attempt(f"resume {name}", lambda n=name, c=config: check_resume(report, n, c, data))
    for (name, config), precision in itertools.product(report.presets.items(), ("float32", "bfloat16")):
        row = f"training speed {name}: {precision}"
        of = coloured(data, config)
        report.attempt(row, lambda n=name, c=config, p=precision, d=of: measure_training(report, n, c, d, p))
    for precision, n in itertools.product(("float32", "bfloat16"), () if report.tiny else (16, 250)):
        row = f"sampling speed mnist: {n}, {precision}"
        report.attempt(row, lambda p=precision, n=n: measure_sampling(report, "mnist", PAGE_SAMPLING, p, n))
    last, contiguous = torch.channels_last, torch.contiguous_format
    variants: dict[str, dict[str, Any]] = {
        "contiguous": {"layout": contiguous, "fused": False, "graph": False},
        "channels_last": {"layout": last, "fused": False, "graph": False},
        "channels_last, fused AdamW": {"layout": last, "fused": True, "graph": False},
        "channels_last, cudnn.benchmark": {"layout": last, "fused": False, "graph": False, "benchmark": True},
        "contiguous, CUDA graph": {"layout": contiguous, "fused": False, "graph": True},
        "channels_last, CUDA graph": {"layout": last, "fused": False, "graph": True},
    }
    bare = [name for name in report.presets if name in ("tutorial", "best", "tiny")]
    for name, (label, how) in itertools.product(bare, variants.items()):
        if cuda or not (how["graph"] or how["fused"]):
            arguments = (report, name, report.presets[name], data, label)
            report.attempt(f"bare step {name}: {label}", lambda a=arguments, h=how: measure_bare_step(*a, **h))
    for name in [name for name in ("tutorial", "cifar10") if name in report.presets]:  # the last, as it takes long
        left, row = report.deadline - time.monotonic(), f"training speed {name}: bfloat16, compiled"
        if left < ENOUGH:
            report.tell(row, left_out=f"{max(0.0, left):.0f} s are left; give more --seconds")
            continue
        config = report.presets[name]
        arguments = (report, name, config, coloured(data, config), "bfloat16", True)
        report.attempt(row, lambda a=arguments: measure_training(*a), left)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE", help="the rows as JSON")
    parser.add_argument("--seconds", type=float, default=120, help="for all rows together (default: 120)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script itself")
    parser.add_argument("--tiny", action="store_true", help="networks that take seconds on a CPU")
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return 0
    report = Report(torch.device(args.device), args.out, args.tiny, time.monotonic() + args.seconds)
    name = torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or "CPU"
    about = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
    about |= {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
    report.tell(f"machine: {name}", **about, bfloat16_is_faster=bfloat16_is_faster(args.device))
    everything(report)
    wrong = [row["row"] for row in report.rows if row.get("ok") is False]
    print(f"{len(report.rows)} rows in {args.out}; wrong: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
