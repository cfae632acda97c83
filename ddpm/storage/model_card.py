"""What a finished training run tells about itself: the model card, the loss curve, the grid of samples."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any

import torch
import torch.nn as nn
from PIL import Image

from ..config import Config, ModelConfig, SamplingConfig, config_of
from ..data import grid, to_uint8
from ..device import Inference
from ..generate import Sampler
from ..schedule import Schedule

GRID_STEPS = 50
GRID_SEED = 0
SAMPLES, LITERAL_EMA = "samples.png", "samples_literal_ema.png"


def sample_grid(model: nn.Module, sched: Schedule) -> Image.Image:
    """100 samples, ten a row, seed 0.  With classes: five rows at guidance 1, then the same noise at guidance 2."""
    config, inference = config_of(model), Inference(model)
    scales, each = ((1.0, 2.0), 50) if config.conditional else ((1.0,), 100)
    ways = [SamplingConfig(num_steps=min(GRID_STEPS, sched.T), guidance=scale) for scale in scales]
    parts = [to_uint8(Sampler(inference, sched, sampling).draw(each, seed=GRID_SEED)) for sampling in ways]
    return grid(torch.cat(parts)[:, :3], columns=10)


def loss_curve(rows: list[dict[str, Any]], width: int = 640, height: int = 260) -> str:
    """An SVG of the smoothed and the held-out loss against images seen, loss on a log axis.  rows: of metrics.csv."""
    left, right, top, bottom = 56, 12, 12, 36
    curves = [("training, smoothed", "loss_smooth", "#0072b2", ""), ("held out", "held_out_loss", "#d55e00", "6 4")]
    points = {
        k: [(float(r["images"]), math.log10(float(r[k]))) for r in rows if r[k] and float(r[k]) > 0]
        for _, k, _, _ in curves
    }
    everything = [p for line in points.values() for p in line]
    x_max = max((x for x, _ in everything), default=1) or 1
    y_min, y_max = min((y for _, y in everything), default=0), max((y for _, y in everything), default=1)
    y_max = max(y_max, y_min + 0.1)

    def at(x: float, y: float) -> str:
        px = left + x / x_max * (width - left - right)
        py = top + (y_max - y) / (y_max - y_min) * (height - top - bottom)
        return f"{px:.1f},{py:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y_min + share * (y_max - y_min)
        x_left, y_px = at(0, y).split(",")
        parts.append(f'<path d="M{x_left} {y_px}H{width - right}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y_px) + 4:.1f}" text-anchor="end">{10**y:.3g}</text>')
    for i, (label, key, colour, dash) in enumerate(curves):
        line = " ".join(at(x, y) for x, y in points[key])
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        parts.append(f'<text x="{width - right - 150}" y="{top + 16 + 16 * i}" fill="{colour}">{label}</text>')
    parts.append(f'<text x="{left}" y="{height - 12}">0</text>')
    parts.append(f'<text x="{width - right}" y="{height - 12}" text-anchor="end">{x_max:,.0f} images seen</text></svg>')
    return "\n".join(parts) + "\n"


def evaluations_table(metrics: list[dict[str, Any]]) -> list[str]:
    """What `evaluate --save` found, as lines of a model card."""
    if not metrics:
        return []
    lines = [
        "## Evaluation",
        "",
        "| drawn with | network evaluations | n | FID | over the real-data FID | by the second | class accuracy "
        "| by the second | recall "
        "| intra-class distance |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for i, v in enumerate(metrics, 1):
        other = v.get("second") or {"fid_over_real": None, "accuracy": None}  # older evaluations have but the first's
        over_real = "" if other["fid_over_real"] is None else f"{other['fid_over_real']:.2f}"
        read, also_read = ("" if share is None else f"{share:.1%}" for share in (v["accuracy"], other["accuracy"]))
        lines.append(
            f"| [{i}] | {v['evaluations']} | {v['n']:,} | {v['fid']:.3f} | {v['fid_over_real']:.2f} | {over_real} "
            f"| {read} | {also_read} | {v['recall_over_real']:.2f} | {v['distance_over_real']:.2f} |"
        )
    last = metrics[-1]
    digits = last["reference"].startswith("mnist")
    what, classifier = ("digits", "digit classifier") if digits else ("pictures", "classifier")
    second = next((v["second"] for v in reversed(metrics) if v.get("second")), None)
    lines += [
        "",
        f"FID: Frechet distance on the features of the {classifier} {last['extractor']}, against "
        f"{last['reference']} {what}; beside it, how many times that of as many real training {what}. Class accuracy: "
        "classified as asked. Recall (Kynkaanniemi et al. 2019, k = 3) and intra-class distance (mean) are "
        f"relative to real {what}'.",
        "",
    ]
    if not digits:
        lines += [f"Of real training pictures {last['accuracy_real']:.1%} are classified as they are labelled.", ""]
    if last.get("attributes"):
        shares = ", ".join(f"{name} {share:.1%}" for name, share in last["attributes"].items())
        lines += [
            f"Class accuracy of each attribute in [{len(metrics)}], of which that above is the mean: {shares}.",
            "",
        ]
    if second:
        lines += [
            f"By the second: the same by the digit classifier {second['extractor']}, of another architecture, training "
            "seed and distortions, by which nothing was ever chosen. Recipes and settings were chosen by the first's "
            "figures.",
            "",
        ]
    lines += [
        *(f"{i}. `{v['command']}`" for i, v in enumerate(metrics, 1)),
        "",
    ]
    return lines


def described(dataset: str, config: Config) -> str:
    """What a model draws: pictures of a size, or latents of an autoencoder."""
    m, a = config.model, config.autoencoder
    if a is None:
        return f"{dataset}, {m.img_size}x{m.img_size}"
    return f"{dataset} in the latent space of the autoencoder {a.folder} (sha256 {a.sha256[:12]}...)"


def model_card(name: str, config: Config, info: dict[str, Any], pictures: Container[str] = ()) -> str:
    """README.md of a checkpoint folder.  info: what the run recorded.  pictures: the files that lie beside it."""
    m, t = config.model, config.train
    labels = f"{len(m.attributes)} attributes" if m.attributes else f"{m.num_classes} classes"
    classes = f"class-conditional ({labels}, labels dropped with probability {t.label_dropout})"
    sampling = "five rows at guidance 1, then the same noise at guidance 2" if m.conditional else "unconditional"
    held_out = info.get("held_out_loss")
    patch = f", {m.patch_size}x{m.patch_size} patch" if isinstance(m, ModelConfig) else ""
    lines = [
        f"# {name}",
        "",
        f"A diffusion model of {described(info['dataset'], config)}: "
        f"{classes if m.conditional else 'unconditional'}, {m.prediction}-prediction, {config.schedule.kind} schedule, "
        f"T = {config.schedule.T}, {info['parameters']:,} parameters{patch}.",
        "",
        "| | |",
        "|---|---|",
        f"| data | {info['dataset']}, {info['images_in_dataset']:,} training images |",
        f"| command | `{info['command']}` |",
        *([f"| begun from | {info['begun_from']} |"] if info.get("begun_from") else []),
        f"| training time | {info['seconds'] / 60:.1f} minutes without pauses, {info['device']}, {info['precision']} |",
        f"| steps | {info['step']:,} of batch {t.batch_size}, {info['images_seen']:,} images seen |",
        f"| loss, smoothed | {info['loss_smooth']:.5f} |",
        f"| loss, held out | {'none: this data set has no test split' if held_out is None else f'{held_out:.5f}'} |",
        "| weights | exponential moving average, float16 |",
        "",
    ]
    shown = [
        "![loss](loss.svg)",
        "",
        f"![samples]({SAMPLES})",
        "",
        f"DDIM, {GRID_STEPS} steps, seed {GRID_SEED}, none selected; {sampling}.",
        "",
    ]
    lines += evaluations_table(info.get("metrics", []))
    if SAMPLES not in pictures:
        return "\n".join(lines)
    if LITERAL_EMA in pictures:
        shown += [
            f"![samples of the literal average]({LITERAL_EMA})",
            "",
            f"The same noise and the same run, but the average as the tutorial writes it, with a decay of "
            f"{t.ema_decay} from the first step on: after {info['step']:,} steps {t.ema_decay ** info['step']:.0%} of "
            f"it is still the random initialisation. The weights that ship warm the decay up, "
            f"min({t.ema_decay}, (1 + n)/(10 + n)) at step n, and remember nothing of it.",
            "",
        ]
    return "\n".join(lines + shown)
