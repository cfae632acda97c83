"""Training that goes on from another model's weights: its network and its schedule, with an optimiser begun anew."""

from __future__ import annotations

import torch.nn as nn

from ..config import config_of
from ..data import Dataset
from ..denoiser import picture_shape_of

LABELS = "y_embed."  # what the names of a label embedding's weights begin with, in every network
COLOURS = {1: "grey", 3: "in colour"}


def check_fits(model: nn.Module, name: str, data: Dataset) -> None:
    """Raise ValueError, in words, unless the data's pictures are such as a model draws.  name: what it is called."""
    shape, found = picture_shape_of(model), tuple(data.images.shape[1:])
    if found != shape:
        draws, has = (f"{s[1]} x {s[2]}, {COLOURS.get(s[0], f'of {s[0]} channels')}" for s in (shape, found))
        raise ValueError(f"{name} draws pictures that are {draws}; those of {data.name} are {has}")


def keeps_labels(model: nn.Module, source: nn.Module) -> bool:
    """Whether both take the same labels: as many classes, or attributes of as many values."""
    ours, theirs = config_of(model), config_of(source)
    return (ours.num_classes, ours.attributes) == (theirs.num_classes, theirs.attributes)


def begin_from(model: nn.Module, source: nn.Module) -> str:
    """Give a network the weights of another that differs from it in its labels at most; their embedding is begun anew
    where it does.  Returns what was begun anew, in words; "" for nothing.

    Raises ValueError for a source of another architecture, and leaves the network as it was.
    """
    weights, keeps = source.state_dict(), keeps_labels(model, source)
    if not keeps:
        weights = {name: value for name, value in weights.items() if not name.startswith(LABELS)}
        weights |= {name: value for name, value in model.state_dict().items() if name.startswith(LABELS)}
    shapes = [{name: value.shape for name, value in each.items()} for each in (model.state_dict(), weights)]
    if shapes[0] != shapes[1]:
        raise ValueError("these weights are of another architecture")
    model.load_state_dict(weights)
    config = config_of(model)
    if keeps:
        return ""
    if not config.conditional:
        return "without labels"
    what = f"{len(config.attributes)} attributes" if config.attributes else f"{config.num_classes} classes"
    return f"the embedding of {what} begun anew"
