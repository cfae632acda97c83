"""A save that is killed, or that meets a full or forbidden disk, leaves the old checkpoint or the new one, whole.

And the training state, of which the same holds.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import tempfile
import time

import pytest
import safetensors.torch
import torch

from ddpm import CheckpointError, load_checkpoint, save_checkpoint
from ddpm.config import Config, ModelConfig, to_dict
from ddpm.networks import build_model
from ddpm.storage.atomic import write_atomic
from ddpm.storage.checkpoint import CARD, CONFIG, TRAINING, WEIGHTS, load_training, save_training

MODEL = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8)

# Saves seed 1 into a folder per place in which to die, then forks: each child starts to save seed 2 and is killed with
# SIGKILL just before or just after its k-th write, sync or rename.
KILLED = """
import os, signal, sys
from pathlib import Path
from ddpm import save_checkpoint
from ddpm.config import Config, ModelConfig
from ddpm.networks import build_model

model = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8)
old, new = (build_model(model, seed) for seed in (1, 2))

def die_at(call, k, late):
    real, calls = getattr(os, call), []
    def wrapped(*args):
        calls.append(1)
        if len(calls) == k and not late:
            if call == "fsync":
                os.ftruncate(args[0], 20)  # what a crash may leave of a file that was not synced
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args)
        if len(calls) == k:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, call, wrapped)

for call in ("fsync", "replace"):
    for k in (1, 2, 3):
        for late in (False, True):
            folder = Path(sys.argv[1]) / f"{call}-{k}-{late}"
            save_checkpoint(folder, old, Config(model), {"seed": 1}, "old")
            child = os.fork()
            if child == 0:
                die_at(call, k, late)
                save_checkpoint(folder, new, Config(model), {"seed": 2}, "new")
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, python):
    folder = tmp_path_factory.mktemp("killed")
    done = python("-c", KILLED, str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def weight(seed):
    return build_model(MODEL, seed).in_conv.weight.half().float()


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_killed_save_leaves_old_or_new_and_never_a_mixture_that_loads(killed, call, k, late):
    folder = killed / f"{call}-{k}-{late}"
    assert (folder / CARD).read_text() in ("old", "new")
    seed = json.loads((folder / CONFIG).read_text())["info"]["seed"]
    assert seed == (2 if (call, k, late) == ("replace", 3, True) else 1)  # the description is what comes last
    if (call, k, late) in (("replace", 2, True), ("replace", 3, False)):  # new weights, old description: it is seen
        with pytest.raises(CheckpointError, match="belongs to another"):
            load_checkpoint(folder)
    else:
        loaded = load_checkpoint(folder)
        assert torch.equal(loaded.model.in_conv.weight, weight(seed)) and loaded.info == {"seed": seed}


@pytest.mark.slow
@pytest.mark.parametrize("where", [("fsync", False, 1), ("replace", True, 2)])
def test_after_a_kill_the_next_save_is_whole(killed, where):
    call, late, k = where
    folder = killed / f"{call}-{k}-{late}"
    save_checkpoint(folder, build_model(MODEL, 3), Config(MODEL), {"seed": 3})
    assert torch.equal(load_checkpoint(folder).model.in_conv.weight, weight(3))


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path, build_model(MODEL, 1), Config(MODEL), {"seed": 1}, "old")
    save_training(tmp_path, {"w": torch.zeros(2)}, {"step": 1})
    return tmp_path


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Fails:
    """Does what a function of os does, and from the k-th call on says that the disk is full."""

    def __init__(self, real, k):
        self.real, self.k, self.calls = real, k, 0

    def __call__(self, *args, **options):
        self.calls += 1
        if self.calls >= self.k:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*args, **options)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("call", ["fsync", "chmod"])
def test_a_full_disk_leaves_every_file_as_it_was_and_no_litter(folder, monkeypatch, call, k):
    before = snapshot(folder)
    monkeypatch.setattr(os, call, Fails(getattr(os, call), k))
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(folder, build_model(MODEL, 2), Config(MODEL), {"seed": 2}, "new")
    monkeypatch.undo()
    assert snapshot(folder) == before
    assert load_checkpoint(folder).info == {"seed": 1}


def test_a_full_disk_leaves_the_training_state(folder, monkeypatch):
    before = snapshot(folder)
    monkeypatch.setattr(os, "fsync", Fails(os.fsync, 1))
    with pytest.raises(OSError, match="No space left"):
        save_training(folder, {"w": torch.ones(2)}, {"step": 2})
    monkeypatch.undo()
    assert snapshot(folder) == before
    assert load_training(folder)[1] == {"step": 1}


