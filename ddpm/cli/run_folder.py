"""The folder of a training run: may one be written there, and is its data still what it was begun with?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import Config
from ..data import Dataset, counted
from ..storage.atomic import check_writable
from ..storage.checkpoint import CARD, CONFIG, TRAINING, WEIGHTS, CheckpointError, read_info
from ..storage.model_card import LITERAL_EMA, SAMPLES

METRICS, CURVE, PICTURES = "metrics.csv", "loss.svg", (SAMPLES, LITERAL_EMA)
FILES = (TRAINING, CARD, WEIGHTS, CONFIG, METRICS, CURVE, *PICTURES)
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # which systems leave in any folder that somebody opens
SHOWN = 5  # of what has changed


def check_folder(out: Path, resume: bool = False, overwrite: bool = False) -> None:
    """Raise ValueError, with what to do, unless a run may be written into this folder.

    That is a new or an empty one; with overwrite, one that holds a model and what belongs to it; with resume, whose run
    it is, any that can be written.  Other files are neither replaced by those of a run nor mixed with them.
    """
    if not out.exists():
        while not out.parent.exists():
            out = out.parent
        check_writable(out, "--out: ")
        return
    if not out.is_dir():
        raise ValueError(f"--out: {out} is a file, not a folder")
    inside = {path.name for path in out.iterdir() if path.name not in LITTER}
    ours = {name for name in inside if name in FILES and (out / name).is_file()} if is_model(out) else set()
    unfinished = {name for name in inside if name.startswith(FILES) and name.endswith(".tmp")}
    others = sorted(inside - ours - unfinished)
    go_on = "add --resume to go on with the run there, " if TRAINING in ours else ""
    if others and not resume:
        some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise ValueError(f"--out: {out} holds files that no run has written ({some}): {go_on}choose another --out")
    if ours and not (resume or overwrite):
        raise ValueError(f"--out: {out} holds a model: {go_on}--overwrite to replace it, or choose another --out")
    for name in FILES:
        check_writable(out / name, "--out: ")


def is_model(folder: Path) -> bool:
    """Whether this is a checkpoint folder, or what an interrupted run has left of one."""
    try:
        read_info(folder)
    except CheckpointError:
        return (folder / TRAINING).is_file()
    return True


def check_apart(out: Path, dataset: str) -> None:
    """Raise ValueError if a run would be written among the pictures that it is trained on, and be taken for more."""
    kind, _, folder = dataset.partition(":")
    if kind == "folder" and folder and out.resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(f"--out: {out} lies in the data set, among whose pictures its own would count; choose another")


def contents(dataset: Dataset) -> dict[str, Any]:
    """What a data set holds, as plain JSON.  `classes` is a list of [name, count] in the order of the labels."""
    named = [] if dataset.labels is None or dataset.attributes else counted(dataset.class_names, dataset.labels)
    classes = [list(each) for each in named]
    return {"images": len(dataset.images), "channels": dataset.images.shape[1], "classes": classes}


def recorded(out: Path, config: Config, run: dict[str, Any]) -> dict[str, Any]:
    """`contents` when the run in `out` was begun.  One of version 0.1 tells it in part: None is what it does not."""
    if "data" in run:
        return run["data"]
    try:
        info = read_info(out)
    except CheckpointError:
        info = {}
    names = info.get("class_names")
    classes = None if names is None else [[name, None] for name in names]
    return {"images": info.get("images_in_dataset"), "channels": config.model.in_ch, "classes": classes}


def check_unchanged(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ValueError, with what has changed, unless a data set holds what it did.  before, now: see `contents`."""
    new = dict(now["classes"])
    old = new if before["classes"] is None else dict(before["classes"])
    found = [f"the class {label} is new (pictures: {count})" for label, count in new.items() if label not in old]
    found += [f"the class {label} is gone" for label in old if label not in new]
    for label, count in old.items():
        if label in new and count not in (None, new[label]):
            found.append(f"the class {label} had {count} pictures and has {new[label]}")
    if not found and list(old) != list(new):
        found.append(f"its classes were in the order {', '.join(old)} and are now {', '.join(new)}")
    if before["channels"] != now["channels"]:
        found.append(f"its pictures had {before['channels']} channels and have {now['channels']} (1: grey, 3: colour)")
    if not found and before["images"] not in (None, now["images"]):
        found.append(f"it had {before['images']} pictures and has {now['images']}")
    if found:
        said = "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} changes more" if len(found) > SHOWN else "")
        raise ValueError(
            f"{name} is not what this run was begun with: {said}. Put it back as it was, or begin a run elsewhere"
        )
