"""Started by torchrun: `losses OUT STEPS`, of a tiny run, and the threads it leaves; or the command line with a tiny
preset in place of fast.

That one saves often, and writes the number of each process into the folder PIDS.
"""

import json
import os
import sys
from pathlib import Path

import torch

from ddpm import PRESETS, UNet, fit, make_schedule
from ddpm.cli import main, train_run
from ddpm.config import TrainConfig
from ddpm.networks import build_model
from ddpm.storage import model_card
from ddpm.system.distributed import ALONE, Group, joined
from helpers.tiny import TINY_CLASSES, TINY_PRESET

CONFIGS = {
    "adamw": TrainConfig(batch_size=7, lr=1e-3, lr_warmup=5, label_dropout=0.1, t_sampling="stratified"),
    "muon": TrainConfig(batch_size=8, lr=1e-3, muon_lr=1e-3, label_dropout=0.1),
}


def build() -> UNet:
    return build_model(TINY_CLASSES, 1)


def losses(model: UNet, config: TrainConfig, steps: int, group: Group = ALONE) -> list[float]:
    """Of each step, and at the end the sum of all averaged weights."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 1, 8, 8), generator=generator, dtype=torch.uint8)
    sched, labels = make_schedule(20), torch.arange(20) % 10
    states = list(fit(model, images, labels, sched=sched, config=config, steps=steps, group=group))
    averaged = states[-1].ema_model().state_dict().values()
    return [*(s.loss for s in states), sum(v.double().sum().item() for v in averaged)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "losses":
        with joined(torch.device("cpu")) as group:
            found = {name: losses(build(), config, int(sys.argv[3]), group) for name, config in CONFIGS.items()}
        left = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
        Path(sys.argv[2], f"{os.environ['RANK']}.json").write_text(json.dumps({"losses": found, "left": left}))
    else:
        Path(os.environ["PIDS"], os.environ["RANK"]).write_text(str(os.getpid()))
        model_card.GRID_STEPS = 2
        PRESETS["fast"], train_run.LOG_EVERY, train_run.SAVE_EVERY = TINY_PRESET, 2, 0.2
        sys.exit(main(sys.argv[1:]))
