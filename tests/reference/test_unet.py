"""The network against arithmetic, numpy and a plain functional rewriting of the tutorial's architecture."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ddpm import Attention, ResBlock, TimeEmbedding, UNet
from ddpm.config import ModelConfig


def count_parameters(in_ch=1, base=64, t_dim=128, mults=(1, 2, 4)):
    """The tutorial's network counted on paper: weights plus biases, layer by layer."""

    def conv(i, o, k):
        return i * o * k * k + o

    def linear(i, o):
        return i * o + o

    hidden, ch = 4 * t_dim, [base * m for m in mults]

    def block(i, o):
        return 2 * i + conv(i, o, 3) + linear(hidden, o) + 2 * o + conv(o, o, 3) + (conv(i, o, 1) if i != o else 0)

    total = linear(t_dim, hidden) + linear(hidden, hidden) + conv(in_ch, ch[0], 3)
    for small, large in pairwise(ch):
        total += block(small, small) + conv(small, large, 3) + conv(large, small, 4) + block(2 * small, small)
    return total + block(ch[-1], ch[-1]) + 2 * ch[0] + conv(ch[0], in_ch, 3)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_the_default_network_has_the_tutorials_parameter_count():
    assert parameters(UNet()) == count_parameters() == 3_829_569


@pytest.mark.parametrize("sizes", [{"in_ch": 3, "base": 8}, {"base": 16, "t_dim": 10, "mults": (2, 1, 3)}])
def test_other_sizes_have_the_count_on_paper(sizes):
    assert parameters(UNet(**sizes)) == count_parameters(**sizes)


def test_options_that_are_off_cost_nothing_and_on_cost_what_they_should():
    plain = parameters(UNet(base=8, t_dim=8))
    assert parameters(UNet(base=8, t_dim=8, num_classes=10)) == plain + 11 * 32
    attention = 2 * 32 + (32 * 96 + 96) + (32 * 32 + 32)
    assert parameters(UNet(base=8, t_dim=8, attention=(8,))) == plain + attention


