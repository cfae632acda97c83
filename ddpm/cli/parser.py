"""The options of the command line, and what is wrong with one by itself."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .. import data
from ..config import PRECISIONS
from ..presets import PRESETS
from ..samplers import SAMPLERS, VARIANCES
from ..spacing import SPACINGS

NONE = argparse.SUPPRESS  # as a default: an option that was not given is not among the arguments


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
    top = Parser(prog="python -m ddpm", description="Train a diffusion model, draw pictures from one, evaluate it.")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="train | sample | evaluate | bench | train-autoencoder"
    )
    options: dict[str, Any] = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}

    p = commands.add_parser(
        "train",
        help="train a model and write a checkpoint folder",
        description="Train a model; write OUT as a checkpoint folder with samples.png, metrics.csv and what --resume "
        "needs. Ctrl-C saves first. A resumed run takes its preset, data set and seed from OUT; a budget given "
        "with --resume replaces the one it was begun with, and --dataset says where a folder has moved.",
        epilog="example: python -m ddpm train --preset fast --minutes 2 --out runs/first",
        **options,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write, a new one")
    p.add_argument("--preset", choices=PRESETS, default=NONE, help="what to train (default: fast)")
    p.add_argument(
        "--init",
        default=NONE,
        metavar="CHECKPOINT",
        help="begin with these weights: the network and its schedule are theirs, how it is trained the preset's",
    )
    names = ", ".join(data.names())
    p.add_argument("--dataset", default=NONE, metavar="NAME", help=f"what to train on: {names} (default: bundled)")
    p.add_argument(
        "--data-dir", type=Path, default=NONE, metavar="DIR", help="where data sets are, or go (default: data)"
    )
    budget = p.add_mutually_exclusive_group()
    budget.add_argument("--epochs", type=whole(1), default=NONE, metavar="N", help="so many passes over the data")
    budget.add_argument("--steps", type=whole(1), default=NONE, metavar="N", help="so many optimiser steps")
    budget.add_argument("--minutes", type=real(0.01, 1e6), default=NONE, metavar="M", help="so many minutes")
    p.add_argument(
        "--seed", type=whole(0), default=NONE, metavar="S", help="of weights, order of the data and noise (default: 0)"
    )
    p.add_argument("--precision", choices=PRECISIONS, default=NONE, help="instead of the preset's (auto: the faster)")
    p.add_argument(
        "--accumulate",
        type=whole(1, 4096),
        default=1,
        metavar="K",
        help="take each batch in K parts: the same steps, less memory",
    )
    p.add_argument("--compile", action="store_true", help="by torch.compile: a slow start, then perhaps faster")
    p.add_argument(
        "--ema-warmup",
        action="store_true",
        default=NONE,
        help="warm the average's decay up where the preset does not; the card shows what either average draws",
    )
    existing = p.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    existing.add_argument("--overwrite", action="store_true", help="replace the model in OUT")

    p = commands.add_parser(
        "train-autoencoder",
        help="train the autoencoder that latent diffusion begins with",
        description="Train a variational autoencoder; write OUT as a checkpoint folder that a latent model can name, "
        "with what --resume needs. Ctrl-C saves first. At its end it says what is lost of pictures it has not seen.",
        epilog="example: python -m ddpm train-autoencoder --dataset mnist --minutes 20 --out runs/autoencoder",
        **options,
    )
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write, a new one")
    p.add_argument("--dataset", default=NONE, metavar="NAME", help=f"what to train on: {names} (default: bundled)")
    p.add_argument(
        "--data-dir", type=Path, default=NONE, metavar="DIR", help="where data sets are, or go (default: data)"
    )
    budget = p.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=whole(1), default=NONE, metavar="N", help="so many optimiser steps")
    budget.add_argument("--minutes", type=real(0.01, 1e6), default=NONE, metavar="M", help="so many (default: 20)")
    p.add_argument("--seed", type=whole(0), default=NONE, metavar="S", help="of weights, order and noise (default: 0)")
    existing = p.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    existing.add_argument("--overwrite", action="store_true", help="replace the model in OUT")

    p = commands.add_parser(
        "sample",
        help="draw pictures from a model",
        description="Draw pictures from a model and write them to a file. Without --class or --digit a model with "
        "classes draws them in turn.",
        epilog="example: python -m ddpm sample --checkpoint checkpoints/mnist --n 100 --guidance 2 --out digits.png",
        **options,
    )
    p.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=".png (a grid), .gif (the denoising) or .npz (arrays)"
    )
    only = p.add_mutually_exclusive_group()
    only.add_argument("--class", dest="class_name", default=NONE, metavar="NAME", help="only the class of this name")
    only.add_argument("--digit", type=whole(0), default=NONE, metavar="D", help="only this digit: --class for digits")
    add_sampling(p, n=16)

    p = commands.add_parser(
        "evaluate",
        help="let a classifier say how good a model's pictures are",
        description="Draw pictures, the classes in turn, and print as JSON how a classifier finds them: Frechet "
        "distance (FID) beside that of real pictures, accuracy, coverage of the classes, variety. For models of MNIST, "
        "Fashion-MNIST, CIFAR-10 and the pixel faces, which have a classifier each.",
        epilog="example: python -m ddpm evaluate --checkpoint checkpoints/mnist --steps 20 --n 1000",
        **options,
    )
    add_sampling(p, n=2000)
    p.add_argument("--save", action="store_true", help="also write the evaluation into the checkpoint's model card")

    p = commands.add_parser(
        "bench",
        help="measure speed and quality on this machine",
        description="Measure training and sampling against the tutorial's code, and quality against seconds of "
        "training on the bundled digits. About half an hour; nothing else should run meanwhile.",
        epilog="example: python -m ddpm bench --quick",
        **options,
    )
    p.add_argument("--quick", action="store_true", help="below five minutes: one seed, two budgets, rougher figures")
    p.add_argument("--plain", action="store_true", help="compute as an ordinary processor would: AVX2, float32")
    p.add_argument(
        "--curve", metavar="PATH", default=NONE, help="instead: a checkpoint's quality against network evaluations"
    )
    p.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="the figures as JSON")
    return top


def add_sampling(p: argparse.ArgumentParser, n: int) -> None:
    """The options that say which samples to draw."""
    p.add_argument("--checkpoint", required=True, metavar="PATH", help="a folder, or owner/name on the Hub")
    p.add_argument("--sampler", choices=SAMPLERS, default="ddim", help="which reverse process")
    p.add_argument("--steps", type=whole(1), default=50, metavar="N", help="how many steps, at most T")
    p.add_argument(
        "--eta", type=real(0, 1), default=0.0, metavar="E", help="of ddim: 0 deterministic, 1 as random as ddpm"
    )
    p.add_argument("--variance", choices=VARIANCES, default="small", help="of ddpm")
    p.add_argument(
        "--spacing",
        choices=SPACINGS,
        default=NONE,
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
