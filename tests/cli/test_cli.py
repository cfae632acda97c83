"""python -m ddpm sample, and for both commands: help, and bad input as one line with exit code 2."""

from __future__ import annotations

import os
import shutil
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm import Guided, ModelConfig, generate, load_checkpoint, reverse_process, save_checkpoint
from ddpm.cli import commands, main, picture_file
from ddpm.config import Config, ScheduleConfig
from ddpm.data import grid, to_uint8
from ddpm.evaluation import bench
from ddpm.networks import build_model

NAMES = {"months": [str(month) for month in range(1, 13)], "clothes": ["T-shirt/top", "none", "Träger"]}


@pytest.fixture
def cli(capsys):
    def run(*argv):
        try:
            code = main([str(a) for a in argv])
        except SystemExit as stop:
            code = stop.code
        return SimpleNamespace(code=code, **dict(zip(("out", "err"), capsys.readouterr(), strict=True)))

    return run


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Checkpoints of untrained networks: with ten classes, without, and in colour."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in {
        "classes": {"num_classes": 10, "prediction": "v"},
        "plain": {},
        "colour": {"in_ch": 3, "num_classes": 3},
        "months": {"num_classes": 12},
        "clothes": {"num_classes": 3},
        "two channels": {"in_ch": 2},
    }.items():
        config = Config(ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8, **options), ScheduleConfig(T=20))
        info = {"class_names": NAMES[name]} if name in NAMES else {}
        save_checkpoint(folder / name, build_model(config.model, seed=2), config, info)
    return folder


@pytest.fixture
def sample(cli, models, tmp_path):
    """sample("--digit", 3, model="classes", to="x.npz") -> images, labels"""

    def run(*options, model="classes", to="x.npz"):
        result = cli("sample", "--checkpoint", models / model, "--out", tmp_path / to, "--steps", 4, *options)
        assert (result.code, result.out, result.err) == (0, f"wrote {tmp_path / to}\n", "")
        with np.load(tmp_path / to) as arrays:
            return arrays["images"], arrays["labels"]

    return run


def drawn(models, model="classes", n=3, scale=1.0, y=None, steps=4, **options):
    loaded = load_checkpoint(models / model)
    m = loaded.config.model
    asked = Guided(loaded.model, scale) if m.num_classes else loaded.model
    options = {"num_steps": steps, "img_size": 8, "channels": m.in_ch, **options}
    return list(reverse_process(asked, loaded.sched, n, y=y, **options))


def close(got, moments):
    np.testing.assert_allclose(got, moments[-1].x_t.clamp(-1, 1).numpy(), rtol=0, atol=1e-4)


def test_arrays_are_what_the_reverse_process_draws_class_by_class(sample, models):
    images, labels = sample("--n", 12, "--seed", 5)
    assert images.dtype == np.float32 and images.shape == (12, 1, 8, 8)
    assert labels.dtype == np.int64 and labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert -1 <= images.min() < images.max() <= 1
    close(images, drawn(models, n=12, y=torch.arange(12) % 10, seed=5))


def test_one_digit(sample, models):
    images, labels = sample("--n", 3, "--digit", 7)
    assert labels.tolist() == [7, 7, 7]
    close(images, drawn(models, y=torch.full((3,), 7)))


@pytest.mark.parametrize(
    ("model", "options", "label"),
    [
        ("classes", ("--class", "7"), 7),
        ("months", ("--class", "2"), 1),
        ("months", ("--digit", "2"), 1),
        ("months", ("--digit", "12"), 11),
        ("clothes", ("--class", "T-shirt/top"), 0),
        ("clothes", ("--class", "none"), 1),
        ("clothes", ("--class", "Träger"), 2),
    ],
)
def test_a_class_by_its_name(sample, models, model, options, label):
    images, labels = sample("--n", 2, *options, model=model)
    assert labels.tolist() == [label, label]
    close(images, drawn(models, model, n=2, y=torch.full((2,), label)))


