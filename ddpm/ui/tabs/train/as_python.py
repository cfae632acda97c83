"""A training run as lines of Python: the same network, pictures and steps, and the pictures of its last preview."""

from __future__ import annotations

import dataclasses

from ddpm.device import resolve_precision
from ddpm.ui.generation.as_python import call, drawing_lines, picture_lines, program, sampler_lines

from .training_run import PREVIEWS, TrainingRun

MOST_CHANGES = 8  # of how many pictures were taken at a time, that are written out


def of_training(run: TrainingRun) -> str:
    """Raises ValueError in words before the first step."""
    state, config, data = run.reached, run.config, run.data
    if run.of_a_window:
        raise ValueError("Your own pictures are not in the package: train on the zip with --dataset zip:FILE instead.")
    if run.begin is not None:
        raise ValueError("It continued from other weights: python -m ddpm train --init CHECKPOINT does the same.")
    network = "ddpm.ModelConfig" if run.codec is None else "ddpm.config.MLPConfig"
    exact = "to the pixel" if is_exact(run) else "nearly"
    train = dataclasses.replace(config.train, precision=str(resolve_precision(config.train.precision, run.device))[6:])
    lines = [] if exact == "to the pixel" else [f"# {why_not(run)}"]
    lines += [f'data = ddpm.load_dataset("{data.name}")', f"config = {call('ddpm.TrainConfig', train)}"]
    codec = ""
    if config.autoencoder is not None:
        name = f'ddpm.config.AutoencoderName("{config.autoencoder.folder}")'
        lines.append(f"codec = ddpm.storage.checkpoint.find_codec({name})")
        codec = ", codec"
    lines.append(f"sched = ddpm.config.build_schedule({call('ddpm.ScheduleConfig', config.schedule)})")
    seed = f"{train.seed}{codec}"
    lines.append(f"model = ddpm.networks.build_model({call(network, config.model)}, {seed})")
    given = "model, data.images, data.labels" if config.model.conditional else "model, data.images"
    given += f", sched=sched, config=config, steps={state.step}"
    if run.parts and len(run.parts) <= MOST_CHANGES:
        counts = zip(run.parts, [*(step for step, _ in run.parts[1:]), state.step], strict=True)
        sizes = " + ".join(f"[{size}] * {until - step}" for (step, size), until in counts)
        lines.append(f"sizes = {sizes}  # pictures of a batch at a time, in each step")
        given += ", part_size=iter(sizes).__next__"
    lines.append(f"for state in ddpm.fit({given}): pass")
    lines.append(f'model = ddpm.device.Inference(state.ema_model(), "{preview_precision(run)}")')
    lines += [*sampler_lines(run.sampling()), *drawing_lines(PREVIEWS, "", 0), *picture_lines(PREVIEWS)]
    return program(f"A training, {run.label}: {state.step} steps. These lines repeat it {exact}.", lines)


def preview_precision(run: TrainingRun) -> str:
    return str(resolve_precision("auto", run.device))[6:]


def is_exact(run: TrainingRun) -> bool:
    return not why_not(run)


def why_not(run: TrainingRun) -> str:
    """Why lines cannot repeat a run exactly; "" if they can."""
    if run.remote or run.resume is not None:
        return "It was continued, or trained elsewhere: here it is one run of as many steps."
    if run.kind == "seconds" and run.config.train.lr_decay:
        return "Its learning rate followed the clock, here it follows the steps: other digits, as good."
    if not run.parts or len(run.parts) > MOST_CHANGES:
        return "Its batches were taken in parts as they fitted the time: rounding differs, and grows with the steps."
    return ""
