"""The moving average against its closed form."""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn

from ddpm import EMA


def linear(value: float) -> nn.Linear:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return model


def average(ema: EMA) -> float:
    values = torch.cat([v.flatten() for v in ema.shadow.values()])
    assert torch.equal(values, values[0].expand_as(values))
    return values[0].item()


def test_the_initial_weights_keep_decay_to_the_n():
    decay, n = 0.9, 12
    ema, ones = EMA(linear(0.0), decay), linear(1.0)
    for _ in range(n):
        ema.update(ones)
    assert average(ema) == pytest.approx(1 - decay**n, rel=1e-5)


def test_each_weight_counts_by_its_age():
    decay, history = 0.8, [5.0, -2.0, 3.0, 7.0, 1.0]
    ema = EMA(linear(10.0), decay)
    for value in history:
        ema.update(linear(value))
    n = len(history)
    expected = decay**n * 10 + sum((1 - decay) * decay ** (n - 1 - k) * v for k, v in enumerate(history))
    assert average(ema) == pytest.approx(expected, rel=1e-5)


def test_the_default_is_the_tutorials_decay_without_warmup():
    ema = EMA(linear(0.0))
    ema.update(linear(1.0))
    assert average(ema) == pytest.approx(1e-4, rel=1e-4)


def test_a_warmed_up_average_has_forgotten_the_initial_weights():
    """What is left of them after n updates is prod (1 + k)/(10 + k), k = 1..n, as long as that is below the decay."""
    ema, left = EMA(linear(1.0), 0.9999, warmup=True), 1.0
    for k in range(1, 21):
        ema.update(linear(0.0))
        left *= (1 + k) / (10 + k)
        assert average(ema) == pytest.approx(left, rel=1e-4)
    assert left < 1e-4


def test_the_warmup_ends_at_the_decay():
    ema, left = EMA(linear(1.0), 0.5, warmup=True), 1.0
    for k in range(1, 16):  # (1 + k)/(10 + k) reaches 0.5 at k = 8
        ema.update(linear(0.0))
        left *= min(0.5, (1 + k) / (10 + k))
    assert average(ema) == pytest.approx(left, rel=1e-4)


def test_shadow_and_model_share_no_memory():
    model = linear(1.0)
    ema = EMA(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(9.0)
    assert average(ema) == 1.0
    ema.update(linear(3.0))
    assert model.weight[0, 0] == 9.0 and average(ema) == 2.0


def test_copy_to_loads_the_average_and_keeps_its_own_copy():
    ema, model = EMA(linear(4.0)), linear(0.0)
    ema.copy_to(model)
    assert all((p == 4.0).all() for p in model.parameters())
    with torch.no_grad():
        model.weight.zero_()
    assert average(ema) == 4.0


def test_the_average_needs_no_gradient(tiny_model):
    ema = EMA(tiny_model, 0.5)
    ema.update(tiny_model)
    assert not any(v.requires_grad for v in ema.shadow.values())
    assert ema.shadow.keys() == tiny_model.state_dict().keys()
