"""Several processes that train together: what one alone does, and what is left when one of them dies."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.runs import rows
from helpers.together import CONFIGS, build, losses

from ddpm import fit, make_schedule
from ddpm.cli import followed
from ddpm.config import TrainConfig
from ddpm.seeding import seeded
from ddpm.storage.checkpoint import load_checkpoint, load_training
from ddpm.system.distributed import Group
from ddpm.training.state import Snapshot

SCRIPT = Path(__file__).parents[1] / "helpers" / "together.py"


@pytest.fixture
def torchrun(python, tmp_path):
    """Start together.py in so many processes: torchrun(2, "losses", ...); options are those of `python`."""

    def run(processes, *args, **options):
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(SCRIPT))
        env = {"OMP_NUM_THREADS": "1", "PIDS": str(tmp_path)}
        return python(*launch, *map(str, args), env=env, **options)

    return run


@pytest.mark.parametrize("n", [4, 7, 128])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_each_picture_is_of_one_process(n, size):
    shares = [np.arange(n)[Group(rank, size).share(n)] for rank in range(size)]
    assert np.array_equal(np.concatenate(shares), np.arange(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_without_a_picture_is_one_too_many():
    with pytest.raises(ValueError, match="3 processes are too many for batches of 2"):
        Group(0, 3).share(2)


class Threads:
    """What processes exchange, between threads."""

    def __init__(self, size):
        self.size, self.told, self.barrier = size, {}, threading.Barrier(size, timeout=60)

    def member(self, rank):
        class Member(Group):
            def add_up(group, tensors):
                self.told[rank] = [each.clone() for each in tensors]
                self.barrier.wait()
                for i, each in enumerate(tensors):
                    each.copy_(sum(self.told[r][i] for r in range(self.size)))
                self.barrier.wait()

            def leaders(group, value):
                self.told[rank] = value
                self.barrier.wait()
                first = self.told[0]
                self.barrier.wait()
                return first

        return Member(rank, self.size)

    def run(self, function):
        """function(rank, group) in a thread for each member; what they return."""
        with ThreadPoolExecutor(self.size) as pool:
            running = [pool.submit(function, rank, self.member(rank)) for rank in range(self.size)]
            return [each.result() for each in running]


@pytest.mark.parametrize("name", CONFIGS)
def test_shares_of_a_batch_are_the_batch(name):
    """Same pictures, times, noise and dropped labels; each share weighed by its size."""
    models = [build() for _ in range(3)]
    first, *others = Threads(3).run(lambda rank, group: losses(models[rank], CONFIGS[name], 5, group))
    assert all(other == first for other in others)
    assert first[:-1] == pytest.approx(losses(build(), CONFIGS[name], 5)[:-1], abs=1e-5, rel=0)


def test_the_first_process_s_clock_counts(tiny_images):
    """By the second's the run would never end, nor its learning rate fall."""
    models, config = [build() for _ in range(2)], TrainConfig(batch_size=8, lr_decay=True)

    def train(rank, group):
        clock = itertools.count(1).__next__ if rank == 0 else lambda: 0.0
        options = {"sched": make_schedule(20), "config": config, "seconds": 9, "clock": clock, "group": group}
        return [state.lr for state in fit(models[rank], tiny_images, torch.arange(20) % 10, **options)]

    first, second = Threads(2).run(train)
    assert first == second and first[0] > first[-1]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_together_they_train_as_one_does(torchrun, tmp_path, processes):
    """By torchrun and Gloo: losses agree to rounding, all have the same weights, and no thread of Gloo is left."""
    steps = 50
    done = torchrun(processes, "losses", tmp_path, steps)
    assert done.returncode == 0, done.stderr
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(processes)]
    assert not any("gloo" in name for each in told for name in each["left"]), "one could abort the process as it ends"
    first, *others = [each["losses"] for each in told]
    assert all(other == first for other in others)
    for name, config in CONFIGS.items():
        assert first[name][:-1] == pytest.approx(losses(build(), config, steps)[:-1], abs=1e-5, rel=0), name


@pytest.fixture
def tiny_state(tiny_model, tiny_images):
    return next(fit(tiny_model, tiny_images, sched=make_schedule(20), steps=1))


def going(state, error=None):
    yield state
    if error:
        raise error


