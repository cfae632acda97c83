"""Speed and quality on this machine: ours against the tutorial's code, and quality against seconds of training.

Each row runs in a process of its own, one after the other, so that its peak memory is its own, and within a limit of
time, whatever the machine.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..autoencoder import encoding
from ..config import SamplingConfig, build_schedule
from ..data import load_dataset
from ..device import Inference, bfloat16_is_faster, pick_device
from ..generate import Sampler
from ..loader import Loader
from ..networks import build_model
from ..presets import OF_HOURS, PAGE_SAMPLING, PRESETS, training_sampling
from ..samplers import SAMPLERS
from ..storage.checkpoint import Checkpoint, load_checkpoint, with_autoencoder
from ..system.threads import Threads
from ..training.loop import fit, warm_up
from . import tutorial_code
from .evaluate import evaluate

TUTORIAL = "the tutorial's code"
DIGITS = 16  # drawn in the sampling rows
WARM_UP = 3  # steps that are not timed
BUDGETS = {"fast": (10, 30, 60, 120), "latent": (2, 3, 10, 30, 120)}  # seconds of training
QUICK_BUDGETS = {"fast": (10, 30), "latent": (3,)}
SEEDS = (0, 1, 2)
ROW_SECONDS = 180  # that a row may take beside the training it is about
NEIGHBOUR = "ours, fast, beside a busy process"
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with a row that is cut off
# What makes a better processor compute as one with AVX2 and nothing more.  Caches and clock stay its own.
PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CURVE_EVALUATIONS = (5, 10, 20, 50, 100, 250)  # at most so many a picture, of whichever sampler
Row = dict[str, Any]
Task = tuple[Row, Callable[..., Row], tuple]  # a row's name and such, what measures the rest, and its arguments
Tell = Callable[[Row], None]  # what is done with each row as it is known


def peak_megabytes() -> int | None:
    """The most memory this process has held; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def timed(steps: Iterable[Any], seconds: float) -> list[float]:
    """The seconds of each step, after a warm-up, for about so many seconds and at least five steps."""
    times, start = [], time.perf_counter()
    for i, _ in enumerate(steps):
        now = time.perf_counter()
        if i >= WARM_UP:
            times.append(now - start)
        if i >= WARM_UP + 4 and sum(times) > seconds:
            break
        start = now
    return times


def following(threads: Threads, steps: Iterable[Any]) -> Iterator[Any]:
    """The steps, the threads following the machine's load between two of them."""
    for step in steps:
        threads.follow()
        yield step


def speed_of_the_tutorial(seconds: float) -> Row:
    """Training and sampling of the tutorial's code: float32, contiguous, batch 128, the same digits in memory."""
    torch.manual_seed(0)
    code = tutorial_code.Diffusion()
    loader = Loader(load_dataset("bundled").images, batch_size=128)
    training = timed((code.train_step(loader.batch(step)[0]) for step in range(10**6)), seconds)
    steps = max(10, round(seconds))
    code.sample(DIGITS, 3)
    start = time.perf_counter()
    code.sample(DIGITS, steps)
    drawing = (time.perf_counter() - start) / steps * code.T
    return {"images_per_second": 128 / statistics.median(training), "sampling_seconds": drawing, "evaluations": code.T}


def speed_of_ours(preset: str, precision: str, seconds: float) -> Row:
    """Training and sampling of a preset: as a network of the tutorial's with its sampler, else with the page's."""
    config, codec = with_autoencoder(PRESETS[preset], device=pick_device())
    recipe = dataclasses.replace(config.train, precision=precision)
    data, sched = load_dataset("bundled"), build_schedule(config.schedule, pick_device())
    model = build_model(config.model, 0, codec).to(pick_device())
    labels = data.labels if model.num_classes else None
    sampling = PAGE_SAMPLING if model.num_classes else SamplingConfig("ddpm", sched.T)
    sampler = Sampler(Inference(model, precision), sched, sampling)
    with Threads() as threads:  # as the page and the command line
        steps = fit(model, data.images, labels, sched=sched, config=recipe, steps=10**6)
        training = timed(following(threads, steps), seconds)
        if model.num_classes:
            drawn = (sampler.pictures(list(following(threads, sampler.steps(DIGITS)))[-1].x_t) for _ in range(10**3))
            drawing = statistics.median(timed(drawn, seconds / 2))
        else:  # a thousand steps alike: timing some of them is enough
            drawing = statistics.median(timed(sampler.steps(DIGITS), seconds)) * sched.T
    return {
        "images_per_second": recipe.batch_size / statistics.median(training),
        "sampling_seconds": drawing,
        "evaluations": sampler.evaluations,
    }


