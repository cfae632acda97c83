"""Errors planted in the noising, the samplers and the autoencoder, one at a time, each of which a test must see.

An error is planted by giving the function, wherever it was imported, the code with one expression exchanged, and
taken out again afterwards.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any

import pytest
import test_autoencoder as autoencoders
import test_diffusion
import test_guidance
import test_order as order
import test_samplers as steps
import torch

from ddpm import autoencoder, generate, guidance, inversion, make_schedule, samplers, solvers, spacing
from ddpm.diffusion import forward_step, posterior

LINEAR = make_schedule(60, 1e-3, 0.15, dtype=torch.float64)
OF_ORDER = order.test_deterministic_samplers_follow_the_ode_to_their_order
EVERY_SAMPLER_COUNTS = steps.test_evaluations_are_counted_as_they_are_asked


@dataclass(frozen=True)
class Planted:
    """An error: in `function`, `right` is replaced by `wrong`; `test`, called with `args`, must fail."""

    name: str
    function: Any
    right: str
    wrong: str
    test: Any
    args: tuple = ()


MEAN = "ab_s.sqrt() * beta_ts / (1 - ab_t) * x0 {} alpha_ts.sqrt() * (1 - ab_s) / (1 - ab_t) * x_t"
SECOND_ORDER = ("linear", "dpmpp", "log_snr", order.FEW, 2)
ERRORS = [
    Planted("forward: alpha for its root", forward_step, "(1 - beta).sqrt()", "1 - beta",
            test_diffusion.test_many_small_steps_agree_with_one_jump_in_mean_and_variance, (LINEAR,)),
    Planted("forward: beta for its root", forward_step, "beta.sqrt()", "beta",
            test_diffusion.test_many_small_steps_agree_with_one_jump_in_mean_and_variance, (LINEAR,)),
    Planted("ddpm: sign of the noise's scale", samplers.ddpm_step, "mean + sigma_squared.sqrt() * z",
            "mean - sigma_squared.sqrt() * z", steps.test_the_ddpm_step_is_a_draw_from_the_posterior, (LINEAR,)),
    Planted("ddpm: variance for its root", samplers.ddpm_step, "sigma_squared.sqrt()", "sigma_squared",
            steps.test_ddim_with_eta_1_is_the_ddpm_step_at_every_t, (LINEAR,)),
    Planted("ddpm: noise on clean data", samplers.ddpm_step, "beta_ts * (s >= 0).reshape(-1, 1, 1, 1)", "beta_ts",
            steps.test_the_large_variance_is_beta_and_nothing_at_the_end, (LINEAR,)),
    Planted("posterior: alphas_bar of t for that of s", posterior, "ab_s.sqrt()", "ab_t.sqrt()",
            order.test_the_mean_is_exact, ("linear", "number", "ddpm", 1.0)),
    Planted("posterior: sign in the mean", posterior, MEAN.format("+"), MEAN.format("-"),
            order.test_the_variance_is_first_order, ("cosine", "latents", "ddpm", 1.0)),
    Planted("ddim: noise that nothing makes room for", samplers.ddim_step, "1 - ab_s - sigma**2", "1 - ab_s",
            steps.test_ddim_keeps_the_forward_marginal_for_every_eta, (LINEAR, 1.0)),
    Planted("ddim: alpha for alphas_bar", samplers.ddim_step, "gather(sched.alphas_bar_prev, s + 1)",
            "gather(sched.alphas, s)", steps.test_a_step_along_the_exact_eps_stays_on_the_forward_ray, (LINEAR,)),
    Planted("ddim: s counted from 1", samplers.ddim_step, "s + 1", "s",
            steps.test_a_step_along_the_exact_eps_stays_on_the_forward_ray, (LINEAR,)),
    Planted("dpmpp: r upside down", solvers.dpmpp_step, "(x0_hat - x0_hat_before) / (2 * r)",
            "(x0_hat - x0_hat_before) * r / 2", steps.test_dpmpp_looks_half_a_step_ahead_along_lambda, (LINEAR,)),
    Planted("dpmpp: without the 2", solvers.dpmpp_step, "2 * r", "r", OF_ORDER, SECOND_ORDER),
    Planted("dpmpp: sign of the extrapolation", solvers.dpmpp_step, "x0_hat - x0_hat_before", "x0_hat_before - x0_hat",
            steps.test_dpmpp_looks_half_a_step_ahead_along_lambda, (LINEAR,)),
    Planted("dpmpp: second order to clean data", solvers.dpmpp_step, "bool((s >= 0).all())", "True",
            steps.test_dpmpp_at_first_order_is_ddim, (LINEAR,)),
    Planted("heun: without the 2", solvers.heun_step, "scale_s * (sigma_s - sigma_t) * (eps_hat_s - eps_hat) / 2",
            "scale_s * (sigma_s - sigma_t) * (eps_hat_s - eps_hat)", OF_ORDER,
            ("linear", "heun", "log_snr", order.FEW, 2)),
    Planted("heun: not scaled back", solvers.heun_step, "scale_s * (sigma_s - sigma_t)", "sigma_s - sigma_t",
            steps.test_heun_is_exact_where_eps_is_linear_in_sigma, (LINEAR,)),
    Planted("heun: second question at the time of the first", samplers._heun, "h.predict(x_s, h.s)",
            "h.predict(x_s, h.t)", steps.test_the_loop_takes_second_order_steps, ("heun", True)),
    Planted("dpmpp: forgets the step before", samplers.reverse_process, "(x0_hat, t)", "None",
            steps.test_the_loop_takes_second_order_steps, ("dpmpp", False)),
    Planted("ddim: eta forgotten", samplers.reverse_process,
            "Here(x_t, t, s, x0_hat, eps_hat, sched, eta, variance, noise, ask, before)",
            "Here(x_t, t, s, x0_hat, eps_hat, sched, 0.0, variance, noise, ask, before)",
            steps.test_ddim_with_eta_1_on_all_steps_walks_the_ddpm_path),
    Planted("clip: eps_hat not recomputed", samplers.predict, 'to_x0_eps(x0_hat.clamp(-1, 1), x_t, t, sched, "x0")',
            "(x0_hat.clamp(-1, 1), eps_hat)", steps.test_the_loop_takes_the_steps_it_should_with_the_noise_it_should,
            ("ddim", True)),
    Planted("log_snr: collisions left in", spacing.log_snr, "max(min(nearest, last - 1), num_steps - 1 - i)",
            "nearest", steps.test_other_spacings, ("cosine",)),
    Planted("trailing: as linspace", spacing.trailing, "i * sched.T / num_steps", "i * sched.T / (num_steps + 1)",
            steps.test_other_spacings, ("linear",)),
    Planted("invert: signal and noise exchanged", inversion.invert, "q_sample(x0_hat, s, eps_hat, sched)",
            "q_sample(eps_hat, s, x0_hat, sched)",
            steps.test_inverted_and_generated_again_a_picture_comes_back_the_closer_the_more_steps, ("linear",)),
    Planted("evaluations: Heun's second not counted", generate.evaluation_times, "method(sampler).evaluations - 1", "0",
            EVERY_SAMPLER_COUNTS, ("heun", 6)),
    Planted("guidance: w - 1 for w", guidance.Guided.__call__, "scale * (cond - uncond)",
            "(scale - 1) * (cond - uncond)",
            test_guidance.test_the_answer_at_w, (2.0,)),
    Planted("guidance: labels exchanged", guidance.Guided.__call__, "torch.cat([y, null])", "torch.cat([null, y])",
            test_guidance.test_w_2_is_as_far_beyond_the_conditional_as_that_is_from_the_unconditional),
    Planted("latents: scale forgotten of the mean", autoencoder.VAE.posterior, "self.scale * mean", "mean",
            autoencoders.test_draws_of_the_latents_have_unit_variance),
    Planted("latents: scale forgotten of the spread", autoencoder.VAE.posterior, "self.scale * (logvar / 2).exp()",
            "(logvar / 2).exp()", autoencoders.test_a_draw_is_as_wide_as_q_says_and_scaled),
    Planted("latents: scale forgotten in the decoder", autoencoder.VAE.decode, "latents / self.scale", "latents",
            autoencoders.test_draws_of_the_latents_have_unit_variance),
    Planted("latents: the variance for its root", autoencoder.VAE.posterior, "(logvar / 2).exp()", "logvar.exp()",
            autoencoders.test_a_draw_is_as_wide_as_q_says_and_scaled),
    Planted("latents: their mean for a draw, as they are encoded", autoencoder.VAE.encode, "mean + std * noise", "mean",
            autoencoders.test_draws_of_the_latents_have_unit_variance),
    Planted("latents: their mean for a draw, in the batches", autoencoder.LatentLoader.x0,
            "self.mean[index] + self.std[index] * noise.to(self.mean.device)", "self.mean[index]",
            autoencoders.test_batches_of_latents_are_draws_that_depend_on_seed_and_step_alone),
    Planted("latents: clipped on the way", generate.Sampler.steps, "sampling.clip and self.codec is None",
            "sampling.clip", autoencoders.test_what_is_drawn_is_decoded_at_the_exit_and_not_clipped_on_the_way),
    Planted("latents: clamped before the decoder", generate.Sampler.pictures, "self.codec.decode(x)",
            "self.codec.decode(x.clamp(-1, 1))",
            autoencoders.test_what_is_drawn_is_decoded_at_the_exit_and_not_clipped_on_the_way),
    Planted("latents: pictures clamped by the decoder", autoencoder.VAE.decode,
            "F.pixel_shuffle(self.out_conv(F.silu(self.out_norm(h))), self.patch_size).float()",
            "F.pixel_shuffle(self.out_conv(F.silu(self.out_norm(h))), self.patch_size).float().clamp(-1, 1)",
            autoencoders.test_a_decoder_does_not_clamp_its_pictures),
    Planted("bound: the mean for a draw", autoencoder.negative_elbo, "mean + (logvar / 2).exp() * noise", "mean",
            autoencoders.test_the_loss_is_the_square_error_of_a_draw_and_the_weighted_divergence),
    Planted("bound: decoded on another scale", autoencoder.negative_elbo, "model.scale * z", "z",
            autoencoders.test_the_loss_is_the_square_error_of_a_draw_and_the_weighted_divergence),
    Planted("bound: sign of the divergence", autoencoder.negative_elbo,
            "error + kl_weight * kl_divergence(mean, logvar)", "error - kl_weight * kl_divergence(mean, logvar)",
            autoencoders.test_the_loss_is_the_square_error_of_a_draw_and_the_weighted_divergence),
    Planted("divergence: the other way round", autoencoder.kl_divergence, "0.5", "-0.5",
            autoencoders.test_the_divergence_is_that_of_two_gaussians_by_quadrature),
    Planted("divergence: sign of the log-variance", autoencoder.kl_divergence,
            "mean.square() + logvar.exp() - 1 - logvar", "mean.square() + logvar.exp() - 1 + logvar",
            autoencoders.test_the_divergence_is_that_of_two_gaussians_by_quadrature),
]  # fmt: skip
FIXTURES = ("tiny_classes_model", "tiny_images", "question", "shape", "vae", "codec")


def arguments(test, args, request):
    """A test's arguments by name: fixtures from pytest, the rest from `args` in turn."""
    given = iter(args)
    names = inspect.signature(test).parameters
    return {name: request.getfixturevalue(name) if name in FIXTURES else next(given) for name in names}