@pytest.mark.parametrize("info", [{"class_names": ["a"]}, {"class_names": [1] * 10}, {"class_names": "0123456789"}, []])
def test_names_that_make_no_sense_are_numbers(models, info):
    assert load_checkpoint(models / "classes")._replace(info=dict(info)).class_names == tuple("0123456789")


def test_without_a_label_none_is_written(sample, models):
    _, labels = sample("--n", 3, "--guidance", 0)
    assert labels.tolist() == [-1, -1, -1]
    assert sample("--n", 3, "--guidance", 0, "--guide-between", 0, 0.5)[1].tolist() == [0, 1, 2]


def test_without_classes_the_label_is_minus_one(sample, models):
    images, labels = sample("--n", 3, model="plain")
    assert labels.dtype == np.int64 and labels.tolist() == [-1, -1, -1]
    close(images, drawn(models, "plain"))


def test_colour_and_fewer_classes(sample, models):
    images, labels = sample("--n", 5, model="colour")
    assert images.shape == (5, 3, 8, 8) and labels.tolist() == [0, 1, 2, 0, 1]
    close(images, drawn(models, "colour", n=5, y=torch.from_numpy(labels)))


def test_sixteen_by_default(sample):
    assert len(sample()[0]) == 16


def test_guidance_sampler_and_eta_reach_the_reverse_process(sample, models):
    y = torch.arange(3)
    plain = sample("--n", 3)[0]
    for options, expected in (
        (("--guidance", 3), {"scale": 3.0}),
        (("--guidance", 0), {"scale": 0.0}),
        (("--sampler", "ddpm"), {"sampler": "ddpm"}),
        (("--eta", 0.5), {"eta": 0.5}),
        (("--sampler", "dpmpp"), {"sampler": "dpmpp", "spacing": "log_snr"}),
        (("--sampler", "heun"), {"sampler": "heun", "spacing": "log_snr"}),
        (("--sampler", "heun", "--spacing", "linspace"), {"sampler": "heun", "spacing": "linspace"}),
        (("--spacing", "trailing"), {"spacing": "trailing"}),
        (("--steps", 20), {"steps": 20}),
    ):
        images, _ = sample("--n", 3, *options)
        close(images, drawn(models, y=y, **expected))
        assert not np.allclose(images, plain, atol=1e-3), options


def test_the_same_seed_is_the_same_digits(sample):
    first, again, other = (sample("--n", 4, "--seed", s)[0] for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=0.1)


def test_many_pictures_are_drawn_in_parts_as_if_at_once(sample, monkeypatch):
    whole, labels = sample("--n", 11, "--sampler", "ddpm")
    monkeypatch.setattr(generate, "BATCH", 4)
    parts, same = sample("--n", 11, "--sampler", "ddpm")
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(labels, same)


def test_a_grid(cli, models, tmp_path):
    for n, columns, name in ((12, 4, "classes"), (20, 10, "classes"), (3, 4, "colour")):
        out = tmp_path / f"{n}.png"
        assert cli("sample", "--checkpoint", models / name, "--out", out, "--steps", 4, "--n", n).code == 0
        y = torch.arange(n) % (3 if name == "colour" else 10)
        last = to_uint8(drawn(models, name, n=n, y=y)[-1].x_t)
        np.testing.assert_allclose(np.asarray(Image.open(out)).astype(int), np.asarray(grid(last, columns)), atol=1)


