"""The reverse processes by identity: what DDIM, DDPM and the tutorial's `sample` must agree on, and their noise."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from helpers.tiny import Model

from ddpm import (
    EMA,
    Guided,
    ddim_step,
    ddpm_step,
    dpmpp_step,
    heun_step,
    invert,
    make_schedule,
    num_evaluations,
    posterior,
    q_sample,
    reverse_process,
    sample,
    sample_from_ema,
    timesteps,
)
from ddpm.diffusion import to_x0_eps
from ddpm.samplers import SAMPLERS
from ddpm.schedule import SCHEDULES as KINDS
from ddpm.seeding import seeded
from ddpm.spacing import SPACINGS

SCHEDULES = [make_schedule(60, 1e-3, 0.15, kind, dtype=torch.float64) for kind in KINDS]
T = 20
SHAPES = {"pixels": (1, 2, 2), "latents": (8, 4, 4)}  # of one x0


@pytest.fixture(params=SCHEDULES, ids=KINDS)
def sched(request):
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


def draw(shape, B=59):
    g = torch.Generator().manual_seed(3)
    return tuple(torch.randn(B, *shape, generator=g, dtype=torch.float64) for _ in range(3))


def chain(*args, **options):
    return list(reverse_process(*args, img_size=4, **options))


def test_ddim_with_eta_1_is_the_ddpm_step_at_every_t(sched, shape):
    x_t, x0_hat, z = draw(shape, 60)
    t = torch.arange(60)
    _, eps_hat = to_x0_eps(x0_hat, x_t, t, sched, "x0")
    ddim = ddim_step(x0_hat, eps_hat, t, t - 1, sched, eta=1.0, z=z)
    torch.testing.assert_close(ddim, ddpm_step(x_t, x0_hat, t, t - 1, sched, z), rtol=1e-8, atol=1e-8)


def test_so_it_is_for_strides(sched, shape):
    x_t, x0_hat, z = draw(shape)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 3
    _, eps_hat = to_x0_eps(x0_hat, x_t, t, sched, "x0")
    ddim = ddim_step(x0_hat, eps_hat, t, s, sched, eta=1.0, z=z)
    torch.testing.assert_close(ddim, ddpm_step(x_t, x0_hat, t, s, sched, z), rtol=1e-8, atol=1e-8)


def test_the_ddpm_step_is_a_draw_from_the_posterior(sched, shape):
    x_t, x0_hat, z = draw(shape)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 2
    mean, variance = posterior(x0_hat, x_t, t, s, sched)
    torch.testing.assert_close((ddpm_step(x_t, x0_hat, t, s, sched, z) - mean) / z, variance.sqrt().expand_as(z))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_clean_data_is_x0_hat_whatever_the_noise(sched, shape, eta):
    x0_hat, eps_hat, z = draw(shape, 60)
    t, s = torch.arange(60), torch.full((60,), -1)
    torch.testing.assert_close(ddim_step(x0_hat, eps_hat, t, s, sched, eta, z), x0_hat, rtol=0, atol=1e-12)
    torch.testing.assert_close(ddpm_step(eps_hat, x0_hat, t, s, sched, z), x0_hat, rtol=0, atol=1e-12)


def test_a_step_along_the_exact_eps_stays_on_the_forward_ray(sched, shape):
    x0, noise, _ = draw(shape)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 2
    x_t = q_sample(x0, t, noise, sched)
    x0_hat, eps_hat = to_x0_eps(noise, x_t, t, sched, "eps")
    torch.testing.assert_close(ddim_step(x0_hat, eps_hat, t, s, sched), q_sample(x0, s, noise, sched))


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_keeps_the_forward_marginal_for_every_eta(sched, eta):
    """With x0 known and eps ~ N(0, 1), x_s has variance 1 - ab_s: what eps and z bring adds up."""
    one, zero = torch.ones(59, 1, 1, 1, dtype=torch.float64), torch.zeros(59, 1, 1, 1, dtype=torch.float64)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 2
    from_eps = ddim_step(zero, one, t, s, sched, eta, zero)
    from_z = ddim_step(zero, zero, t, s, sched, eta, one)
    torch.testing.assert_close((from_eps**2 + from_z**2).flatten(), 1 - sched.alphas_bar[s])
    _, variance = posterior(zero, zero, t, s, sched)
    torch.testing.assert_close(from_z, eta * variance.sqrt())


@pytest.mark.parametrize("length", [1, 2, 7, 50, 1000])
def test_times_run_evenly_from_the_last_to_clean_data(length):
    for n in {1, 2, 3, length // 2, length - 1, length} & set(range(1, length + 1)):
        times = timesteps(make_schedule(length), n)
        assert len(times) == n + 1 and times[0] == length - 1 and times[-1] == -1
        gaps = [a - b for a, b in pairwise(times[:-1])]
        assert all(g >= 1 for g in gaps)
        if n > 1:
            assert times[-2] == 0 and max(gaps) - min(gaps) <= 1
    assert timesteps(make_schedule(length), length) == [*range(length - 1, -1, -1), -1]


@pytest.mark.parametrize("steps", [0, -1, 21])
def test_a_number_of_steps_that_does_not_exist_is_refused(steps):
    with pytest.raises(ValueError, match="from 1 to 20"):
        chain(Model(), make_schedule(T), 1, num_steps=steps)


@pytest.mark.parametrize("eta", [-0.1, 1.01, math.nan])
def test_eta_lies_between_0_and_1(eta):
    with pytest.raises(ValueError, match="eta"):
        chain(Model(), make_schedule(T), 1, num_steps=2, eta=eta)


def test_a_sampler_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="ddpm, ddim"):
        chain(Model(), make_schedule(T), 1, sampler="euler", num_steps=2)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("steps", [1, 6, T])
def test_the_generator_yields_every_moment_and_asks_once_per_step(sampler, steps):
    model = Model()
    moments = chain(model, make_schedule(T), 3, sampler=sampler, num_steps=steps)
    assert [m.i for m in moments] == list(range(steps + 1))
    assert [m.t for m in moments] == timesteps(make_schedule(T), steps)
    assert model.times == [[m.t] * 3 for m in moments[:-1]]
    for m, x in zip(moments, model.xs, strict=False):
        assert torch.equal(m.x_t, x)
    last = moments[-1]
    assert last.eps_hat is None and torch.equal(last.x0_hat, last.x_t)
    torch.testing.assert_close(last.x_t, moments[-2].x0_hat)  # the last step goes to x0_hat, without noise
    assert all(m.x_t.shape == (3, 1, 4, 4) and m.x_t.dtype == torch.float32 for m in moments)


def test_ddim_with_eta_1_on_all_steps_walks_the_ddpm_path():
    sched = make_schedule(T, 1e-3, 0.3)
    ddpm = chain(Model(), sched, 2, sampler="ddpm", num_steps=T, seed=5)
    ddim = chain(Model(), sched, 2, sampler="ddim", num_steps=T, seed=5, eta=1.0)
    other = chain(Model(), sched, 2, sampler="ddim", num_steps=T, seed=5, eta=0.5)
    for a, b in zip(ddpm, ddim, strict=True):
        torch.testing.assert_close(a.x_t, b.x_t, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ddpm[-1].x_t, other[-1].x_t, atol=1e-2)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_the_loop_takes_the_steps_it_should_with_the_noise_it_should(sampler, clip):
    """Each x_s again from the one before, in float64, from what was said of it and the noise of its own generator."""
    sched, wide = make_schedule(T, 1e-3, 0.3), make_schedule(T, 1e-3, 0.3, dtype=torch.float64)
    moments = chain(Model(), sched, 1, sampler=sampler, num_steps=7, seed=5, first=2, clip=clip, eta=0.8)
    noise = seeded(5, 2)
    assert torch.equal(moments[0].x_t[0], torch.randn(1, 4, 4, generator=noise))
    for now, then in pairwise(moments):
        t, s, x_t = torch.tensor([now.t]), torch.tensor([then.t]), now.x_t.double()
        z = torch.randn(1, 1, 4, 4, generator=noise).double()
        x0_hat, eps_hat = to_x0_eps(Model()(now.x_t, t).double(), x_t, t, wide, "eps")
        if clip:
            x0_hat = x0_hat.clamp(-1, 1)
            eps_hat = (x_t - wide.alphas_bar[now.t].sqrt() * x0_hat) / (1 - wide.alphas_bar[now.t]).sqrt()
        mean, variance = posterior(x0_hat, x_t, t, s, wide)
        ddim = ddim_step(x0_hat, eps_hat, t, s, wide, 0.8, z)
        torch.testing.assert_close(now.x0_hat.double(), x0_hat, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(now.eps_hat.double(), eps_hat, rtol=1e-3, atol=1e-3)
        expected = mean + variance.sqrt() * z if sampler == "ddpm" else ddim
        torch.testing.assert_close(then.x_t.double(), expected, rtol=1e-4, atol=1e-4)
    assert any((m.x0_hat.abs() > 1).any() for m in moments) != clip


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_what_a_model_predicts_is_read_from_it(kind):
    class Knows(Model):
        def __call__(self, x, t):
            a, b = sched.sqrt_alphas_bar[t[0]], sched.sqrt_one_minus_alphas_bar[t[0]]
            return truth if kind == "x0" else a * (x - a * truth) / b - b * truth

    sched = make_schedule(T, 1e-3, 0.3)
    truth = torch.full((2, 1, 4, 4), 0.25)
    for moment in chain(Knows(kind), sched, 2, num_steps=5):
        torch.testing.assert_close(moment.x0_hat, truth, rtol=0, atol=1e-4)


def test_x_T_is_standard_normal_to_a_tolerance_from_n():
    first = next(reverse_process(Model(), make_schedule(T), 200, num_steps=1, img_size=10)).x_t.double()
    N = first.numel()
    assert abs(first.mean()) < 5 / math.sqrt(N)
    assert abs(first.var() - 1) < 5 * math.sqrt(2 / N)
    assert abs((first**4).mean() - 3) < 5 * math.sqrt(96 / N)
    neighbours = (first[1:] * first[:-1]).mean(), (first[..., 1:] * first[..., :-1]).mean()
    assert all(abs(c) < 5 / math.sqrt(N - N // 10) for c in neighbours)


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "ddpm"},
        {"sampler": "ddpm", "variance": "large"},
        {"sampler": "ddim", "eta": 0.7},
        {"sampler": "dpmpp"},
        {"sampler": "heun"},
    ],
)
def test_the_noise_of_a_sample_depends_on_seed_and_index_alone(options):
    sched = make_schedule(T, 1e-3, 0.3)
    options = {"num_steps": 6, "seed": 9, **options}
    five = chain(Model(), sched, 5, **options)
    for i in range(5):
        alone = chain(Model(), sched, 1, first=i, **options)
        assert torch.equal(alone[0].x_t[0], five[0].x_t[i])
        for a, b in zip(alone, five, strict=True):
            torch.testing.assert_close(a.x_t[0], b.x_t[i], rtol=0, atol=1e-4)
    other = chain(Model(), sched, 5, **options | {"seed": 10})
    assert not torch.equal(other[0].x_t, five[0].x_t)
    assert len({tuple(x.flatten().tolist()) for x in five[0].x_t}) == 5


@pytest.mark.parametrize("prediction, kind", [("eps", "linear"), ("v", "cosine")])
def test_pictures_of_a_real_network_agree_within_1e_4_across_batch_sizes(prediction, kind, request):
    """As the shipped weights are.  eps on the cosine schedule is another matter: there x0_hat is rounding / 5e-5."""
    model = request.getfixturevalue("tiny_model" if prediction == "eps" else "tiny_classes_model")
    assert model.prediction == prediction
    sched = make_schedule(50, kind=kind)
    options = {"num_steps": 10, "img_size": 8, "seed": 4}
    *_, seven = reverse_process(model, sched, 7, **options)
    *_, three = reverse_process(model, sched, 3, first=2, **options)
    torch.testing.assert_close(three.x_t, seven.x_t[2:5], rtol=0, atol=1e-4)


def test_labels_are_passed_on_only_where_there_are_any(tiny_classes_model):
    seen = []

    def model(x, t, *y):
        seen.append(y)
        return tiny_classes_model(x, t, *y)

    y = torch.tensor([4, 2])
    list(reverse_process(model, make_schedule(T), 2, y=y, num_steps=2, img_size=8))
    sample(model, make_schedule(2), 2, 8, y=y)
    assert len(seen) == 4 and all(len(labels) == 1 and torch.equal(labels[0], y) for labels in seen)


def test_no_gradient_is_kept_and_the_callers_setting_survives(tiny_model):
    process = reverse_process(tiny_model, make_schedule(T), 1, num_steps=3, img_size=8)
    for moment in process:
        assert not moment.x0_hat.requires_grad
        assert torch.is_grad_enabled()


def tutorial_in_posterior_form(model, sched, shape, generator):
    """Algorithm 2 in float64 by the posterior of x0_hat, with noise in the order of the tutorial: x_T, then each z."""
    x = torch.randn(shape, generator=generator).double()
    for time in range(sched.T - 1, -1, -1):
        t = torch.full((shape[0],), time)
        x0_hat, _ = to_x0_eps(model(x.float(), t).double(), x, t, sched, "eps")
        mean, variance = posterior(x0_hat, x, t, t - 1, sched)
        x = mean + (variance.sqrt() * torch.randn(shape, generator=generator).double() if time else 0)
    return x


def test_sample_is_the_posterior_mean_form_with_a_final_clamp_and_no_noise_at_0():
    sched, wide = make_schedule(T, 1e-3, 0.2), make_schedule(T, 1e-3, 0.2, dtype=torch.float64)
    ours, theirs = torch.Generator().manual_seed(8), torch.Generator().manual_seed(8)
    got = sample(Model(), sched, n=4, img_size=5, channels=2, generator=ours)
    raw = tutorial_in_posterior_form(Model(), wide, (4, 2, 5, 5), theirs)
    assert got.shape == (4, 2, 5, 5) and (raw.abs() > 1).any()
    torch.testing.assert_close(got.double(), raw.clamp(-1, 1), rtol=0, atol=1e-4)
    assert torch.equal(ours.get_state(), theirs.get_state())  # T - 1 draws of z: none at t = 0


def test_sample_clips_nothing_on_the_way():
    model = Model()
    sample(model, make_schedule(T, 1e-3, 0.2), n=4, img_size=5)
    assert model.times == [[t] * 4 for t in range(T - 1, -1, -1)]
    assert all((x.abs() > 1).any() for x in model.xs)


def test_sample_without_a_generator_uses_torchs_own():
    sched = make_schedule(3)
    torch.manual_seed(6)
    a = sample(Model(), sched, n=2, img_size=4)
    b = sample(Model(), sched, n=2, img_size=4)
    torch.manual_seed(6)
    assert torch.equal(sample(Model(), sched, n=2, img_size=4), a) and not torch.equal(a, b)


def test_sample_from_ema_uses_the_average_and_leaves_the_model_alone(tiny_model):
    sched = make_schedule(3)
    ema = EMA(tiny_model, 0.5)
    with torch.no_grad():
        for p in tiny_model.parameters():
            p.add_(0.05)
    live = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    tiny_model.train()
    got = sample_from_ema(tiny_model, ema, sched, n=2, img_size=8, generator=seeded(1, 1))
    assert tiny_model.training
    assert all(torch.equal(value, live[name]) for name, value in tiny_model.state_dict().items())
    assert not torch.allclose(got, sample(tiny_model, sched, 2, 8, generator=seeded(1, 1)), atol=1e-3)
    ema.copy_to(tiny_model)
    torch.testing.assert_close(got, sample(tiny_model, sched, 2, 8, generator=seeded(1, 1)))


def test_dpmpp_at_first_order_is_ddim(sched, shape):
    x_t, x0_hat, before = draw(shape, 60)
    t, s = torch.arange(60), (torch.arange(60) // 2) - 1
    _, eps_hat = to_x0_eps(x0_hat, x_t, t, sched, "x0")
    ddim = ddim_step(x0_hat, eps_hat, t, s, sched)
    torch.testing.assert_close(dpmpp_step(x_t, x0_hat, t, s, sched), ddim, rtol=1e-8, atol=1e-8)
    same = dpmpp_step(x_t[:59], x0_hat[:59], t[:59], s[:59], sched, x0_hat[:59], t[:59] + 1)
    torch.testing.assert_close(same, ddim[:59], rtol=1e-8, atol=1e-8)
    clean = torch.full((59,), -1)
    last = dpmpp_step(x_t[:59], x0_hat[:59], t[:59], clean, sched, before[:59], t[:59] + 1)
    torch.testing.assert_close(last, x0_hat[:59])


def test_dpmpp_looks_half_a_step_ahead_along_lambda(sched, shape):
    """Where x0_hat is linear in lambda, D is its value in the middle of the step."""
    x_t, at_0, slope = draw(shape, 40)
    before, t, s = torch.arange(19, 59), torch.arange(10, 50), torch.arange(40) // 2

    def x0_hat(time):
        return at_0 + slope * sched.lambdas[time].reshape(-1, 1, 1, 1)

    middle = (x0_hat(t) + x0_hat(s)) / 2
    got = dpmpp_step(x_t, x0_hat(t), t, s, sched, x0_hat(before), before)
    torch.testing.assert_close(got, dpmpp_step(x_t, middle, t, s, sched), rtol=1e-8, atol=1e-8)


def test_heun_is_exact_where_eps_is_linear_in_sigma(sched, shape):
    """du = (a + b sigma) dsigma integrates to a sigma + b sigma^2 / 2."""
    x_t, a, b = draw(shape)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 2
    sigma_t, sigma_s = (
        ((1 - ab) / ab).sqrt().reshape(-1, 1, 1, 1) for ab in (sched.alphas_bar[t], sched.alphas_bar[s])
    )
    eps_t, eps_s = a + b * sigma_t, a + b * sigma_s
    x0_hat, _ = to_x0_eps(eps_t, x_t, t, sched, "eps")
    got = heun_step(ddim_step(x0_hat, eps_t, t, s, sched), eps_t, eps_s, t, s, sched)
    u_t = x_t / sched.sqrt_alphas_bar[t].reshape(-1, 1, 1, 1)
    u_s = u_t + a * (sigma_s - sigma_t) + b * (sigma_s**2 - sigma_t**2) / 2
    torch.testing.assert_close(got, u_s * sched.sqrt_alphas_bar[s].reshape(-1, 1, 1, 1), rtol=1e-7, atol=1e-7)


def test_the_large_variance_is_beta_and_nothing_at_the_end(sched, shape):
    x_t, x0_hat, z = draw(shape)
    t, s = torch.arange(1, 60), torch.arange(1, 60) // 2
    mean, _ = posterior(x0_hat, x_t, t, s, sched)
    beta = 1 - (sched.alphas_bar[t] / sched.alphas_bar[s]).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(ddpm_step(x_t, x0_hat, t, s, sched, z, "large"), mean + beta.sqrt() * z)
    one = torch.tensor([7])
    torch.testing.assert_close(
        ddpm_step(x_t[:1], x0_hat[:1], one, one * 0 - 1, sched, z[:1], "large"), x0_hat[:1], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_other_spacings(kind):
    sched = make_schedule(1000, kind=kind)
    for n in (1, 2, 3, 10, 37, 500, 999, 1000):
        for spacing in SPACINGS:
            times = timesteps(sched, n, spacing)
            assert times[0] == 999 and times[-1] == -1 and len(times) == n + 1
            assert all(a > b for a, b in pairwise(times))
    assert timesteps(sched, 4, "trailing") == [999, 749, 499, 249, -1]
    lambdas = sched.lambdas[timesteps(sched, 12, "log_snr")[4:-1]]  # before, a single t is longer than a step
    assert (lambdas.diff() / lambdas.diff().mean() - 1).abs().max() < 0.15
    with pytest.raises(ValueError, match="linspace, trailing, log_snr"):
        timesteps(sched, 4, "karras")


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 6, T])
def test_evaluations_are_counted_as_they_are_asked(sampler, steps, tiny_classes_model):
    sched, asked, y = make_schedule(T), [], torch.tensor([4, 2])

    class Counting:
        prediction = tiny_classes_model.prediction

        def __call__(self, x, t, y):
            asked.append(len(x) / 2)
            return tiny_classes_model(x, t, y)

    guided = Guided(Counting(), 2.0, (5, 12))
    list(reverse_process(guided, sched, 2, y=y, sampler=sampler, num_steps=steps, img_size=8))
    assert num_evaluations(guided, timesteps(sched, steps), sampler) == sum(asked)
    expected = 2 * steps - 1 if sampler == "heun" else steps
    assert num_evaluations(Model(), timesteps(sched, steps), sampler) == expected == len(asked)


@pytest.mark.parametrize("sampler", ["dpmpp", "heun"])
@pytest.mark.parametrize("clip", [True, False])
def test_the_loop_takes_second_order_steps(sampler, clip):
    """Each x_s again from the ones before, in float64, and Heun's second question at its place and time."""
    sched, wide, model = make_schedule(T, 1e-3, 0.3), make_schedule(T, 1e-3, 0.3, dtype=torch.float64), Model()
    moments = chain(model, sched, 2, sampler=sampler, num_steps=7, seed=5, clip=clip)

    def said(x, time):
        t = torch.tensor([time] * 2)
        x0_hat, eps_hat = to_x0_eps(Model()(x, t), x, t, wide, "eps")
        return to_x0_eps(x0_hat.clamp(-1, 1), x, t, wide, "x0") if clip else (x0_hat, eps_hat)

    before, times = (), []
    for now, then in pairwise(moments):
        t, s, x_t = torch.tensor([now.t] * 2), torch.tensor([then.t] * 2), now.x_t.double()
        x0_hat, eps_hat = said(x_t, now.t)
        times.append([now.t] * 2)
        if sampler == "dpmpp":
            expected, before = dpmpp_step(x_t, x0_hat, t, s, wide, *before), (x0_hat, t)
        else:
            expected = ddim_step(x0_hat, eps_hat, t, s, wide)
            if then.t >= 0:
                times.append([then.t] * 2)
                expected = heun_step(expected, eps_hat, said(expected, then.t)[1], t, s, wide)
        torch.testing.assert_close(then.x_t.double(), expected, rtol=1e-3, atol=1e-3)
    assert model.times == times


