"""Copying or creating: the nearest training pictures, exactly; planted copies are seen, fresh pictures are not."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ddpm import load_dataset
from ddpm.data import from_uint8
from ddpm.evaluation import neighbours
from ddpm.evaluation.neighbours import Comparison, Found, TrainingSet, held_out, searching, verdict
from ddpm.system.steps import result_of


@pytest.fixture(scope="module")
def digits():
    """2,000 of the bundled digits, and the real ones that ship beside them."""
    data = load_dataset("bundled")
    return TrainingSet(data.images[:2000], data.labels[:2000], held_out("bundled", "no/such/folder", 32), "first")


def brute_force(samples, pictures, omit=None):
    """Every distance, one by one."""
    table = (samples.double()[:, None] - pictures.double()[None]).flatten(2).square().mean(2).sqrt()
    if omit is not None:
        table[torch.arange(len(samples)), omit] = torch.inf
    return table


@pytest.mark.parametrize("part", [1, 7, 5000])
@pytest.mark.parametrize("rows", [3, 1000])
def test_the_nearest_are_those_of_brute_force(monkeypatch, part, rows):
    monkeypatch.setattr(neighbours, "PART", part)
    monkeypatch.setattr(neighbours, "ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (60, 3, 4, 4), generator=generator, dtype=torch.uint8)
    samples = torch.randint(0, 256, (10, 3, 4, 4), generator=generator, dtype=torch.uint8)
    for omit in (None, torch.arange(10) * 5):
        found, table = result_of(searching(samples, pictures, 3, omit)), brute_force(samples, pictures, omit)
        assert torch.equal(found.distances, table.sort(dim=1).values[:, :3])
        assert torch.equal(table.gather(1, found.index), found.distances)


def test_a_distance_is_exact_where_float32_is_not():
    """Two bright pictures that differ in one grey level of one pixel; and no other is as near as the picture itself."""
    pictures = torch.full((40, 1, 32, 32), 254, dtype=torch.uint8)
    pictures[torch.arange(40), 0, 0, torch.arange(40) % 32] += (torch.arange(40) > 0).to(torch.uint8)
    found = result_of(searching(pictures[:1], pictures[:6], 2))
    assert found.index[0, 0] == 0 and found.distances[0].tolist() == [0, 1 / 32]


def test_a_part_is_as_small_as_asked_for(monkeypatch):
    monkeypatch.setattr(neighbours, "WORK", 16 * 10 * 4)  # four pictures for ten samples
    pictures = torch.zeros(20, 1, 4, 4, dtype=torch.uint8)
    assert len(list(searching(pictures[:10], pictures, 1))) == 5 + 1


def test_no_picture_to_compare_with():
    one = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="no training picture"):
        result_of(searching(one, one, 1, torch.tensor([0])))
    assert result_of(searching(one, one)).distances.tolist() == [[0]], "as many as there are"


def test_planted_copies_are_found_at_distance_0(digits):
    planted = torch.tensor([5, 700, 1999])
    fresh = digits.held_out[::100][:7]
    samples = from_uint8(torch.cat([digits.images[planted], fresh]))
    pixels, features = result_of(digits.in_pixels(samples)), result_of(digits.in_features(samples))
    for each in (pixels, features):
        assert torch.equal(each.found.index[:3, 0], planted) and not each.found.distances[:3, 0].any()
        assert each.near[:3].all() and each.found.distances[3:, 0].min() > 0
    assert pixels.copies.tolist() == [True] * 3 + [False] * 7
    assert verdict(pixels).startswith("3 of 10 are training pictures, as far as can be seen.")


def test_fresh_pictures_are_no_copies(digits):
    """Training digits that the set does not hold: of 200, about one in twenty is near, as among the real ones."""
    fresh = load_dataset("bundled").images[4000:4200]
    pixels, features = result_of(digits.in_pixels(fresh)), result_of(digits.in_features(fresh))
    for each in (pixels, features):
        assert each.near.double().mean() < 0.15 and 0.35 < each.nearer.mean() < 0.65
    assert not pixels.copies.any() and verdict(pixels).startswith("No sign of copying")


def test_a_sample_is_held_against_real_pictures_of_its_class():
    """Of two classes one varies a tenth as much: that its pictures are nearer than the other's is no sign."""
    generator = torch.Generator().manual_seed(1)

    def draw(n, spread, mean):
        return (mean + spread * torch.randn(n, 1, 4, 4, generator=generator)).clamp(0, 255).to(torch.uint8)

    training = torch.cat([draw(200, 4, 60), draw(200, 40, 160)])
    labels = torch.arange(400) // 200
    real = torch.cat([draw(200, 4, 60), draw(200, 40, 160)])
    fresh = draw(100, 4, 60)
    told = result_of(TrainingSet(training, labels, real).in_pixels(fresh))
    assert told.near.double().mean() < 0.15 and told.weights[:200].sum() == pytest.approx(1)
    blind = result_of(TrainingSet(training, None, real).in_pixels(fresh))
    assert blind.nearer.max() < 0.55, "without classes the wider one makes all of them look near"


