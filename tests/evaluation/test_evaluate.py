"""Samples drawn as asked, and the evaluation on them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from ddpm import (
    Guided,
    ModelConfig,
    generate,
    load_checkpoint,
    load_dataset,
    make_schedule,
    reverse_process,
    save_checkpoint,
)
from ddpm.cli import main
from ddpm.config import Config, SamplingConfig, ScheduleConfig
from ddpm.device import Inference
from ddpm.evaluation import classifiers, evaluate, metrics
from ddpm.evaluation.classifiers import FIRST, SECOND
from ddpm.generate import Sampler, class_labels
from ddpm.networks import build_model

SCHED = make_schedule(20, kind="cosine")
DIGITS = ModelConfig(base=8, t_dim=8, mults=(1, 2), num_classes=10, patch_size=4, prediction="v")


def last(process):
    *_, moment = process
    return moment.x_t


def test_classes_in_turn():
    assert class_labels(ModelConfig(num_classes=3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert class_labels(ModelConfig(), 7) is None


def test_a_sampler_is_reverse_process_with_its_settings(tiny_classes_model):
    sampling = SamplingConfig("ddim", 6, eta=0.5, guidance=3.0, guide_from=0.25, guide_to=0.6)
    sampler = Sampler(Inference(tiny_classes_model), SCHED, sampling)
    asked = Guided(tiny_classes_model, 3.0, interval=(5, 12))
    options = {"y": class_labels(ModelConfig(num_classes=10), 12), "num_steps": 6, "eta": 0.5, "seed": 4, "img_size": 8}
    expected = last(reverse_process(asked, SCHED, 12, **options))
    torch.testing.assert_close(sampler.draw(12, seed=4), expected, atol=1e-4, rtol=0)
    assert sampler.evaluations == 6 + 2, "of 19, 15, 11, 8, 4 and 0 two lie between 5 and 12"
    plain = last(reverse_process(Guided(tiny_classes_model, 3.0), SCHED, 12, **options))
    assert (plain - expected).abs().max() > 0.01


def test_batches_are_one_long_batch(tiny_classes_model, monkeypatch):
    sampler = Sampler(Inference(tiny_classes_model), SCHED, SamplingConfig(num_steps=3))
    whole = sampler.draw(11, seed=2)
    monkeypatch.setattr(generate, "BATCH", 4)
    seen = []
    torch.testing.assert_close(sampler.draw(11, seed=2, progress=seen.append), whole, atol=1e-4, rtol=0)
    assert sum(seen) == 11 * 4
    y = torch.full((11,), 7)
    torch.testing.assert_close(sampler.draw(11, y, 2)[3], sampler.draw(4, y[:4], 2)[3], atol=1e-4, rtol=0)
    assert (sampler.draw(11, y, 2) - whole)[0].abs().max() > 1e-3


def test_the_frames_asked_for(tiny_model):
    sampler = Sampler(Inference(tiny_model), SCHED, SamplingConfig(num_steps=4))
    frames = sampler.frames(3, kept=lambda i: i in (0, 4))
    moments = list(reverse_process(tiny_model, SCHED, 3, num_steps=4, img_size=8))
    for frame, i in zip(frames, (0, 4), strict=True):
        torch.testing.assert_close(frame, moments[i].x_t, atol=1e-4, rtol=0)


@pytest.fixture
def untrained():
    return Sampler(Inference(build_model(DIGITS)), SCHED, SamplingConfig(num_steps=2))


@pytest.mark.slow
def test_a_evaluation_is_the_classifiers_on_what_was_drawn(untrained, monkeypatch):
    """A model that returned real digits would score about the real-data FID: so the images do go to the classifier."""
    v = evaluate.evaluate(untrained, 60, seed=1)
    assert v["fid_over_real"] > 20 and v["accuracy"] < 0.5
    assert (v["n"], v["evaluations"], v["seed"], v["extractor"]) == (60, 2, 1, classifiers.load_classifier()[1])
    assert v["images_per_second"] > 0 and v["fid_real"] == evaluate.real_scores(60)["fid"]
    assert v["second"]["extractor"] == classifiers.load_classifier(SECOND)[1]
    assert v["second"]["fid_real"] == evaluate.real_scores(60, SECOND)["fid"] != v["fid_real"]
    digits = load_dataset("bundled")
    index = metrics.balanced(digits.labels, 120)[60:]
    monkeypatch.setattr(Sampler, "draw", lambda self, n, **_: digits.images[index].float() / 127.5 - 1)
    v = evaluate.evaluate(untrained, 60)
    for said in (v, v["second"]):
        assert said["fid_over_real"] < 2 and said["accuracy"] > 0.97


@pytest.mark.slow
def test_an_evaluation_in_steps_is_the_same_evaluation(untrained):
    *waits, v = evaluate.evaluating(untrained, 60, seed=1)
    at_once = evaluate.evaluate(untrained, 60, seed=1)
    for said, expected in ((v, at_once), (v["second"], at_once["second"])):
        assert said["fid"] == pytest.approx(expected["fid"], rel=1e-3) and said["accuracy"] == expected["accuracy"]
    shares = [share for share in waits if share is not None]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1


def test_so_many_are_drawn_at_once_as_fit_into_a_step(untrained, monkeypatch):
    """On a clock on which a picture costs 8 ms: 10 to measure, then 7 in 0.06 s."""
    now, sizes = [0.0], []
    steps = Sampler.steps

    def timed(self, n, *args):
        sizes.append(n)
        for moment in steps(self, n, *args):
            now[0] += 0.008 * n
            yield moment

    monkeypatch.setattr(Sampler, "steps", timed)
    monkeypatch.setattr(evaluate, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    list(evaluate.evaluating(untrained, 40))
    assert sizes == [10, 7, 7, 7, 7, 2]


def test_real_digits_are_read_and_scored_once_by_each_classifier(untrained, monkeypatch):
    evaluate.evaluate(untrained, 40)
    reads, scored, read = [], [], classifiers.reading
    real_data_scores = metrics.real_data_scores
    for module in (classifiers, metrics):
        monkeypatch.setattr(
            module, "reading", lambda images, *classifier: reads.append(len(images)) or read(images, *classifier)
        )
    monkeypatch.setattr(metrics, "real_data_scores", lambda *args: scored.append(args[-1]) or real_data_scores(*args))
    evaluate.evaluate(untrained, 40, seed=1)
    assert (reads, scored) == ([40, 40], [])
    evaluate.evaluate(untrained, 50)
    assert (reads, scored) == ([40, 40, 50, 50], [50, 50])


class Untouchable(torch.nn.Module):
    """A model of digits that must not be asked for anything."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.config, self.prediction = ModelConfig(num_classes=num_classes), "v"
        self.picture_shape = (1, 32, 32)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, *_):
        pytest.fail("the network was evaluated")


