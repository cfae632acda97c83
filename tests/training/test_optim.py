"""Muon on the kernels, AdamW on the rest: against the definition, in place, and to be resumed."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from helpers.tiny import TINY_CLASSES
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm import PRESETS, TrainConfig, fit, make_schedule
from ddpm.autoencoder import VAE, Codec
from ddpm.config import MLPConfig, SamplingConfig
from ddpm.device import Inference
from ddpm.generate import Sampler
from ddpm.networks import build_model
from ddpm.objective import train_step
from ddpm.seeding import seeded
from ddpm.training.optimizer import (
    NEWTON_SCHULZ_STEPS,
    Muon,
    MuonAdamW,
    build_optimizer,
    matrix,
    moments,
    restore_moments,
)

MUON = TrainConfig(batch_size=8, lr=1e-3, muon_lr=2e-3, weight_decay=0.0, lr_warmup=3, label_dropout=0.1)
DECAYED = dataclasses.replace(MUON, lr_decay=True)


@pytest.fixture
def model(tiny_classes_model):
    return tiny_classes_model.to(memory_format=torch.channels_last)


def give_gradients(model, seed=0):
    g = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=g).to(memory_format=torch.preserve_format)


def test_without_a_muon_lr_it_is_the_tutorials_adamw(model):
    optimizer = build_optimizer(model, TrainConfig())
    assert type(optimizer) is torch.optim.AdamW and len(optimizer.param_groups) == 1
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (2e-4, 0.01, (0.9, 0.999))
    assert len(group["params"]) == len(list(model.parameters()))


def test_adamw_goes_in_one_pass_where_memory_lies_alike(model):
    assert not build_optimizer(model, TrainConfig()).defaults["fused"]  # of a kernel, gradients may lie otherwise
    mlp = build_model(MLPConfig(base=16, num_classes=10), 0)
    other = copy.deepcopy(mlp)
    optimizer, plain = build_optimizer(mlp, TrainConfig()), torch.optim.AdamW(other.parameters(), lr=2e-4)
    assert optimizer.defaults["fused"] and not plain.defaults["fused"]
    z, y = torch.randn(32, 8, 4, 4), torch.arange(32) % 10
    for step in range(10):
        for m, o in ((mlp, optimizer), (other, plain)):
            train_step(m, z, make_schedule(), o, y, generator=seeded(step))
    begun = build_model(mlp.config, 0)
    for name, weights in mlp.named_parameters():
        torch.testing.assert_close(weights, other.get_parameter(name), atol=1e-6, rtol=1e-4)
        assert not torch.allclose(weights, begun.get_parameter(name), atol=1e-4)


def test_every_parameter_belongs_to_one_of_the_two(model):
    optimizer = build_optimizer(model, MUON)
    ours = {id(p) for p in optimizer.kernels}
    rest = {id(p) for group in optimizer.adamw.param_groups for p in group["params"]}
    assert ours | rest == {id(p) for p in model.parameters()} and not ours & rest
    assert id(model.in_conv.weight) in rest and id(model.out_conv.weight) in rest
    assert id(model.mid_block.conv1.weight) in ours and id(model.ups[0].weight) in ours
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 2e-3]


def test_the_matrices_are_the_kernels_own_memory(model):
    optimizer = build_optimizer(model, MUON)
    for kernel, view in zip(optimizer.kernels, optimizer.matrices, strict=True):
        assert view.data_ptr() == kernel.data_ptr() and view.shape == (len(kernel), kernel[0].numel())
    with pytest.raises(RuntimeError, match="view"):
        matrix(torch.zeros(2, 3, 3, 3))  # contiguous, not channels_last: a copy would train in vain


def test_a_step_of_a_kernel_is_its_gradient_made_nearly_orthogonal(model):
    """Of the matrix out x (h w in), with all singular values near 1, times lr * 0.2 sqrt(the longer side)."""
    optimizer, before = build_optimizer(model, MUON), copy.deepcopy(model)
    give_gradients(model)
    gradient = model.mid_block.conv1.weight.grad.clone()
    optimizer.step()
    step = (before.mid_block.conv1.weight - model.mid_block.conv1.weight).detach()
    flat = step.flatten(1) / (2e-3 * 0.2 * max(len(step), step[0].numel()) ** 0.5)
    values = torch.linalg.svdvals(flat)
    assert values.min() > 0.3 and values.max() < 1.5
    u, _, vh = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    exact = u @ vh
    assert (flat * exact).sum() / (flat.norm() * exact.norm()) > 0.9


def test_the_rest_takes_adamws_step(model):
    other = copy.deepcopy(model)
    optimizer, adamw = build_optimizer(model, MUON), torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0)
    for seed in (0, 1):
        for m, o in ((model, optimizer), (other, adamw)):
            give_gradients(m, seed)
            o.step()
    for name in ("in_conv.weight", "out_conv.weight", "t_embed.mlp.0.weight", "y_embed.weight", "out_norm.bias"):
        torch.testing.assert_close(model.get_parameter(name), other.get_parameter(name))
    assert not torch.allclose(model.mid_block.conv1.weight, other.mid_block.conv1.weight, atol=1e-4)


def test_zero_grad_clears_both(model):
    optimizer = build_optimizer(model, MUON)
    give_gradients(model)
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("config", [TrainConfig(), MUON], ids=["adamw", "muon"])
def test_what_has_no_gradient_stays_as_it_is(model, config):
    """Such as a block that is frozen, or left out of the loss."""
    optimizer, before = build_optimizer(model, config), copy.deepcopy(model)
    give_gradients(model)
    model.mid_block.conv1.weight.grad = None
    optimizer.step()
    assert torch.equal(model.mid_block.conv1.weight, before.mid_block.conv1.weight)
    assert not torch.equal(model.mid_block.conv2.weight, before.mid_block.conv2.weight)


@pytest.mark.parametrize("config", [TrainConfig(), MUON], ids=["adamw", "muon"])
def test_moments_go_out_and_in_again(model, config):
    other = copy.deepcopy(model)
    optimizer = build_optimizer(model, config)
    for seed in (0, 1):
        give_gradients(model, seed)
        optimizer.step()
    again = build_optimizer(other, config)
    other.load_state_dict(model.state_dict())
    kept = {name: value.clone() for name, value in moments(optimizer).items()}
    restore_moments(again, kept)
    for one in (again.muon, again.adamw) if config.muon_lr else (again,):
        for w, state in one.state.items():
            assert all(value.stride() == w.stride() for value in state.values() if value.shape == w.shape)
            assert all(value.data_ptr() not in {v.data_ptr() for v in kept.values()} for value in state.values())
    for m, o in ((model, optimizer), (other, again)):
        give_gradients(m, 2)
        o.step()
    assert isinstance(optimizer, MuonAdamW) == bool(config.muon_lr)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(kept) >= len(list(model.parameters()))


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("cuts", [[1], [5], [3, 4, 9]], ids=str)
def test_a_run_cut_anywhere_is_the_uncut_run(tiny_images, preset, cuts):
    """Loss for loss, rate for rate and weight for weight, through warm-up and decay, with either optimiser."""
    config = dataclasses.replace(PRESETS[preset].train, batch_size=8, lr_warmup=4, lr_decay=True, precision="float32")
    labels, sched = torch.arange(20) % 10, make_schedule(20, kind="cosine")

    def run(seed=1, **options):
        model = build_model(TINY_CLASSES, seed)
        return fit(model, tiny_images, labels, sched=sched, config=config, steps=12, **options)

    whole, parts, snapshot = list(run()), [], None
    for end in [*cuts, 12]:
        for state in run(seed=7, resume=snapshot) if snapshot else run():
            parts.append(state)
            if state.step == end:
                snapshot = state.snapshot()
                break
    assert [(s.step, s.loss, s.lr, s.grad_norm) for s in parts] == [(s.step, s.loss, s.lr, s.grad_norm) for s in whole]
    assert whole[3].lr > whole[0].lr > whole[-1].lr > 0
    for name, value in whole[-1].snapshot().tensors.items():
        assert torch.equal(value, snapshot.tensors[name]), name


@pytest.mark.parametrize("config", [TrainConfig(batch_size=8, lr_decay=True), DECAYED], ids=["adamw", "muon"])
def test_the_rate_that_is_shown_is_the_one_that_acts_after_a_resume_too(tiny_images, config, monkeypatch):
    """Read off how far the weights move: a step of AdamW's is at most its rate."""
    labels, sched = torch.arange(20) % 10, make_schedule(20)

    def run(**options):
        model = build_model(TINY_CLASSES, 1)
        states = fit(model, tiny_images, labels, sched=sched, config=config, steps=40, **options)
        before = [p.detach().clone() for p in model.parameters()]
        for state in states:
            moved = max((p - q).abs().max().item() for p, q in zip(model.parameters(), before, strict=True))
            before = [p.detach().clone() for p in model.parameters()]
            yield state, moved

    snapshot = next(state for state, _ in run() if state.step == 20).snapshot()
    *_, (last, moved) = run(resume=snapshot)
    assert last.step == 40 and last.lr < 0.01 * config.lr
    assert moved < 4 * max(last.lr, last.lr / config.lr * config.muon_lr)


