"""A model's card: what it was trained on, how large it is, how long it took, and how good what it draws is."""

from __future__ import annotations

from typing import Any

from ddpm.config import config_of
from ddpm.samplers import SAMPLERS
from ddpm.storage.checkpoint import CONFIG, CheckpointError, read_config

from .models import ModelRegistry


def rows(registry: ModelRegistry, model_id: Any) -> list[tuple[str, str]]:
    """(what, as text) of a model.  Of one that was trained or opened here less is known.  Raises ValueError."""
    model = registry.get(model_id)
    network, config = model.model.model, config_of(model.model.model)
    size = sum(p.numel() for p in network.parameters())
    draws = f"{model.dataset}, {model.img_size} × {model.img_size}"
    asked = f"{model.num_classes} classes" if model.num_classes else f"{len(model.attributes)} attributes"
    found = [
        ("Model", model.label),
        ("Draws", f"{draws}, in latent space" if model.model.codec is not None else draws),
        ("Can be asked for", asked if model.conditional else "nothing: it is unconditional"),
        ("Network", f"{size:,} parameters, predicts {config.prediction}"),
        ("Schedule", f"{model.kind}, T = {model.sched.T}"),
    ]
    return found + (of_training(registry, model_id) if model_id in registry.shipped else [])


def of_training(registry: ModelRegistry, name: str) -> list[tuple[str, str]]:
    """What the configuration of a checkpoint that ships tells of its making."""
    try:
        saved = read_config(registry.folder / name / CONFIG)
    except CheckpointError:
        return []
    info, found = saved.get("info") or {}, []
    if "images_in_dataset" in info:
        found.append(("Trained on", f"{info['dataset']}, {info['images_in_dataset']:,} pictures"))
    if "step" in info:
        found.append(("Steps", f"{info['step']:,} of {saved['train']['batch_size']} pictures each"))
    if "seconds" in info:
        found.append(("Training time", f"{info['seconds'] / 60:.0f} minutes, {info['device']}, {info['precision']}"))
    if info.get("held_out_loss") is not None:
        found.append(("Loss on the test part", f"{info['held_out_loss']:.4f}"))
    return found + [("Evaluated", figures(each)) for each in info.get("metrics", [])]


def figures(evaluation: dict[str, Any]) -> str:
    """An evaluation in one line; its distance is by the classifier that chose nothing, where there is one."""
    by = evaluation.get("second") or evaluation
    sampler = SAMPLERS[evaluation["sampler"]].label
    accuracy = f", {by['accuracy']:.1%} classified as asked" if by["accuracy"] is not None else ""
    settings = f"{sampler}, {evaluation['num_steps']} steps, w = {evaluation['guidance']:g}, {evaluation['n']:,} drawn"
    return f"FID {by['fid_over_real']:.2f} times that of real pictures{accuracy}: {settings}"
