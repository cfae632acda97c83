"""One optimiser step against AdamW written out by hand; learning rate; held-out loss; the tutorial's `train`."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch

from ddpm import EMA, Dataset, ModelConfig, TrainConfig, TrainingDiverged, UNet, make_schedule, train, train_step
from ddpm.data import from_uint8
from ddpm.evaluation.losses import held_out_loss
from ddpm.networks import build_model
from ddpm.objective import draw_times
from ddpm.seeding import seeded
from ddpm.training import loop
from ddpm.training.optimizer import lr_factor

LR = 2e-3


def adamw(model, lr=LR):
    return torch.optim.AdamW(model.parameters(), lr=lr)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def by_hand(model, x0, steps, lr, clip=1.0, wd=0.01, T=1000):
    """Algorithm 1 with torch's global generator: t, then noise; AdamW with its defaults, from its paper."""
    alphas_bar = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, T, dtype=torch.float64), 0)
    m = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    v = copy.deepcopy(m)
    losses, norms = [], []
    for k in range(1, steps + 1):
        t = torch.randint(0, T, (len(x0),))
        noise = torch.randn(x0.shape)
        ab = alphas_bar[t].reshape(-1, 1, 1, 1)
        x_t = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
        loss = ((noise - model(x_t, t)) ** 2).sum() / x0.numel()
        grads = dict(zip(m, torch.autograd.grad(loss, list(model.parameters())), strict=True))
        norm = math.sqrt(sum((g.double() ** 2).sum().item() for g in grads.values()))
        losses, norms = [*losses, loss.item()], [*norms, norm]
        with torch.no_grad():
            for name, p in model.named_parameters():
                g = grads[name] * min(1.0, clip / norm)
                m[name] = 0.9 * m[name] + 0.1 * g
                v[name] = 0.999 * v[name] + 0.001 * g**2
                p -= lr * wd * p
                p -= lr * (m[name] / (1 - 0.9**k)) / ((v[name] / (1 - 0.999**k)).sqrt() + 1e-8)
    return losses, norms


@pytest.mark.parametrize("options", [{}, {"grad_clip": 100.0}])
def test_three_steps_by_hand(tiny_model, tiny_images, options):
    """In float64: a bias before a norm has gradient 0, and Adam would make a step of its rounding error."""
    x0, clip = from_uint8(tiny_images[:6]).double(), options.get("grad_clip", 1.0)
    tiny_model.double()
    other = copy.deepcopy(tiny_model)
    torch.manual_seed(11)
    losses, norms = by_hand(other, x0, 3, LR, clip)
    assert (max(norms) > clip) == (not options)  # clipping acts, and does not
    torch.manual_seed(11)
    sched, optimizer = make_schedule(), adamw(tiny_model)
    config = TrainConfig(**options)
    got = [train_step(tiny_model, x0, sched, optimizer, config=config) for _ in range(3)]
    assert got == pytest.approx(losses, rel=1e-5)
    for name, value in weights(other).items():
        torch.testing.assert_close(weights(tiny_model)[name], value, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_at_the_norm_asked_for(tiny_model, tiny_images):
    x0, norms = from_uint8(tiny_images[:6]), []
    for clip in (1e9, 0.02):
        train_step(
            tiny_model,
            x0,
            make_schedule(),
            adamw(tiny_model, lr=1e-9),
            config=TrainConfig(grad_clip=clip),
            generator=seeded(1, 1),
        )
        norms.append(math.sqrt(sum((p.grad**2).sum().item() for p in tiny_model.parameters())))
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.02, rel=1e-3)


def test_old_gradients_are_forgotten(tiny_model, tiny_images):
    other, x0 = copy.deepcopy(tiny_model), from_uint8(tiny_images[:6])
    for p in tiny_model.parameters():
        p.grad = torch.full_like(p, 3.0)
    for model in (tiny_model, other):
        train_step(model, x0, make_schedule(), adamw(model), generator=seeded(1, 1))
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(tiny_model).items())


def test_times_are_uniform_over_the_whole_schedule():
    class Asked(UNet):
        def forward(self, x, t):
            times.append(t)
            return super().forward(x, t)

    times, model = [], Asked(base=8, t_dim=2, mults=(1,), img_size=4)
    for k in range(5):
        train_step(model, torch.zeros(400, 1, 4, 4), make_schedule(4), adamw(model), generator=seeded(0, k))
    counts = torch.cat(times).bincount(minlength=4)
    assert len(counts) == 4 and ((counts - 500).abs() < 5 * math.sqrt(2000 * 0.25 * 0.75)).all()


def test_a_generator_makes_a_step_repeatable_and_leaves_the_global_one_alone(tiny_model, tiny_images):
    other, x0 = copy.deepcopy(tiny_model), from_uint8(tiny_images[:6])
    before = torch.get_rng_state()
    a = train_step(tiny_model, x0, make_schedule(), adamw(tiny_model), generator=seeded(3, 0))
    b = train_step(other, x0, make_schedule(), adamw(other), generator=seeded(3, 0))
    assert a == b and torch.equal(torch.get_rng_state(), before)