def test_the_denoising_as_an_animation(cli, models, tmp_path, monkeypatch):
    gif, out = tmp_path / "x.gif", ("--steps", 20, "--n", 2)
    assert cli("sample", "--checkpoint", models / "classes", "--out", gif, *out).code == 0
    moments = drawn(models, n=2, y=torch.arange(2), steps=20)
    with Image.open(gif) as animation:
        assert animation.n_frames == 21 and animation.info["loop"] == 0
        for k in (0, 10, 20):
            animation.seek(k)
            expected = np.asarray(grid(to_uint8(moments[k].x_t), 4)).astype(int)
            np.testing.assert_allclose(np.asarray(animation.convert("L")), expected, atol=1)
    monkeypatch.setattr(picture_file, "GIF_FRAMES", 5)
    assert cli("sample", "--checkpoint", models / "classes", "--out", gif, *out).code == 0
    with Image.open(gif) as animation:
        assert animation.n_frames == 5


def test_the_ending_may_be_in_capitals(cli, models, tmp_path):
    for name, kind in (("X.PNG", "PNG"), ("x.Gif", "GIF")):
        out = tmp_path / name
        assert cli("sample", "--checkpoint", models / "classes", "--out", out, "--steps", 4, "--n", 3).code == 0
        with Image.open(out) as picture:
            assert picture.format == kind and getattr(picture, "n_frames", 1) == (5 if kind == "GIF" else 1)
    out = tmp_path / "x.NPZ"
    assert cli("sample", "--checkpoint", models / "classes", "--out", out, "--steps", 4, "--n", 3).code == 0
    with np.load(out) as arrays:
        assert len(arrays["images"]) == 3


@pytest.mark.parametrize("size", [8, 32, 256])
def test_as_many_as_a_gif_can_hold_and_one_more(tmp_path, size):
    """The bound is that of the format: a picture one row higher is one that PIL cannot write."""
    out = tmp_path / "x.gif"
    with pytest.raises(ValueError, match=r"at most 65535 pixels, which is (\d+) of") as error:
        picture_file.check_fits(out, 100_000, 1, size)
    most = int(str(error.value).split("which is ")[1].split()[0])
    picture_file.check_fits(out, most, 1, size)
    picture_file.check_fits(tmp_path / "x.PNG", 100_000, 1, size)
    with pytest.raises(ValueError):
        picture_file.check_fits(out, most + 1, 1, size)
    if size == 8:
        frames = [torch.zeros(most, 1, size, size)]
        picture_file.write_images(out, frames, None)
        with Image.open(out) as picture:
            assert picture.height <= 65_535 < picture.height + size + 2
        with pytest.raises(struct.error):
            picture_file.write_images(out, [torch.zeros(most + 1, 1, size, size)], None)


# ---------------------------------------------------------------- help and bad input


@pytest.mark.parametrize("command", ["train", "sample"])
def test_help(cli, command):
    result = cli(command, "--help")
    assert result.code == 0 and not result.err
    assert "--out" in result.out and f"example: python -m ddpm {command}" in result.out and "default" in result.out


def test_the_top_help_names_the_commands(cli):
    result = cli("--help")
    assert result.code == 0 and "train" in result.out and "sample" in result.out


def test_what_a_decoder_gives_beyond_black_and_white_is_saved_within(tmp_path):
    beyond = torch.linspace(-2, 2, 64).reshape(1, 1, 8, 8)
    picture_file.write_images(tmp_path / "x.npz", [beyond], None)
    with np.load(tmp_path / "x.npz") as arrays:
        assert np.array_equal(arrays["images"], beyond.clamp(-1, 1).numpy())


