"""The network as published: counted, its maps and skips, its labels, and one step of the preset for GPUs."""

from __future__ import annotations

import pytest
import torch

from ddpm.config import HoConfig, TrainConfig, build_schedule, from_dict, to_dict
from ddpm.ho_unet import HoUNet
from ddpm.layers import Attention, AttributeEmbedding
from ddpm.networks import build_model, network
from ddpm.objective import train_step
from ddpm.presets import PRESETS
from ddpm.schedule import make_schedule
from ddpm.training.loop import fit
from ddpm.training.optimizer import build_optimizer

SMALL = HoConfig(in_ch=3, base=8, t_dim=8, mults=(1, 2), img_size=8, attention=(4,), num_classes=3, blocks=1)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.slow
def test_the_full_preset_has_the_published_count_and_takes_a_step():
    full = PRESETS["cifar10-full"]
    model = build_model(full.model)
    assert parameters(model) == 35_746_307  # that of the authors' own network
    before = model.out_conv.bias.detach().clone()
    sched, optimizer = build_schedule(full.schedule), build_optimizer(model, full.train)
    value = train_step(model, torch.zeros(1, 3, 32, 32), sched, optimizer, config=full.train)
    assert 0.8 < value < 1.2  # it says 0 at first, and the noise has variance 1
    assert not torch.equal(before, model.out_conv.bias)


def test_the_small_preset_ships_below_ten_megabytes_in_float16():
    assert 2 * parameters(network(PRESETS["cifar10"].model)) < 9_900_000


def test_every_map_of_the_way_down_is_a_skip_on_the_way_up():
    model = HoUNet(**vars(SMALL))
    widths = []
    for block in (layer for layer in model.ups if hasattr(layer, "res")):
        block.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1:]))
    assert model(torch.randn(2, 3, 8, 8), torch.tensor([0, 5]), torch.tensor([2, -1])).shape == (2, 3, 8, 8)
    assert widths == [(32, 4, 4), (24, 4, 4), (24, 8, 8), (16, 8, 8)]


def test_attention_is_where_the_configuration_says():
    inside = [name for name, m in HoUNet(**vars(SMALL)).named_modules() if isinstance(m, Attention)]
    assert inside == ["downs.2.attn", "ups.0.attn", "ups.1.attn", "mid_attn"]


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    model = HoUNet(**vars(HoConfig(base=8, t_dim=8, mults=(1,), img_size=8, dropout=0.5)))
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0, 5])
    assert not torch.equal(model(x, t), model(x, t))
    model.eval()
    assert torch.equal(model(x, t), model(x, t))


def test_a_configuration_of_it_survives_json():
    config = PRESETS["cifar10"]
    described = to_dict(config)
    assert described["model"]["kind"] == "ho-unet"
    assert from_dict(described) == config
    assert isinstance(network(from_dict(described).model), HoUNet)


def test_attributes_are_added_each_with_its_own_none():
    torch.manual_seed(0)
    embed = AttributeEmbedding((2, 3), 4)
    y = torch.tensor([[1, -1], [-1, 2], [0, 0]])
    expected = torch.stack(
        [
            embed[0].weight[1] + embed[1].weight[3],
            embed[0].weight[2] + embed[1].weight[2],
            embed[0].weight[0] + embed[1].weight[0],
        ]
    )
    torch.testing.assert_close(embed(y), expected)
    torch.testing.assert_close(embed(embed.null(1))[0], embed[0].weight[2] + embed[1].weight[3])
    with pytest.raises(ValueError, match=r"\(B, 2\)"):
        embed(torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        embed(torch.tensor([[2, 0]]))


def test_training_with_dropout_depends_on_its_seed_and_step_alone():
    def run():
        model = build_model(HoConfig(base=8, t_dim=8, mults=(1,), img_size=8, dropout=0.5))
        images = torch.arange(64, dtype=torch.uint8).repeat(8).reshape(8, 1, 8, 8)
        config = TrainConfig(batch_size=4, lr=1e-3)
        return [s.loss for s in fit(model, images, sched=make_schedule(10), config=config, steps=3)]

    first = run()
    torch.rand(7)
    assert run() == first
