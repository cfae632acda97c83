"""An autoencoder's training and the folder it writes: what `python -m ddpm train-autoencoder` does."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import sys
from pathlib import Path
from typing import Any

import torch

from .. import data
from ..autoencoder import VAE, AutoencoderConfig, unit_variance
from ..config import TrainConfig
from ..data import Dataset, from_uint8
from ..device import pick_device
from ..evaluation import metrics
from ..evaluation.classifiers import FIRST, SECOND
from ..evaluation.evaluate import DIGITS, real_scores
from ..presets import AUTOENCODER, KL_WEIGHT
from ..storage.checkpoint import load_training, save_autoencoder, save_training
from ..system.steps import result_of
from ..training.autoencoder import fit_autoencoder, reconstructed
from ..training.state import Snapshot, TrainState
from .followed import follow, spent
from .run_folder import check_folder

SAVE_EVERY = 60.0  # seconds of training
HELD_OUT = 2000  # pictures, of the test part or, without one, of the training part
LOG_EVERY = 500  # steps


def train_autoencoder(args: argparse.Namespace, command: str) -> None:
    """Train an autoencoder, or go on with one.  Raises ValueError for a folder or a budget that will not do."""
    snapshot = None
    check_folder(args.out, resume=args.resume, overwrite=args.overwrite)
    run: dict[str, Any] = {"dataset": "bundled", "data_dir": "data", "seed": 0, "command": command, "curve": []}
    if args.resume:
        tensors, run = load_training(args.out)
        snapshot = Snapshot(tensors, run["numbers"])
    given = vars(args)
    run |= {name: str(given[name]) for name in ("dataset", "data_dir") if name in given}
    run |= {"seed": args.seed} if "seed" in args else {}
    budget = {name: given[name] for name in ("steps", "minutes") if name in given} or run.get("budget")
    run["budget"] = budget or {"minutes": 20.0}
    dataset = data.load_dataset(run["dataset"], run["data_dir"])
    held_out, images = held_out_of(dataset, run)
    print(data.describe(dataset), file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    Run(args.out, run, images, held_out).train(snapshot)


def held_out_of(dataset: Dataset, run: dict[str, Any]) -> tuple[Dataset, torch.Tensor]:
    """What is not trained on, HELD_OUT pictures at most, and the pictures that are.

    Of the test part or, without one, of the training part: then a fifth of it at most.  Evenly from all of it: folders
    are sorted by class, and of MNIST's test digits the first half is of easier hands.
    """
    source = data.DATASETS.get(run["dataset"])
    if source is not None and source.has_test:
        kept, images = data.load_dataset(run["dataset"], run["data_dir"], train=False), dataset.images
        index = evenly(min(HELD_OUT, len(kept.images)), len(kept.images))
    else:
        kept, count = dataset, min(HELD_OUT, len(dataset.images) // 5)
        if count == 0:
            raise ValueError(f"{len(dataset.images)} pictures are too few: an autoencoder needs 5 or more")
        index = evenly(count, len(dataset.images))
        trained_on = torch.ones(len(dataset.images), dtype=torch.bool)
        trained_on[index] = False
        images = dataset.images[trained_on]
    labels = None if kept.labels is None else kept.labels[index]
    return dataclasses.replace(kept, images=kept.images[index], labels=labels), images


def evenly(count: int, n: int) -> torch.Tensor:
    """So many of the indices below n, as far from each other as can be: (count,) int64."""
    return torch.arange(count) * n // count


class Run:
    """A training run and the folder it writes.  held_out: what it does not train on."""

    def __init__(self, out: Path, run: dict[str, Any], images: torch.Tensor, held_out: Dataset):
        self.out, self.run, self.images, self.held_out, self.device = out, run, images, held_out, pick_device()

    def train(self, snapshot: Snapshot | None) -> None:
        config = TrainConfig(**vars(AUTOENCODER) | {"seed": self.run["seed"]})
        _, channels, size, _ = self.images.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = VAE(**vars(AutoencoderConfig(in_ch=channels, img_size=size))).to(self.device)
        budget = self.run["budget"]
        steps, seconds = budget.get("steps"), 60 * budget.get("minutes", math.inf)
        if spent(snapshot, steps) >= (steps or seconds):
            raise ValueError("this run has spent its budget: give a larger --steps or --minutes")
        options = {"kl_weight": KL_WEIGHT, "steps": steps, "seconds": None if steps else seconds, "resume": snapshot}
        follow(
            fit_autoencoder(model, self.images, config=config, **options),
            out=self.out,
            steps=steps,
            seconds=seconds,
            resumed=snapshot,
            save_every=SAVE_EVERY,
            log=self.log,
            log_every=LOG_EVERY,
            save=self.save,
            finish=functools.partial(self.save, finished=True),
        )

    def log(self, state: TrainState) -> None:
        self.run["curve"].append([state.step, round(state.seconds, 1), round(state.loss_smooth, 6)])

    def save(self, state: TrainState, finished: bool = False) -> None:
        snapshot = state.snapshot()
        save_training(self.out, snapshot.tensors, self.run | {"numbers": snapshot.numbers})
        model = state.ema_model()
        assert isinstance(model, VAE)
        unit_variance(model, self.images[:10_000].to(self.device))
        info = {
            "dataset": self.held_out.name,
            "images_in_dataset": len(self.images),
            "command": self.run["command"],
            "parameters": sum(p.numel() for p in model.parameters()),
            "kl_weight": KL_WEIGHT,
            "images_seen": state.images_seen,
            "curve": self.run["curve"],
        } | {k: snapshot.numbers[k] for k in ("step", "seconds", "loss_smooth")}
        if finished:
            info |= self.evaluated(model)
            print(described(info), file=sys.stderr)
        save_autoencoder(self.out, model, info, card(self.out.name, model, info))

    def evaluated(self, model: VAE) -> dict[str, Any]:
        """What the autoencoder loses of pictures that it has not seen."""
        real_pictures, labels = self.held_out.images, self.held_out.labels
        pictures = reconstructed(model, real_pictures)
        _, std = model.posterior(from_uint8(real_pictures).to(self.device))
        found: dict[str, Any] = {
            "held_out": len(pictures),
            "square_error": (pictures - from_uint8(real_pictures)).square().mean().item(),
            "posterior_std": std.mean().item(),
        }
        if self.held_out.name in DIGITS:
            real = {name: real_scores(len(pictures), name) for name in (FIRST, SECOND)}
            found["reconstruction"] = result_of(metrics.evaluation(pictures.clamp(-1, 1), labels, real))
            found["themselves"] = result_of(metrics.evaluation(from_uint8(real_pictures), labels, real))
        return found


def described(info: dict[str, Any]) -> str:
    """What an autoencoder loses, in words."""
    text = f"Of {info['held_out']:,} pictures that it has not seen: square error {info['square_error']:.5f} a pixel"
    if "reconstruction" not in info:
        return text + "."
    r, real = info["reconstruction"], info["themselves"]
    return (
        f"{text}; of their reconstructions {r['accuracy']:.1%} are classified as the digit they are (of themselves "
        f"{real['accuracy']:.1%}), and their FID is {r['fid_over_real']:.2f} times that of as many real training "
        f"digits (their own {real['fid_over_real']:.2f} times). By the second classifier {r['second']['accuracy']:.1%} "
        f"({real['second']['accuracy']:.1%}) and {r['second']['fid_over_real']:.2f} "
        f"({real['second']['fid_over_real']:.2f}) times."
    )


def card(name: str, model: VAE, info: dict[str, Any]) -> str:
    """README.md of an autoencoder's folder."""
    channels, size, _ = model.picture_shape
    latents = " x ".join(map(str, model.config.latent_shape))
    lines = [
        f"# {name}",
        "",
        f"A variational autoencoder (Kingma and Welling 2014) of {info['dataset']}, {channels}x{size}x{size}, with "
        f"latents of {latents}: the door into latent diffusion (Rombach et al. 2022). {info['parameters']:,} "
        f"parameters. Draws of the latents have unit variance.",
        "",
        "| | |",
        "|---|---|",
        f"| data | {info['dataset']}, {info['images_in_dataset']:,} training images |",
        f"| command | `{info['command']}` |",
        f"| training time | {info['seconds'] / 60:.1f} minutes |",
        f"| steps | {info['step']:,}, {info['images_seen']:,} images seen |",
        f"| loss | square error and {info['kl_weight']} KL, a pixel: {info['loss_smooth']:.5f} |",
        "| weights | exponential moving average, float16 |",
        "",
    ]
    if "held_out" in info:
        lines += [described(info), "", "It was not trained against any classifier.", ""]
    return "\n".join(lines)
