"""The schedule against exact fractions, sums of logarithms and Nichol and Dhariwal's closed form."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
import torch

from ddpm import gather, make_schedule
from ddpm.schedule import SCHEDULES

TABLES = (
    "betas",
    "alphas",
    "alphas_bar",
    "alphas_bar_prev",
    "sqrt_alphas_bar",
    "sqrt_one_minus_alphas_bar",
    "sqrt_recip_alphas",
    "posterior_variance",
)


def double(T=1000, **options):
    return make_schedule(T, dtype=torch.float64, **options)


def test_alphas_bar_is_the_exact_product():
    T, low, high = 12, Fraction(1, 10), Fraction(3, 10)
    sched = double(T, beta_start=0.1, beta_end=0.3)
    product = Fraction(1)
    for t in range(T):
        before = product
        beta = low + (high - low) * t / (T - 1)
        product *= 1 - beta
        assert sched.betas[t].item() == pytest.approx(float(beta), rel=1e-14)
        assert sched.alphas_bar[t].item() == pytest.approx(float(product), rel=1e-13)
        assert sched.alphas_bar_prev[t].item() == pytest.approx(float(before), rel=1e-13)


def test_the_default_alphas_bar_by_summing_logarithms():
    sched = make_schedule()
    for t in (0, 1, 10, 499, 998, 999):
        logs = [math.log1p(-(1e-4 + (2e-2 - 1e-4) * k / 999)) for k in range(t + 1)]
        assert sched.alphas_bar[t].item() == pytest.approx(math.exp(math.fsum(logs)), rel=1e-6)


def test_the_default_tables_are_within_2e_5_of_the_tutorials_float32_arithmetic():
    sched = make_schedule()
    betas = torch.linspace(1e-4, 2e-2, 1000)
    alphas_bar = torch.cumprod(1 - betas, 0)
    prev = torch.cat([torch.ones(1), alphas_bar[:-1]])
    for ours, theirs in (
        (sched.betas, betas),
        (sched.alphas_bar, alphas_bar),
        (sched.alphas_bar_prev, prev),
        (sched.sqrt_alphas_bar, alphas_bar.sqrt()),
        (sched.sqrt_one_minus_alphas_bar, (1 - alphas_bar).sqrt()),
        (sched.sqrt_recip_alphas, (1 / (1 - betas)).sqrt()),
        (sched.posterior_variance, betas * (1 - prev) / (1 - alphas_bar)),
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_identities_between_the_tables(kind):
    sched = double(300, kind=kind)
    one = torch.ones(300, dtype=torch.float64)
    torch.testing.assert_close(sched.alphas + sched.betas, one)
    torch.testing.assert_close(sched.sqrt_alphas_bar**2 + sched.sqrt_one_minus_alphas_bar**2, one)
    torch.testing.assert_close(sched.sqrt_recip_alphas**2 * sched.alphas, one)
    torch.testing.assert_close(sched.alphas_bar_prev * sched.alphas, sched.alphas_bar)
    assert sched.alphas_bar_prev[0] == 1
    assert torch.equal(sched.alphas_bar_prev[1:], sched.alphas_bar[:-1])


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_posterior_variance_is_that_of_two_observations(kind):
    """Precisions add: x_{t-1} is known from x_0 to 1 - ab_{t-1}, and from x_t to beta_t / alpha_t."""
    sched = double(300, kind=kind)
    from_x0 = 1 / (1 - sched.alphas_bar_prev[1:])
    from_x_t = sched.alphas[1:] / sched.betas[1:]
    torch.testing.assert_close(sched.posterior_variance[1:], 1 / (from_x0 + from_x_t))
    assert sched.posterior_variance[0] == 0


def test_the_defaults_run_from_1e_4_to_2e_2_over_1000_steps():
    sched = make_schedule()
    assert sched.T == 1000
    assert sched.betas[[0, -1]].tolist() == pytest.approx([1e-4, 2e-2], rel=1e-6)
    assert 3e-5 < sched.alphas_bar[-1] < 5e-5


@pytest.mark.parametrize("T", [2, 50, 1000])
def test_cosine_is_nichol_and_dhariwals_closed_form(T):
    """Eq. 17 with s = 0.008; only the very last beta, 1 in the closed form, meets the clip at 0.999."""
    sched = double(T, kind="cosine")
    f0 = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    for t in range(T - 1):
        f = math.cos(((t + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2
        assert sched.alphas_bar[t].item() == pytest.approx(f / f0, rel=1e-9)
    assert sched.betas[-1].item() == pytest.approx(0.999, rel=1e-12)
    assert sched.alphas_bar[-1].item() == pytest.approx(0.001 * sched.alphas_bar[-2].item(), rel=1e-9)


@pytest.mark.parametrize("T", [2, 7, 1000])
def test_log_snr_loses_as_many_decibels_in_every_step_between_the_linear_ends(T):
    sched, linear = double(T, kind="log_snr"), double(T)
    decibels = 10 * torch.log10(sched.alphas_bar / (1 - sched.alphas_bar))
    steps = decibels[:-1] - decibels[1:]
    torch.testing.assert_close(steps, steps.mean().expand(T - 1), rtol=1e-9, atol=0)
    torch.testing.assert_close(sched.alphas_bar[[0, -1]], linear.alphas_bar[[0, -1]], rtol=1e-9, atol=0)
    assert steps.mean() > 0.07


def test_cosine_ignores_the_linear_betas():
    assert torch.equal(make_schedule(30, 0.3, 0.4, "cosine").betas, make_schedule(30, kind="cosine").betas)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 1000])
def test_every_table_has_T_finite_float32_entries(kind, T):
    sched = make_schedule(T, kind=kind)
    for name in TABLES:
        table = getattr(sched, name)
        assert table.shape == (T,) and table.dtype == torch.float32 and table.isfinite().all(), name
    assert (sched.alphas_bar.diff() < 0).all()
    assert (sched.alphas_bar > 0).all()


def test_the_tables_are_computed_in_float64_before_they_are_stored():
    assert torch.equal(make_schedule().alphas_bar, double().alphas_bar.float())


@pytest.mark.parametrize("bad", [{"T": 0}, {"T": 1.5}, {"beta_start": 0.0}, {"beta_end": 1.0}, {"kind": "sigmoid"}])
def test_what_makes_no_schedule_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        make_schedule(**bad)


def test_a_schedule_is_frozen_and_moves_as_one():
    sched = make_schedule(5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sched.T = 3
    moved = sched.to("meta")
    assert moved.T == 5 and all(getattr(moved, name).device.type == "meta" for name in TABLES)


def test_gather_picks_by_time_and_is_shaped_for_images():
    got = gather(torch.tensor([10.0, 11.0, 12.0]), torch.tensor([2, 0, 0, 1]))
    assert got.shape == (4, 1, 1, 1)
    assert got.flatten().tolist() == [12, 10, 10, 11]
