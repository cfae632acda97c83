"""The command line: python -m ddpm train | sample | evaluate | bench."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from tqdm import tqdm

from . import data
from .card import model_card
from .checkpoint import TRAINING, load_checkpoint, load_training, save_info, write_atomic
from .config import (
    PRECISIONS,
    PRESETS,
    SAMPLERS,
    SPACINGS,
    VARIANCES,
    SamplingConfig,
    for_dataset,
    from_dict,
    suited_spacing,
)
from .device import Inference, pick_device
from .evaluate import Sampler, class_labels
from .evaluate import evaluate as judged
from .run import Run
from .train import Snapshot

GIF_FRAMES = 100


class Parser(argparse.ArgumentParser):
    """Bad input is one clear line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def whole(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    return _number(int, low, high, "a whole number")


def real(low: float, high: float) -> Callable[[str], float]:
    return _number(float, low, high, "a number")


def _number(kind: type, low: float, high: float, what: str) -> Callable[[str], Any]:
    limits = f"from {low}" if high == 2**63 - 1 else f"from {low} to {high}"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{what} {limits}, not {text!r}")
        return value

    return parse


def parser() -> Parser:
    top = Parser(prog="python -m ddpm", description="Train a diffusion model, draw pictures from one, judge them.")
    commands = top.add_subparsers(dest="command", required=True, metavar="train | sample | evaluate | bench")
    options: dict[str, Any] = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}

    p = commands.add_parser(
        "train",
        help="train a model and write a checkpoint folder",
        description="Train a model; write OUT as a checkpoint folder with samples.png, metrics.csv and what --resume "
        "needs. Ctrl-C saves first. A resumed run takes its preset, data set and seed from OUT; a budget given "
        "with --resume replaces the one it was begun with.",
        epilog="example: python -m ddpm train --preset fast --minutes 2 --out runs/first",
        **options,
    )
    p.set_defaults(run=train)
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write")
    p.add_argument("--preset", choices=PRESETS, default="fast", help="what to train")
    p.add_argument("--dataset", default="bundled", metavar="NAME", help=f"what to train on: {', '.join(data.NAMES)}")
    p.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="where data sets are, or go")
    budget = p.add_mutually_exclusive_group()
    none = argparse.SUPPRESS
    budget.add_argument("--epochs", type=whole(1), default=none, metavar="N", help="so many passes over the data")
    budget.add_argument("--steps", type=whole(1), default=none, metavar="N", help="so many optimiser steps")
    budget.add_argument("--minutes", type=real(0.01, 1e6), default=none, metavar="M", help="so many minutes")
    p.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of weights, order of the data and noise")
    p.add_argument("--precision", choices=PRECISIONS, default=none, help="instead of the preset's (auto: the faster)")
    p.add_argument(
        "--ema-warmup",
        action="store_true",
        help="warm the average's decay up where the preset does not; the card shows what either average draws",
    )
    p.add_argument("--resume", action="store_true", help="go on with the run in OUT")

    p = commands.add_parser(
        "sample",
        help="draw pictures from a model",
        description="Draw pictures from a model and write them to a file. Without --digit a model with classes draws "
        "them in turn.",
        epilog="example: python -m ddpm sample --checkpoint checkpoints/mnist --n 100 --guidance 2 --out digits.png",
        **options,
    )
    p.set_defaults(run=sample)
    p.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".png (a grid), .gif (the denoising) or .npz (arrays)"
    )
    p.add_argument("--digit", type=whole(0), default=none, metavar="D", help="only this class")
    add_sampling(p, n=16)

    p = commands.add_parser(
        "evaluate",
        help="let the judge read a model's digits",
        description="Draw digits, the classes in turn, and print as JSON what the judge says of them: Frechet distance "
        "(FID) beside that of real digits, accuracy, coverage of the classes, variety. For models of MNIST.",
        epilog="example: python -m ddpm evaluate --checkpoint checkpoints/mnist --steps 20 --n 1000",
        **options,
    )
    p.set_defaults(run=evaluate)
    add_sampling(p, n=2000)
    p.add_argument("--save", action="store_true", help="also write the verdict into the checkpoint's model card")

    p = commands.add_parser(
        "bench",
        help="measure speed and quality on this machine",
        description="Measure training and sampling against the tutorial's code, and quality against seconds of "
        "training on the bundled digits. About half an hour; nothing else should run meanwhile.",
        epilog="example: python -m ddpm bench --quick",
        **options,
    )
    p.set_defaults(run=bench)
    p.add_argument("--quick", action="store_true", help="about three minutes: one seed, two budgets, rougher figures")
    p.add_argument(
        "--curve", metavar="PATH", default=none, help="instead: a checkpoint's quality against network evaluations"
    )
    p.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="the figures as JSON")
    return top