def speed_beside_a_neighbour(seconds: float) -> Row:
    """Training and sampling of the fast preset while another process keeps one core busy, as shares of their speed
    alone: an ordinary machine also shows the page."""
    alone = speed_of_ours("fast", "auto", seconds)
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY])  # multiprocessing lets no row have children
    try:
        beside = speed_of_ours("fast", "auto", seconds)
    finally:
        neighbour.kill()
        neighbour.wait()
    return beside | {
        "training_share": beside["images_per_second"] / alone["images_per_second"],
        "sampling_share": alone["sampling_seconds"] / beside["sampling_seconds"],
    }


def quality(preset: str, seconds: float, seed: int, n: int) -> Row:
    """A preset trained from nothing on the bundled digits, loading them included; n digits, evaluated.

    In latent space these are encoded before the clock runs, as the page does when it starts: encoding_seconds.
    """
    config, codec = with_autoencoder(PRESETS[preset], device=pick_device())
    warm_up(config.train, pick_device())  # as the page does when it starts
    start = time.perf_counter()
    data = load_dataset("bundled")
    encoding_seconds = 0.0
    if codec is not None:
        for _ in encoding(codec, data.images):
            pass
        encoding_seconds, start = time.perf_counter() - start, time.perf_counter()
    recipe = dataclasses.replace(config.train, seed=seed)
    sched = build_schedule(config.schedule, pick_device())
    model = build_model(config.model, seed, codec).to(pick_device()).to(memory_format=torch.channels_last)
    left = seconds - (time.perf_counter() - start)
    *_, state = filter(None, fit(model, data.images, data.labels, sched=sched, config=recipe, seconds=left))
    took = time.perf_counter() - start
    sampling = training_sampling(state.images_seen, sched.T, codec is not None)
    sampler = Sampler(Inference(state.ema_model(), "auto"), sched, sampling)
    spent = {"seconds": seconds, "took": took, "images_seen": state.images_seen, "sampler": sampling.sampler}
    spent |= {"encoding_seconds": encoding_seconds}
    return spent | evaluate(sampler, n, seed)


def most_steps(checkpoint: Checkpoint, sampling: SamplingConfig, evaluations: int) -> int:
    """The largest number of steps that costs at most so many network evaluations."""
    model = Inference(checkpoint.model, "float32")
    asked = (dataclasses.replace(sampling, num_steps=n) for n in range(min(evaluations, checkpoint.sched.T), 0, -1))
    return next(h.num_steps for h in asked if Sampler(model, checkpoint.sched, h).evaluations <= evaluations)


def curve_point(checkpoint: str, sampling: SamplingConfig, n: int) -> Row:
    """One sampler at one number of steps with the weights of a checkpoint."""
    loaded = load_checkpoint(checkpoint)
    return evaluate(
        Sampler(Inference(loaded.model, "auto"), loaded.sched, sampling), n, dataset=loaded.info.get("dataset")
    )


def _measured(function: Callable[..., Row], args: tuple) -> Row:
    row = function(*args)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} | {"peak_mb": peak_megabytes()}


def run(tasks: Sequence[Task], tell: Tell, seconds: float = ROW_SECONDS) -> list[Row]:
    """Each task in a fresh process; the rows in the same order, and each to `tell` as it is known.

    A row that takes longer than so many seconds is ended, and says so: {"over": seconds} in place of its figures.
    """
    rows, context = [], multiprocessing.get_context("spawn")
    for name, function, args in tqdm(tasks, unit="row", disable=None, leave=False):
        with context.Pool(1) as pool:
            try:
                rows.append(name | pool.apply_async(_measured, (function, args)).get(timeout=seconds))
            except multiprocessing.TimeoutError:
                rows.append(name | {"over": seconds})
        tell(rows[-1])
    return rows


def median_row(rows: list[Row]) -> Row:
    """The median of each number in rows that are repetitions of one another.  Of those that ended, if any did."""
    rows = [row for row in rows if "over" not in row] or rows[:1]
    medians = {k: statistics.median(row[k] for row in rows) for k, v in rows[0].items() if isinstance(v, (int, float))}
    parts = {k: median_row([row[k] for row in rows]) for k, v in rows[0].items() if isinstance(v, dict)}
    return rows[0] | medians | parts


def processor() -> str:
    """What the system calls it."""
    with suppress(OSError):  # Linux only
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(plain: bool = False) -> Row:
    """What was measured on.  plain: see `bench`."""
    bfloat16 = not plain and bfloat16_is_faster(pick_device().type)
    return {"device": str(pick_device()), "cores": os.cpu_count(), "threads": torch.get_num_threads()} | {
        "processor": processor() + (", imitating one with AVX2 alone" if plain else ""),
        "torch": torch.__version__,
        "auto_precision": "bfloat16" if bfloat16 else "float32",
    }


