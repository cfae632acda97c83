"""The steps of the samplers as the margin shows them: each as an equation, and with the present numbers in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch

from ddpm.config import SamplingConfig
from ddpm.equations import DDPM_IN_EPS, DDPM_IN_EPS_SYMBOLS, EPS, MINUS, PLUS, TERMS, X_T, Z
from ddpm.samplers import SAMPLERS, Here, Method
from ddpm.schedule import Schedule

from .maths import symbols

_TUTORIAL = "".join(f'<math display="block">{line}</math>' for line in DDPM_IN_EPS) + (
    '<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s">s</mn></msub><mo>=</mo>'
    f'<mn data-live="e0">·</mn>{X_T}{MINUS}<mn class="noise" data-live="e1">·</mn>{EPS}{PLUS}'
    f'<mn data-live="e2">·</mn>{Z}</math>'
    f"{symbols(DDPM_IN_EPS_SYMBOLS)}"
    '<p class="source">The same step with x̂<sub>0</sub> put in. Near t = 999 its two numbers are large and nearly '
    "cancel: the loop here computes the general form.</p>"
    '<p class="code">Ho et al. 2020, Algorithm 2: <code>ddpm.samplers.sample</code></p>'
)


def _in_two_notations(general: str) -> str:
    """DDPM's step in the general form, which is shown first, and in the tutorial's."""
    return (
        '<p class="notation" role="group" aria-label="Notation">notation: '
        '<button type="button" data-notation="general" aria-pressed="true">general</button> '
        '<button type="button" data-notation="tutorial" aria-pressed="false">tutorial</button></p>'
        f'<div data-form="general">{general}</div><div data-form="tutorial" hidden>{_TUTORIAL}</div>'
    )


def _block(name: str, method: Method, shown: bool) -> str:
    """One sampler's part of the margin."""
    maths = "".join(f'<math display="block">{line}</math>' for line in method.equation)
    numbers = PLUS.join(
        f'<mn class="{TERMS[term][1]}" data-live="c{i}"{_value_of(factor)}>·</mn>{TERMS[term][0]}'
        for i, (term, factor) in enumerate(zip_longest(method.terms, method.factors, fillvalue=""))
    )
    functions = [f"<code>{each.__module__}.{each.__qualname__}</code>" for each in (method.function, *method.uses)]
    general = (
        f'{maths}<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s" data-expr="s">s</mn></msub>'
        f"<mo>=</mo>{numbers}</math>"
        f'{symbols(method.symbols)}<p class="source"><span data-live="last"></span></p>'
        f'<p class="code">{method.label}, {method.source}: {", ".join(functions)}</p>'
    )
    both = _in_two_notations(general) if name == "ddpm" else general
    return f'<div data-sampler="{name}"{"" if shown else " hidden"}>{both}</div>'


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


def in_eps(times: Sequence[int], i: int, sched: Schedule, sigma: float) -> list[float]:
    """What x_t, eps_hat (taken away) and z count for in the same step of DDPM in the tutorial's form, for any s < t.

    x_s = 1/sqrt(alpha_ts) (x_t - beta_ts / sqrt(1 - ab_t) eps) + sigma z,   alpha_ts = ab_t / ab_s = 1 - beta_ts
    Ho et al. 2020, Algorithm 2.  sigma: what z counts for.
    """
    ab_t = sched.alphas_bar[times[i]].double().item()
    ab_s = sched.alphas_bar_prev[times[i + 1] + 1].double().item()
    alpha_ts = ab_t / ab_s
    return [round(v, 4) for v in (alpha_ts**-0.5, (1 - alpha_ts) / (alpha_ts * (1 - ab_t)) ** 0.5, sigma)]
