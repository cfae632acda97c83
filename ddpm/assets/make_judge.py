"""Trains the judge of digits and takes the statistics of the MNIST test set with it:  python ddpm/assets/make_judge.py

Writes judge.safetensors (float16) and mnist-test-32-<hash>.npz beside itself.  Needs the full MNIST in data/ (or a
network); a quarter of an hour on two cores.  It learns from the training digits, resized as the models see them and
turned, shifted and scaled a little; the test digits are looked at once, at the end.
"""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[2]))

from ddpm import metrics
from ddpm.checkpoint import write_atomic
from ddpm.data import Dataset, Loader, load_dataset
from ddpm.device import autocast, resolve_precision

EPOCHS, BATCH, LR = 12, 128, 2e-3
TURN, SHIFT, SCALE = math.radians(10), 2 / 16, 0.1  # at most; a shift of 1 is half the picture
PER_CLASS = 200  # test digits whose features ship


def distort(x: torch.Tensor) -> torch.Tensor:
    """Each picture turned, scaled and shifted by a little."""
    turn, scale_x, scale_y, shift_x, shift_y = torch.empty(5, len(x)).uniform_(-1, 1)
    turn, scale_x, scale_y = turn * TURN, 1 + scale_x * SCALE, 1 + scale_y * SCALE
    rows = [turn.cos() * scale_x, -turn.sin(), shift_x * SHIFT, turn.sin(), turn.cos() * scale_y, shift_y * SHIFT]
    places = F.affine_grid(torch.stack(rows, dim=1).reshape(-1, 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, places, align_corners=False) - 1  # outside is black, which is -1


def train(data: Dataset) -> metrics.Judge:
    torch.manual_seed(0)
    judge = metrics.Judge().to(memory_format=torch.channels_last)
    loader = Loader(data.images, data.labels, BATCH)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=EPOCHS * len(loader), pct_start=0.2)
    dtype = resolve_precision("auto", "cpu")
    for step in tqdm(range(EPOCHS * len(loader)), unit="step", disable=None):
        x0, y = loader.batch(step)
        with autocast("cpu", dtype):
            logits = judge(distort(x0).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


def main() -> None:
    judge = train(load_dataset("mnist"))
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in judge.state_dict().items()}
    write_atomic(metrics.JUDGE, safetensors.torch.save(half))

    test = load_dataset("mnist", train=False)
    seen = metrics.read(test.images)
    mean, cov = metrics.gaussian(seen.features)
    shown = metrics.balanced(test.labels, 10 * PER_CLASS)
    arrays = {"mean": mean, "cov": cov, "features": seen.features[shown].half(), "labels": test.labels[shown].byte()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, n=len(test.images), **{k: v.numpy() for k, v in arrays.items()})
    for old in metrics.ASSETS.glob("mnist-test-32-*.npz"):
        old.unlink()
    write_atomic(metrics.reference_path(), buffer.getvalue())
    right = (seen.digits == test.labels).sum().item()
    print(f"{right} of {len(test.images)} test digits read right; {metrics.reference_path().name}")


if __name__ == "__main__":
    main()
