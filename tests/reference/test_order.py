"""Order of accuracy, by the slope of the error over the number of steps, where everything is known in closed form.

Data is N(m, s^2), so the ideal denoiser is the conditional expectation E[x0 | x_t], affine in x_t.  Each step is then
affine in x_t and z, and mean and variance propagate exactly: of one number, and of the 8 x 4 x 4 of a latent, each
with a mean and a width of its own, none of them clipped.  The start is the exact q(x_{T-1}) and the comparison is
at t = 0, before the jump to clean data, so that neither a mismatch at the start nor rounding hides the slope.
The second-order samplers are measured on steps even in log-SNR, where their error is a power of the step.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from ddpm import (
    ddim_step,
    ddpm_step,
    dpmpp_step,
    heun_step,
    inversion,
    make_schedule,
    reverse_process,
    samplers,
    to_x0_eps,
)
from ddpm.spacing import timesteps

T, M, S = 16_384, 0.7, 0.4
STEPS = (128, 256, 512, 1024)
FEW = (64, 128, 256, 512)  # beyond these the rounding of log-SNR to whole t begins to show
# The usual continuous-time schedule, beta from 0.1 to 20, cut into T.
SCHEDULES = {
    "linear": make_schedule(T, 0.1 / T, 20 / T, dtype=torch.float64),
    "cosine": make_schedule(T, kind="cosine", dtype=torch.float64),
    "log_snr": make_schedule(T, 0.1 / T, 20 / T, kind="log_snr", dtype=torch.float64),
}


def latents():
    """Mean and width of each number of a latent, (8, 4, 4)."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(8, 4, 4, generator=generator, dtype=torch.float64)
    return mean, 0.2 + torch.rand(8, 4, 4, generator=generator, dtype=torch.float64)


NUMBER = tuple(torch.full((1, 1, 1), value, dtype=torch.float64) for value in (M, S))
DATA = {"number": NUMBER, "latents": latents()}
KINDS_OF_DATA = [(kind, "number") for kind in SCHEDULES] + [("cosine", "latents")]
ANCESTRAL = [("ddpm", 1.0), ("ddim", 1.0), ("ddim", 0.5), ("ddim", 0.0)]


def ideal(x_t, t, sched, data=NUMBER):
    """E[x0 | x_t] for x0 ~ N(m, s^2): the product of the prior N(m, s^2) and of the likelihood of x_t."""
    mean, std = data
    ab = sched.alphas_bar[t].reshape(-1, 1, 1, 1)
    precision = 1 / std**2 + ab / (1 - ab)
    return (mean / std**2 + ab.sqrt() * x_t / (1 - ab)) / precision


def step(sampler, eta, x_t, z, t, s, sched, data=NUMBER):
    x0_hat = ideal(x_t, t, sched, data)
    if sampler == "ddpm":
        return ddpm_step(x_t, x0_hat, t, s, sched, z)
    _, eps_hat = to_x0_eps(x0_hat, x_t, t, sched, "x0")
    return ddim_step(x0_hat, eps_hat, t, s, sched, eta, z)


def propagate(sampler, eta, num_steps, sched, data):
    """(factor, offset, variance of the noise gathered): x at t = 0 is factor * x_{T-1} + offset + N(0, variance)."""
    factor, offset, variance = 1.0, 0.0, 0.0
    times = timesteps(sched, num_steps)[:-1]
    x_t, z = torch.zeros(2, 3, *data[0].shape, dtype=torch.float64)
    x_t[1], z[2] = 1, 1
    for now, then in pairwise(times):
        t, s = torch.full((3,), now), torch.full((3,), then)
        at_0, at_1, at_z = step(sampler, eta, x_t, z, t, s, sched, data)
        a, b, c = at_1 - at_0, at_0, at_z - at_0
        factor, offset, variance = a * factor, a * offset + b, a**2 * variance + c**2
    return factor, offset, variance


def marginal(t, sched, data=(M, S)):
    ab, (mean, std) = sched.alphas_bar[t].item(), data
    return math.sqrt(ab) * mean, ab * std**2 + 1 - ab


