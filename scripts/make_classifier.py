"""Trains a classifier of digits and takes the statistics of the MNIST test set with it:

python -m scripts.make_classifier first        (or second; a quarter of an hour, or ten minutes, on two cores)

Writes the classifier's file (float16) and mnist-test-32-<hash>.npz into ddpm/assets.  Needs the full MNIST in
--data-dir, or a network.  It learns from the training digits, resized as the models see them and distorted a little;
the test digits are looked at once, at the end.  After every epoch it saves to runs/classifier-<name>; the same command
goes on from there.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm

from ddpm.data import Dataset, load_dataset
from ddpm.device import autocast, resolve_precision
from ddpm.evaluation import classifiers, metrics
from ddpm.loader import Loader
from ddpm.storage.atomic import write_atomic
from ddpm.storage.checkpoint import TRAINING, load_training, save_training

BATCH, LR = 128, 2e-3
TURN, SHIFT, SCALE = math.radians(10), 2 / 16, 0.1  # at most; a shift of 1 is half the picture
BEND = 1.3 / 16  # the standard deviation of where a point goes
PER_CLASS = 200  # test digits whose features ship


def turn(x: torch.Tensor) -> torch.Tensor:
    """Each picture turned, scaled and shifted by a little."""
    turn, scale_x, scale_y, shift_x, shift_y = torch.empty(5, len(x)).uniform_(-1, 1)
    turn, scale_x, scale_y = turn * TURN, 1 + scale_x * SCALE, 1 + scale_y * SCALE
    rows = [turn.cos() * scale_x, -turn.sin(), shift_x * SHIFT, turn.sin(), turn.cos() * scale_y, shift_y * SHIFT]
    places = F.affine_grid(torch.stack(rows, dim=1).reshape(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, places, align_corners=False) - 1  # outside is black, which is -1


def bend(x: torch.Tensor) -> torch.Tensor:
    """Each picture moved by a smooth random field of its own.  After Simard et al. 2003, section 2."""
    field = F.interpolate(torch.randn(len(x), 2, 4, 4) * BEND, x.shape[-2:], mode="bicubic", align_corners=True)
    here = F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, here + field.permute(0, 2, 3, 1), align_corners=False) - 1


@dataclass(frozen=True)
class Recipe:
    seed: int
    epochs: int
    distort: Callable[[torch.Tensor], torch.Tensor]


RECIPES = {classifiers.FIRST: Recipe(0, 12, turn), classifiers.SECOND: Recipe(1, 10, bend)}


def train(name: str, data: Dataset, recipe: Recipe, folder: Path) -> nn.Module:
    """The classifier of that name, trained; what a killed run has left in the folder is gone on with."""
    torch.manual_seed(recipe.seed)
    classifier = classifiers.NETWORKS[name]().to(memory_format=torch.channels_last)
    loader = Loader(data.images, data.labels, BATCH, recipe.seed)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.01)
    total = recipe.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=total, pct_start=0.2)
    dtype = resolve_precision("auto", "cpu")
    first = restore(folder, classifier, optimizer, schedule) if (folder / TRAINING).exists() else 0
    for step in tqdm(range(first, total), initial=first, total=total, unit="step", disable=None):
        x0, y = loader.batch(step)
        with autocast("cpu", dtype):
            logits = classifier(recipe.distort(x0).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % len(loader) == 0:
            print(f"epoch {(step + 1) // len(loader)} of {recipe.epochs}: loss {loss.item():.4f}", flush=True)
            save(folder, step + 1, classifier, optimizer, schedule)
    return classifier.eval()


def save(folder: Path, step: int, classifier: nn.Module, optimizer, schedule) -> None:
    state = optimizer.state_dict()
    tensors = {f"classifier.{k}": v for k, v in classifier.state_dict().items()}
    tensors |= {f"optimizer.{i}.{k}": v for i, of_one in state["state"].items() for k, v in of_one.items()}
    numbers = {"step": step, "groups": state["param_groups"], "schedule": schedule.state_dict()}
    tensors = {k: v.contiguous() for k, v in tensors.items()} | {"random": torch.get_rng_state()}
    save_training(folder, tensors, numbers)


def restore(folder: Path, classifier: nn.Module, optimizer, schedule) -> int:
    """The inverse of `save`.  Returns the step to go on with."""
    tensors, numbers = load_training(folder)
    classifier.load_state_dict(
        {k.removeprefix("classifier."): v for k, v in tensors.items() if k.startswith("classifier.")}
    )
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, i, name = key.split(".")
            state.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": numbers["groups"]})
    schedule.load_state_dict(numbers["schedule"])
    torch.set_rng_state(tensors["random"])
    return numbers["step"]


def take_statistics(name: str, test: Dataset) -> metrics.Readings:
    """Write what the classifier of that name makes of the test digits, in place of what an earlier one made of them."""
    seen = classifiers.read(test.images, name)
    mean, cov = metrics.gaussian(seen.features)
    shown = metrics.balanced(test.labels, 10 * PER_CLASS)
    arrays = {"mean": mean, "cov": cov, "features": seen.features[shown].half(), "labels": test.labels[shown].byte()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, n=len(test.images), **{k: v.numpy() for k, v in arrays.items()})
    current = {classifiers.reference_path(n) for n, file in classifiers.FILES.items() if file.exists()}
    for old in {*classifiers.ASSETS.glob("mnist-test-32-*.npz")} - current:
        old.unlink()
    write_atomic(classifiers.reference_path(name), buffer.getvalue())
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classifier of digits.")
    parser.add_argument("classifier", choices=RECIPES)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where MNIST is, or goes")
    args = parser.parse_args()
    name, folder = args.classifier, Path("runs") / f"classifier-{args.classifier}"
    classifier = train(name, load_dataset("mnist", args.data_dir), RECIPES[name], folder)
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    write_atomic(classifiers.FILES[name], safetensors.torch.save(half))

    test = load_dataset("mnist", args.data_dir, train=False)
    seen = take_statistics(name, test)
    (folder / TRAINING).unlink()
    right = (seen.digits == test.labels).sum().item()
    print(f"{right} of {len(test.images)} test digits read right; {classifiers.reference_path(name).name}")


if __name__ == "__main__":
    main()
