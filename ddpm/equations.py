"""The samplers' steps as equations, in MathML, for whoever shows them."""

from __future__ import annotations


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

# The pictures that a step's x_s may be a sum of, and what each stands for: signal, noise, or neither.
TERMS = {
    "x_t": (X_T, "noise"),
    "x0_hat": (X0, "signal"),
    "eps_hat": (EPS, "noise"),
    "z": (Z, ""),
    "x0_hat_before": (X0_BEFORE, ""),
    "eps_hat_s": (EPS_S, ""),
}

# What x0 and x_t count for in the posterior's mean, as diffusion.posterior writes it.
MEAN_OF = ("ab_s.sqrt() * beta_ts / (1 - ab_t)", "alpha_ts.sqrt() * (1 - ab_s) / (1 - ab_t)")

DDPM = (f"{X_S}<mo>=</mo><mi>μ</mi><mo>(</mo>{X_T}<mo>,</mo>{X0}<mo>)</mo>{PLUS}<mi>σ</mi>{Z}",)
# The same step from t to t - 1 with x0_hat put in: the tutorial's form.
DDPM_IN_EPS = (
    f"<msub><mi>x</mi><mrow><mi>t</mi>{MINUS}<mn>1</mn></mrow></msub><mo>=</mo><mfrac><mn>1</mn>"
    f"<msqrt>{_sub('α', 't')}</msqrt></mfrac><mo>(</mo>{X_T}{MINUS}<mfrac>{_sub('β', 't')}"
    f"<msqrt><mn>1</mn>{MINUS}{_sub('α', 't', '¯')}</msqrt></mfrac>{EPS}<mo>)</mo>{PLUS}{SIGMA_T}{Z}",
)
DDIM = (
    f"{X_S}<mo>=</mo>{ROOT_AB_S}{X0}{PLUS}<msqrt><mn>1</mn>{MINUS}{AB_S}{MINUS}"
    f"<msup><mi>σ</mi><mn>2</mn></msup></msqrt>{EPS}{PLUS}<mi>σ</mi>{Z}",
)
DPMPP = (
    f"{X_S}<mo>=</mo><mfrac>{SIGMA_S}{SIGMA_T}</mfrac>{X_T}{MINUS}{ALPHA_S}<mo>(</mo><msup><mi>e</mi>"
    f"<mrow><mo>−</mo><mi>h</mi></mrow></msup>{MINUS}<mn>1</mn><mo>)</mo><mi>D</mi>",
    f"<mi>D</mi><mo>=</mo>{X0}{PLUS}<mfrac><mn>1</mn><mrow><mn>2</mn><mi>r</mi></mrow></mfrac>"
    f"<mo>(</mo>{X0}{MINUS}{X0_BEFORE}<mo>)</mo>",
)
HEUN = (
    f"{X_S}<mo>=</mo>{ROOT_AB_S}<mo>[</mo><mi>u</mi>{PLUS}<mo>(</mo>{SIGMA_S}{MINUS}{SIGMA_T}<mo>)</mo>"
    f"<mfrac><mrow>{EPS}{PLUS}{EPS_S}</mrow><mn>2</mn></mfrac><mo>]</mo>",
    f"<mi>u</mi><mo>=</mo>{X_T}<mo>/</mo><msqrt>{_sub('α', 't', '¯')}</msqrt>",
)

# What the symbols of each step are: as lessons write formulas, and in words.
DDPM_SYMBOLS = {
    "x_s": "the next picture, s &lt; t",
    "x̂_0": "predicted x<sub>0</sub>",
    "μ": "the posterior's mean, a mix of both",
    "σ": "its standard deviation",
    "z": "fresh noise from N(0, 1)",
}
DDPM_IN_EPS_SYMBOLS = {
    "ε̂": "noise the network sees in x<sub>t</sub>",
    "α_t": "ᾱ<sub>t</sub>/ᾱ<sub>s</sub>, over a longer step, too",
    "β_t": "1 − α<sub>t</sub>",
    "σ_t": "the posterior's standard deviation",
    "z": "fresh noise from N(0, 1)",
}
DDIM_SYMBOLS = {
    "x_s": "the next picture, s &lt; t",
    "x̂_0, ε̂": "predicted x<sub>0</sub>, and the noise beside it",
    "ᾱ_s": "the share of the variance that is the digit's",
    "σ": "how much of the noise is fresh, by η",
    "z": "fresh noise from N(0, 1)",
}
DPMPP_SYMBOLS = {
    "α_s, σ_s": "√ᾱ and √(1−ᾱ) at s, the next time",
    "h": "the step: how far log(α/σ) moves",
    "x̂_0": "predicted x<sub>0</sub>",
    "x̂_0^−": "the same, a step before: second order for one evaluation",
    "D": "what both lead to",
    "r": "the step before over this one",
}
HEUN_SYMBOLS = {
    "√ᾱ_s": "what x<sub>0</sub> counts for in x<sub>s</sub>",
    "σ_s": "√((1−ᾱ)/ᾱ) at s, the next time",
    "ε̂": "noise the network sees in x<sub>t</sub>",
    "ε̂^′": "the same where a first, straight try arrives: second order for two evaluations",
}
