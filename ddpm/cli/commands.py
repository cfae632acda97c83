"""What each command does: train, sample, evaluate, bench."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .. import data
from ..autoencoder import codec_of
from ..config import Config, SamplingConfig, from_dict
from ..device import Inference, pick_device
from ..evaluation.evaluate import evaluate as evaluation_of
from ..generate import Sampler, class_labels
from ..presets import PRESETS, for_dataset
from ..samplers import SAMPLERS
from ..storage.atomic import check_writable, readable, write_atomic
from ..storage.checkpoint import CARD, CONFIG, Checkpoint, load_checkpoint, load_training, save_info, with_autoencoder
from ..storage.model_card import model_card
from ..system.distributed import Group, joined
from ..training import finetune
from ..training.state import Snapshot
from .autoencoder_run import train_autoencoder
from .parser import parser
from .picture_file import check_fits, check_place, moments, write_images
from .run_folder import check_apart, check_folder, check_unchanged, contents, recorded
from .train_run import Run

DEFAULTS: dict[str, Any] = {"preset": "fast", "dataset": "bundled", "data_dir": "data", "seed": 0, "ema_warmup": False}


def train(args: argparse.Namespace) -> None:
    with joined(pick_device()) as group:
        train_in(group, args)


def train_in(group: Group, args: argparse.Namespace) -> None:
    """What one of the processes of a run does."""
    config, run, snapshot = resumed(args) if args.resume else begun(args)
    init = None if args.resume or not run["init"] else load_checkpoint(run["init"], pick_device())
    if init is None:
        config, codec = with_autoencoder(config, args.out, pick_device())
    else:
        codec = codec_of(init.model)
        config = dataclasses.replace(init.config, train=config.train)
    name, folder = run["dataset"], Path(run["data_dir"])
    source = data.DATASETS.get(name)
    size = (source and source.img_size) or (config.model.img_size if codec is None else codec.picture_shape[-1])
    if source and source.megabytes and not (folder.is_dir() or (folder.parent.is_dir() and not folder.exists())):
        raise ValueError(f"--data-dir: {folder} is not a folder, nor can it become one in {folder.parent}")
    has_test = source is not None and source.has_test
    with group.one_first():
        dataset = data.load_dataset(name, str(folder), img_size=size)
        held_out = data.load_dataset(name, str(folder), train=False, img_size=size) if has_test else None
    if snapshot is None:
        if init is not None:
            finetune.check_fits(init.model, run["init"], dataset)
        config = for_dataset(config, dataset, config.train.seed)
    else:
        check_unchanged(name, recorded(args.out, config, run), contents(dataset))
    args.out.mkdir(parents=True, exist_ok=True)
    check_parts(group, args.accumulate, min(config.train.batch_size, len(dataset.images)))
    run |= {"data": contents(dataset)}
    options = {"init": init and init.model, "accumulate": args.accumulate, "compiled": args.compile}
    Run(args.out, config, run, dataset, held_out, codec, group, **options).train(snapshot)


def check_parts(group: Group, accumulate: int, batch_size: int) -> None:
    """Raise ValueError unless each part of a batch has a picture."""
    if group.size * accumulate > batch_size:
        processes = f"{group.size} processes by " if group.size > 1 else ""
        raise ValueError(f"--accumulate: {processes}{accumulate} parts of a batch that has {batch_size} pictures")


def budget_of(args: argparse.Namespace) -> dict[str, Any]:
    return {name: vars(args)[name] for name in ("epochs", "steps", "minutes") if name in args}


def begun(args: argparse.Namespace) -> tuple[Config, dict[str, Any], None]:
    """A new run: its recipe, what its folder is to say of it, and no snapshot."""
    given = DEFAULTS | vars(args)
    check_folder(args.out, overwrite=args.overwrite)
    check_apart(args.out, given["dataset"])
    config = PRESETS[given["preset"]]
    literal_ema = given["ema_warmup"] and not config.train.ema_warmup
    changes: dict[str, Any] = {"seed": given["seed"], "ema_warmup": config.train.ema_warmup or given["ema_warmup"]}
    changes |= {"precision": args.precision} if "precision" in args else {}
    run = {name: given[name] for name in ("preset", "dataset")} | {"data_dir": str(given["data_dir"])}
    run |= {"budget": budget_of(args), "literal_ema": literal_ema, "command": command_line(), "init": given.get("init")}
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes)), run, None


def resumed(args: argparse.Namespace) -> tuple[Config, dict[str, Any], Snapshot]:
    """The run in a folder.  Raises ValueError if it is asked to be another one."""
    tensors, run = load_training(args.out)
    try:
        config, snapshot = from_dict(run["config"]), Snapshot(tensors, run["numbers"])
        kept = {name: run[name] for name in ("preset", "dataset", "data_dir", "budget", "command")}
    except KeyError as missing:
        raise ValueError(f"{args.out} holds no run that can be resumed: {missing} is missing") from None
    check_folder(args.out, resume=True)
    if "init" in args and args.init != run.get("init"):
        began = run.get("init") or "nothing"
        raise ValueError(f"--init: the run in {args.out} was begun from {began}; choose another --out for this")
    has = vars(config.train) | kept
    for name in ("preset", "seed", "precision", "ema_warmup"):
        if name in args and vars(args)[name] != has[name]:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option}: the run in {args.out} goes on with {has[name]}; choose another --out for this")
    moved = {name: str(vars(args)[name]) for name in ("dataset", "data_dir") if name in args}
    return config, run | moved | {"budget": budget_of(args) or run["budget"]}, snapshot


def command_line() -> str:
    return shlex.join(["python", "-m", "ddpm", *sys.argv[1:]])


def load_sampler(args: argparse.Namespace, precision: str = "float32") -> tuple[Checkpoint, Sampler]:
    """The checkpoint asked for and what draws from it.  Raises ValueError for options that would do nothing."""
    low, high = args.guide_between
    if args.eta and SAMPLERS[args.sampler].knob != "eta":
        raise ValueError(f"--eta {args.eta}: of ddim alone, and {args.sampler} has none")
    if args.variance != "small" and SAMPLERS[args.sampler].knob != "variance":
        raise ValueError(f"--variance {args.variance}: of ddpm alone, and {args.sampler} has none")
    if low > high:
        raise ValueError(f"--guide-between {low} {high}: the lower share of T first")
    if (low, high) != (0, 1) and args.guidance == 1:
        raise ValueError(f"--guide-between {low} {high}: says where --guidance counts; give one that is not 1")
    loaded = load_checkpoint(args.checkpoint, pick_device())
    if not loaded.config.model.conditional and args.guidance not in (0, 1):
        raise ValueError(f"--guidance {args.guidance}: {args.checkpoint} has no classes to guide to; leave it out")
    rest = {"variance": args.variance, "spacing": vars(args).get("spacing", SAMPLERS[args.sampler].spacing)}
    sampling = SamplingConfig(args.sampler, args.steps, args.eta, args.guidance, low, high, **rest)
    return loaded, Sampler(Inference(loaded.model, precision), loaded.sched, sampling)


def class_asked(args: argparse.Namespace, names: tuple[str, ...]) -> int | None:
    """The label that --class or --digit names.  names: of the model's classes.  Raises ValueError if none has it."""
    if "digit" not in args and "class_name" not in args:
        return None
    option, name = ("--digit", str(args.digit)) if "digit" in args else ("--class", readable(args.class_name))
    if not names:
        raise ValueError(f"{option} {name}: this model has no classes")
    if name not in names:
        numbers = names == tuple(map(str, range(len(names))))
        known = f"0 to {len(names) - 1}" if numbers else ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        by_name = "" if numbers or option == "--class" else "; choose one with --class"
        raise ValueError(f"{option} {name}: this model knows the classes {known}{by_name}")
    return names.index(name)


