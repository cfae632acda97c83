"""Trains a classifier and takes the statistics of its data set's test part with it:

python -m scripts.make_classifier first        (or second: digits; a quarter of an hour, or ten minutes, on two cores)
python -m scripts.make_classifier fashion
python -m scripts.make_classifier faces
python -m scripts.make_classifier cifar10 --dataset folder:PATH        (without --dataset: downloaded)

Writes the classifier's file (float16) and <data set>-test-<size>-<hash>.npz into ddpm/assets.  Needs the full set in
--data-dir, or a network.  It learns from the training pictures, as the models see them and distorted a little; the test
pictures are looked at once, at the end.  After every epoch it saves to runs/classifier-<name>; the same command goes on
from there.  The digits' classifiers are trained on the processor, the others on a GPU if there is one.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn as nn
import torch.nn.functional as F
from tqdm import tqdm

from ddpm.data import Dataset, load_dataset
from ddpm.device import autocast, pick_device, resolve_precision
from ddpm.evaluation import classifiers, metrics
from ddpm.loader import Loader
from ddpm.storage.atomic import write_atomic
from ddpm.storage.checkpoint import TRAINING, load_training, save_training

BATCH, LR = 128, 2e-3
TURN, SHIFT, SCALE = math.radians(10), 2 / 16, 0.1  # at most; a shift of 1 is half the picture
BEND = 1.3 / 16  # the standard deviation of where a point goes
PER_CLASS = 200  # test pictures whose features ship, and training pictures of a set whose own do not
NOISE = 0.1  # of the range -1..1


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


def mirror_and_shift(x: torch.Tensor, pad: int = 4) -> torch.Tensor:
    """Half of the pictures mirrored, each cut out of its enlargement by so many reflected pixels a side."""
    n, size = len(x), x.shape[-1]
    flipped, left, top = torch.rand(n) < 0.5, *torch.randint(0, 2 * pad + 1, (2, n, 1))
    columns = torch.arange(size).expand(n, size)
    columns = torch.where(flipped[:, None], columns.flip(1), columns) + left
    rows = torch.arange(size) + top
    every, rows, columns = (each.to(x.device) for each in (torch.arange(n), rows, columns))
    padded = F.pad(x, (pad,) * 4, mode="reflect").permute(0, 2, 3, 1)
    return padded[every[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def noise(x: torch.Tensor) -> torch.Tensor:
    """Each pixel's colours a little off, as a model's are: of pixel art they never are."""
    return x + NOISE * torch.randn(x.shape).to(x.device)


@dataclass(frozen=True)
class Recipe:
    seed: int
    epochs: int
    distort: Callable[[torch.Tensor], torch.Tensor]
    batch: int = BATCH
    weight_decay: float = 0.01
    gpu: bool = True


RECIPES = {
    classifiers.FIRST: Recipe(0, 12, turn, gpu=False),
    classifiers.SECOND: Recipe(1, 10, bend, gpu=False),
    "fashion": Recipe(0, 12, partial(mirror_and_shift, pad=2)),
    "faces": Recipe(0, 6, noise),
    "cifar10": Recipe(0, 12, mirror_and_shift, batch=250, weight_decay=0.1),
}


def train(name: str, data: Dataset, recipe: Recipe, folder: Path) -> nn.Module:
    """The classifier of that name, trained; what a killed run has left in the folder is gone on with."""
    torch.manual_seed(recipe.seed)
    device = pick_device() if recipe.gpu else torch.device("cpu")
    classifier = classifiers.CLASSIFIERS[name].build().to(device, memory_format=torch.channels_last)
    loader = Loader(data.images.to(device), data.labels.to(device), recipe.batch, recipe.seed)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=recipe.weight_decay)
    total = recipe.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=total, pct_start=0.2)
    dtype = resolve_precision("auto", device)
    first = restore(folder, classifier, optimizer, schedule) if (folder / TRAINING).exists() else 0
    for step in tqdm(range(first, total), initial=first, total=total, unit="step", disable=None):
        x0, y = loader.batch(step)
        with autocast(device, dtype):
            logits = classifier(recipe.distort(x0).contiguous(memory_format=torch.channels_last))
        loss = wrongness(logits.float(), y, name)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % len(loader) == 0:
            print(f"epoch {(step + 1) // len(loader)} of {recipe.epochs}: loss {loss.item():.4f}", flush=True)
            save(folder, step + 1, classifier, optimizer, schedule)
    return classifier.eval().cpu()


def wrongness(logits: torch.Tensor, y: torch.Tensor, name: str) -> torch.Tensor:
    """The cross-entropy, of several attributes the mean of each one's.  y: (B,) or (B, A)."""
    parts = logits.split([*classifiers.CLASSIFIERS[name].values.values()], dim=1)
    return torch.stack([F.cross_entropy(part, c) for part, c in zip(parts, metrics.columns(y), strict=True)]).mean()


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


def take_statistics(name: str, test: Dataset, data: Dataset) -> metrics.Readings:
    """Write what the classifier of that name makes of the test pictures, in place of what an earlier one made of them.

    data: the training pictures, whose features are written too where they do not ship.
    """
    seen, most = classifiers.read(test.images, name), 10 * PER_CLASS
    mean, cov = metrics.gaussian(seen.features)
    shown = metrics.balanced(test.labels, min(most, len(test.images)))
    arrays = {"mean": mean, "cov": cov, "features": seen.features[shown].half(), "labels": test.labels[shown].byte()}
    if classifiers.CLASSIFIERS[name].real is None:
        some = metrics.balanced(data.labels, most)
        real = classifiers.read(data.images[some], name)
        arrays |= {"real_features": real.features.half(), "real_labels": data.labels[some].byte()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, n=len(test.images), **{k: v.numpy() for k, v in arrays.items()})
    current = {classifiers.reference_path(n) for n, each in classifiers.CLASSIFIERS.items() if each.path.exists()}
    for old in {*classifiers.ASSETS.glob(f"{classifiers.CLASSIFIERS[name].statistics}-*.npz")} - current:
        old.unlink()
    write_atomic(classifiers.reference_path(name), buffer.getvalue())
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a classifier.")
    parser.add_argument("classifier", choices=RECIPES)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where its data set is, or goes")
    parser.add_argument("--dataset", help="the same data set under another name, such as folder:PATH")
    args = parser.parse_args()
    name, folder = args.classifier, Path("runs") / f"classifier-{args.classifier}"
    shipped = classifiers.CLASSIFIERS[name]
    data, test = (load_dataset(args.dataset or shipped.dataset, args.data_dir, train=part) for part in (True, False))
    classifier = train(name, data, RECIPES[name], folder)
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    write_atomic(shipped.path, safetensors.torch.save(half))

    seen = take_statistics(name, test, data)
    (folder / TRAINING).unlink()
    read, asked = metrics.columns(seen.digits), metrics.columns(test.labels)
    for attribute, r, y in zip(shipped.values, read, asked, strict=True):
        print(f"{attribute}: {(r == y).sum().item()} of {len(y)} test pictures read right")
    print(classifiers.reference_path(name).name)


if __name__ == "__main__":
    main()