def slope(errors, steps=STEPS):
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "of"), KINDS_OF_DATA)
@pytest.mark.parametrize(("sampler", "eta"), ANCESTRAL)
def test_the_variance_is_first_order(kind, of, sampler, eta):
    sched, data = SCHEDULES[kind], DATA[of]
    _, start = marginal(T - 1, sched, data)
    _, exact = marginal(0, sched, data)
    errors = []
    steps = STEPS if of == "number" else STEPS[1:3]
    for n in steps:
        factor, _, gathered = propagate(sampler, eta, n, sched, data)
        errors.append(((factor**2 * start + gathered - exact) / exact).abs().flatten().numpy())
    assert errors[-1].max() < 0.05
    slopes = slope(np.array(errors), steps)
    assert slopes == pytest.approx(np.ones_like(slopes), abs=0.15)


@pytest.mark.parametrize(("kind", "of"), KINDS_OF_DATA)
@pytest.mark.parametrize(("sampler", "eta"), ANCESTRAL)
def test_the_mean_is_exact(kind, of, sampler, eta):
    """The ideal denoiser is right on average, and every step is linear in it."""
    sched, data = SCHEDULES[kind], DATA[of]
    start, _ = marginal(T - 1, sched, data)
    exact, _ = marginal(0, sched, data)
    factor, offset, _ = propagate(sampler, eta, STEPS[0], sched, data)
    torch.testing.assert_close(factor * start + offset, exact, rtol=1e-9, atol=1e-12)


def ode_error(sampler, num_steps, sched, spacing):
    """How far a deterministic sampler ends from the ODE's solution, which keeps each point at its number of standard
    deviations: mean_T + 1.5 sd_T goes to mean_0 + 1.5 sd_0."""
    (mean_T, var_T), (mean_0, var_0) = marginal(T - 1, sched), marginal(0, sched)
    x_t = torch.full((1, 1, 1, 1), mean_T + 1.5 * math.sqrt(var_T), dtype=torch.float64)

    def asked(x, time):
        x0_hat = ideal(x, time, sched)
        return to_x0_eps(x0_hat, x, time, sched, "x0")

    before = ()
    for now, then in pairwise(timesteps(sched, num_steps, spacing)[:-1]):
        t, s = torch.tensor([now]), torch.tensor([then])
        x0_hat, eps_hat = asked(x_t, t)
        if sampler == "dpmpp":
            x_t, before = dpmpp_step(x_t, x0_hat, t, s, sched, *before), (x0_hat, t)
            continue
        x_s = ddim_step(x0_hat, eps_hat, t, s, sched)
        x_t = x_s if sampler == "ddim" else heun_step(x_s, eps_hat, asked(x_s, s)[1], t, s, sched)
    return abs(x_t.item() - (mean_0 + 1.5 * math.sqrt(var_0)))


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "order"),
    [
        ("ddim", "linspace", STEPS, 1),
        ("ddim", "log_snr", STEPS, 1),
        ("dpmpp", "log_snr", FEW, 2),
        ("heun", "log_snr", FEW, 2),
    ],
)
def test_deterministic_samplers_follow_the_ode_to_their_order(kind, sampler, spacing, steps, order):
    errors = [ode_error(sampler, n, SCHEDULES[kind], spacing) for n in steps]
    assert slope(errors, steps) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("sampler", ["dpmpp", "heun"])
def test_on_the_log_snr_schedule_even_steps_in_t_are_even_in_log_snr(sampler):
    """What this schedule is for: the second-order samplers need no spacing of their own."""
    sched = SCHEDULES["log_snr"]
    errors = [ode_error(sampler, n, sched, "linspace") for n in STEPS]
    assert slope(errors, STEPS) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("sampler", ["dpmpp", "heun"])
def test_second_order_is_worth_it(kind, sampler):
    """At 64 steps each is nearer than DDIM is at twice as many network evaluations."""
    sched = SCHEDULES[kind]
    assert ode_error(sampler, 64, sched, "log_snr") < ode_error("ddim", 128, sched, "log_snr") / 2