@pytest.fixture
def untouchable():
    return Sampler(Inference(Untouchable()), SCHED, SamplingConfig(num_steps=2))


@pytest.mark.parametrize("n", [-1, 0, 1, 5, 19, 10_001, 20_000, 10**9])
def test_how_many_can_be_classified_is_known_before_anything_is_drawn(untouchable, n):
    for evaluating in (evaluate.evaluate, lambda *args: next(evaluate.evaluating(*args))):
        with pytest.raises(ValueError, match=r"from 20 samples, .* to 10,000") as refused:
            evaluating(untouchable, n)
        assert str(refused.value).endswith(f"not {n:,}")


def test_the_least_that_can_be_classified_is_evaluated_and_the_most_is_what_there_is(untrained):
    for n in (20, 23):
        v = evaluate.evaluate(untrained, n)
        json.dumps(v, allow_nan=False)
        assert v["n"] == n and v["fid_error"] > 0 and v["second"]["fid_error"] > 0
    digits = load_dataset("bundled")
    most = classifiers.CLASSIFIERS[FIRST].most
    assert most == 10 * digits.labels.bincount().min() == len(metrics.balanced(digits.labels, most))


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("cifar10", "of cifar10 3x32x32 in 10 classes; this model draws something else"),
        ("faces", "of faces 3x16x16 in 7 attributes; this model draws something else"),
        ("folder:letters", "trained on folder:letters"),
        ("", "trained on"),
        (None, "does not say what it was trained on"),
        (["mnist"], "trained on"),
    ],
)
@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_model_of_what_no_classifier_knows_is_not_evaluated(dataset, words, num_classes):
    """Ten letters in the very shape of MNIST's digits: the classifiers would read digits in them."""
    sampler = Sampler(Inference(Untouchable(num_classes)), SCHED, SamplingConfig(num_steps=2))
    with pytest.raises(ValueError, match=words) as refused:
        evaluate.evaluate(sampler, 20, dataset=dataset)
    assert "MNIST" in str(refused.value)


@pytest.mark.parametrize("dataset", ["mnist", "bundled"])
def test_a_model_of_digits_is_evaluated(untrained, dataset):
    assert evaluate.evaluate(untrained, 20, dataset=dataset)["n"] == 20


def test_a_model_without_classes_has_no_accuracy():
    sampler = Sampler(
        Inference(build_model(ModelConfig(base=8, t_dim=8, mults=(1, 2)))), SCHED, SamplingConfig("ddim", 2)
    )
    assert evaluate.evaluate(sampler, 20)["accuracy"] is None


def test_what_the_classifier_cannot_read_is_said(tiny_classes_model):
    with pytest.raises(ValueError, match="MNIST"):
        evaluate.evaluate(Sampler(Inference(tiny_classes_model), SCHED, SamplingConfig(num_steps=2)), 10)


@pytest.fixture
def folder(tmp_path):
    info = {"dataset": "mnist", "images_in_dataset": 60_000, "command": "by hand", "device": "a CPU", "parameters": 9}
    info |= {"seconds": 60, "precision": "float32", "step": 5, "images_seen": 40, "loss_smooth": 0.1}
    config = Config(DIGITS, ScheduleConfig(T=20, kind="cosine"))
    save_checkpoint(tmp_path / "digits", build_model(DIGITS, 3), config, info)
    return tmp_path / "digits"