def speeds(quick: bool, bfloat16: bool, tell: Tell) -> list[Row]:
    """Images per second and sampling seconds of each row; twice in the long version, the faster one counts.

    bfloat16: whether it is worth a row each.  Where a processor has no such units, a row of it takes for ever.
    """
    seconds = 2.0 if quick else 8.0
    presets = [preset for preset in PRESETS if preset not in OF_HOURS]  # those are of other pictures, too
    ours = [(preset, precision) for preset in presets for precision in ("bfloat16", "float32")]
    ours = [(preset, precision) for preset, precision in ours if bfloat16 or precision == "float32"]
    tasks: list[Task] = [({"name": TUTORIAL, "precision": "float32"}, speed_of_the_tutorial, (seconds,))]
    tasks += [({"name": f"ours, {p}", "precision": q}, speed_of_ours, (p, q, seconds)) for p, q in ours]
    auto = "bfloat16" if bfloat16 else "float32"
    tasks.append(({"name": NEIGHBOUR, "precision": auto}, speed_beside_a_neighbour, (seconds,)))
    first = run(tasks, tell)
    return [faster(*pair) for pair in zip(first, first if quick else run(tasks, tell), strict=True)]


def faster(a: Row, b: Row) -> Row:
    """Of two repetitions the better figures; of one that did not end, the other."""
    if "over" in a or "over" in b:
        return b if "over" in a else a
    best = {"images_per_second": max, "sampling_seconds": min, "training_share": max, "sampling_share": max}
    return a | {name: best[name](a[name], b[name]) for name in best.keys() & a.keys()}


def bench(quick: bool = False, plain: bool = False, tell: Tell = lambda row: None) -> dict[str, Any]:
    """Everything in one run, as plain JSON: `ratios` first.  tell: gets each row as it is known.

    plain: compute as a processor with AVX2 and nothing more would; the environment of this process says so from then
    on, to the processes that it starts.
    """
    os.environ.update(PLAIN if plain else {})
    about, n = machine(plain), 500 if quick else 2000
    rows = speeds(quick, about["auto_precision"] == "bfloat16", tell)
    budgets, seeds = (QUICK_BUDGETS, (0,)) if quick else (BUDGETS, SEEDS)
    trained, medians = [], []
    for preset, budget in [(preset, budget) for preset, each in budgets.items() for budget in each]:
        named = [{"preset": preset, "seed": seed, "seconds": budget} for seed in seeds]
        tasks: list[Task] = [(row, quality, (preset, budget, row["seed"], n)) for row in named]
        rows_of_it = run(tasks, tell, budget + ROW_SECONDS)
        trained += rows_of_it
        medians.append(median_row(rows_of_it))
    tutorial, *ours = rows
    ratios = {
        f"{row['name']} in {row['precision']}": {
            "training": round(row["images_per_second"] / tutorial["images_per_second"], 2),
            "sampling": round(tutorial["sampling_seconds"] / row["sampling_seconds"], 1),
        }
        for row in ours
        if not ({"over"} & (row.keys() | tutorial.keys()))
    }
    return {
        "ratios": ratios,
        "machine": about,
        "sampling": dataclasses.asdict(PAGE_SAMPLING),
        "speed": rows,
        "quality": medians,
        "runs": trained,
    }


def curve(checkpoint: str, quick: bool = False, tell: Tell = lambda row: None) -> dict[str, Any]:
    """A checkpoint's quality against network evaluations, for each sampler, guided as on the page.

    n is 2,000 up to 100 steps and 500 above.
    """
    tasks, page, loaded = [], dataclasses.replace(PAGE_SAMPLING, eta=0.0), load_checkpoint(checkpoint)
    ways: dict[str, dict[str, Any]] = {
        name: {"sampler": name, "spacing": each.spacing} for name, each in SAMPLERS.items()
    }
    ways[f"ddim, eta {PAGE_SAMPLING.eta}"] = {"sampler": "ddim", "eta": PAGE_SAMPLING.eta}
    for name, way in ways.items():
        for evaluations in CURVE_EVALUATIONS[:3] if quick else CURVE_EVALUATIONS:
            sampling = dataclasses.replace(page, **way)
            sampling = dataclasses.replace(sampling, num_steps=most_steps(loaded, sampling, evaluations))
            n = 200 if quick else 2000 if sampling.num_steps <= 100 else 500
            tasks.append(({"sampler": name, "steps": sampling.num_steps}, curve_point, (checkpoint, sampling, n)))
    asked = dataclasses.asdict(PAGE_SAMPLING)
    return {"checkpoint": checkpoint, "machine": machine(), "sampling": asked, "points": run(tasks, tell)}


