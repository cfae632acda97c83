"""The classifiers of other sets than digits, several attributes at once, and the script that makes them all."""

from __future__ import annotations

import dataclasses
import functools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm import load_dataset
from ddpm.data import DATASETS
from ddpm.evaluation import classifiers, evaluate, metrics
from ddpm.evaluation.classifiers import CLASSIFIERS, OF_DATASET, Readings, ResidualClassifier, load_reference
from ddpm.storage.model_card import evaluations_table
from ddpm.system.steps import result_of
from scripts import make_classifier

LEAST = {"fashion": 0.91, "faces": 0.99, "cifar10": 0.8}  # of held-out pictures, each attribute
EACH = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(not CLASSIFIERS[name].path.exists(), reason="not trained yet"))
        for name in LEAST
    ],
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Classifiers and statistics lie in a folder of their own, none of them read yet."""
    monkeypatch.setattr(classifiers, "ASSETS", tmp_path)
    monkeypatch.chdir(tmp_path)
    for read in (classifiers.load_classifier, classifiers.load_reference):
        read.cache_clear()
    yield tmp_path
    for read in (classifiers.load_classifier, classifiers.load_reference):
        read.cache_clear()


def test_every_data_set_with_a_classifier_has_its_names_and_sizes():
    assert set(OF_DATASET) == set(DATASETS)
    data = load_dataset("faces")
    faces = CLASSIFIERS["faces"]
    assert faces.values == {attribute.name: len(attribute.values) for attribute in data.attributes}
    assert faces.shape == tuple(data.images.shape[1:]) and faces.most == len(data.images)


def test_a_classifier_that_is_not_there_is_said_before_anything_is_drawn(elsewhere):
    config = SimpleNamespace(num_classes=10, attributes=())
    sampler = SimpleNamespace(picture_shape=(3, 32, 32), config=config)
    with pytest.raises(ValueError, match="cifar10 is not here: ddpm/assets holds no classifier-cifar10"):
        evaluate.evaluate(sampler, 20, dataset="cifar10")


@EACH
def test_a_classifier_reads_pictures_that_are_held_out(name):
    """Those of its statistics, and of the bundled set; the card of each says how many of the whole test part."""
    reference, shipped = load_reference(name), CLASSIFIERS[name]
    assert shipped.path.stat().st_size < (3_000_000 if name == "cifar10" else 1_500_000)
    assert classifiers.reference_path(name).stat().st_size < 1_500_000
    seen = classifiers.read_features(reference.features.float(), name)
    right = torch.stack([*metrics.columns((seen.digits == reference.labels).double())]).mean(dim=1)
    assert right.min() > LEAST[name]


def test_of_several_attributes_each_counts_as_much(monkeypatch):
    """By hand: seven attributes, of which one is always missed and one in half of the faces."""
    labels = torch.stack([torch.arange(40) % k for k in CLASSIFIERS["faces"].values.values()], dim=1)
    read = labels.clone()
    read[:, 3] = 1 - read[:, 3]
    read[::4, 6] = 1 - read[::4, 6]
    features = torch.randn(40, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = Readings("faces", features, read, torch.ones(40))
    real = {"fid": 1.0, "recall": 1.0, "within_class_distance": 1.0, "accuracy": 1.0}
    mean, cov = metrics.gaussian(features)
    reference = classifiers.Reference("faces test, 16x16", "hash", 40, mean, cov, features, labels)
    monkeypatch.setattr(metrics, "load_reference", lambda classifier: reference)
    v = metrics.one_evaluation(seen, labels, real)
    assert v["attributes"] == {**dict.fromkeys(CLASSIFIERS["faces"].values, 1.0), "hat": 0.0, "mouth": 0.75}
    assert v["accuracy"] == pytest.approx((5 + 0 + 0.75) / 7) and v["class_coverage"] == 1
    by_hand = np.mean([metrics.within_class_distance(features, column) for column in labels.T])
    assert v["within_class_distance"] == pytest.approx(by_hand)
    read[:, 1] = 0
    assert metrics.one_evaluation(seen, labels, real)["class_coverage"] == pytest.approx((6 + 1 / 5) / 7)


def test_any_faces_are_balanced_ones():
    labels = torch.zeros(30, 7, dtype=torch.int64)
    index = metrics.balanced(labels, 20)
    assert len(set(index.tolist())) == 20 and not index.equal(metrics.balanced(labels, 20, seed=1))
    with pytest.raises(ValueError, match="at most 30"):
        metrics.balanced(labels, 31)


@EACH
def test_real_pictures_score_the_real_data_fid(name, monkeypatch):
    if CLASSIFIERS[name].real is None:
        seen, labels = load_reference(name).real
        index = metrics.balanced(labels, 500)
        seen, labels = seen.at(index), labels[index]
    else:
        some = load_dataset(CLASSIFIERS[name].real)
        index = metrics.balanced(some.labels, 500)
        seen, labels = classifiers.read(some.images[index], name), some.labels[index]
    real = result_of(metrics.real_data_scores(seen.at(torch.arange(300)), labels[:300], 200))
    v = metrics.one_evaluation(seen.at(torch.arange(300, 500)), labels[300:], real)
    assert 0.6 < v["fid_over_real"] < 1.6 and 0.9 < v["distance_over_real"] < 1.1
    p = v["accuracy_real"]  # of 300, beside that of 200 others: three standard errors of their difference
    assert v["accuracy"] > LEAST[name] and v["accuracy"] == pytest.approx(p, abs=3 * (p * (1 - p) / 120) ** 0.5 + 0.005)
    card = "\n".join(evaluations_table([{**v, "second": None, "evaluations": 20, "command": "ddpm"}]))
    assert f"the classifier {classifiers.load_classifier(name)[1]}" in card and "training pictures" in card
    assert ("hat 100.0%" in card) == (name == "faces") and "digit" not in card


def test_a_set_whose_pictures_do_not_ship_is_made_and_evaluated_by_features_of_them(elsewhere, monkeypatch, capsys):
    for part, n in (("train", 3), ("test", 2)):
        for label in range(10):
            (elsewhere / "set" / part / str(label)).mkdir(parents=True)
            for i in range(n):
                colour = np.random.default_rng((label, i, n)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(colour).save(elsewhere / "set" / part / str(label) / f"{i}.png")
    small = functools.partial(ResidualClassifier, 3, (8, 8, 16), 2, 10)
    monkeypatch.setitem(CLASSIFIERS, "cifar10", dataclasses.replace(CLASSIFIERS["cifar10"], build=small))
    recipe = make_classifier.Recipe(0, 1, make_classifier.mirror_and_shift, batch=10)
    monkeypatch.setitem(make_classifier.RECIPES, "cifar10", recipe)
    monkeypatch.setattr(make_classifier, "PER_CLASS", 2)
    monkeypatch.setattr(sys, "argv", ["make_classifier", "cifar10", "--dataset", f"folder:{elsewhere / 'set'}"])
    make_classifier.main()
    assert "of 20 test pictures read right" in capsys.readouterr().out
    reference = load_reference("cifar10")
    assert (reference.name, reference.n, len(reference.features)) == ("cifar10 test, 32x32", 20, 20)
    seen, labels = result_of(evaluate.reading_real("cifar10"))
    again = classifiers.read(load_dataset(f"folder:{elsewhere / 'set'}").images, "cifar10")
    assert labels.bincount().tolist() == [2] * 10 and seen.features.shape == (20, 16)
    nearest = torch.cdist(seen.features, again.features).min(dim=1)
    assert nearest.values.max() < 0.01 and (nearest.indices // 3).equal(labels)  # folders are in the order of labels


def test_a_picture_is_mirrored_or_not_and_shifted_by_whole_pixels():
    x = torch.arange(2 * 8 * 8.0).reshape(2, 1, 8, 8).repeat(8, 3, 1, 1)
    torch.manual_seed(0)
    for before, after in zip(x, make_classifier.mirror_and_shift(x), strict=True):
        padded = torch.nn.functional.pad(before[None], (4,) * 4, mode="reflect")[0]
        ways = [padded[:, r : r + 8, c : c + 8] for r in range(9) for c in range(9)]
        assert any(after.equal(way) or after.equal(way.flip(-1)) for way in ways)


def test_the_loss_of_attributes_is_the_mean_of_theirs():
    values = [*CLASSIFIERS["faces"].values.values()]
    y, logits = torch.zeros(4, 7, dtype=torch.int64), torch.zeros(4, sum(values))
    assert make_classifier.wrongness(logits, y, "faces").item() == pytest.approx(np.mean(np.log(values)))