class Smooth:
    """A model whose x0_hat tends to x_t where there is no noise, as a trained one's does."""

    prediction = "v"

    def __call__(self, x, t):
        return -torch.tanh(x + 0.2)


@pytest.mark.parametrize("sampler", ["dpmpp", "heun"])
def test_deterministic_samplers_converge_to_each_other(sampler):
    sched = make_schedule(1000)

    gaps = []
    for steps in (20, 100, 500):
        options = {"num_steps": steps, "clip": False, "spacing": "log_snr", "seed": 1}
        *_, a = chain(Smooth(), sched, 4, sampler="ddim", **options)
        *_, b = chain(Smooth(), sched, 4, sampler=sampler, **options)
        gaps.append((a.x_t - b.x_t).abs().max().item())
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] and gaps[2] < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_inverted_and_generated_again_a_picture_comes_back_the_closer_the_more_steps(kind, shape):
    sched, x0 = make_schedule(1000, kind=kind), 0.8 * torch.tanh(torch.randn(3, *shape, generator=seeded(1)))

    errors = []
    for steps in (10, 50, 250):
        moments = list(invert(Smooth(), sched, x0, num_steps=steps))
        times = timesteps(sched, steps)
        assert [m.t for m in moments] == times[::-1] and [m.i for m in moments] == list(range(steps + 1))
        assert torch.equal(moments[0].x_t, x0) and moments[-1].eps_hat is None
        x_t = moments[-1].x_t
        for now, then in pairwise(times):
            t, s = torch.full((3,), now), torch.full((3,), then)
            x0_hat, eps_hat = to_x0_eps(Smooth()(x_t, t), x_t, t, sched, "v")
            x_t = ddim_step(x0_hat, eps_hat, t, s, sched)
        errors.append((x_t - x0).abs().mean().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_every_sampler_with_every_model_and_spacing_from_1_step_to_all(sampler, spacing, prediction):
    for kind in KINDS:
        for steps in (1, 2, T):
            options = {"sampler": sampler, "spacing": spacing, "num_steps": steps}
            *_, last = chain(Model(prediction), make_schedule(T, kind=kind), 2, **options)
            assert last.x_t.isfinite().all() and last.x_t.abs().max() <= 1
