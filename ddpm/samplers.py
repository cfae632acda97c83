"""Reverse processes: a step function for each sampler, a table of them, and one generator loop that drives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from . import equations
from .denoiser import Denoiser, prediction_of
from .diffusion import posterior, to_x0_eps
from .editing import Known, back_up
from .schedule import Schedule, gather
from .seeding import seeded
from .solvers import dpmpp_step, heun_step
from .spacing import timesteps

VARIANCES = ("small", "large")


@dataclass(frozen=True)
class SampleStep:
    """One moment of a reverse process.  i: 0..N.  t: the time of x_t; -1, with i = N, is the finished sample.

    x_t: (B, C, H, W), float32.  x0_hat, eps_hat: what the model says of x_t; at the last moment, where the model is
    not asked, x0_hat is x_t and eps_hat is None.
    """

    i: int
    t: int
    x_t: Tensor
    x0_hat: Tensor
    eps_hat: Tensor | None


def ddpm_step(
    x_t: Tensor, x0_hat: Tensor, t: Tensor, s: Tensor, sched: Schedule, z: Tensor, variance: str = "small"
) -> Tensor:
    """One ancestral step x_t -> x_s: a draw from q(x_s | x_t, x0_hat).  Ho et al. 2020, Eq. 6 and 7.

    x_s = posterior mean(x0_hat, x_t) + sqrt(variance) z

    x_t, x0_hat, z: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T.  Returns x_s.
    variance: small is the posterior's, right if x0 is one point; large is beta_ts = 1 - ab_t / ab_s, right if x0 is
    N(0, I) (their section 3.2).  Both are 0 for s = -1.
    """
    mean, sigma_squared = posterior(x0_hat, x_t, t, s, sched)
    if variance == "large":
        beta_ts = 1 - gather(sched.alphas_bar, t) / gather(sched.alphas_bar_prev, s + 1)
        sigma_squared = beta_ts * (s >= 0).reshape(-1, 1, 1, 1)
    return mean + sigma_squared.sqrt() * z


def ddim_step(
    x0_hat: Tensor, eps_hat: Tensor, t: Tensor, s: Tensor, sched: Schedule, eta: float = 0.0, z: Tensor | None = None
) -> Tensor:
    """One step x_t -> x_s.  Song et al. 2021, arXiv:2010.02502, Eq. 12 and 16; their alpha_t is our alphas_bar_t.

    sigma = eta sqrt((1 - ab_s)/(1 - ab_t)) sqrt(1 - ab_t/ab_s)
    x_s = sqrt(ab_s) x0_hat + sqrt(1 - ab_s - sigma^2) eps_hat + sigma z

    x0_hat, eps_hat, z: (B, C, H, W).  t, s: (B,) int64, -1 <= s < t < T; s = -1 is clean data.
    eta: 0 is deterministic and needs no z, 1 is DDPM.  Returns x_s.
    """
    ab_t, ab_s = gather(sched.alphas_bar, t), gather(sched.alphas_bar_prev, s + 1)
    sigma = eta * ((1 - ab_s) / (1 - ab_t)).sqrt() * (1 - ab_t / ab_s).sqrt()
    x_s = ab_s.sqrt() * x0_hat + (1 - ab_s - sigma**2).clamp(min=0).sqrt() * eps_hat
    return x_s if z is None else x_s + sigma * z


def predict(
    model: Denoiser, x_t: Tensor, t: Tensor, y: Tensor | None, sched: Schedule, clip: bool
) -> tuple[Tensor, Tensor]:
    """(x0_hat, eps_hat) of a model at x_t, for one network evaluation, two if guided.  clip: see reverse_process."""
    out = model(x_t, t) if y is None else model(x_t, t, y)
    x0_hat, eps_hat = to_x0_eps(out.float(), x_t, t, sched, prediction_of(model))
    if not clip:
        return x0_hat, eps_hat
    return to_x0_eps(x0_hat.clamp(-1, 1), x_t, t, sched, "x0")


@dataclass(frozen=True)
class Here:
    """What a step may use.  x_t: (B, C, H, W), at the times t: (B,) int64; s: (B,), where it is to arrive, -1 <= s < t.

    x0_hat, eps_hat: what the model says of x_t.  before: x0_hat and t of the step before; None at the first.
    noise(): N(0, I), like x_t, fresh.  predict(x, t): (x0_hat, eps_hat) at another place, for one evaluation more.
    """

    x_t: Tensor
    t: Tensor
    s: Tensor
    x0_hat: Tensor
    eps_hat: Tensor
    sched: Schedule
    eta: float
    variance: str
    noise: Callable[[], Tensor]
    predict: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    before: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Method:
    """A sampler.  One more in SAMPLERS is one more in the loop, on the page, in the chart and on the command line.

    label: its name in texts.  step: from a Here to x_s.  function: the maths in it.  uses: what of it lies in others.
    source: paper and equation.  equation: in MathML.  symbols: of it, what each is.
    terms: the pictures that x_s is a sum of, see `equations.TERMS`.
    factors: what each counts for, as written in these functions; "" where that is no one expression.
    order: of accuracy.  spacing: the one of SPACINGS that suits it.  evaluations: of the network a step, one to clean
    data.  knob: the setting that it alone has, eta or variance.  draws_noise(eta): whether its steps do.
    """

    label: str
    step: Callable[[Here], Tensor]
    function: Callable[..., Tensor]
    source: str
    equation: tuple[str, ...]
    terms: tuple[str, ...]
    factors: tuple[str, ...] = ()
    uses: tuple[Callable[..., Any], ...] = ()
    order: int = 1
    spacing: str = "linspace"
    evaluations: int = 1
    knob: str | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)
    draws_noise: Callable[[float], bool] = lambda eta: False


def _heun(h: Here) -> Tensor:
    x_s = ddim_step(h.x0_hat, h.eps_hat, h.t, h.s, h.sched)
    if bool((h.s < 0).all()):
        return x_s
    return heun_step(x_s, h.eps_hat, h.predict(x_s, h.s)[1], h.t, h.s, h.sched)


# The second-order samplers need steps even in log-SNR: evenly in t their first one on the cosine schedule is from
# sigma = 2e4, and Heun's method then draws nothing at all.
SAMPLERS = {
    "ddpm": Method(
        label="DDPM",
        step=lambda h: ddpm_step(h.x_t, h.x0_hat, h.t, h.s, h.sched, h.noise(), h.variance),
        function=ddpm_step,
        source="Ho et al. 2020, Eq. 6 and 7",
        equation=equations.DDPM,
        terms=("x0_hat", "x_t", "z"),
        factors=(*equations.MEAN_OF, "sigma_squared.sqrt()"),
        uses=(posterior,),
        symbols=equations.DDPM_SYMBOLS,
        knob="variance",
        draws_noise=lambda eta: True,
    ),
    "ddim": Method(
        label="DDIM",
        step=lambda h: ddim_step(h.x0_hat, h.eps_hat, h.t, h.s, h.sched, h.eta, h.noise() if h.eta > 0 else None),
        function=ddim_step,
        source="Song et al. 2021, Eq. 12 and 16",
        equation=equations.DDIM,
        terms=("x0_hat", "eps_hat", "z"),
        factors=("ab_s.sqrt()", "(1 - ab_s - sigma**2).clamp(min=0).sqrt()", "sigma"),
        symbols=equations.DDIM_SYMBOLS,
        knob="eta",
        draws_noise=lambda eta: eta > 0,
    ),
    "dpmpp": Method(
        label="DPM-Solver++",
        step=lambda h: dpmpp_step(h.x_t, h.x0_hat, h.t, h.s, h.sched, *(h.before or ())),
        function=dpmpp_step,
        source="Lu et al. 2022, Algorithm 2",
        equation=equations.DPMPP,
        terms=("x_t", "x0_hat", "x0_hat_before"),
        factors=("sigma_s / sigma_t", "", ""),
        symbols=equations.DPMPP_SYMBOLS,
        order=2,
        spacing="log_snr",
    ),
    "heun": Method(
        label="Heun",
        step=_heun,
        function=heun_step,
        source="Karras et al. 2022, Algorithm 1",
        equation=equations.HEUN,
        terms=("x0_hat", "eps_hat", "eps_hat_s"),
        symbols=equations.HEUN_SYMBOLS,
        order=2,
        spacing="log_snr",
        evaluations=2,
    ),
}


def method(sampler: str) -> Method:
    """The sampler of that name.  Raises ValueError if there is none."""
    if sampler not in tuple(SAMPLERS):
        raise ValueError(f"sampler: one of {', '.join(SAMPLERS)}")
    return SAMPLERS[sampler]


@torch.no_grad()
def reverse_process(
    model: Denoiser,
    sched: Schedule,
    n: int = 16,
    *,
    y: Tensor | None = None,
    sampler: str = "ddim",
    num_steps: int = 50,
    eta: float = 0.0,
    variance: str = "small",
    spacing: str = "linspace",
    clip: bool = True,
    seed: int = 0,
    first: int = 0,
    start: tuple[int, Tensor] | None = None,
    known: Known | None = None,
    img_size: int = 32,
    channels: int = 1,
    device: torch.device | str = "cpu",
) -> Iterator[SampleStep]:
    """From noise to n samples, as a generator of num_steps + 1 SampleSteps, the last of which is finished.
    Ho et al. 2020, Algorithm 2, by any of the samplers.

    model(x, t) or, with labels y: (n,) int64, model(x, t, y); what its output means is its attribute `prediction`.
    sampler: of SAMPLERS.  eta: from 0 to 1, of ddim; variance: small or large, of ddpm.  spacing: see `timesteps`.
    clip: x0_hat is clipped to [-1, 1] and eps_hat recomputed from it.
    The noise of sample i comes from a generator of its own, made from (seed, first + i): the same whatever n is.
    start: (i, x_t) goes on from step i, where x_t: (n, C, S, S) has come to.  With all else the same, so is what
    follows, but for dpmpp, which begins anew at first order.  Of a draft x0 noised to that t, it is SDEdit: Meng et
    al. 2022, arXiv:2108.01073, Algorithm 1.
    known: what of the samples is given.  A step that is taken again is two SampleSteps more: where it had arrived, of
    which the model is not asked (x0_hat and eps_hat are what led there), and where it starts again.
    Raises ValueError for a sampler, number of steps, eta, variance or spacing that does not exist.
    """
    how, times = method(sampler), timesteps(sched, num_steps, spacing)
    if not 0 <= eta <= 1 or variance not in VARIANCES:
        raise ValueError(f"eta: a number from 0 to 1; variance: one of {', '.join(VARIANCES)}")
    generators = [seeded(seed, first + i) for i in range(n)]
    apart = [seeded(seed, first + i, 1) for i in range(n if known else 0)]  # no step's noise depends on what is known

    def noise(generators: list[torch.Generator] = generators) -> Tensor:
        return torch.stack([torch.randn(channels, img_size, img_size, generator=g) for g in generators]).to(device)

    def at(time: int) -> Tensor:
        return torch.full((n,), time, dtype=torch.int64, device=device)

    def ask(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return predict(model, x, t, y, sched, clip)

    x_t, before, begin = noise(), None, 0
    if start is not None:
        begin, x_t = start[0], start[1].to(device)
        for _ in range(begin if how.draws_noise(eta) else 0):
            noise()  # what has been used on the way
    i = begin
    for now, then in pairwise(times[begin:]):
        t, s = at(now), at(then)
        for left in reversed(range(known.resamplings if known and then >= 0 else 1)):
            x0_hat, eps_hat = ask(x_t, t)
            yield SampleStep(i, now, x_t, x0_hat, eps_hat)
            x_t = how.step(Here(x_t, t, s, x0_hat, eps_hat, sched, eta, variance, noise, ask, before))
            x_t = known.paste(x_t, s, noise(apart), sched) if known else x_t
            i += 1
            if left:
                yield SampleStep(i, then, x_t, x0_hat, eps_hat)
                x_t, i = back_up(x_t, s, t, noise(), sched), i + 1
        before = (x0_hat, t)
    yield SampleStep(i, -1, x_t, x_t, None)


@torch.no_grad()
def sample(
    model: Denoiser,
    sched: Schedule,
    n: int = 16,
    img_size: int = 32,
    channels: int = 1,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    y: Tensor | None = None,
) -> Tensor:
    """The tutorial's sampler: all T steps, nothing clipped on the way.  Ho et al. 2020, Algorithm 2.

    x_{t-1} = 1/sqrt(alpha_t) (x_t - beta_t / sqrt(1 - alphas_bar_t) eps) + sqrt(posterior_variance_t) z
    without z at t = 0.
    generator: one for the whole batch, on `device`.  Returns (n, channels, img_size, img_size), clamped to [-1, 1].
    """
    x = torch.randn(n, channels, img_size, img_size, generator=generator, device=device)
    for time in reversed(range(sched.T)):
        t = torch.full((n,), time, dtype=torch.int64, device=device)
        out = model(x, t) if y is None else model(x, t, y)
        _, eps = to_x0_eps(out.float(), x, t, sched, prediction_of(model))
        scale = gather(sched.betas, t) / gather(sched.sqrt_one_minus_alphas_bar, t)
        x = gather(sched.sqrt_recip_alphas, t) * (x - scale * eps)
        if time > 0:
            z = torch.randn(x.shape, generator=generator, device=device)
            x = x + gather(sched.posterior_variance, t).sqrt() * z
    return x.clamp(-1, 1)
