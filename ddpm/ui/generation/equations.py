"""The steps of the samplers as the margin shows them: each as an equation, and with the present numbers in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddpm.config import SamplingConfig
from ddpm.samplers import ddim_step, ddpm_step
from ddpm.schedule import Schedule
from ddpm.solvers import dpmpp_step, heun_step

NAMES = {"ddpm": "DDPM", "ddim": "DDIM", "dpmpp": "DPM-Solver++", "heun": "Heun"}
SPACING_NAMES = {"linspace": "evenly in t", "trailing": "evenly in t, trailing", "log_snr": "evenly in log-SNR"}


def _sub(letter: str, index: str, over: str = "", prime: str = "") -> str:
    """A letter with an index, something over it, and a prime: x_s, or x_0 with a hat."""
    letter = f"<mi>{letter}</mi>" if not over else f"<mover><mi>{letter}</mi><mo>{over}</mo></mover>"
    kind = "mn" if index.isdigit() else "mi"
    index = f"<{kind}>{index}</{kind}>"
    return f"<msubsup>{letter}{index}<mo>{prime}</mo></msubsup>" if prime else f"<msub>{letter}{index}</msub>"


X_T, X_S, X0 = _sub("x", "t"), _sub("x", "s"), _sub("x", "0", "^")
EPS, EPS_S = "<mover><mi>ε</mi><mo>^</mo></mover>", "<msup><mover><mi>ε</mi><mo>^</mo></mover><mo>′</mo></msup>"
X0_BEFORE = _sub("x", "0", "^", "−")
AB_S = _sub("α", "s", "¯")
ROOT_AB_S = f"<msqrt>{AB_S}</msqrt>"
ALPHA_S, SIGMA_S, SIGMA_T = _sub("α", "s"), _sub("σ", "s"), _sub("σ", "t")
PLUS, MINUS, Z = "<mo>+</mo>", "<mo>−</mo>", "<mi>z</mi>"


def _block(name: str, lines: Sequence[str], pictures: Sequence[tuple[str, str]], source: str, code: str) -> str:
    """One sampler's part of the margin.  pictures: (colour, picture) of each of the step's three numbers."""
    numbers = PLUS.join(
        f'<mn class="{colour}" data-live="c{i}">·</mn>{picture}' for i, (colour, picture) in enumerate(pictures)
    )
    maths = "".join(f'<math display="block">{line}</math>' for line in lines)
    return (
        f'<div data-sampler="{name}"{"" if name == "ddim" else " hidden"}>{maths}'
        f'<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s">s</mn></msub><mo>=</mo>'
        f"{numbers}</math>"
        f'<p class="source">{source}</p><p class="code">computed by <code>ddpm.samplers.{code}</code></p></div>'
    )


EQUATIONS = "".join(
    [
        _block(
            "ddim",
            [
                f"{X_S}<mo>=</mo>{ROOT_AB_S}{X0}{PLUS}<msqrt><mn>1</mn>{MINUS}{AB_S}{MINUS}"
                f"<msup><mi>σ</mi><mn>2</mn></msup></msqrt>{EPS}{PLUS}<mi>σ</mi>{Z}"
            ],
            [("signal", X0), ("noise", EPS), ("", Z)],
            "DDIM: Song et al. 2021, Eq. 12 and 16.",
            "ddim_step",
        ),
        _block(
            "ddpm",
            [f"{X_S}<mo>=</mo><mi>μ</mi><mo>(</mo>{X_T}<mo>,</mo>{X0}<mo>)</mo>{PLUS}<mi>σ</mi>{Z}"],
            [("signal", X0), ("noise", X_T), ("", Z)],
            "DDPM: Ho et al. 2020, Eq. 6 and 7.",
            "ddpm_step",
        ),
        _block(
            "dpmpp",
            [
                f"{X_S}<mo>=</mo><mfrac>{SIGMA_S}{SIGMA_T}</mfrac>{X_T}{MINUS}{ALPHA_S}<mo>(</mo><msup><mi>e</mi>"
                f"<mrow><mo>−</mo><mi>h</mi></mrow></msup>{MINUS}<mn>1</mn><mo>)</mo><mi>D</mi>",
                f"<mi>D</mi><mo>=</mo>{X0}{PLUS}<mfrac><mn>1</mn><mrow><mn>2</mn><mi>r</mi></mrow></mfrac>"
                f"<mo>(</mo>{X0}{MINUS}{X0_BEFORE}<mo>)</mo>",
            ],
            [("noise", X_T), ("signal", X0), ("", X0_BEFORE)],
            f"DPM-Solver++(2M): Lu et al. 2022, Algorithm 2. <math>{X0_BEFORE}</math> is the guess of the step before: "
            "second order for one evaluation. Here α² = ᾱ, σ² = 1 − ᾱ.",
            "dpmpp_step",
        ),
        _block(
            "heun",
            [
                f"{X_S}<mo>=</mo>{ROOT_AB_S}<mo>[</mo><mi>u</mi>{PLUS}<mo>(</mo>{SIGMA_S}{MINUS}{SIGMA_T}<mo>)</mo>"
                f"<mfrac><mrow>{EPS}{PLUS}{EPS_S}</mrow><mn>2</mn></mfrac><mo>]</mo>",
                f"<mi>u</mi><mo>=</mo>{X_T}<mo>/</mo><msqrt>{_sub('α', 't', '¯')}</msqrt>",
            ],
            [("signal", X0), ("noise", EPS), ("", EPS_S)],
            f"Heun: Karras et al. 2022, Algorithm 1. <math>{EPS_S}</math> is asked where a first, straight try "
            "arrives: second order for two evaluations. Here σ² = (1 − ᾱ)/ᾱ.",
            "heun_step",
        ),
    ]
)


def coefficients(how: SamplingConfig, times: Sequence[int], i: int, sched: Schedule) -> list[float]:
    """The three numbers of step i, times[i] -> times[i + 1], by reading them off the step function itself: each is
    linear in three pictures.  Which pictures: see the equations above."""
    sched = sched.to("cpu")
    t, s, before = (torch.full((3,), times[j]) for j in (i, i + 1, max(i - 1, 0)))
    a, b, c = torch.eye(3).reshape(3, 3, 1, 1, 1)
    if how.sampler == "ddpm":
        step = ddpm_step(b, a, t, s, sched, c, how.variance)
    elif how.sampler == "ddim":
        step = ddim_step(a, b, t, s, sched, how.eta, c)
    elif how.sampler == "dpmpp":
        step = dpmpp_step(a, b, t, s, sched, *((c, before) if i else ()))
    else:
        step = ddim_step(a, b, t, s, sched)
        step = heun_step(step, b, c, t, s, sched) if times[i + 1] >= 0 else step
    return [round(number, 4) for number in step.flatten().tolist()]
