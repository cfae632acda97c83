"""What can be asked of a model: a class by its name, or values of several attributes, as one text of the page's.

A text of attributes is "hair: long, hat: yes"; those that are not named are not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm.data import Attribute, Dataset
from ddpm.layers import Label

from ..server import protocol
from .models import Model

ALL, NONE, ANY = "all in turn", "none", "random"  # what is chosen instead of a class


def named(classes: Sequence[str]) -> tuple[str, ...]:
    """How each class is chosen: by its name, or as "class none" where the name alone means something else here.

    So that no two are chosen alike, a class that is really called "class none" is "class class none".
    """
    return tuple(re.sub(f"^(?=(class )*({ALL}|{NONE}|{ANY})\\Z)", "class ", name) for name in classes)


def text_of(attributes: Sequence[Attribute], label: Sequence[int]) -> str:
    """The values that a label of attributes has, in words; NONE if it has none."""
    told = [f"{a.name}: {a.values[value]}" for a, value in zip(attributes, label, strict=True) if value >= 0]
    return ", ".join(told) or NONE


def read_attributes(attributes: Sequence[Attribute], text: str) -> tuple[int, ...]:
    """The label that a text of `text_of` stands for.  Raises ValueError in words."""
    known = {a.name: (i, a.values) for i, a in enumerate(attributes)}
    label = [-1] * len(attributes)
    for part in text.split(", ") if text not in (NONE, "") else []:
        name, _, value = part.partition(": ")
        if name not in known or value not in known[name][1]:
            names = ", ".join(known)
            raise ValueError(f"Attributes: {part[:40]!r} is none of this model's. It knows {names}, with their values.")
        label[known[name][0]] = known[name][1].index(value)
    return tuple(label)


def choices(weights: Model) -> tuple[str, ...]:
    """What can be asked of these weights: each class in turn, none, or one of them; of attributes see `label_of`."""
    return (ALL, NONE, *named(weights.class_names)) if weights.num_classes else (NONE,)


def label_of(weights: Model, choice: Any) -> Label:
    """What a choice means: the number of a class, -1 for none; a value of each attribute.  Raises ValueError."""
    if weights.attributes:
        return read_attributes(weights.attributes, choice if isinstance(choice, str) else "?")
    choice = protocol.one_of(choice, "Class", (NONE, *named(weights.class_names)) if weights.num_classes else (NONE,))
    return -1 if choice == NONE else named(weights.class_names).index(choice)


def labels_of(weights: Model, choice: Any) -> tuple[Label, ...]:
    """What a choice of `choices` means for pictures in turn.  Raises ValueError."""
    if choice == ALL and weights.num_classes:
        return tuple(range(weights.num_classes))
    if not weights.attributes:
        protocol.one_of(choice, "Class", choices(weights))
    return (label_of(weights, choice),)


def is_null(label: Label) -> bool:
    """Whether nothing is asked for."""
    return label == -1 if isinstance(label, int) else set(label) == {-1}


def in_turn(labels: Sequence[Label], n: int) -> Tensor:
    """n labels, the given ones in turn: (n,) int64, or (n, A) of attributes."""
    return torch.tensor([labels[i % len(labels)] for i in range(n)])


def kinds(data: Dataset) -> tuple[str, ...]:
    """How pictures of a data set are chosen: by a class, or by a value of one attribute."""
    return named(data.class_names) or tuple(f"{a.name}: {value}" for a in data.attributes for value in a.values)


def of_kind(data: Dataset, kind: str) -> Tensor:
    """Where the pictures are that have been chosen so: positions, (k,) int64."""
    if data.labels is None:
        return torch.arange(len(data.images))
    if not data.attributes:
        return torch.nonzero(data.labels == kinds(data).index(kind)).flatten()
    asked = torch.tensor(read_attributes(data.attributes, kind))
    return torch.nonzero(((data.labels == asked) | (asked < 0)).all(dim=1)).flatten()


def name_of(data: Dataset, index: int) -> str:
    """What picture `index` of a data set is: its class, its attributes, or nothing."""
    if data.labels is None:
        return ""
    if data.attributes:
        return text_of(data.attributes, data.labels[index].tolist())
    return data.class_names[data.labels[index]] if data.num_classes else ""