def add_sampling(p: argparse.ArgumentParser, n: int) -> None:
    """The options that say which samples to draw."""
    p.add_argument("--checkpoint", required=True, metavar="PATH", help="a folder, or owner/name on the Hub")
    p.add_argument("--sampler", choices=SAMPLERS, default="ddim", help="which reverse process")
    p.add_argument("--steps", type=whole(1), default=50, metavar="N", help="how many steps, at most T")
    p.add_argument(
        "--eta", type=real(0, 1), default=0.0, metavar="E", help="ddim: 0 deterministic, 1 as random as ddpm"
    )
    p.add_argument("--variance", choices=VARIANCES, default="small", help="of ddpm")
    p.add_argument(
        "--spacing",
        choices=SPACINGS,
        default=argparse.SUPPRESS,
        help="of the times visited (default: log_snr for dpmpp and heun, else linspace)",
    )
    p.add_argument("--n", type=whole(1, 100_000), default=n, metavar="N", help="how many pictures")
    p.add_argument("--seed", type=whole(0), default=0, metavar="S", help="the same seed, the same pictures")
    p.add_argument("--guidance", type=real(0, 20), default=1.0, metavar="W", help="1: as the label says; 0: no label")
    p.add_argument(
        "--guide-between",
        type=real(0, 1),
        nargs=2,
        default=[0.0, 1.0],
        metavar=("LOW", "HIGH"),
        help="the shares of T between which guidance counts; elsewhere it is 1",
    )


def load_sampler(args: argparse.Namespace, precision: str = "float32") -> Sampler:
    loaded = load_checkpoint(args.checkpoint, pick_device())
    rest = {"variance": args.variance, "spacing": vars(args).get("spacing", suited_spacing(args.sampler))}
    how = SamplingConfig(args.sampler, args.steps, args.eta, args.guidance, *args.guide_between, **rest)
    return Sampler(Inference(loaded.model, precision), loaded.sched, how)