def test_without_held_out_pictures_each_is_held_against_the_others():
    generator = torch.Generator().manual_seed(2)
    drawings = torch.randint(0, 256, (20, 1, 8, 8), generator=generator, dtype=torch.uint8)
    of = TrainingSet(drawings)
    compared = result_of(of.in_pixels(drawings[:5]))
    table = brute_force(drawings, drawings, torch.arange(20))
    assert torch.equal(compared.real, table.min(dim=1).values) and compared.copies.all() and compared.near.all()
    assert "5 of 5 are training pictures" in verdict(compared)
    fresh = torch.randint(0, 256, (5, 1, 8, 8), generator=generator, dtype=torch.uint8)
    assert not result_of(of.in_pixels(fresh)).copies.any()
    with pytest.raises(ValueError, match="no classifier"):
        result_of(of.in_features(fresh))
    with pytest.raises(ValueError, match="1x4x4, the training pictures 1x8x8"):
        result_of(of.in_pixels(fresh[..., :4, :4]))


def test_what_is_known_of_the_real_pictures_is_kept(digits):
    list(digits.in_features(digits.images[:2]))
    again = list(digits.in_features(digits.images[:2]))
    assert again == [None] * len(again) and len(again) < 10


def of_shares(*nearer, distance=30.0):
    """A comparison of samples that are so far among real pictures."""
    n = len(nearer)
    found = Found(torch.zeros(n, 1).long(), torch.full((n, 1), distance).double())
    return Comparison(found, torch.full((100,), 35.0).double(), torch.full((100,), 0.01), torch.tensor(nearer))


def test_the_verdict_says_no_more_than_the_distances():
    some = [i / 16 for i in range(16)]
    assert verdict(of_shares(*some)) == (
        "No sign of copying: 1 of 16 is nearer to a training picture than 95 % of real ones; by chance it would be "
        "about 1."
    )
    near = verdict(of_shares(*[0.01] * 6, *some[:10]))
    assert near.startswith("7 of 16 are nearer to a training picture than 95 % of real ones") and "copy" not in near
    far = verdict(of_shares(*[0.99] * 6, *some[:10]))
    assert "6 of 16 are farther from every training picture than 95 % of real ones" in far
    copies = of_shares(*[0.0] * 4, distance=1.0)
    assert verdict(copies) == "4 of 4 are training pictures, as far as can be seen."
    alike = dataclasses.replace(copies, real=torch.tensor([0.5, 30, 30, 30]).double())
    assert verdict(alike).endswith("25.0% of real pictures are, too.")


def test_the_pictures_that_are_held_out():
    digits, faces = held_out("mnist", "no/such/folder", 32), held_out("faces", "no/such/folder", 16)
    assert digits.shape == held_out("fashion", "", 32).shape == (1000, 1, 32, 32) and faces.shape == (1000, 3, 16, 16)
    training = load_dataset("bundled").images
    assert result_of(searching(digits[::20], training, 1)).distances.min() > 2, "none of them is a training picture"
    assert held_out("cifar10", "no/such/folder", 32) is None and held_out("mine", "", 32) is None
