"""Muon on the kernels, AdamW on the rest: against the definition, in place, and to be resumed."""

from __future__ import annotations

import copy

import pytest
import torch

from ddpm import TrainConfig, fit, make_schedule
from ddpm.optim import MuonAdamW, build_optimizer, matrix, moments, restore_moments
from ddpm.train import build_model

MUON = TrainConfig(batch_size=8, lr=1e-3, muon_lr=2e-3, weight_decay=0.0, lr_warmup=3, label_dropout=0.1)


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
    for m, o in ((model, optimizer), (other, again)):
        give_gradients(m, 2)
        o.step()
    assert isinstance(optimizer, MuonAdamW) == bool(config.muon_lr)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(kept) >= len(list(model.parameters()))


def test_a_run_with_muon_is_resumed_loss_for_loss(tiny_images, tiny_classes_model):
    labels, sched = torch.arange(20) % 10, make_schedule(20, kind="cosine")

    def run(**options):
        model = build_model(tiny_classes_model.config, 1)
        return fit(model, tiny_images, labels, sched=sched, config=MUON, steps=8, **options)

    whole = list(run())
    snapshot = next(s for s in run() if s.step == 3).snapshot()
    assert [s.loss for s in run(resume=snapshot)] == [s.loss for s in whole[3:]]


def test_both_learning_rates_warm_up_together(tiny_images, tiny_classes_model, monkeypatch):
    seen = []
    monkeypatch.setattr(MuonAdamW, "step", lambda self: seen.append([g["lr"] for g in self.param_groups]))
    labels = torch.arange(20) % 10
    list(fit(tiny_classes_model, tiny_images, labels, sched=make_schedule(20), config=MUON, steps=4))
    expected = [[1e-3 * k / 3, 2e-3 * k / 3] for k in (1, 2, 3, 3)]
    assert [x for row in seen for x in row] == pytest.approx([x for row in expected for x in row])