@pytest.fixture
def question():
    return test_guidance.question.__wrapped__()


@pytest.fixture
def shape():
    return steps.SHAPES["latents"]


@pytest.fixture
def vae():
    return autoencoders.vae.__wrapped__()


@pytest.fixture
def codec(vae, tiny_images):
    return autoencoders.codec.__wrapped__(vae, tiny_images)


class Exchange(ast.NodeTransformer):
    """An expression put in the place of another, wherever that stands and however it is laid out."""

    def __init__(self, right: str, wrong: str):
        self.right, self.wrong = (ast.parse(text, mode="eval").body for text in (right, wrong))
        self.found = 0

    def visit(self, node: ast.AST) -> ast.AST:
        if ast.dump(node) != ast.dump(self.right):
            return self.generic_visit(node)
        self.found += 1
        return self.wrong


def altered(function, right, wrong):
    """The code object of `function` with the expression `right` replaced by `wrong`."""
    exchange = Exchange(right, wrong)
    tree = exchange.visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    assert exchange.found == 1, f"{right!r} has to stand once in {function.__name__}"
    tree.body.insert(0, ast.parse("from __future__ import annotations").body[0])
    scope = dict(function.__globals__)
    exec(compile(ast.fix_missing_locations(tree), "planted", "exec"), scope)
    return inspect.unwrap(scope[function.__name__]).__code__


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.name)
def test_a_planted_error_is_seen(error, request, monkeypatch):
    options = arguments(error.test, error.args, request)
    error.test(**options)
    function = inspect.unwrap(error.function)
    with monkeypatch.context() as planted:
        planted.setattr(function, "__code__", altered(function, error.right, error.wrong))
        with pytest.raises((AssertionError, pytest.fail.Exception, RuntimeError, IndexError)):
            error.test(**options)
    error.test(**options)