def test_an_interrupt_in_the_middle_cleans_up_as_well(folder, monkeypatch):
    def interrupt(_handle):
        raise KeyboardInterrupt

    before = snapshot(folder)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(folder, build_model(MODEL, 2), Config(MODEL))
    assert snapshot(folder) == before


def test_a_forbidden_folder_is_an_oserror(folder, monkeypatch):
    def forbid(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    before = snapshot(folder)
    monkeypatch.setattr(tempfile, "mkstemp", forbid)
    with pytest.raises(PermissionError):
        save_checkpoint(folder, build_model(MODEL, 2), Config(MODEL))
    assert snapshot(folder) == before


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError):
        save_checkpoint(tmp_path / "file", build_model(MODEL, 1), Config(MODEL))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_file_is_synced_before_it_takes_its_place_and_can_be_read_by_others(tmp_path, monkeypatch):
    path, events = tmp_path / "x", []
    path.write_bytes(b"old")
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (events.append(("fsync", path.read_bytes())), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("replace", path.read_bytes())), replace(a, b)))
    write_atomic(path, b"new")
    assert events == [("fsync", b"old"), ("replace", b"old")]
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_description_is_the_last_to_take_its_place(folder, monkeypatch):
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(os.path.basename(b)), replace(a, b)))
    save_checkpoint(folder, build_model(MODEL, 2), Config(MODEL), card="new")
    assert order == [CARD, WEIGHTS, CONFIG]
    assert TRAINING in snapshot(folder)


def test_the_training_state_survives_exactly(tmp_path):
    tensors = {"model.w": torch.randn(3, 2), "optimizer.0.step": torch.tensor(5.0)}
    numbers = {"step": 5, "seconds": 0.1 + 0.2, "budget": {"steps": 9}, "config": to_dict(Config(MODEL))}
    save_training(tmp_path / "new", tensors, numbers)
    got_tensors, got_numbers = load_training(tmp_path / "new")
    assert got_numbers == numbers and got_tensors.keys() == tensors.keys()
    assert all(torch.equal(value, got_tensors[name]) for name, value in tensors.items())


@pytest.mark.parametrize(
    "raw", [b"", b"x" * 100, pickle.dumps({"a": 1}), safetensors.torch.save({"a": torch.zeros(1)})]
)
def test_a_training_state_that_is_none(tmp_path, raw):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        load_training(tmp_path)
    (tmp_path / TRAINING).write_bytes(raw)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_training(tmp_path)


# Saves its own seed into a folder again and again, until told to stop.
SAVES = """
import sys
from pathlib import Path
from ddpm import save_checkpoint
from ddpm.config import Config, ModelConfig
from ddpm.networks import build_model

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
model = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8)
net = build_model(model, seed)
saved = 0
while not (folder.parent / "stop").exists():
    save_checkpoint(folder, net, Config(model), {"seed": seed}, f"card {seed}")
    saved += 1
print(saved)
"""


@pytest.mark.slow
def test_two_that_save_into_one_folder_leave_the_files_of_one(tmp_path, python):
    folder = tmp_path / "shared"
    save_checkpoint(folder, build_model(MODEL, 1), Config(MODEL), {"seed": 1}, "card 1")
    writers = [python("-c", SAVES, str(folder), str(seed), start=True) for seed in (2, 3)]
    whole, seen, end = {seed: weight(seed) for seed in (1, 2, 3)}, set(), time.monotonic() + 60
    reads = unfit = 0
    while (len(seen) < 3 or reads < 300) and time.monotonic() < end:
        reads += 1
        try:
            loaded = load_checkpoint(folder)
        except CheckpointError as error:  # between the two renames
            assert "If it is just being saved, try again" in str(error)
            unfit += 1
        else:
            seen.add(loaded.info["seed"])
            assert torch.equal(loaded.model.in_conv.weight, whole[loaded.info["seed"]])
    (tmp_path / "stop").touch()
    for writer in writers:
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == 0 and int(out) > 0, err
    assert seen == {1, 2, 3} and unfit < reads / 2
    last = load_checkpoint(folder).info["seed"]
    assert (folder / CARD).read_text() == f"card {last}"
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CONFIG, WEIGHTS]


def test_what_a_killed_save_left_unfinished_goes_with_the_next(folder):
    (folder / f"{WEIGHTS}abc.tmp").write_bytes(b"half")
    (folder / "notes.tmp").write_bytes(b"somebody's own")
    save_checkpoint(folder, build_model(MODEL, 2), Config(MODEL))
    assert sorted(path.name for path in folder.glob("*.tmp")) == ["notes.tmp"]