BAD_SAMPLE = [
    (("--out", "x.jpg"), "ends in .png, .gif or .npz"),
    (("--out", "x"), "ends in .png, .gif or .npz"),
    (("--out", "no/such/x.png"), "no folder"),
    (("--checkpoint", "nowhere"), "not a checkpoint"),
    (("--checkpoint", ""), "not a checkpoint"),
    (("--checkpoint", "."), "not a checkpoint"),
    (("--steps", "21"), "from 1 to 20"),
    (("--steps", "0"), "--steps"),
    (("--steps", "x"), "--steps"),
    (("--steps", "2.5"), "--steps"),
    (("--n", "0"), "--n"),
    (("--n", "-3"), "--n"),
    (("--n", "100001"), "--n"),
    (("--seed", "-1"), "--seed"),
    (("--seed", "9223372036854775808"), "--seed"),
    (("--out", "x.gif", "--n", "66000"), "65535 pixels"),
    (("--out", "x" * 250 + ".png"), "too long"),
    (("--out", "/proc/x.png"), "/proc"),
    (("--digit", "10"), "classes 0 to 9"),
    (("--class", "ten"), "--class ten: this model knows the classes 0 to 9"),
    (("--class", ""), "classes 0 to 9"),
    (("--class", "1", "--digit", "1"), "not allowed with"),
    (("--class", "1", "--guidance", "0"), "without a label"),
    (("--checkpoint", "MODELS/clothes", "--digit", "1"), "T-shirt/top, none, Träger; choose one with --class"),
    (("--checkpoint", "MODELS/months", "--digit", "0"), "the classes 1, 2, 3"),
    (("--checkpoint", "MODELS/plain", "--class", "1"), "no classes"),
    (("--checkpoint", "MODELS/plain", "--guidance", "2"), "no classes to guide to"),
    (("--checkpoint", "MODELS/two channels"), "2 channels, which only .npz"),
    (("--sampler", "heun", "--eta", "0.5"), "--eta 0.5: of ddim alone"),
    (("--sampler", "ddpm", "--eta", "1"), "--eta 1.0: of ddim alone"),
    (("--variance", "large"), "of ddpm alone"),
    (("--guidance", "2", "--guide-between", "0.6", "0.3"), "lower share of T first"),
    (("--guide-between", "0.3", "0.6"), "says where --guidance counts"),
    (("--guide-between", "0.3", "1.6"), "--guide-between"),
    (("--digit", "-1"), "--digit"),
    (("--digit", "three"), "--digit"),
    (("--guidance", "-1"), "--guidance"),
    (("--guidance", "nan"), "--guidance"),
    (("--guidance", "inf"), "--guidance"),
    (("--eta", "1.1"), "--eta"),
    (("--eta", "-0.1"), "--eta"),
    (("--sampler", "euler"), "--sampler"),
    (("--nonsense",), "unrecognized"),
]
BAD_TRAIN = [
    ((), "--out"),
    (("--out", "file"), "file"),
    (("--out", "x", "--preset", "slow"), "--preset"),
    (("--out", "x", "--dataset", "mnist2"), "bundled, bundled-fashion"),
    (("--out", "x", "--dataset", "folder:nowhere"), "not a folder"),
    (("--out", "x", "--dataset", "folder:"), "names no folder of images"),
    (("--out", "x", "--dataset", "folder:broken"), "broken.png cannot be read"),
    (("--out", "file/x"), "no folder file"),
    (("--out", "/proc/x"), "/proc"),
    (("--out", "x", "--dataset", "mnist", "--data-dir", "no/such"), "--data-dir: no/such is not a folder"),
    (("--out", "x", "--dataset", "mnist", "--data-dir", "file"), "--data-dir: file is not a folder"),
    (("--out", "x", "--resume", "--overwrite"), "not allowed with"),
    (("--out", "x", "--steps", "0"), "--steps"),
    (("--out", "x", "--epochs", "-1"), "--epochs"),
    (("--out", "x", "--minutes", "0"), "--minutes"),
    (("--out", "x", "--minutes", "nan"), "--minutes"),
    (("--out", "x", "--steps", "3", "--epochs", "1"), "not allowed with"),
    (("--out", "x", "--seed", "-2"), "--seed"),
    (("--out", "x", "--resume"), "nothing to resume"),
    (("--out", "damaged", "--resume"), "cannot be read"),
]


def refused(result, words):
    assert result.code == 2
    assert result.err.startswith("error: ") and result.err.count("\n") == 1 and result.err.endswith("\n")
    assert words in result.err and "Traceback" not in result.err
    assert result.out == ""