def test_the_command_prints_one_json_object(folder, capsys):
    options = ["--sampler", "ddim", "--steps", "4", "--n", "30", "--guidance", "2", "--guide-between", "0.3", "0.65"]
    assert main(["evaluate", "--checkpoint", str(folder), *options]) == 0
    out, err = capsys.readouterr()
    printed = json.loads(out)
    assert err == ""
    names = {"fid", "fid_real", "fid_over_real", "extractor", "reference", "accuracy", "confidence", "class_coverage"}
    assert (
        names | {"recall", "recall_over_real", "distance_over_real", "images_per_second", "n", "second"}
        <= printed.keys()
    )
    assert (printed["guide_from"], printed["guide_to"], printed["evaluations"]) == (0.3, 0.65, 6)
    assert printed["checkpoint"] == str(folder) and printed["n"] == 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n", "5"], "from 20 samples"),
        (["--n", "20000"], "to 10,000"),
        (["--steps", "21"], "steps"),
        (["--sampler", "x"], "sampler"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, options, words):
    try:
        code = main(["evaluate", "--checkpoint", str(folder), "--steps", "2", *options])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1) and words in err


def test_a_evaluation_is_kept_in_the_card_and_the_weights_are_left_alone(folder, capsys):
    weights = (folder / "model.safetensors").read_bytes()
    command = ["evaluate", "--checkpoint", str(folder), "--steps", "2", "--n", "20", "--save"]
    assert main(command) == 0 and main(command) == 0 and main([*command, "--seed", "1"]) == 0
    printed = capsys.readouterr().out
    assert (folder / "model.safetensors").read_bytes() == weights
    kept = load_checkpoint(folder).info["metrics"]
    assert [v["seed"] for v in kept] == [0, 1], "the same command again replaces what it found"
    card = (folder / "README.md").read_text()
    fid, over_real, second = kept[1]["fid"], kept[1]["fid_over_real"], kept[1]["second"]
    assert f"| [2] | 2 | 20 | {fid:.3f} | {over_real:.2f} | {second['fid_over_real']:.2f} |" in card
    assert kept[1]["extractor"] in card and second["extractor"] in card and str(fid) in printed


def test_a_evaluation_from_before_an_option_existed_is_kept(folder):
    """It was drawn with what is now that option's default, so the same samples again still replace it."""
    command = ["evaluate", "--checkpoint", str(folder), "--steps", "2", "--n", "20", "--save"]
    assert main(command) == 0
    described = json.loads((folder / "config.json").read_text())
    del described["info"]["metrics"][0]["spacing"]
    (folder / "config.json").write_text(json.dumps(described))
    assert main([*command, "--spacing", "trailing"]) == 0
    assert [v["spacing"] for v in load_checkpoint(folder).info["metrics"]] == ["linspace", "trailing"]
    assert main(command) == 0
    assert [v["spacing"] for v in load_checkpoint(folder).info["metrics"]] == ["trailing", "linspace"]


def test_a_checkpoint_that_tells_nothing_of_its_making_gets_no_card(folder, capsys):
    config = Config(DIGITS, ScheduleConfig(T=20, kind="cosine"))
    save_checkpoint(folder, build_model(DIGITS, 3), config, {"dataset": "mnist"})
    before = (folder / "config.json").read_bytes()
    assert main(["evaluate", "--checkpoint", str(folder), "--steps", "2", "--n", "20", "--save"]) == 2
    assert "does not say how it was made" in capsys.readouterr().err
    assert (folder / "config.json").read_bytes() == before


def test_a_evaluation_on_what_is_not_a_folder_here_cannot_be_kept(capsys):
    assert main(["evaluate", "--checkpoint", "someone/digits", "--save"]) == 2
    assert "--save" in capsys.readouterr().err


def say(folder, change):
    """Let the checkpoint tell something else of its making."""
    described = json.loads((folder / "config.json").read_text())
    change(described["info"])
    (folder / "config.json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda info: info.update(dataset="faces"), "of faces 3x16x16 in 7 attributes; this model draws"),
        (lambda info: info.update(dataset="folder:letters"), "trained on folder:letters"),
        (lambda info: info.pop("dataset"), "does not say what it was trained on"),
    ],
)
def test_the_command_refuses_a_checkpoint_of_letters_or_clothes(folder, capsys, change, words):
    say(folder, change)
    assert main(["evaluate", "--checkpoint", str(folder), "--steps", "2", "--n", "20"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err and "MNIST" in err


def test_a_evaluation_from_before_there_was_a_second_classifier_is_kept(folder):
    command = ["evaluate", "--checkpoint", str(folder), "--steps", "2", "--n", "20", "--save"]
    assert main(command) == 0
    say(folder, lambda info: info["metrics"][0].pop("second"))
    assert main([*command, "--seed", "1"]) == 0
    assert [(v["seed"], bool(v["second"])) for v in load_checkpoint(folder).info["metrics"]] == [(0, False), (1, True)]
    assert main(command) == 0
    assert [(v["seed"], bool(v["second"])) for v in load_checkpoint(folder).info["metrics"]] == [(1, True), (0, True)]
