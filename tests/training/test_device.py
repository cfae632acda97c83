"""Device and precision: what is asked for, what is measured, and that mixed precision stays out of the state."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from ddpm import UNet, device, make_schedule, reverse_process
from ddpm.device import Inference, autocast, bfloat16_is_faster, pick_device, resolve_precision


@pytest.fixture
def fresh_cache():
    bfloat16_is_faster.cache_clear()
    yield
    bfloat16_is_faster.cache_clear()


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(1, 1, "cuda"), (1, 0, "cuda"), (0, 1, "mps"), (0, 0, "cpu")])
def test_the_best_device_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
    assert pick_device() == torch.device(expected)


def test_a_precision_by_name_is_taken_at_its_word(monkeypatch):
    monkeypatch.setattr(device, "bfloat16_is_faster", lambda _: pytest.fail("nothing to measure"))
    assert resolve_precision("float32", "cpu") == torch.float32
    assert resolve_precision("bfloat16", "cpu") == torch.bfloat16


@pytest.mark.parametrize(("faster", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_what_is_faster(monkeypatch, faster, expected):
    monkeypatch.setattr(device, "bfloat16_is_faster", lambda kind: faster and kind == "cpu")
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("auto", torch.device("mps")) == torch.float32


@pytest.mark.parametrize(("bfloat16", "float32", "expected"), [(1.0, 2.0, True), (2.0, 1.0, False)])
def test_it_is_measured(monkeypatch, fresh_cache, bfloat16, float32, expected):
    """A clock on which each convolution takes what the test says."""
    now = [0.0]

    def convolve(a, _b, padding):
        now[0] += {torch.bfloat16: bfloat16, torch.float32: float32}[a.dtype]

    monkeypatch.setattr(device, "F", SimpleNamespace(conv2d=convolve))
    monkeypatch.setattr(device, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert bfloat16_is_faster("cpu") is expected
    assert not bfloat16_is_faster("mps")


def test_it_is_measured_once(monkeypatch, fresh_cache):
    ticks = itertools.count()
    monkeypatch.setattr(device, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    bfloat16_is_faster("cpu")
    spent = next(ticks)
    bfloat16_is_faster("cpu")
    assert next(ticks) == spent + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_computes_in_the_precision_asked_for(dtype):
    conv = torch.nn.Conv2d(1, 1, 1)
    with autocast("cpu", dtype):
        assert conv(torch.zeros(1, 1, 2, 2)).dtype == dtype
    assert conv.weight.dtype == torch.float32


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_model_ready_to_be_asked(tiny_classes_model, precision, dtype):
    seen = []
    tiny_classes_model.train().in_conv.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    model = Inference(tiny_classes_model, precision)
    x, t, y = torch.randn(2, 1, 8, 8), torch.tensor([0, 5]), torch.tensor([3, -1])
    out = model(x, t, y)
    assert seen == [dtype]
    assert out.dtype == torch.float32 and not out.requires_grad and out.is_contiguous()
    assert not tiny_classes_model.training
    assert model.prediction == "v" and model.device == torch.device("cpu")
    with torch.no_grad():
        expected = tiny_classes_model(x, t, y)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5 if precision == "float32" else 0.1)
    assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")


def test_an_answer_in_colour_has_the_layout_of_the_question():
    model = Inference(UNet(in_ch=3, base=8, t_dim=8, mults=(1, 2), img_size=8))
    assert model(torch.zeros(2, 3, 8, 8), torch.tensor([0, 5])).is_contiguous()


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_sampler_state_stays_float32_under_bfloat16(tiny_model, sampler):
    process = reverse_process(
        Inference(tiny_model, "bfloat16"), make_schedule(9), 2, sampler=sampler, num_steps=4, img_size=8
    )
    for moment in process:
        assert moment.x_t.dtype == moment.x0_hat.dtype == torch.float32
        # bfloat16 has eight significant bits: state kept in it would be unchanged by a rounding to it
        assert not torch.equal(moment.x_t, moment.x_t.bfloat16().float())
