"""A training run and the checkpoint folder it writes: what `python -m ddpm train` does after reading its options."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn

from .. import data
from ..autoencoder import Codec
from ..config import Config, build_schedule, to_dict
from ..data import Dataset
from ..device import pick_device, resolve_precision
from ..ema import EMA
from ..evaluation.losses import held_out_loss
from ..loader import Loader
from ..networks import build_model
from ..storage import model_card
from ..storage.atomic import remove_unfinished, write_atomic
from ..storage.checkpoint import TRAINING, save_checkpoint, save_training
from ..system.distributed import ALONE, Group
from ..training.finetune import begin_from
from ..training.loop import fit
from ..training.state import Snapshot, TrainState
from . import metrics_csv
from .followed import follow, spent
from .run_folder import CURVE, METRICS, PICTURES

LOG_EVERY = 50  # steps, a row of metrics.csv
HELD_OUT_EVERY = 500  # steps
HELD_OUT_IMAGES = 2000
SAVE_EVERY = 120.0  # seconds of training
LITERAL = "literal_ema."  # names of its tensors in the file that --resume reads


class Run:
    """A training run and the folder it writes."""

    def __init__(
        self,
        out: Path,
        config: Config,
        run: dict[str, Any],
        dataset: Dataset,
        held_out: Dataset | None,
        codec: Codec | None = None,
        group: Group = ALONE,
        init: nn.Module | None = None,
        accumulate: int = 1,
        compiled: bool = False,
    ):
        """codec: whose latents are trained on; None for pixels.  group: the processes of the run.

        init: whose weights a new run begins with.

        accumulate: in how many parts a process takes its share of a batch.  compiled: whether by torch.compile.
        """
        self.out, self.config, self.run, self.dataset, self.held_out = out, config, run, dataset, held_out
        self.codec, self.group, self.accumulate, self.compiled = codec, group, accumulate, compiled
        self.init = init
        self.device = pick_device()
        self.sched = build_schedule(config.schedule, self.device)
        self.rows: list[dict[str, Any]] = []
        self.outdated: list[str] = []  # files of the model that this run replaces
        self.literal: EMA | None = None  # the average without a warm-up, where the card is to show both

    def train(self, snapshot: Snapshot | None) -> None:
        model = build_model(self.config.model, self.config.train.seed, self.codec).to(self.device)
        labels = self.dataset.labels if self.config.model.conditional else None
        budget = self.run["budget"]
        steps, seconds = budget.get("steps"), 60 * budget.get("minutes", math.inf)
        if steps is None and seconds == math.inf:
            per_epoch = len(Loader(self.dataset.images, batch_size=self.config.train.batch_size))
            steps = budget.get("epochs", self.config.train.epochs) * per_epoch
        if spent(snapshot, steps) >= (steps or seconds):
            raise ValueError("this run has spent its budget: give a larger --steps, --epochs or --minutes")
        if self.group.leads:
            remove_unfinished(self.out, TRAINING, METRICS, CURVE, *PICTURES)  # of a run that was killed
            if snapshot:
                self.read_rows(snapshot.numbers["step"])
            print(data.describe(self.dataset), file=sys.stderr)
        if self.init is not None:
            anew = begin_from(model, self.init)
            self.run["begun_from"] = f"the weights of {self.run['init']}" + (f", {anew}" if anew else "")
            if self.group.leads:
                print(f"begun from {self.run['begun_from']}", file=sys.stderr)
        self.outdated = [] if snapshot else [*PICTURES]

        if self.run.get("literal_ema"):
            self.literal = EMA(model, self.config.train.ema_decay)
        if snapshot:
            snapshot = self.restore_literal(snapshot)
        if self.compiled:
            model.compile()
        parts = self.group.size * self.accumulate
        run = fit(
            model,
            self.dataset.images,
            labels,
            sched=self.sched,
            config=self.config.train,
            steps=steps,
            seconds=seconds,
            resume=snapshot,
            part_size=None if self.accumulate == 1 else lambda: -(-self.config.train.batch_size // parts),
            group=self.group,
        )
        follow(
            self.averaged_twice(run, model),
            out=self.out,
            steps=steps,
            seconds=seconds,
            resumed=snapshot,
            save_every=SAVE_EVERY,
            log=self.log,
            log_every=LOG_EVERY,
            save=self.save,
            finish=self.finish,
            group=self.group,
        )

    def averaged_twice(self, run: Iterator[TrainState | None], model: nn.Module) -> Iterator[TrainState]:
        """The steps of a run, with the second average kept beside the first where there is one."""
        for state in filter(None, run):
            if self.literal:
                self.literal.update(model)
            yield state

    def finish(self, state: TrainState) -> None:
        self.save(state)
        averaged = state.ema_model()
        self.save_grid(model_card.SAMPLES, averaged)
        if self.literal:
            self.literal.copy_to(averaged)
            self.save_grid(model_card.LITERAL_EMA, averaged)
        self.save(state)  # the card again, which now has its pictures

    def save_grid(self, name: str, model: nn.Module) -> None:
        picture = io.BytesIO()
        model_card.sample_grid(model, self.sched).save(picture, "PNG")
        write_atomic(self.out / name, picture.getvalue())

    def restore_literal(self, snapshot: Snapshot) -> Snapshot:
        """The second average out of a saved run's tensors; what is left is what `fit` knows."""
        mine = {k: v for k, v in snapshot.tensors.items() if k.startswith(LITERAL)}
        if self.literal:
            self.literal.shadow = {name: mine[LITERAL + name].to(self.device) for name in self.literal.shadow}
        return Snapshot({k: v for k, v in snapshot.tensors.items() if k not in mine}, snapshot.numbers)

    def read_rows(self, step: int) -> None:
        """The rows of an earlier part of this run, up to the step that was saved.

        What cannot be read any more is kept under another name.
        """
        path = self.out / METRICS
        if not path.is_file():
            return
        try:
            self.rows = [row for row in metrics_csv.read(path) if int(row["step"]) <= step]
        except ValueError as error:
            aside = (path.with_name(f"metrics-kept-{k}.csv") for k in itertools.count(1))
            kept = path.rename(next(each for each in aside if not each.exists()))
            print(f"{path} cannot be read ({error}): kept as {kept.name}, and the curve begins anew", file=sys.stderr)

    def log(self, state: TrainState) -> None:
        row = {"step": state.step, "images": state.images_seen, "seconds": f"{state.seconds:.1f}"}
        row |= {"lr": f"{state.lr:.3g}", "loss": f"{state.loss:.5f}", "loss_smooth": f"{state.loss_smooth:.5f}"}
        held_out = self.held_out_loss(state) if state.step % HELD_OUT_EVERY == 0 else None
        row["held_out_loss"] = "" if held_out is None else f"{held_out:.5f}"
        self.rows.append(row)

    def held_out_loss(self, state: TrainState) -> float | None:
        """Of the averaged weights; None if no images are held out."""
        if self.held_out is None:
            return None
        images, labels = self.held_out.images[:HELD_OUT_IMAGES], self.held_out.labels
        labels = labels[:HELD_OUT_IMAGES] if labels is not None and self.config.model.conditional else None
        return held_out_loss(state.ema_model(), images, labels, self.sched)

    def device_name(self) -> str:
        if self.device.type == "cuda":
            one = torch.cuda.get_device_name()
        else:
            one = f"{os.cpu_count()} CPU cores" if self.device.type == "cpu" else f"Apple {self.device.type.upper()}"
        return one if self.group.size == 1 else f"{self.group.size} processes on {one}"

    def save(self, state: TrainState) -> None:
        snapshot = state.snapshot()
        described = self.run | {"numbers": snapshot.numbers, "config": to_dict(self.config)}
        literal = {LITERAL + k: v.cpu().contiguous() for k, v in self.literal.shadow.items()} if self.literal else {}
        save_training(self.out, snapshot.tensors | literal, described)
        while self.outdated:
            (self.out / self.outdated.pop()).unlink(missing_ok=True)

        model = state.ema_model()
        dtype = resolve_precision(self.config.train.precision, self.device)
        info = {
            "dataset": self.run["dataset"],
            "images_in_dataset": len(self.dataset.images),
            "class_names": list(self.dataset.class_names),
            "attributes": [dataclasses.asdict(each) for each in self.dataset.attributes],
            "command": self.run["command"],
            "begun_from": self.run.get("begun_from"),
            "device": self.device_name(),
            "precision": str(dtype).removeprefix("torch."),
            "parameters": sum(p.numel() for p in model.parameters()),
            "images_seen": state.images_seen,
            "held_out_loss": self.held_out_loss(state),
        } | {k: snapshot.numbers[k] for k in ("step", "seconds", "loss_smooth")}
        text = model_card.model_card(
            self.out.name, self.config, info, pictures={p.name for p in self.out.glob("*.png")}
        )
        save_checkpoint(self.out, model, self.config, info, text)

        write_atomic(self.out / METRICS, metrics_csv.table(self.rows).encode())
        write_atomic(self.out / CURVE, model_card.loss_curve(self.rows).encode())
