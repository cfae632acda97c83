"""The network: its blocks are those of the real module, and what is shown of one is what it gave."""

import asyncio

import numpy as np
import pytest
import torch
from helpers.latents import with_latents
from helpers.pages import alone, picture

from ddpm.data import from_uint8, load_dataset
from ddpm.diffusion import q_sample
from ddpm.ho_unet import Block, HoUNet
from ddpm.samplers import predict
from ddpm.ui.components import pictures
from ddpm.ui.server import protocol
from ddpm.ui.tabs.forward.network import activations
from ddpm.ui.tabs.forward.network import tab as network
from ddpm.unet import UNet

DIGITS = load_dataset("bundled").images
X0 = from_uint8(DIGITS[7:8])


def looked(weights, t=400, block=None, seed=3):
    (answer,) = activations.look(weights, X0, seed, t, block)
    return answer


def test_blocks_are_those_of_the_module_in_the_order_of_its_calls(registry):
    weights = registry.get("mnist")
    blocks = {block["name"]: block for block in looked(weights)["blocks"]}
    names = [
        "t_embed",
        "y_embed",
        "in_conv",
        "down_blocks.0",
        "downs.0",
        "mid_block",
        "ups.0",
        "up_blocks.0",
        "out_conv",
    ]
    assert list(blocks) == names
    net = weights.model.model
    assert all(type(net.get_submodule(name)).__name__ == block["kind"] for name, block in blocks.items())
    shapes = {"in_conv": [8, 8, 8], "down_blocks.0": [8, 8, 8], "downs.0": [16, 4, 4], "mid_block": [16, 4, 4]}
    shapes |= {"ups.0": [8, 8, 8], "up_blocks.0": [8, 8, 8], "out_conv": [16, 8, 8], "t_embed": [512]}
    assert {name: blocks[name]["shape"] for name in shapes} == shapes
    assert [name for name, block in blocks.items() if block["skip"]] == ["down_blocks.0"]
    sides = [block["side"] for block in blocks.values()]
    assert sides == ["time", "time", "down", "down", "down", "mid", "up", "up", "up"]


