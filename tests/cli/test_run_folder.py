"""python -m ddpm train: into which folder, and with which data a run goes on."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers.runs import FILES, bytes_of, interrupt_at, put, resume, rows

from ddpm import load_checkpoint, load_dataset
from ddpm.cli import main, run_folder
from ddpm.storage.checkpoint import load_training, save_training

ROOT = Path(__file__).parents[2]
MAIN = importlib.import_module("ddpm.cli.commands")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seed", 9), "--seed: the run in"),
        (("--preset", "best"), "goes on with fast"),
        (("--precision", "bfloat16"), "goes on with float32"),
        (("--dataset", "bundled"), "bundled is not what this run was begun with: the class 0 is new"),
        (("--overwrite",), "not allowed with"),
    ],
)
def test_a_resumed_run_that_is_asked_to_be_another_is_refused(train, run_of, options, words):
    before = bytes_of(run_of)
    result = train("--resume", "--steps", 9, *options, "--out", run_of)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1) and words in result.err
    assert bytes_of(run_of) == before


# ---------------------------------------------------------------- whose folder it is


def test_a_run_is_not_overwritten_by_accident(train, pictures, run_of):
    before = bytes_of(run_of)
    result = train("--steps", 1, "--dataset", pictures, "--out", run_of)
    assert result.code == 2 and "--resume" in result.err and "--overwrite" in result.err
    assert bytes_of(run_of) == before


def test_a_model_without_a_run_is_not_overwritten_either(train, pictures, run_of):
    (run_of / "training.safetensors").unlink()
    before = bytes_of(run_of)
    result = train("--steps", 1, "--dataset", pictures, "--out", run_of)
    assert result.code == 2 and "--overwrite" in result.err and "--resume" not in result.err
    assert bytes_of(run_of) == before


def test_the_shipped_weights_are_safe(train, pictures, tmp_path):
    out = tmp_path / "mnist"
    shutil.copytree(ROOT / "checkpoints" / "mnist", out)
    before = bytes_of(out)
    for options in ((), ("--overwrite",)):
        result = train("--steps", 1, "--dataset", pictures, "--out", out, *options)
        assert result.code == 2 and "choose another --out" in result.err and result.err.count("\n") == 1
        assert bytes_of(out) == before


def test_overwriting_leaves_nothing_of_the_model_before(train, pictures, run_of, monkeypatch):
    (run_of / "samples_literal_ema.png").write_bytes(b"of the model before")
    (run_of / ".DS_Store").write_bytes(b"of the system")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert train("--steps", 3, "--seed", 7, "--dataset", pictures, "--out", run_of, "--overwrite").code == 143
    assert {p.name for p in run_of.iterdir()} == FILES - {"samples.png"} | {".DS_Store"}
    loaded = load_checkpoint(run_of)
    assert (loaded.config.train.seed, loaded.info["step"]) == (7, 1) and rows(run_of) == []
    assert "samples.png" not in (run_of / "README.md").read_text()


def test_what_overwriting_was_refused_for_does_not_harm_the_model_before(train, run_of):
    before = bytes_of(run_of)
    assert train("--steps", 1, "--dataset", "folder:nowhere", "--out", run_of, "--overwrite").code == 2
    assert bytes_of(run_of) == before


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("name", ["notes.txt", ".git/config", "README.md", "samples.png", "config.json", "loss.svg/x"])
def test_a_folder_with_other_files_is_never_mixed_into(train, pictures, tmp_path, name, options):
    out = tmp_path / "mine"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    result = train("--steps", 1, "--dataset", pictures, "--out", out, *options)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert name.split("/")[0] in result.err and "choose another --out" in result.err
    assert bytes_of(out) == {name: b"mine"}


def test_somebody_elses_model_is_not_one_of_ours(train, pictures, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "model.safetensors").write_text("weights")
    result = train("--steps", 1, "--dataset", pictures, "--out", tmp_path, "--overwrite")
    assert result.code == 2 and (tmp_path / "model.safetensors").read_text() == "weights"


def test_other_files_in_a_run_do_not_keep_it_from_going_on(train, run_of, pictures):
    (run_of / "notes.txt").write_text("mine")
    assert "add --resume" in train("--steps", 1, "--dataset", pictures, "--out", run_of, "--overwrite").err
    assert resume(train, run_of).code == 0 and (run_of / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("left", [None, ".DS_Store", "training.safetensorsx1.tmp", "config.jsonx1.tmp"])
def test_an_empty_folder_is_fine_and_so_is_what_a_killed_run_left(train, pictures, tmp_path, left):
    out = tmp_path / "new"
    out.mkdir()
    if left:
        (out / left).write_bytes(b"half")
    assert train("--steps", 1, "--dataset", pictures, "--out", out).code == 0
    assert {p.name for p in out.iterdir()} == FILES | ({".DS_Store"} & {left})


def test_a_run_is_not_written_among_its_own_pictures(train, pictures, tmp_path):
    result = train("--steps", 1, "--dataset", pictures, "--out", tmp_path / "pictures" / "run")
    assert result.code == 2 and "lies in the data set" in result.err
    assert not (tmp_path / "pictures" / "run").exists()


@pytest.mark.parametrize("new", [True, False])
def test_a_folder_that_cannot_be_written_is_refused_before_the_data_is_read(train, run_of, monkeypatch, new):
    def forbidden(**_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", forbidden)
    monkeypatch.setattr(MAIN.data, "load_dataset", lambda *_a, **_o: pytest.fail("read the data"))
    options = ("--out", run_of.parent / "a" / "b") if new else ("--resume", "--steps", 4, "--out", run_of)
    result = train(*options)
    assert (result.code, result.err.count("\n")) == (2, 1) and "Permission denied" in result.err


# ---------------------------------------------------------------- the data a run goes on with


CHANGES = {
    "a class": (lambda f: put(f, "third/1.png"), "the class third is new (pictures: 1)"),
    "a class less": (lambda f: shutil.rmtree(f / "odd"), "the class odd is gone"),
    "colour": (lambda f: put(f, "odd/01.png", colour=True), "1 channels and have 3"),
    "a picture": (lambda f: put(f, "odd/99.png"), "the class odd had 10 pictures and has 11"),
    "a name": (
        lambda f: (f / "odd").rename(f / "strange"),
        "strange is new (pictures: 10); the class odd is",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_data_that_has_changed_since_is_refused_and_said(train, run_of, tmp_path, change):
    act, words = CHANGES[change]
    act(tmp_path / "pictures")
    before = bytes_of(run_of)
    result = resume(train, run_of)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "is not what this run was begun with" in result.err and words in result.err
    assert bytes_of(run_of) == before


def test_pictures_without_classes_are_counted(train, tmp_path):
    folder, out = tmp_path / "flat", tmp_path / "run"
    folder.mkdir()
    for i in range(3):
        put(folder, f"{i}.png")
    assert train("--steps", 1, "--dataset", f"folder:{folder}", "--out", out).code == 0
    put(folder, "3.png")
    assert "it had 3 pictures and has 4" in resume(train, out).err


def test_many_changes_are_a_line_of_bounded_length():
    now = {"images": 500, "channels": 1, "classes": [[f"class {i}", 1] for i in range(500)]}
    with pytest.raises(ValueError, match="and 495 changes more") as error:
        run_folder.check_unchanged("folder:x", {"images": 0, "channels": 1, "classes": []}, now)
    assert len(str(error.value)) < 500


def without_record(folder):
    """The run as version 0.1 left it: without what its data held."""
    tensors, described = load_training(folder)
    assert described.pop("data") == {"images": 20, "channels": 1, "classes": [["even", 10], ["odd", 10]]}
    save_training(folder, tensors, described)


@pytest.mark.parametrize("described", [True, False])
def test_a_run_of_before_this_was_recorded_goes_on(train, run_of, described):
    without_record(run_of)
    if not described:
        (run_of / "config.json").unlink()
    assert resume(train, run_of).code == 0
    assert load_training(run_of)[1]["data"]["images"] == 20


def test_and_is_held_to_what_its_checkpoint_says(train, run_of, tmp_path):
    without_record(run_of)
    config = json.loads((run_of / "config.json").read_text())
    config["info"]["class_names"] = ["odd", "even"]  # as if sorted otherwise
    (run_of / "config.json").write_text(json.dumps(config))
    assert "in the order odd, even and are now even, odd" in resume(train, run_of).err
    put(tmp_path / "pictures", "third/1.png")
    assert "the class third is new" in resume(train, run_of).err


def test_a_folder_of_pictures_that_has_moved(train, run_of, tmp_path):
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    assert "not a folder" in resume(train, run_of).err
    moved = f"folder:{tmp_path / 'elsewhere'}"
    assert train("--resume", "--steps", 4, "--dataset", moved, "--out", run_of).code == 0
    assert load_checkpoint(run_of).info["dataset"] == moved
    assert train("--resume", "--steps", 6, "--out", run_of).code == 0


def test_a_resumed_run_looks_for_its_data_where_it_was(train, pictures, tmp_path, monkeypatch):
    data, asked, out = load_dataset(pictures, img_size=8), [], tmp_path / "run"

    def load(name, data_dir, train=True, img_size=32):
        asked.append(data_dir)
        return data

    monkeypatch.setattr(MAIN.data, "load_dataset", load)
    there = tmp_path / "there"
    assert train("--steps", 1, "--dataset", "mnist", "--data-dir", there, "--out", out).code == 0
    assert train("--resume", "--steps", 2, "--out", out).code == 0
    assert asked == [str(there)] * 4


# ---------------------------------------------------------------- paths that are no text


def test_paths_that_are_not_utf_8(train, tmp_path):
    """Folder, data set and class have a byte in their names that is no text; what is written is UTF-8 nevertheless."""
    odd = os.fsdecode(b"caf\xe9")
    folder, out = tmp_path / odd, tmp_path / "runs" / odd
    folder.mkdir()
    for i in range(4):
        put(folder, f"{('a', odd)[i % 2]}/{i}.png")
    result = train("--steps", 2, "--dataset", f"folder:{folder}", "--out", out)
    assert result.code == 0 and "4 pictures" in result.err
    assert {p.name for p in out.iterdir()} == FILES
    for path in out.iterdir():
        if path.suffix in (".md", ".json", ".csv", ".svg"):
            assert "caf" in path.read_bytes().decode("utf-8") or path.suffix in (".csv", ".svg")
    loaded = load_checkpoint(out)
    json.dumps(loaded.info, ensure_ascii=False).encode("utf-8")
    assert loaded.class_names == ("a", "caf\\udce9")
    assert resume(train, out).code == 0
    picture = tmp_path / f"{odd}.png"
    assert main(["sample", "--checkpoint", str(out), "--class", odd, "--steps", "2", "--out", str(picture)]) == 0
    assert picture.is_file()