@pytest.mark.parametrize("kind", SCHEDULES)
def test_one_ddpm_step_has_the_exact_conditional_mean_and_too_little_variance_by_a_known_amount(kind):
    """q(x_s | x_t) of the data: its mean is the posterior's at E[x0 | x_t]; what is missing is the spread of x0."""
    sched, now, then = SCHEDULES[kind], 9000, 8000
    ab_t, ab_s = sched.alphas_bar[now].item(), sched.alphas_bar[then].item()
    (mean_t, var_t), (mean_s, var_s) = marginal(now, sched), marginal(then, sched)
    covariance = math.sqrt(ab_t / ab_s) * var_s  # x_t is sqrt(ab_t / ab_s) x_s plus independent noise
    t, s = torch.tensor([now] * 2), torch.tensor([then] * 2)
    x_t = torch.tensor([0.3, 0.3], dtype=torch.float64).reshape(2, 1, 1, 1)
    z = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    mean, moved = step("ddpm", 1.0, x_t, z, t, s, sched).flatten().tolist()
    assert mean == pytest.approx(mean_s + covariance / var_t * (0.3 - mean_t), rel=1e-9)
    conditional = var_s - covariance**2 / var_t
    spread = 1 / (1 / S**2 + ab_t / (1 - ab_t))  # Var[x0 | x_t]
    on_x0 = math.sqrt(ab_s) * (1 - ab_t / ab_s) / (1 - ab_t)
    assert (moved - mean) ** 2 == pytest.approx(conditional - on_x0**2 * spread, rel=1e-6)


class IdealOfLatents:
    """The ideal denoiser of latents, as the loops ask it."""

    prediction = "x0"

    def __init__(self, sched):
        self.sched, (self.mean, self.std) = sched, DATA["latents"]

    def __call__(self, x_t, t):
        return ideal(x_t, t, self.sched, DATA["latents"])

    def at(self, t, deviations):
        """The point of q(x_t) so many standard deviations from its mean, which the ODE keeps there."""
        mean, variance = marginal(t, self.sched, DATA["latents"])
        return (mean + deviations * variance.sqrt())[None]


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "order"),
    [
        ("ddim", "linspace", STEPS, 1),
        ("dpmpp", "log_snr", FEW, 2),
        ("heun", "log_snr", FEW, 2),
    ],
)
def test_the_loop_on_latents_follows_the_ode_to_its_order(monkeypatch, sampler, spacing, steps, order):
    """`reverse_process` itself, unclipped, as latents are drawn."""
    sched, errors = SCHEDULES["cosine"], []
    model = IdealOfLatents(sched)
    monkeypatch.setattr(samplers, "predict", in_double)
    for n in steps:
        options = {"sampler": sampler, "num_steps": n, "spacing": spacing, "clip": False}
        start = 0, model.at(T - 1, 1.5)
        *_, at_0, _ = reverse_process(model, sched, 1, start=start, img_size=4, channels=8, **options)
        assert at_0.x_t.shape == (1, 8, 4, 4) and at_0.t == 0
        errors.append((at_0.x_t - model.at(0, 1.5)).abs().max().item())
    assert slope(errors, steps) == pytest.approx(order, abs=0.15)


def test_inverting_latents_follows_the_ode_to_first_order(monkeypatch):
    """From clean data to the noise it is drawn from, unclipped; its first step asks at t = 0 of what is at t = -1."""
    sched, errors = SCHEDULES["cosine"], []
    model = IdealOfLatents(sched)
    monkeypatch.setattr(inversion, "predict", in_double)
    for n in FEW:
        *_, last = inversion.invert(model, sched, model.mean[None] + 1.5 * model.std, num_steps=n)
        assert last.x_t.shape == (1, 8, 4, 4) and last.t == T - 1
        errors.append((last.x_t - model.at(T - 1, 1.5)).abs().max().item())
    assert slope(errors, FEW) == pytest.approx(1, abs=0.15)


def in_double(model, x_t, t, y, sched, clip):
    """samplers.predict without its rounding to float32, which the slopes would end at."""
    return to_x0_eps(model(x_t, t), x_t, t, sched, model.prediction)


def test_ancestral_sampling_of_latents_draws_their_distribution():
    """Of each number to a tolerance from n, of all together to one from 128 n; 100 steps make it 3 % too narrow."""
    sched, n = make_schedule(1000, kind="cosine", dtype=torch.float64), 500
    model = IdealOfLatents(sched)
    *_, last = reverse_process(model, sched, n, sampler="ddpm", num_steps=100, img_size=4, channels=8, clip=False)
    standard = (last.x_t - model.mean) / model.std
    assert standard.mean(dim=0).abs().max() < 4 / math.sqrt(n)
    assert (standard.std(dim=0) - 1).abs().max() < 4 / math.sqrt(2 * n) + 0.05
    assert standard.mean().abs() < 4 / math.sqrt(128 * n)
    assert (standard.std() - 1).abs() < 0.05