def train(args: argparse.Namespace) -> None:
    budget = {name: vars(args)[name] for name in ("epochs", "steps", "minutes") if name in args}
    if args.resume:
        tensors, run = load_training(args.out)
        try:
            config, snapshot = from_dict(run["config"]), Snapshot(tensors, run["numbers"])
            run = run | {"budget": budget or run["budget"], "data_dir": str(args.data_dir)}
        except KeyError as missing:
            raise ValueError(f"{args.out} holds no run that can be resumed: {missing} is missing") from None
    else:
        if (args.out / TRAINING).exists():
            raise ValueError(f"{args.out} holds a run already: add --resume to go on with it, or choose another --out")
        config, snapshot = PRESETS[args.preset], None
        changes: dict[str, Any] = {"precision": args.precision} if "precision" in args else {}
        literal_ema = args.ema_warmup and not config.train.ema_warmup
        changes |= {"ema_warmup": True} if args.ema_warmup else {}
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))
        run = {"preset": args.preset, "dataset": args.dataset, "data_dir": str(args.data_dir), "budget": budget}
        run["literal_ema"] = literal_ema
        run["command"] = shlex.join(["python", "-m", "ddpm", *sys.argv[1:]])

    dataset = data.load_dataset(run["dataset"], run["data_dir"], img_size=config.model.img_size)
    held_out = None
    if run["dataset"] in data.TORCHVISION:
        held_out = data.load_dataset(run["dataset"], run["data_dir"], train=False, img_size=config.model.img_size)
    if snapshot is None:
        config = for_dataset(config, dataset.images.shape[1], dataset.num_classes, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    Run(args.out, config, run, dataset, held_out).train(snapshot)


def sample(args: argparse.Namespace) -> None:
    n, steps, out = args.n, args.steps, args.out
    if out.suffix not in (".png", ".gif", ".npz"):
        raise ValueError(f"--out: a file that ends in .png, .gif or .npz, not {out.name!r}")
    if not out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {out.parent}")
    sampler = load_sampler(args)
    m = sampler.config
    labels = class_labels(m.num_classes, n)
    if "digit" in args:
        if args.digit >= m.num_classes:
            known = f"classes 0 to {m.num_classes - 1}" if m.num_classes else "no classes"
            raise ValueError(f"--digit {args.digit}: this model knows {known}")
        labels = torch.full((n,), args.digit)
    kept = {steps}
    if out.suffix == ".gif":
        kept = set(np.linspace(0, steps, min(steps + 1, GIF_FRAMES)).round().astype(int))
    with drawing(n, steps) as bar:
        frames = sampler.frames(n, labels, args.seed, kept=kept.__contains__, progress=bar.update)
    write_images(out, frames, labels)


def drawing(n: int, steps: int) -> tqdm:
    return tqdm(total=n * (steps + 1), unit="step", disable=None, leave=False)


def evaluate(args: argparse.Namespace) -> None:
    if args.save and not Path(args.checkpoint).is_dir():
        raise ValueError(f"--save: {args.checkpoint} is not a folder on this computer")
    sampler = load_sampler(args, "auto")
    with drawing(args.n, args.steps) as bar:
        verdict = judged(sampler, args.n, args.seed, progress=bar.update)
    result = {"checkpoint": args.checkpoint} | dataclasses.asdict(sampler.how) | verdict
    if args.save:
        save_verdict(Path(args.checkpoint), result)
    print(json.dumps(result, indent=2))


def save_verdict(folder: Path, result: dict[str, Any]) -> None:
    """Into config.json and README.md, in place of an earlier verdict on the same samples."""
    loaded = load_checkpoint(folder)
    result = result | {"command": shlex.join(["python", "-m", "ddpm", *sys.argv[1:]])}
    defaults = dataclasses.asdict(SamplingConfig()) | {"fid_error": None}  # what older verdicts do not say
    before = [defaults | verdict for verdict in loaded.info.get("metrics", [])]
    same = ("n", "seed", *vars(SamplingConfig()))
    others = [v for v in before if v.keys() == result.keys() and any(v[k] != result[k] for k in same)]
    info = loaded.info | {"metrics": [*others, result]}
    pictures = {path.name for path in folder.glob("*.png")}
    try:
        card = model_card(folder.name, loaded.config, info, pictures)
    except KeyError as missing:
        raise ValueError(f"--save: {folder} does not say how it was made: {missing} is missing") from None
    save_info(folder, info, card)


def bench(args: argparse.Namespace) -> None:
    from . import bench as benchmark  # it starts processes of its own, which import this module

    if not args.out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {args.out.parent}")
    if "curve" in args:
        result = benchmark.curve(args.curve, args.quick)
        print(benchmark.curve_table(result))
    else:
        result = benchmark.bench(args.quick)
        print(benchmark.table(result))
    write_atomic(args.out, (json.dumps(result, indent=2) + "\n").encode())
    print(f"wrote {args.out}")


def write_images(out: Path, frames: list[torch.Tensor], labels: torch.Tensor | None) -> None:
    """frames: (N, C, H, W) each, the last one the samples.  labels: (N,) int64, or None for no class."""
    buffer = io.BytesIO()
    if out.suffix == ".npz":
        n = len(frames[-1])
        none = np.full(n, -1, dtype=np.int64)
        np.savez(buffer, images=frames[-1].clamp(-1, 1).numpy(), labels=none if labels is None else labels.numpy())
    else:
        columns = 10 if len(frames[-1]) > 16 else 4
        pictures = [data.grid(data.to_uint8(frame), columns, zoom=1 if len(frame) > 400 else 2) for frame in frames]
        if out.suffix == ".png":
            pictures[-1].save(buffer, "PNG")
        else:
            hold = [80] * (len(pictures) - 1) + [2000]
            pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=hold, loop=0)
    write_atomic(out, buffer.getvalue())
    print(f"wrote {out}")


def main(argv: list[str] | None = None) -> int:
    """Run a command.  Returns the exit code; bad input is said in one line, with code 2."""
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