def test_time_embedding_by_numpy():
    dim, hidden = 10, 7
    embed = TimeEmbedding(dim, hidden).double()
    w1, b1, w2, b2 = (p.detach().numpy() for p in embed.mlp.parameters())
    embed.freqs = torch.tensor([10000 ** (-i / 5) for i in range(5)], dtype=torch.float64)
    for t in (0, 1, 57, 999):
        angles = [t * 10000 ** (-i / 5) for i in range(5)]
        h = w1 @ np.array([math.sin(a) for a in angles] + [math.cos(a) for a in angles]) + b1
        expected = w2 @ (h / (1 + np.exp(-h))) + b2
        np.testing.assert_allclose(embed(torch.tensor([t]))[0].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_time_embedding_frequencies_fall_from_one_towards_a_ten_thousandth():
    freqs = TimeEmbedding(128, 8).freqs
    assert freqs.shape == (64,)
    np.testing.assert_allclose(freqs, [10000 ** (-i / 64) for i in range(64)], rtol=1e-5)


def silu(x):
    return x * torch.sigmoid(x)


def group_norm(x, w, b, groups=8):
    B, C, H, W = x.shape
    g = x.reshape(B, groups, -1)
    g = (g - g.mean(-1, keepdim=True)) / (g.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return g.reshape(B, C, H, W) * w.reshape(1, -1, 1, 1) + b.reshape(1, -1, 1, 1)


def res_block(p, name, x, emb):
    def layer(part):
        return p[f"{name}{part}.weight"], p[f"{name}{part}.bias"]

    h = F.conv2d(silu(group_norm(x, *layer("norm1"))), *layer("conv1"), padding=1)
    w, b = layer("t_proj")
    h = h + (silu(emb) @ w.T + b).reshape(*h.shape[:2], 1, 1)
    h = F.conv2d(silu(group_norm(h, *layer("norm2"))), *layer("conv2"), padding=1)
    return h + (F.conv2d(x, *layer("shortcut")) if f"{name}shortcut.weight" in p else x)


def shaken(module, seed=0):
    """The module in float64 with every weight random, so that norms and biases show."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.double().parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=g))
    return module


@pytest.mark.parametrize(("i", "o"), [(8, 8), (16, 8)])
def test_a_residual_block_written_out(i, o):
    block = shaken(ResBlock(i, o, 12))
    g = torch.Generator().manual_seed(1)
    x = torch.randn(3, i, 5, 5, generator=g, dtype=torch.float64)
    emb = torch.randn(3, 12, generator=g, dtype=torch.float64)
    torch.testing.assert_close(block(x, emb), res_block(dict(block.named_parameters()), "", x, emb))


def test_the_network_written_out():
    """Three resolutions; skips taken before going down; decoder input cat[up, skip]; one block per level and way."""
    model = shaken(UNet(base=8, t_dim=6, img_size=8))
    p = dict(model.named_parameters())
    g = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 1, 8, 8, generator=g, dtype=torch.float64), torch.tensor([3, 700])

    def layer(name):
        return p[f"{name}.weight"], p[f"{name}.bias"]

    angles = t[:, None] * torch.tensor([10000 ** (-i / 3) for i in range(3)], dtype=torch.float64)
    emb = F.linear(torch.cat([angles.sin(), angles.cos()], 1), *layer("t_embed.mlp.0"))
    emb = F.linear(silu(emb), *layer("t_embed.mlp.2"))
    h32 = res_block(p, "down_blocks.0.", F.conv2d(x, *layer("in_conv"), padding=1), emb)
    h16 = res_block(p, "down_blocks.1.", F.conv2d(h32, *layer("downs.0"), stride=2, padding=1), emb)
    h8 = res_block(p, "mid_block.", F.conv2d(h16, *layer("downs.1"), stride=2, padding=1), emb)
    up16 = F.conv_transpose2d(h8, *layer("ups.1"), stride=2, padding=1)
    u16 = res_block(p, "up_blocks.1.", torch.cat([up16, h16], 1), emb)
    up32 = F.conv_transpose2d(u16, *layer("ups.0"), stride=2, padding=1)
    u32 = res_block(p, "up_blocks.0.", torch.cat([up32, h32], 1), emb)
    expected = F.conv2d(silu(group_norm(u32, *layer("out_norm"))), *layer("out_conv"), padding=1)
    torch.testing.assert_close(model(x, t).double(), expected, rtol=1e-4, atol=1e-4)


def test_attention_is_softmax_of_scaled_products():
    C, heads, H, W = 16, 4, 3, 2
    attention = shaken(Attention(C, heads))
    x = torch.randn(2, C, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = dict(attention.named_parameters())
    flat = group_norm(x, p["norm.weight"], p["norm.bias"]).reshape(2, C, H * W)
    qkv = torch.einsum("oc,bcn->bon", p["qkv.weight"][:, :, 0, 0], flat) + p["qkv.bias"][:, None]
    q, k, v = qkv[:, :C], qkv[:, C : 2 * C], qkv[:, 2 * C :]
    mixed = torch.empty_like(v)
    for h in range(heads):
        part = slice(h * C // heads, (h + 1) * C // heads)
        scores = torch.einsum("bci,bcj->bij", q[:, part], k[:, part]) / math.sqrt(C / heads)
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        mixed[:, part] = torch.einsum("bij,bcj->bci", weights, v[:, part])
    out = torch.einsum("oc,bcn->bon", p["proj.weight"][:, :, 0, 0], mixed) + p["proj.bias"][:, None]
    torch.testing.assert_close(attention(x), x + out.reshape(x.shape))


def test_attention_sits_at_the_sizes_it_is_asked_for():
    model = UNet(base=8, t_dim=8, attention=(16, 4), patch_size=2, mults=(1, 1, 1), img_size=32)
    where = {name for name, module in model.named_modules() if isinstance(module, Attention)}
    assert where == {"down_attn.0", "up_attn.0", "mid_attn"}
    assert model.down_attn[0] is not model.up_attn[0]


@pytest.mark.parametrize("patch", [2, 4])
def test_patches_are_the_same_network_on_pixels_folded_into_channels(patch):
    size = 4 * patch
    model = shaken(UNet(base=8, t_dim=8, mults=(1, 2), patch_size=patch, img_size=size))
    folded = UNet(in_ch=4, base=8, t_dim=8, mults=(1, 2), img_size=4) if patch == 2 else None
    x = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t = torch.tensor([0, 9])
    if folded is not None:
        folded.double().load_state_dict(model.state_dict())
        pieces = [x[:, 0, i::2, j::2] for i in range(2) for j in range(2)]
        out = folded(torch.stack(pieces, 1), t)
        unfolded = torch.empty(2, 1, size, size)
        for k, (i, j) in enumerate((i, j) for i in range(2) for j in range(2)):
            unfolded[:, 0, i::2, j::2] = out[:, k]
        torch.testing.assert_close(model(x, t), unfolded)
    assert model(x, t).shape == x.shape
    assert model.in_conv.in_channels == patch**2


def test_no_label_is_the_null_label_which_is_the_row_after_the_last_class():
    model = shaken(UNet(base=8, t_dim=8, mults=(1, 2), num_classes=3, img_size=4)).float()
    x = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 1, 500, 999])
    none = model(x, t)
    assert torch.equal(none, model(x, t, torch.full((4,), -1)))
    with torch.no_grad():
        model.y_embed.weight[3] += 1
    assert not torch.allclose(none, model(x, t), atol=1e-3)
    none = model(x, t)
    for y in range(3):
        assert not torch.allclose(none, model(x, t, torch.full((4,), y)), atol=1e-3)
    mixed = model(x, t, torch.tensor([-1, 2, -1, 0]))
    torch.testing.assert_close(mixed[[0, 2]], none[[0, 2]])


@pytest.mark.parametrize("y", [[0, 3], [-2, 1], [0, 26]])
def test_a_label_out_of_range_is_an_error_and_not_no_label(y):
    model = UNet(base=8, t_dim=8, mults=(1, 2), num_classes=3, img_size=4)
    with pytest.raises(ValueError, match=rf"labels 0\.\.2, or -1 for none; these are {min(y)}\.\.{max(y)}"):
        model(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), torch.tensor(y))


@pytest.mark.parametrize("y", [torch.zeros(2, 1, dtype=torch.int64), torch.eye(2, 3), torch.zeros(2)])
def test_labels_of_another_kind_are_an_error(y):
    model = UNet(base=8, t_dim=8, mults=(1, 2), num_classes=3, img_size=4)
    with pytest.raises(ValueError, match=r"\(B,\) int64"):
        model(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), y)


def test_the_label_is_added_to_the_time_embedding():
    model = shaken(UNet(base=8, t_dim=8, mults=(1, 2), num_classes=3, img_size=4)).float()
    x, t = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 400])
    with_label = model(x, t, torch.tensor([1, 1]))
    with torch.no_grad():
        model.t_embed.mlp[2].bias += model.y_embed.weight[1]
        model.y_embed.weight.zero_()
    torch.testing.assert_close(model(x, t, torch.tensor([2, -1])), with_label)


def test_images_in_a_batch_do_not_see_each_other_and_each_has_its_own_time(tiny_model):
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 10, 999])
    together = tiny_model(x, t)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], tiny_model(x[i : i + 1], t[i : i + 1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tiny_model(x, t.flip(0)), together, atol=1e-4)


def test_the_network_remembers_what_it_is():
    options = {"in_ch": 3, "base": 8, "t_dim": 8, "mults": (1, 2), "num_classes": 4, "img_size": 16, "prediction": "v"}
    model = UNet(**options)
    assert model.config == ModelConfig(**options)
    assert (model.prediction, UNet(base=8).prediction) == ("v", "eps")


def test_output_is_float32_under_autocast(tiny_model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tiny_model(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64)).dtype == torch.float32


def test_an_impossible_network_is_refused():
    with pytest.raises(ValueError, match="img_size"):
        UNet(img_size=30)


def test_the_last_layer_starts_at_zero_only_if_asked():
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 9])
    options = {"base": 8, "t_dim": 8, "mults": (1, 2), "img_size": 8}
    assert (UNet(**options, zero_init=True)(x, t) == 0).all()
    assert UNet(**options)(x, t).abs().max() > 0.01


def test_narrow_groups_are_normalised_in_float32(monkeypatch):
    seen = []
    real = torch.nn.functional.group_norm
    monkeypatch.setattr(
        torch.nn.functional, "group_norm", lambda x, *rest: seen.append((x.shape[1], x.dtype)) or real(x, *rest)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        UNet(base=32, t_dim=8, mults=(1, 2), img_size=8)(torch.randn(2, 1, 8, 8), torch.tensor([3, 9]))
    kinds = {channels: {dtype for c, dtype in seen if c == channels} for channels, _ in seen}
    assert kinds[32] == {torch.float32} and torch.bfloat16 in kinds[64]