def sample(args: argparse.Namespace) -> None:
    n, steps, out = args.n, args.steps, args.out
    check_place(out)
    loaded, sampler = load_sampler(args)
    check_fits(out, n, *sampler.picture_shape[:2])
    only = class_asked(args, loaded.class_names)
    labels = class_labels(sampler.config, n) if only is None else torch.full((n,), only)
    if args.guidance == 0 and args.guide_between == [0, 1]:
        if only is not None:
            raise ValueError("--guidance 0: draws without a label; leave out --class or --digit, or ask for more")
        labels = None
    kept = moments(out, steps)
    with drawing(n, steps) as bar:
        frames = sampler.frames(n, labels, args.seed, kept=kept.__contains__, progress=bar.update)
    write_images(out, frames, labels)
    print(f"wrote {out}")


def drawing(n: int, steps: int) -> tqdm:
    return tqdm(total=n * (steps + 1), unit="step", disable=None, leave=False)


def evaluate(args: argparse.Namespace) -> None:
    folder = Path(args.checkpoint)
    if args.save and not folder.is_dir():
        raise ValueError(f"--save: {folder} is not a folder on this computer")
    loaded, sampler = load_sampler(args, "auto")
    if args.save:
        with_metrics(folder, loaded, [])
        for name in (CARD, CONFIG):
            check_writable(folder / name, "--save: ")
    with drawing(args.n, args.steps) as bar:
        evaluation = evaluation_of(sampler, args.n, args.seed, dataset=loaded.info.get("dataset"), progress=bar.update)
    result = readable({"checkpoint": args.checkpoint} | dataclasses.asdict(sampler.sampling) | evaluation)
    if args.save:
        save_metrics(folder, result)
    print(json.dumps(result, indent=2))


