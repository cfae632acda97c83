"""The forward process, its posterior and what a network may predict.  Ho et al. 2020, arXiv:2006.11239."""

from __future__ import annotations

from torch import Tensor

from .schedule import Schedule, gather


def q_sample(x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule) -> Tensor:
    """Noise x0 to level t in one jump.  Ho et al. Eq. 4.

    x_t = sqrt(alphas_bar_t) x0 + sqrt(1 - alphas_bar_t) eps

    x0: (B, C, H, W) in [-1, 1].  noise: like x0, N(0, I).  t: (B,) int64, 0..T-1.  Returns x_t, like x0.
    """
    return gather(sched.sqrt_alphas_bar, t) * x0 + gather(sched.sqrt_one_minus_alphas_bar, t) * noise


def forward_step(x: Tensor, t: Tensor, noise: Tensor, sched: Schedule) -> Tensor:
    """One small step of noising, x_{t-1} -> x_t: a draw from q(x_t | x_{t-1}).  Ho et al. Eq. 2.

    x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps

    x: (B, C, H, W), x_{t-1}; the one before t = 0 is x0.  noise: like x, N(0, I).  t: (B,) int64, 0..T-1.
    Returns x_t, like x.  All steps from 0 to t together are, in distribution, q_sample's one jump.
    """
    beta = gather(sched.betas, t)
    return (1 - beta).sqrt() * x + beta.sqrt() * noise


def posterior(x0: Tensor, x_t: Tensor, t: Tensor, s: Tensor, sched: Schedule) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of q(x_s | x_t, x0).  Ho et al. Eq. 6 and 7, where s = t - 1; here any s < t.

    mean = sqrt(ab_s) beta_ts / (1 - ab_t) x0 + sqrt(alpha_ts) (1 - ab_s) / (1 - ab_t) x_t
    variance = beta_ts (1 - ab_s) / (1 - ab_t),   with alpha_ts = ab_t / ab_s and beta_ts = 1 - alpha_ts

    x0, x_t: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T; s = -1 is clean data, with variance 0.
    Returns the mean, (B, C, H, W), and the variance, (B, 1, 1, 1).
    """
    ab_t, ab_s = gather(sched.alphas_bar, t), gather(sched.alphas_bar_prev, s + 1)
    alpha_ts = ab_t / ab_s
    beta_ts = 1 - alpha_ts
    mean = ab_s.sqrt() * beta_ts / (1 - ab_t) * x0 + alpha_ts.sqrt() * (1 - ab_s) / (1 - ab_t) * x_t
    variance = beta_ts * (1 - ab_s) / (1 - ab_t)
    return mean, variance


def to_x0_eps(out: Tensor, x_t: Tensor, t: Tensor, sched: Schedule, prediction: str) -> tuple[Tensor, Tensor]:
    """(x0_hat, eps_hat) from a network's output at x_t: the same statement in the two other ways of putting it.

    Ho et al. Eq. 15.  All three solve x_t = sqrt(ab) x0 + sqrt(1 - ab) eps.  out, x_t: (B, C, H, W).  t: (B,) int64.
    """
    a, b = gather(sched.sqrt_alphas_bar, t), gather(sched.sqrt_one_minus_alphas_bar, t)
    if prediction == "eps":
        return (x_t - b * out) / a, out
    if prediction == "x0":
        return out, (x_t - a * out) / b
    if prediction == "v":
        return a * x_t - b * out, b * x_t + a * out
    raise ValueError(f"prediction is eps, x0 or v, not {prediction!r}")
