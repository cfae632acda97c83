"""Steps of second order."""

from __future__ import annotations

from torch import Tensor

from .schedule import Schedule, gather


def dpmpp_step(
    x_t: Tensor,
    x0_hat: Tensor,
    t: Tensor,
    s: Tensor,
    sched: Schedule,
    x0_hat_before: Tensor | None = None,
    t_before: Tensor | None = None,
) -> Tensor:
    """One step x_t -> x_s of DPM-Solver++(2M).  Lu et al. 2022, arXiv:2211.01095, Algorithm 2.

    h = lambda_s - lambda_t,   r = (lambda_t - lambda_before) / h
    D = (1 + 1/(2r)) x0_hat - 1/(2r) x0_hat_before
    x_s = sigma_s/sigma_t x_t - alpha_s (exp(-h) - 1) D,   exp(-h) = (sigma_s alpha_t) / (sigma_t alpha_s)

    alpha = sqrt(ab), sigma = sqrt(1 - ab).  x_t, x0_hat, x0_hat_before: (B, C, H, W); the last was said at t_before.
    t, s, t_before: (B,) int64, -1 <= s < t < t_before < T.  Without a step before it, and to clean data (s = -1, where
    lambda is infinite), D is x0_hat: first order, which is DDIM.  Returns x_s.
    """
    alpha_t, sigma_t = gather(sched.sqrt_alphas_bar, t), gather(sched.sqrt_one_minus_alphas_bar, t)
    ab_s = gather(sched.alphas_bar_prev, s + 1)
    alpha_s, sigma_s = ab_s.sqrt(), (1 - ab_s).sqrt()
    D = x0_hat
    if x0_hat_before is not None and t_before is not None and bool((s >= 0).all()):
        lambda_t = gather(sched.lambdas, t)
        r = (lambda_t - gather(sched.lambdas, t_before)) / (gather(sched.lambdas, s) - lambda_t)
        D = x0_hat + (x0_hat - x0_hat_before) / (2 * r)
    return sigma_s / sigma_t * x_t + (alpha_s - sigma_s * alpha_t / sigma_t) * D


def heun_step(x_s: Tensor, eps_hat: Tensor, eps_hat_s: Tensor, t: Tensor, s: Tensor, sched: Schedule) -> Tensor:
    """The second half of one step x_t -> x_s of Heun's method.  Karras et al. 2022, arXiv:2206.00364, Algorithm 1.

    In the variance-exploding variable u = x / sqrt(ab), whose noise level is sigma = sqrt((1 - ab) / ab), the ODE is
    du/dsigma = eps.  Euler's step takes eps at its start, and is ddim_step; Heun's takes the mean of both ends:
    u_s = u_s of Euler + (sigma_s - sigma_t) (eps_hat_s - eps_hat) / 2

    x_s: where Euler's step arrived.  eps_hat, eps_hat_s: what the model says at x_t and there.  All (B, C, H, W).
    t, s: (B,) int64, 0 <= s < t < T: to clean data Euler's step is all there is.  Returns x_s.
    """
    scale_t, scale_s = gather(sched.sqrt_alphas_bar, t), gather(sched.sqrt_alphas_bar, s)
    sigma_t = gather(sched.sqrt_one_minus_alphas_bar, t) / scale_t
    sigma_s = gather(sched.sqrt_one_minus_alphas_bar, s) / scale_s
    return x_s + scale_s * (sigma_s - sigma_t) * (eps_hat_s - eps_hat) / 2