def curve_table(result: dict[str, Any]) -> str:
    """The result of `curve` as text."""
    lines = [
        f"{'sampler':16}{'steps':>6}{'evals':>7}{'n':>7}{'FID/real':>11}{'by second':>11}{'accuracy':>10}{'recall':>8}"
        f"{'distance':>10}"
    ]
    for p in result["points"]:
        if "over" in p:
            lines.append(line(p))
            continue
        second = f"{p['second']['fid_over_real']:.2f}" if p["second"] else ""  # there is one of digits alone
        read = "" if p["accuracy"] is None else f"{p['accuracy']:.1%}"  # without classes nothing was asked for
        lines.append(
            f"{p['sampler']:16}{p['steps']:>6}{p['evaluations']:>7}{p['n']:>7}{p['fid_over_real']:>11.2f}"
            f"{second:>11}{read:>10}{p['recall_over_real']:>8.2f}{p['distance_over_real']:>10.2f}"
        )
    return "\n".join(lines)


def line(row: Row) -> str:
    """A row as it is known: a speed, a training's outcome, or a point of a curve."""
    if "preset" in row:
        name = f"{row['preset']}, {row['seconds']} s of training, seed {row['seed']}"
    else:
        name = row["name"] if "name" in row else f"{row['sampler']}, {row['steps']} steps"
    name += f" in {row['precision']}" if "precision" in row else ""
    if "over" in row:
        return f"{name:46} not done within {row['over']:.0f} s"
    if "images_per_second" in row and "sampling_seconds" in row:
        said = f"{row['images_per_second']:.0f} images/s, {DIGITS} digits in {row['sampling_seconds']:.2f} s"
        if "training_share" in row:
            said += f": {row['training_share']:.0%} and {row['sampling_share']:.0%} of the speed alone"
        return f"{name:46} {said}"
    read = "" if row["accuracy"] is None else f", {row['accuracy']:.1%} classified as asked"
    return f"{name:46} {row['fid_over_real']:.2f} times the real-data FID{read}"


def outcomes(preset: str, rows: list[Row]) -> list[str]:
    """What a preset has come to, by seconds of training, as lines of text."""
    first = rows[0]
    lines = [f"preset {preset} from nothing; {first['n']} digits of {first['evaluations']} evaluations; medians:"]
    if first["encoding_seconds"]:
        seconds = statistics.median(row["encoding_seconds"] for row in rows)
        lines.append(f"(its autoencoder was trained beforehand, and the digits encoded in {seconds:.1f} s)")
    heads = f"{'trained':>8}{'images':>9}{'FID/real':>11}{'accuracy':>10}{'by the second':>15}"
    lines += ["", f"{heads}{'recall':>8}{'distance':>10}{'MB':>7}"]
    for row in rows:
        second = f"{row['second']['fid_over_real']:.2f}, {row['second']['accuracy']:.1%}"
        lines.append(
            f"{row['seconds']:>6} s{row['images_seen']:>9.0f}{row['fid_over_real']:>11.2f}{row['accuracy']:>10.1%}"
            f"{second:>15}{row['recall_over_real']:>8.2f}{row['distance_over_real']:>10.2f}{row['peak_mb'] or 0:>7.0f}"
        )
    return [*lines, ""]


def table(result: dict[str, Any]) -> str:
    """The result of `bench` as text, ratios first."""
    about = result["machine"]
    lines = [f"against {TUTORIAL}, on {about['cores']} cores of {about['processor']}:", ""]
    lines += [f"{'':46}{'training':>10}{'sampling':>10}"]
    for name, ratio in result["ratios"].items():
        lines.append(f"{name:46}{ratio['training']:>9.2f}x{ratio['sampling']:>9.1f}x")
    if about["auto_precision"] == "float32":
        lines.append("no rows in bfloat16: here it is slower than float32")
    lines += ["", *map(line, result["speed"]), ""]
    ended = [row for row in result["quality"] if "over" not in row]
    for preset in dict.fromkeys(row["preset"] for row in ended):
        lines += outcomes(preset, [row for row in ended if row["preset"] == preset])
    if not ended:
        return "\n".join(lines)
    lines += ["by the second classifier: FID and accuracy, by which nothing was tuned"]
    lines += ["recall and distance (intra-class, mean) are relative to real digits'"]
    return "\n".join(lines)