def test_labels_are_dropped_at_the_rate_asked_for(tiny_images):
    class Asked(UNet):
        def forward(self, x, t, y):
            seen.append(y.clone())
            return super().forward(x, t, y)

    seen, model = [], Asked(base=8, t_dim=8, mults=(1, 2), num_classes=10, img_size=8)
    y, x0 = torch.arange(20) % 10, from_uint8(tiny_images)
    for p in (0.0, 0.5, 1.0):
        train_step(
            model, x0, make_schedule(), adamw(model), y, config=TrainConfig(label_dropout=p), generator=seeded(0, 0)
        )
    assert torch.equal(seen[0], y) and (seen[2] == -1).all()
    assert 0 < (seen[1] == -1).sum() < 20


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_diverged_step_raises_before_the_weights_are_touched(tiny_model, tiny_images, bad, where):
    x0 = from_uint8(tiny_images[:6])
    if where == "loss":
        x0[0, 0, 0, 0] = bad
    else:
        tiny_model.out_conv.weight.register_hook(lambda g: torch.full_like(g, bad))
    before, optimizer = weights(tiny_model), adamw(tiny_model)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        train_step(tiny_model, x0, make_schedule(), optimizer)
    assert all(torch.equal(value, before[name]) for name, value in weights(tiny_model).items())
    assert not optimizer.state


def test_mixed_precision_keeps_weights_and_moments_float32(tiny_model, tiny_images):
    seen = []
    tiny_model.in_conv.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    before, optimizer = weights(tiny_model), adamw(tiny_model, lr=1e-9)
    train_step(tiny_model, from_uint8(tiny_images[:6]), make_schedule(), optimizer, dtype=torch.bfloat16)
    assert seen == [torch.bfloat16]
    moments = [v for state in optimizer.state.values() for v in state.values()]
    assert all(v.dtype == torch.float32 for v in [*tiny_model.parameters(), *moments])
    assert all((value - before[name]).abs().max() < 1e-6 for name, value in weights(tiny_model).items())  # not rounded


# ---------------------------------------------------------------- learning rate


def test_the_tutorials_learning_rate_is_constant():
    assert {lr_factor(TrainConfig(), step, step / 100) for step in (0, 1, 50, 99)} == {1}


def test_warmup_rises_linearly_to_the_full_rate():
    config = TrainConfig(lr=1e-3, lr_warmup=4)
    factors = [lr_factor(config, step, 0.5) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_decay_is_half_a_cosine_to_zero():
    config = TrainConfig(lr=1e-3, lr_decay=True)
    factors = [lr_factor(config, 10**6, p) for p in (0, 0.25, 0.5, 0.75, 1, 1.5)]
    half = math.sqrt(0.5)
    assert factors == pytest.approx([1, 0.5 * (1 + half), 0.5, 0.5 * (1 - half), 0, 0], abs=1e-12)


# ---------------------------------------------------------------- which t


def drawn_times(n=100_000, T=1000, **config):
    return draw_times(n, T, TrainConfig(**config), seeded(5))


@pytest.mark.parametrize("how", ["uniform", "stratified"])
def test_every_t_is_drawn_alike_first_and_last_included(how):
    counts = drawn_times(T=10, t_sampling=how).bincount(minlength=10)
    assert (counts - 10_000).abs().max() < 5 * math.sqrt(100_000 * 0.1 * 0.9)
    assert len(counts) == 10


def test_stratified_takes_one_t_from_each_part():
    for seed in range(5):
        t = draw_times(50, 1000, TrainConfig(t_sampling="stratified"), seeded(seed))
        assert (t // 20).tolist() == list(range(50))
    assert not torch.equal(t, draw_times(50, 1000, TrainConfig(t_sampling="stratified"), seeded(0)))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.4, 1.0), (-1.0, 0.5)])
def test_logit_normal_is_normal_after_the_logit(mean, std):
    t = drawn_times(T=100_000, t_sampling="logit_normal", t_mean=mean, t_std=std).double()
    z = torch.logit((t + 0.5) / 100_000)
    assert z.mean().item() == pytest.approx(mean, abs=0.01) and z.std().item() == pytest.approx(std, rel=0.01)
    assert ((z - mean).abs() < std).double().mean().item() == pytest.approx(0.6827, abs=0.005)


def test_the_configuration_decides_which_t_are_trained(tiny_model, tiny_images):
    seen = []
    tiny_model.register_forward_pre_hook(lambda _m, args: seen.append(args[1]))
    x0 = from_uint8(tiny_images[:16])
    for config in (TrainConfig(), TrainConfig(t_sampling="logit_normal", t_mean=5.0, t_std=0.1)):
        train_step(tiny_model, x0, make_schedule(), adamw(tiny_model), config=config, generator=seeded(0))
    assert seen[0].min() < 500 and seen[1].min() > 980


