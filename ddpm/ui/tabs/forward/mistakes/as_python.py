"""A network with mistakes as lines of Python: trained and drawn with, as the page does it."""

from __future__ import annotations

from collections.abc import Set

from ddpm.config import Config
from ddpm.device import pick_device, resolve_precision
from ddpm.ui.generation.as_python import IN_A_CLONE, call, model_lines, picture_lines, program
from ddpm.ui.generation.models import Model

from . import mistakes
from .mistakes import LIVE, NAMES, RAW_STD, SCALE


def of_mistakes(config: Config, broken: Set[str], steps: int, n: int, draw_steps: int, guidance: float) -> str:
    """config: of the training, its seed included.  steps: of the optimiser.  n, draw_steps, guidance: of the digits."""
    latent, m = config.autoencoder is not None, config.model
    network, codec, size = "ddpm.ModelConfig", "", f", {m.in_ch}, {m.img_size}"
    lines = [
        *beginning(broken),
        "def loss(model, x0, t, noise, sched, y):",
        "    x_t, target = mistakes.pair(x0, t, noise, sched, broken)",
        "    return torch.nn.functional.mse_loss(model(x_t, t, y).float(), target)",
        'data = ddpm.load_dataset("bundled")',
        f"sched = ddpm.config.build_schedule({call('ddpm.ScheduleConfig', config.schedule)})",
    ]
    if config.autoencoder is not None:
        name = f'ddpm.config.AutoencoderName("{config.autoencoder.folder}")'
        lines.append(f"codec = ddpm.storage.checkpoint.find_codec({name})")
        network, codec = "ddpm.config.MLPConfig", ", codec"
    training = f"sched=sched, config={call('ddpm.TrainConfig', config.train)}, steps={steps}, loss=loss"
    weights = "live_model" if LIVE in broken else "ema_model"
    precision = str(resolve_precision("auto", pick_device()))[6:]
    drawn = f"codec.decode(x_t{f' / {RAW_STD}' if SCALE in broken else ''})" if latent else "x_t"
    lines += [
        f"model = ddpm.networks.build_model({call(network, m)}, {config.train.seed}{codec})",
        f"for state in ddpm.fit(model, data.images, data.labels, {training}): pass",
        f'model = ddpm.Guided(ddpm.device.Inference(state.{weights}(), "{precision}"), {guidance})',
        *drawing(n, draw_steps, config.train.seed, size),
        *picture_lines(n, drawn),
    ]
    return program(f"Common mistakes, {steps} steps. With broken = set() it is as it should be.", lines, where="")


def of_drawing(name: str, weights: Model, broken: Set[str], seed: int, n: int, draw_steps: int, guidance: float) -> str:
    """With weights that ship, called name."""
    lines = [
        *beginning(broken),
        *model_lines(name, weights),
        f"model = ddpm.Guided(model, {guidance})",
        *drawing(n, draw_steps, seed, f", {weights.channels}, {weights.img_size}"),
        *picture_lines(n, "x_t"),
    ]
    return program(
        "Common mistakes, drawn at once. With broken = set() it is as it should be.", lines, where=IN_A_CLONE
    )


def beginning(broken: Set[str]) -> list[str]:
    """`mistakes` and `broken`."""
    names = ", ".join(repr(name) for name in NAMES if name in broken)
    return [f"from {mistakes.__package__} import mistakes", "", f"broken = {{{names}}}"]


def drawing(n: int, draw_steps: int, seed: int, size: str) -> list[str]:
    """`x_t`, the finished one.  size: of the pictures, as the end of a call's arguments."""
    return [f"for x_t in mistakes.draw(model, sched, torch.arange({n}), {draw_steps}, {seed}, broken{size}): pass"]