def test_both_learning_rates_warm_up_together(tiny_images, tiny_classes_model, monkeypatch):
    seen = []
    monkeypatch.setattr(MuonAdamW, "step", lambda self: seen.append([g["lr"] for g in self.param_groups]))
    labels = torch.arange(20) % 10
    list(fit(tiny_classes_model, tiny_images, labels, sched=make_schedule(20), config=MUON, steps=4))
    expected = [[1e-3 * k / 3, 2e-3 * k / 3] for k in (1, 2, 3, 3)]
    assert [x for row in seen for x in row] == pytest.approx([x for row in expected for x in row])


def test_a_step_of_muon_is_torchs_own_in_more_digits():
    """Against torch.optim.Muon, which rounds to bfloat16: 8 significant bits, so about a hundredth."""
    torch.manual_seed(0)
    shapes = [(8, 72), (8, 72), (16, 72), (32, 16)]
    ours, theirs = ([torch.nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(2))
    mine = Muon(ours, lr=0.1, weight_decay=0.05)
    options = {"adjust_lr_fn": "match_rms_adamw", "ns_steps": NEWTON_SCHULZ_STEPS, "weight_decay": 0.05}
    reference = torch.optim.Muon(theirs, lr=0.1, **options)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = b.grad = torch.randn(a.shape)
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() < 0.02 * b.norm()


class Bfloat16(TorchDispatchMode):
    """Collects the operations, libraries' included, that see or give a bfloat16 tensor."""

    def __init__(self):
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in torch.utils._pytree.tree_leaves((args, kwargs, result)):
            if getattr(value, "dtype", value) is torch.bfloat16:
                self.seen.add(str(function))
        return result


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "cifar10-full"])  # cifar10, larger
def test_in_float32_nothing_is_computed_in_bfloat16(preset):
    """Which processors without such units emulate, many times slower.  A step of training, and of sampling."""
    config = PRESETS[preset]
    recipe = dataclasses.replace(config.train, batch_size=2, precision="float32")
    codec = Codec(VAE(), config.autoencoder) if config.autoencoder else None
    model, sched = build_model(config.model, 0, codec), make_schedule(20)
    images = torch.zeros(4, *model.picture_shape, dtype=torch.uint8)
    labels = torch.arange(4) if model.num_classes else None
    with Bfloat16() as mode:
        list(fit(model, images, labels, sched=sched, config=recipe, steps=2))
        Sampler(Inference(model), sched, SamplingConfig("ddpm", 2, guidance=2.0)).draw(2)
    assert mode.seen == set()


def test_the_check_for_bfloat16_sees_it_in_a_library():
    weight = torch.nn.Parameter(torch.randn(4, 8))
    weight.grad = torch.randn(4, 8)
    with Bfloat16() as mode:
        torch.optim.Muon([weight]).step()
    assert any("addmm" in name or "mm" in name for name in mode.seen)