@pytest.mark.parametrize(
    ("attention", "skips"), [((), ["down_blocks.0", "down_blocks.1"]), ((16,), ["down_blocks.0", "down_attn.1"])]
)
def test_a_skip_is_what_the_way_up_gets(attention, skips):
    """The second half of what each block of the way up is given."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = UNet(base=8, mults=(1, 2, 2), t_dim=16, attention=attention).eval()
    given = {}
    for i, block in enumerate(net.up_blocks):
        block.register_forward_pre_hook(lambda _, args, i=i: given.update({i: args[0][0]}))
    called, _ = activations.watched(net, lambda: net(torch.randn(1, 1, 32, 32), torch.tensor([5])))
    handed = activations.skips(net, called)
    assert [each.name for each in called if each.name in handed] == skips
    outs = {each.name: each.out for each in called}
    for i, name in enumerate(skips):
        assert torch.equal(given[i].chunk(2)[1], outs[name])


def test_what_is_shown_is_what_the_block_gave_at_this_x_t(registry):
    weights, seen = registry.get("mnist"), []
    handle = weights.model.model.down_blocks[0].register_forward_hook(lambda _, __, out: seen.append(out[0].float()))
    try:
        answer = looked(weights, 400, "down_blocks.0")
    finally:
        handle.remove()
    (out,) = seen  # one evaluation
    shown = picture(answer["activations"]["pixels"]).reshape(8, 8, 8).astype(float) / 127.5 - 1
    for channel, pixels in zip(out.numpy(), shown, strict=True):
        assert np.abs(pixels - channel / np.abs(channel).max()).max() < 0.01
    assert answer["block"] == "down_blocks.0" and answer["of"] == 8 and answer["sinusoids"] is None
    eps, at = pictures.noise_of(weights, 3), torch.tensor([400])
    x_t = q_sample(X0, at, eps, weights.sched)
    x0_hat, _ = predict(weights.model, x_t, at, torch.tensor([-1]), weights.sched, clip=False)
    for name, x in (("x_t", x_t), ("x0_hat", x0_hat)):
        expected = (127.5 * (x.clamp(-1, 1) + 1)).numpy().ravel()
        assert np.abs(picture(answer[name]) - expected).max() < 1.01
    assert looked(weights, 100, "down_blocks.0")["activations"] != answer["activations"]
    assert not weights.model.model.down_blocks[0]._forward_hooks, "none is left behind"


def test_the_time_embedding_is_shown_with_its_sinusoids(registry):
    weights = registry.get("mnist")
    answer = looked(weights, 400, "t_embed")
    assert answer["of"] == 512 and answer["activations"]["count"] == 1
    waves = answer["sinusoids"]
    shown = picture(waves["pixels"]).reshape(waves["height"], waves["width"]) / 127.5 - 1
    assert shown.shape == (128, activations.TIMES)
    t = np.linspace(0, 999, activations.TIMES)
    assert np.abs(shown[0] - np.sin(t)).max() < 0.01 and np.abs(shown[64] - np.cos(t)).max() < 0.01
    slowest = 10000 ** (-63 / 64)
    assert np.abs(shown[63] - np.sin(slowest * t)).max() < 0.01


def test_a_model_of_latents_has_no_unet_and_lists_its_blocks(registry):
    weights = with_latents(registry).get("latent")
    answer = looked(weights)
    assert not answer["is_unet"] and not any(block["skip"] for block in answer["blocks"])
    names = [block["name"] for block in answer["blocks"]]
    assert names[0] == "t_embed" and names[-1] == "out_proj" and "blocks.0" in names
    assert len(picture(answer["x_t"])) == 1024, "decoded"
    assert looked(registry.get("mnist"))["is_unet"]


def test_a_question_from_the_page_is_answered_or_refused_in_words(registry):
    _, named, _ = alone(network, registry)
    ask = named["network-view"].activations
    good = {"x0": protocol.b64(DIGITS[7].numpy()), "seed": 3, "t": 400, "block": "mid_block", "weights": "mnist"}
    assert asyncio.run(ask(good))["block"] == "mid_block"
    for block in (None, "gone", 3, ["x"]):
        assert asyncio.run(ask(good | {"block": block}))["block"] == "mid_block", "the one in the middle"
    bad = [None, [], {}] + [good | {"t": v} for v in (-1, 1000, "9", None)]
    bad += [good | {"weights": "gone"}, good | {"seed": -1}, good | {"x0": "?"}]
    for question in bad:
        assert set(asyncio.run(ask(question))) == {"error"}, question


def test_each_kind_of_the_unets_blocks_is_told_of():
    nets = UNet(base=8, mults=(1, 2), t_dim=16, attention=(16, 32)), HoUNet(base=8, mults=(1, 2), t_dim=16)
    modules = [pair for net in nets for pair in net.named_modules()]
    assert {type(m).__name__ for name, m in modules if activations.is_block(name, m)} == set(network.KINDS)


def test_in_the_network_of_ho_et_al_every_map_on_the_way_down_is_handed_across():
    """The second half of what each block of the way up is given, the last map first."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = HoUNet(in_ch=3, base=8, mults=(1, 2), t_dim=16, attention=(16,)).eval()
    given = []
    for layer in net.ups:
        if isinstance(layer, Block):
            layer.register_forward_pre_hook(lambda _, args: given.append(args[0][0]))
    called, _ = activations.watched(net, lambda: net(torch.randn(1, 3, 32, 32), torch.tensor([5])))
    handed = activations.skips(net, called)
    outs = [each.out for each in called if each.name in handed]
    assert len(outs) == len(given) == 6
    for got, out in zip(given, reversed(outs), strict=True):
        assert torch.equal(got[-len(out) :], out)