@pytest.mark.parametrize(("options", "words"), BAD_SAMPLE, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_bad_input_to_sample(cli, models, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generate, "reverse_process", lambda *_args, **_options: pytest.fail("drew before it refused"))
    options = [option.replace("MODELS", str(models)) for option in options]
    refused(cli("sample", "--checkpoint", models / "classes", "--out", "x.png", "--steps", "4", *options), words)
    assert not list(tmp_path.iterdir())


def test_a_model_without_classes_knows_no_digit(cli, models, tmp_path):
    options = ("--out", tmp_path / "x.png", "--steps", 2, "--digit", "1")
    refused(cli("sample", "--checkpoint", models / "plain", *options), "no classes")


def test_sampling_onto_a_folder_or_a_full_disk(cli, models, tmp_path, monkeypatch):
    (tmp_path / "x.png").mkdir()
    options = ("sample", "--checkpoint", models / "plain", "--steps", 2, "--out")
    with monkeypatch.context() as patch:
        patch.setattr(generate, "reverse_process", lambda *_args, **_options: pytest.fail("drew before it refused"))
        refused(cli(*options, tmp_path / "x.png"), "x.png is not a file")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    refused(cli(*options, tmp_path / "y.png"), "No space left")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(("options", "words"), BAD_TRAIN, ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_bad_input_to_train(cli, tiny_preset, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    for folder in ("broken", "damaged"):
        (tmp_path / folder).mkdir()
    (tmp_path / "broken" / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "damaged" / "training.safetensors").write_bytes(b"cut")
    if "folder:" in options:
        monkeypatch.chdir(tmp_path / "damaged")
    refused(cli("train", *options), words)
    assert (tmp_path / "file").read_text() == "precious" and not (tmp_path / "x").exists()


@pytest.mark.parametrize("out", ["folder", "no/such.json", "/proc/x.json"])
def test_a_benchmark_whose_figures_cannot_be_written_is_not_begun(cli, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(bench, "bench", lambda *_: pytest.fail("measured before it refused"))
    refused(cli("bench", "--out", out), "--out: ")


@pytest.mark.parametrize(("info", "words"), [({}, "does not say how it was made"), (None, "cannot be written")])
def test_an_evaluation_that_cannot_be_kept_is_not_asked_for(cli, models, tmp_path, monkeypatch, info, words):
    folder = tmp_path / "model"
    shutil.copytree(models / "classes", folder)
    if info is None:
        monkeypatch.setattr(commands, "with_metrics", lambda *_: ({}, ""))
        monkeypatch.setattr("tempfile.mkstemp", lambda **_options: (_ for _ in ()).throw(PermissionError(13, "denied")))
    monkeypatch.setattr(commands, "evaluation_of", lambda *_args, **_options: pytest.fail("drew before it refused"))
    refused(cli("evaluate", "--checkpoint", folder, "--steps", 2, "--save"), words)


@pytest.mark.slow
def test_a_path_that_is_no_text_is_printed_all_the_same(python, models, tmp_path):
    out = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    done = python("-m", "ddpm", "sample", "--checkpoint", str(models / "plain"), "--steps", "2", "--out", out)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("caf\\udce9.png\n")
    assert os.path.getsize(out) > 0


@pytest.mark.parametrize("argv", [(), ("nonsense",)])
def test_no_command_or_an_unknown_one(cli, argv):
    refused(cli(*argv), "--help")


@pytest.mark.slow
def test_as_a_process(python, tmp_path):
    assert python("-m", "ddpm", "sample", "--help").returncode == 0
    bad = python("-m", "ddpm", "sample", "--checkpoint", str(tmp_path), "--out", str(tmp_path / "x.png"))
    refused(SimpleNamespace(code=bad.returncode, out=bad.stdout, err=bad.stderr), "not a checkpoint")
