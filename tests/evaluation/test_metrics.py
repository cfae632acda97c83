"""The classifiers: their distances by closed form, and that what is wrong with samples costs them what it should."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from ddpm import load_dataset
from ddpm.evaluation import classifiers, metrics
from ddpm.evaluation.classifiers import FIRST, SECOND, load_classifier, load_reference, read
from ddpm.evaluation.metrics import balanced, frechet_distance, gaussian, real_data_scores, recall
from ddpm.system.steps import result_of


def evaluation(*args):
    return result_of(metrics.evaluation(*args))


N = 1000
BOTH = pytest.mark.parametrize("classifier", [FIRST, SECOND])
SIZES = {FIRST: 128, SECOND: 96}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("bundled")


@pytest.fixture(scope="module")
def real(digits):
    return {
        classifier: result_of(real_data_scores(read(digits.images, classifier), digits.labels, N))
        for classifier in (FIRST, SECOND)
    }


@pytest.fixture(scope="module")
def others(digits):
    """N real digits, class-balanced, that are not those of the real-data FID."""
    index = balanced(digits.labels, 2 * N)[N:]
    return digits.images[index], digits.labels[index]


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_frechet_distance_of_known_gaussians():
    """Commuting covariances: sum of (m1 - m2)^2 + (sqrt(c1) - sqrt(c2))^2 along the common axes, whatever these are."""
    d = 6
    axes, _ = torch.linalg.qr(normal(d, d))
    m1, m2, c1, c2 = normal(4, d, 1)
    c1, c2 = c1.abs() + 0.1, c2.abs() + 0.1
    expected = (m1 - m2).square().sum() + (c1.sqrt() - c2.sqrt()).square().sum()
    covs = [axes @ c.diag() @ axes.T for c in (c1, c2)]
    assert frechet_distance(m1, covs[0], m2, covs[1]) == pytest.approx(expected.item(), rel=1e-10)


def test_frechet_distance_of_covariances_that_do_not_commute():
    """Against the trace of the principal square root of the product, by its eigenvalues; and symmetric."""
    a, b = normal(9, 5, 1), normal(9, 5, 2)
    zero, c1, c2 = torch.zeros(5, dtype=torch.float64), a.T @ a, b.T @ b
    cross = torch.linalg.eigvals(c1 @ c2).real.clamp(min=0).sqrt().sum()
    expected = (c1.trace() + c2.trace() - 2 * cross).item()
    assert frechet_distance(zero, c1, zero, c2) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(zero, c2, zero, c1) == pytest.approx(expected, rel=1e-9)
    assert expected > 1


def test_identical_sets_have_distance_0():
    features = normal(300, 20)
    features[:, :3] = 0  # features that never fire: the covariance is singular
    assert frechet_distance(*gaussian(features), *gaussian(features)) == pytest.approx(0, abs=1e-9)


def test_gaussian_is_the_unbiased_mean_and_covariance():
    features = normal(50, 3)
    mean, cov = gaussian(features)
    centred = features - features.sum(dim=0) / 50
    torch.testing.assert_close(mean, features.sum(dim=0) / 50)
    torch.testing.assert_close(cov, centred.T @ centred / 49)


def test_recall_by_hand():
    """On a line, k = 1: fake points 0, 1 and 10 reach as far as 1, 1 and 9."""
    fake = torch.tensor([[0.0], [1.0], [10.0]])
    real = torch.tensor([[-1.0], [-1.1], [2.0], [19.0], [19.1], [0.5]])
    assert recall(real, fake, k=1) == pytest.approx(4 / 6)
    assert recall(fake, fake, k=1) == 1


def test_recall_uses_the_third_neighbour_unless_told():
    fake = torch.tensor([[0.0], [1.0], [2.0], [3.0], [30.0]])
    assert recall(torch.tensor([[-3.0], [-3.1]]), fake) == 0.5


def test_within_class_distance_by_hand():
    features = torch.tensor([[0.0], [2.0], [4.0], [10.0], [11.0], [50.0]])
    labels = torch.tensor([0, 0, 0, 1, 1, 2])  # of the last there is one: it has no distance
    assert metrics.within_class_distance(features, labels) == pytest.approx(((2 + 4 + 2) / 3 + 1) / 2)


def test_balanced_takes_the_classes_in_turn():
    labels = torch.arange(40) % 4
    index = balanced(labels, 12)
    assert labels[index].tolist() == [0, 1, 2, 3] * 3 and len(set(index.tolist())) == 12
    assert balanced(labels, 12).equal(index) and not balanced(labels, 12, seed=1).equal(index)
    with pytest.raises(ValueError, match="at most 10"):
        balanced(labels, 44)


@BOTH
def test_the_reference_belongs_to_the_classifier_that_ships(classifier):
    reference = load_reference(classifier)
    _, extractor = load_classifier(classifier)
    assert (
        extractor
        == hashlib.sha256(classifiers.CLASSIFIERS[classifier].path.read_bytes()).hexdigest()[:12]
        == reference.extractor
    )
    assert (
        extractor in classifiers.reference_path(classifier).name
        and "mnist" in classifiers.reference_path(classifier).name
    )
    assert (reference.n, len(reference.features)) == (10_000, 2000)
    assert reference.labels.bincount().tolist() == [200] * 10
    assert (
        classifiers.CLASSIFIERS[classifier].path.stat().st_size < 600_000
        and classifiers.reference_path(classifier).stat().st_size < 600_000
    )


def test_the_first_is_the_one_that_every_earlier_figure_names():
    assert load_classifier()[1] == "b3a15ef629c9"


@BOTH
def test_the_classifiers_read_real_digits(digits, classifier):
    index = balanced(digits.labels, N)
    seen = read(digits.images[index], classifier)
    assert (seen.digits == digits.labels[index]).double().mean() > 0.99
    assert (
        seen.features.shape == (N, SIZES[classifier])
        and seen.features.dtype == torch.float64
        and seen.classifier == classifier
    )


def test_the_features_of_the_first_are_not_negative(digits):
    assert (read(digits.images[:100]).features >= 0).all()


def test_the_classifiers_do_not_share_their_mistakes(digits):
    """Digits changed so that the first misreads them, along its gradient, are mostly read right by the second."""
    first, _ = load_classifier()
    images, labels = digits.images[:500:5].float() / 127.5 - 1, digits.labels[:500:5]
    x = images.clone().requires_grad_()
    torch.nn.functional.cross_entropy(first(x), labels).backward()
    fooling = images + 0.3 * x.grad.sign()
    right = {
        classifier: (read(fooling, classifier).digits == labels).double().mean().item()
        for classifier in (FIRST, SECOND)
    }
    assert right[SECOND] > right[FIRST] + 0.2


def test_floats_and_bytes_are_read_alike(digits):
    images = digits.images[:50]
    floats = images.float() / 127.5 - 1
    torch.testing.assert_close(read(floats).features, read(images).features)
    torch.testing.assert_close(read(floats + 0.001).features, read(images).features)  # rounded
    torch.testing.assert_close(read(floats * 1.5).features, read((floats * 1.5).clamp(-1, 1)).features)  # clamped


def test_only_digits_of_its_size_are_read():
    with pytest.raises(ValueError, match="32x32"):
        read(torch.zeros(3, 3, 32, 32))


@pytest.mark.slow
def test_other_real_digits_score_about_the_real_data_fid(others, real):
    v = evaluation(*others, real)
    assert 0.7 < v["fid_over_real"] < 1.4
    assert v["accuracy"] > 0.99 and v["class_coverage"] == 1 and v["confidence"] > 0.98
    assert 0.97 < v["recall_over_real"] < 1.03 and 0.97 < v["distance_over_real"] < 1.03
    assert (v["n"], v["extractor"]) == (N, load_classifier()[1]) and v["reference"] == "mnist test, 32x32, 10000"
    second = v["second"]
    assert 0.7 < second["fid_over_real"] < 1.4 and second["accuracy"] > 0.99
    assert 0.97 < second["recall_over_real"] < 1.03 and 0.97 < second["distance_over_real"] < 1.03
    json.dumps(v, allow_nan=False)


@pytest.mark.slow
def test_the_second_speaks_for_itself(others, real):
    """What stands under "second" is by its own features, reference and real digits; the rest is the first's."""
    v, by_second = evaluation(*others, real), metrics.one_evaluation(read(others[0], SECOND), others[1], real[SECOND])
    assert v["second"] == {name: by_second[name] for name in metrics.SECOND_SAYS}
    reference, seen = load_reference(SECOND), read(others[0], SECOND).features
    by_hand = frechet_distance(*gaussian(seen), reference.mean, reference.cov)
    assert v["second"]["fid"] == pytest.approx(by_hand) and v["second"]["extractor"] == load_classifier(SECOND)[1]
    assert v["second"]["fid_over_real"] == pytest.approx(by_hand / real[SECOND]["fid"])
    first = metrics.one_evaluation(read(others[0]), others[1], real[FIRST])
    assert {name: value for name, value in v.items() if name != "second"} == first
    assert v["second"]["extractor"] != v["extractor"] and v["second"]["fid"] != v["fid"]