# ---------------------------------------------------------------- held out


def test_the_held_out_loss_is_deterministic_and_does_not_depend_on_batches(tiny_classes_model, tiny_images):
    y, sched = torch.arange(20) % 10, make_schedule()
    first = held_out_loss(tiny_classes_model, tiny_images, y, sched)
    torch.manual_seed(99)
    assert held_out_loss(tiny_classes_model, tiny_images, y, sched) == first
    assert held_out_loss(tiny_classes_model, tiny_images, y, sched, batch_size=7) == pytest.approx(first, rel=1e-5)
    assert held_out_loss(tiny_classes_model, tiny_images, y.flip(0), sched) != first


def test_the_held_out_loss_of_saying_nothing_is_that_of_the_noise(tiny_images):
    """A model that answers 0 in eps has loss mean(eps^2) = 1, to a tolerance from the number of pixels."""

    class Silent(torch.nn.Module):
        prediction = "eps"

        def __init__(self):
            super().__init__()
            self.p, self.times = torch.nn.Parameter(torch.zeros(1)), []

        def forward(self, x, t):
            self.times += t.tolist()
            return torch.zeros_like(x)

    images, model = tiny_images.repeat(25, 1, 1, 1), Silent()
    n = images.numel()
    assert held_out_loss(model, images, None, make_schedule()) == pytest.approx(1, abs=5 * math.sqrt(2 / n))
    times = sorted(model.times)
    assert times[0] == 0 and times[-1] == 999 and max(b - a for a, b in pairwise(times)) <= 3
    assert times != model.times  # not in the order of the pictures, which may be sorted by class


# ---------------------------------------------------------------- train, build_model


def test_initial_weights_depend_on_the_seed_alone(tiny_model):
    config, before = tiny_model.config, torch.get_rng_state()
    torch.manual_seed(5)
    inside = torch.get_rng_state()
    a, b, c = build_model(config, 1), build_model(config, 1), build_model(config, 2)
    assert torch.equal(torch.get_rng_state(), inside)
    torch.set_rng_state(before)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    assert not torch.equal(a.in_conv.weight, c.in_conv.weight)


@pytest.fixture
def stub_dataset(monkeypatch):
    asked = []

    def load(name, data_dir, img_size=32, **_options):
        asked.append((name, str(data_dir), img_size))
        images = torch.randint(0, 256, (20, 1, img_size, img_size), generator=seeded(1, 1), dtype=torch.uint8)
        return Dataset(name, images, torch.arange(20) % 10, tuple("0123456789"))

    monkeypatch.setattr(loop, "load_dataset", load)
    return asked


def test_train_returns_live_model_average_and_schedule(stub_dataset, tiny_model):
    model, ema, sched = train(2, 8, T=30, data_dir="somewhere", model_config=tiny_model.config, device="cpu")
    assert stub_dataset == [("mnist", "somewhere", 8)]
    assert isinstance(ema, EMA) and ema.decay == 0.9999 and ema.num_updates == 4  # 2 epochs of 2 full batches
    start = build_model(tiny_model.config, 0).state_dict()
    assert sched.T == 30 and torch.equal(sched.betas, make_schedule(30).betas)
    moved = {k: (v - start[k]).norm().item() for k, v in model.state_dict().items()}
    followed = {k: (v - start[k]).norm().item() for k, v in ema.shadow.items()}
    assert all(moved[k] > 0 and followed[k] < 1e-3 * moved[k] for k in moved)


def test_trains_defaults_are_the_tutorials(monkeypatch, stub_dataset):
    seen = {}

    def fit(model, images, labels, *, sched, config, steps, ema):
        seen.update(model=model, labels=labels, sched=sched, config=config, steps=steps, ema=ema)
        return iter(())

    monkeypatch.setattr(loop, "fit", fit)
    train()
    assert seen["config"] == TrainConfig() and seen["model"].config == ModelConfig()
    assert seen["steps"] is None and seen["labels"] is None
    assert seen["sched"].T == 1000 and seen["ema"].decay == 0.9999 and not seen["ema"].warmup


def test_train_passes_on_what_it_is_asked(stub_dataset, tiny_classes_model):
    config, options = tiny_classes_model.config, {"label_dropout": 0.5, "ema_warmup": True, "ema_decay": 0.5}
    ema, sched = train(T=9, steps=3, seed=4, schedule_kind="cosine", model_config=config, device="cpu", **options)[1:]
    assert (ema.num_updates, ema.decay, ema.warmup) == (3, 0.5, True)
    assert torch.equal(sched.betas, make_schedule(9, kind="cosine").betas)
    with pytest.raises(TypeError):
        train(learning_rate=1)
