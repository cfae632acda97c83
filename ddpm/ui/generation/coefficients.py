"""The steps of the samplers as the margin shows them: each as an equation, and with the present numbers in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch

from ddpm.config import SamplingConfig
from ddpm.equations import PLUS, TERMS
from ddpm.samplers import SAMPLERS, Here, Method
from ddpm.schedule import Schedule


def _block(name: str, method: Method, shown: bool) -> str:
    """One sampler's part of the margin."""
    maths = "".join(f'<math display="block">{line}</math>' for line in method.equation)
    numbers = PLUS.join(
        f'<mn class="{TERMS[term][1]}" data-live="c{i}"{_value_of(factor)}>·</mn>{TERMS[term][0]}'
        for i, (term, factor) in enumerate(zip_longest(method.terms, method.factors, fillvalue=""))
    )
    functions = [f"<code>{each.__module__}.{each.__qualname__}</code>" for each in (method.function, *method.uses)]
    return (
        f'<div data-sampler="{name}"{"" if shown else " hidden"}>{maths}'
        f'<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s" data-expr="s">s</mn></msub><mo>=</mo>'
        f"{numbers}</math>"
        f'<p class="source">{method.label}: {method.source}. {method.note}<span data-live="last"></span></p>'
        f'<p class="code">computed by {", ".join(functions)}</p></div>'
    )


def _value_of(expression: str) -> str:
    """What says that a number is the value of an expression in the function's source."""
    return f' data-expr="{expression}"' if expression else ""


def equations(shown: str) -> str:
    """The margin's part of each sampler, of which one is shown."""
    return "".join(_block(name, method, name == shown) for name, method in SAMPLERS.items())


def coefficients(sampling: SamplingConfig, times: Sequence[int], i: int, sched: Schedule) -> list[float]:
    """What each of the sampler's `terms` counts for in step i, times[i] -> times[i + 1]: read off the step itself,
    which is linear in them, by giving it pictures that are 1 in one term and 0 in all others."""
    method, n = SAMPLERS[sampling.sampler], len(TERMS)
    one = dict(zip(TERMS, torch.eye(n).reshape(n, n, 1, 1, 1), strict=True))
    t, s, before = (torch.full((n,), times[j]) for j in (i, i + 1, max(i - 1, 0)))
    here = Here(
        one["x_t"], t, s, one["x0_hat"], one["eps_hat"], sched.to("cpu"), sampling.eta, sampling.variance,
        noise=lambda: one["z"],
        predict=lambda x, t: (torch.zeros_like(x), one["eps_hat_s"]),
        before=(one["x0_hat_before"], before) if i else None,
    )  # fmt: skip
    numbers = dict(zip(TERMS, method.step(here).flatten().tolist(), strict=True))
    return [round(numbers[term], 4) for term in method.terms]