@pytest.mark.slow
def test_noise_scores_terribly(others, real):
    noise = torch.randn(N, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    v = evaluation(noise, others[1], real)
    for said in (v, v["second"]):
        assert said["fid_over_real"] > 100 and said["accuracy"] < 0.2 and said["recall_over_real"] < 0.1


@pytest.mark.slow
def test_a_dropped_class_is_punished(others, real):
    images, labels = others
    keep = labels != 4
    again = torch.cat([images[keep], images[keep][: N - int(keep.sum())]])
    v = evaluation(again, None, real)
    assert v["class_coverage"] == 0.9
    for said in (v, v["second"]):
        assert said["fid_over_real"] > 2 and said["recall_over_real"] < 0.97


@pytest.mark.slow
def test_ten_perfect_digits_repeated_are_punished(others, real):
    images, labels = others
    v = evaluation(images[:10].repeat(N // 10, 1, 1, 1), labels[:10].repeat(N // 10), real)
    assert v["accuracy"] == 1 and v["class_coverage"] == 1, "each of them is perfect"
    for said in (v, v["second"]):
        assert said["fid_over_real"] > 5 and said["recall_over_real"] < 0.1 and said["distance_over_real"] < 1e-6


@pytest.mark.slow
def test_wrong_labels_cost_accuracy_and_nothing_else(others, real):
    images, labels = others
    wrong = labels.clone()
    wrong[:100] = (wrong[:100] + 1) % 10
    right, v = evaluation(images, labels, real), evaluation(images, wrong, real)
    for said, without in ((v, right), (v["second"], right["second"])):
        assert said["accuracy"] == pytest.approx(without["accuracy"] - 0.1, abs=0.005)
        assert said["fid"] == without["fid"]


@pytest.mark.slow
def test_without_labels_there_is_no_accuracy(others, real):
    v = evaluation(others[0], None, real)
    assert v["accuracy"] is None and v["second"]["accuracy"] is None and 0.97 < v["distance_over_real"] < 1.03


@pytest.mark.slow
def test_a_evaluation_on_too_few_is_refused(others, real):
    with pytest.raises(ValueError, match="at least 20"):
        evaluation(others[0][:19], None, real)


def test_the_error_of_a_distance_is_its_spread_over_draws():
    """Of features drawn anew each time, the distance scatters by what the jackknife says of a single draw."""
    reference = load_reference()
    root = torch.linalg.cholesky(reference.cov + 1e-6 * torch.eye(128))
    g = torch.Generator().manual_seed(0)
    draws = [reference.mean + 0.1 + torch.randn(300, 128, generator=g, dtype=torch.float64) @ root.T for _ in range(30)]
    scatter = torch.tensor([frechet_distance(*gaussian(x), reference.mean, reference.cov) for x in draws]).std().item()
    said = [metrics.fid_error(x, reference) for x in draws[:8]]
    assert sum(said) / len(said) == pytest.approx(scatter, rel=0.35)
    assert metrics.fid_error(draws[0][:19], reference) is None


def test_the_interval_of_a_share_is_wilsons():
    low, high = metrics.share_interval(0, 10)
    assert (low, high) == (pytest.approx(0, abs=1e-12), pytest.approx(0.2775, abs=1e-3))
    assert metrics.share_interval(81, 263) == (pytest.approx(0.2553, abs=1e-3), pytest.approx(0.3662, abs=1e-3))
    assert metrics.share_interval(10, 10)[1] == 1