def with_metrics(folder: Path, loaded: Checkpoint, evaluations: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """(info, model card) of a checkpoint with these evaluations.  Raises ValueError if it lacks what a card says."""
    info = loaded.info | {"metrics": evaluations}
    try:
        return info, model_card(folder.name, loaded.config, info, {path.name for path in folder.glob("*.png")})
    except KeyError as missing:
        raise ValueError(f"--save: {folder} does not say how it was made: {missing} is missing") from None


def save_metrics(folder: Path, result: dict[str, Any]) -> None:
    """Into config.json and README.md, in place of an earlier evaluation on the same samples."""
    loaded = load_checkpoint(folder)
    result = result | {"command": command_line()}
    unsaid = {"fid_error": None, "second": None, "accuracy_real": None}  # by older evaluations
    defaults = dataclasses.asdict(SamplingConfig()) | unsaid
    before = [defaults | evaluation for evaluation in loaded.info.get("metrics", [])]
    same = ("n", "seed", *vars(SamplingConfig()))
    others = [v for v in before if v.keys() == result.keys() and any(v[k] != result[k] for k in same)]
    save_info(folder, *with_metrics(folder, loaded, [*others, result]))


def bench(args: argparse.Namespace) -> None:
    from ..evaluation import bench as benchmark  # it starts processes of its own, which import this module

    check_writable(args.out, "--out: ")

    def tell(row: benchmark.Row) -> None:
        tqdm.write(benchmark.line(row))

    if "curve" in args:
        result = benchmark.curve(args.curve, args.quick, tell)
        print(benchmark.curve_table(result))
    else:
        result = benchmark.bench(args.quick, args.plain, tell)
        print(benchmark.table(result))
    write_atomic(args.out, (json.dumps(readable(result), indent=2) + "\n").encode())
    print(f"wrote {args.out}")


def autoencoder(args: argparse.Namespace) -> None:
    with joined(pick_device()) as group:
        if group.size > 1:
            raise ValueError("train-autoencoder is for one process; torchrun is for train")
        train_autoencoder(args, command_line())


COMMANDS = {"train": train, "train-autoencoder": autoencoder, "sample": sample, "evaluate": evaluate, "bench": bench}


def main(argv: list[str] | None = None) -> int:
    """Run a command.  Returns the exit code; bad input is said in one line, with code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what no text does
    args = parser().parse_args(argv)
    try:
        COMMANDS[args.command](args)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
