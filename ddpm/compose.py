"""Several statements of one model as one: a weighted sum over classes, views and frequencies."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .denoiser import Denoiser, prediction_of
from .layers import Label

View = Callable[[Tensor], Tensor]


def upright(x: Tensor) -> Tensor:
    """The picture as it is."""
    return x


def upside_down(x: Tensor) -> Tensor:
    """The picture turned by 180 degrees; twice is as it was.  x: (B, C, S, S)."""
    return x.flip(-2, -1)


def low(x: Tensor, sigma: float = 2.0) -> Tensor:
    """The low frequencies of a picture: blurred by a Gaussian.  x: (B, C, S, S).  sigma: in pixels.

    Its complement, `high`, is the rest: both together are the picture.
    """
    reach = torch.arange(-3 * math.ceil(sigma), 3 * math.ceil(sigma) + 1, dtype=x.dtype, device=x.device)
    bell = (-reach.square() / (2 * sigma**2)).exp()
    bell, channels, pad = bell / bell.sum(), x.shape[1], len(reach) // 2
    for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
        around = (pad, pad, 0, 0) if shape[-1] == -1 else (0, 0, pad, pad)
        kernel = bell.reshape(shape).expand(channels, 1, *bell.reshape(shape).shape[2:])
        x = F.conv2d(F.pad(x, around, mode="replicate"), kernel, groups=channels)
    return x


def high(x: Tensor, sigma: float = 2.0) -> Tensor:
    """The high frequencies of a picture: what `low` leaves out."""
    return x - low(x, sigma)


@dataclass(frozen=True)
class Term:
    """One statement of a sum: weight part(view^-1(model(view(x), t, y))).

    y: the class, -1 for none; of attributes a value of each, or -1 alone for none of any.  view: how the picture is
    looked at; its own inverse.  part: what of the statement counts, linear.  Geng et al. 2024, arXiv:2311.17919,
    section 3.2 (views); 2404.11615, section 3 (parts).
    """

    weight: float
    y: Label = -1
    view: View = upright
    part: View = upright


class Composed:
    """A model whose statement is a sum of the model's, called like the model itself.

    Liu et al. 2022, arXiv:2206.01714, Eq. 11:
    eps = sum_k w_k part_k(view_k^-1(eps_theta(view_k(x_t), t, y_k)))

    The same line holds for x0 and v, which are affine in eps with coefficients that depend on x_t and t alone, where
    the terms make up one whole: weights that sum to 1, and parts of one view that together are the picture.
    Classifier-free guidance is [Term(1 - w), Term(w, y)]: `guidance`.
    All terms are evaluated in one batch.  A label given in the call is not looked at.
    Raises ValueError for no terms.
    """

    def __init__(self, model: Denoiser, terms: Sequence[Term]):
        if not terms:
            raise ValueError("terms: at least one")
        self.model, self.terms = model, tuple(terms)
        self.prediction = prediction_of(model)

    def evaluations_at(self, t: int) -> int:
        """What a call costs, in evaluations of the model."""
        return len(self.terms)

    def labels(self, device: torch.device) -> Sequence[Tensor]:
        """The label of each term, (), or (A,) of attributes."""
        return torch.broadcast_tensors(*(torch.tensor(term.y, device=device) for term in self.terms))

    def __call__(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        k = len(self.terms)
        seen = torch.cat([term.view(x) for term in self.terms])
        labels = torch.cat([y.expand(len(t), *y.shape) for y in self.labels(t.device)])
        said = self.model(seen, t.repeat(k), labels).chunk(k)
        return sum_of(term.weight * term.part(term.view(out)) for term, out in zip(self.terms, said, strict=True))


def sum_of(parts: Iterable[Tensor]) -> Tensor:
    """Their sum; of one, itself to the bit."""
    return functools.reduce(torch.add, parts)


def guidance(scale: float, y: Label) -> list[Term]:
    """Classifier-free guidance towards a class, see `Guided`: eps_uncond + w (eps_cond - eps_uncond)."""
    return [Term(1 - scale), Term(scale, y)]


def classes(weights: dict[Label, float]) -> list[Term]:
    """Several classes at once, or away from those of negative weight.  Liu et al. 2022, Eq. 11 and 13.

    eps = eps_uncond + sum_k w_k (eps_k - eps_uncond).  weights: {class: w}; so is each attribute guided by its own
    scale, where every class is one value of one attribute and -1 of the others.
    """
    return [Term(1 - sum(weights.values())), *(Term(w, y) for y, w in weights.items())]


def illusion(y: Label, other: Label, scale: float) -> list[Term]:
    """One class upright and another upside down, each guided by `scale`.  Geng et al. 2024, arXiv:2311.17919, Eq. 3."""
    return [
        Term(term.weight / 2, term.y, view)
        for view, label in ((upright, y), (upside_down, other))
        for term in guidance(scale, label)
    ]


def hybrid(near: Label, far: Label, scale: float) -> list[Term]:
    """The high frequencies of one class and the low ones of another.  Geng et al. 2024, arXiv:2404.11615, Eq. 6."""
    return [
        Term(term.weight, term.y, part=part)
        for part, label in ((high, near), (low, far))
        for term in guidance(scale, label)
    ]