@pytest.mark.parametrize(("rank", "saved", "code"), [(0, 1, 1), (1, 0, 1)])
def test_when_another_process_is_gone_the_first_saves_and_all_end(tiny_state, tmp_path, capsys, rank, saved, code):
    calls = []
    with pytest.raises(SystemExit) as ended:
        followed.follow(
            going(tiny_state, RuntimeError("connection closed")),
            out=tmp_path,
            steps=9,
            seconds=0.0,
            resumed=None,
            save_every=99.0,
            log=calls.append,
            log_every=99,
            save=calls.append,
            finish=calls.append,
            group=Group(rank, 2),
        )
    assert (ended.value.code, len(calls)) == (code, saved)
    assert ("saved" in capsys.readouterr().err) == (rank == 0)


def test_the_end_is_the_first_process_s_alone(tiny_state, tmp_path):
    calls = []
    options = {"out": tmp_path, "steps": 9, "seconds": 0.0, "resumed": None, "save_every": 99.0, "log_every": 1}
    options |= {name: calls.append for name in ("log", "save", "finish")}
    with pytest.raises(SystemExit) as ended:
        followed.follow(going(tiny_state), group=Group(1, 2), **options)
    assert (ended.value.code, calls) == (0, [])
    followed.follow(going(tiny_state), group=Group(0, 2), **options)
    assert calls == [tiny_state, tiny_state]  # logged, finished


def only_shifts(name):
    """Whether a weight of the tiny network adds a constant to channels that the next norm, one channel a group, takes
    away.  Its gradient is rounding, of which Adam makes steps of whole size, in any direction."""
    return name.endswith(("conv1.bias", "t_proj.weight", "t_proj.bias")) or name in (
        "up_blocks.0.conv2.bias",
        "up_blocks.0.shortcut.bias",
    )


@pytest.mark.slow
def test_a_run_goes_on_with_more_processes_or_fewer(torchrun, train, tiny_preset, tmp_path):
    """Of two, one, two: as one that was one process throughout."""
    for out, alone in ((tmp_path / "one", True), (tmp_path / "some", False)):
        for steps in (6, 12, 18):
            args = ("--steps", steps, "--out", out, *(["--resume"] if steps > 6 else []))
            if alone or steps == 12:
                assert train(*args).code == 0
            else:
                done = torchrun(2, "train", *args)
                assert done.returncode == 0, done.stderr
    one, some = (
        [[float(row["loss"]), float(row["loss_smooth"])] for row in rows(tmp_path / name)] for name in ("one", "some")
    )
    np.testing.assert_allclose(some, one, rtol=0, atol=2e-5)
    assert len(one) == 9
    nets = [load_checkpoint(tmp_path / name).model for name in ("one", "some")]
    weights = [net.state_dict() for net in nets]
    for name, value in weights[0].items():
        if not only_shifts(name):
            torch.testing.assert_close(weights[1][name], value, rtol=0, atol=2e-3)
    x, t, y = torch.randn(4, 1, 32, 32, generator=seeded(0)), torch.tensor([0, 300, 600, 999]), torch.arange(4)
    with torch.no_grad():
        torch.testing.assert_close(nets[1](x, t, y), nets[0](x, t, y), rtol=0, atol=1e-3)
    assert load_checkpoint(tmp_path / "some").info["device"].startswith("2 processes on ")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["a worker", "torchrun"])
def test_a_run_that_is_killed_can_be_resumed(torchrun, train, tiny_preset, tmp_path, which):
    out = tmp_path / "run"
    launcher = torchrun(2, "train", "--steps", 10**6, "--out", out, start=True)
    try:
        until = time.monotonic() + 100
        while not (out / "config.json").is_file():
            assert launcher.poll() is None and time.monotonic() < until, launcher.communicate()[1]
            time.sleep(0.1)
        if which == "torchrun":
            launcher.send_signal(signal.SIGTERM)
        else:
            os.kill(int((tmp_path / "1").read_text()), signal.SIGKILL)
        errors = launcher.communicate(timeout=60)[1]
    finally:
        launcher.kill()
    assert launcher.returncode != 0
    tensors, described = load_training(out)
    step = Snapshot(tensors, described["numbers"]).numbers["step"]
    assert f"saved {out} at step {step}; go on with --resume" in errors
    assert train("--resume", "--steps", step + 2, "--out", out).code == 0
