"""Training that begins with another model's weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ddpm import ModelConfig, fit, make_schedule
from ddpm.config import MLPConfig, TrainConfig
from ddpm.data import Dataset
from ddpm.networks import build_model
from ddpm.training.finetune import begin_from, check_fits

CLASSES = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8, num_classes=10)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"num_classes": 10}, ""),
        ({"num_classes": 3}, "the embedding of 3 classes begun anew"),
        ({"num_classes": 0, "attributes": (2, 3)}, "the embedding of 2 attributes begun anew"),
        ({"num_classes": 0}, "without labels"),
    ],
)
def test_all_weights_are_taken_but_an_embedding_of_other_labels(labels, said):
    source, model = build_model(CLASSES, 1), build_model(dataclasses.replace(CLASSES, **labels), 2)
    before, theirs = weights(model), weights(source)
    assert begin_from(model, source) == said
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if said and name.startswith("y_embed.") else theirs[name]), name
    assert all(torch.equal(value, theirs[name]) for name, value in source.state_dict().items())


def test_a_network_that_learns_classes_from_one_without():
    model, source = build_model(CLASSES, 1), build_model(dataclasses.replace(CLASSES, num_classes=0), 2)
    assert begin_from(model, source) == "the embedding of 10 classes begun anew"
    assert torch.equal(model.in_conv.weight, source.in_conv.weight)


def test_latents_too():
    model, source = (build_model(MLPConfig(base=8, num_classes=n), n) for n in (3, 10))
    assert begin_from(model, source) == "the embedding of 3 classes begun anew"
    assert torch.equal(model.in_proj.weight, source.in_proj.weight)


@pytest.mark.parametrize("other", [{"base": 16}, {"mults": (1,)}, {"patch_size": 2}, {"in_ch": 3}, {"attention": (4,)}])
def test_another_architecture_is_refused_and_nothing_is_changed(other):
    model = build_model(CLASSES, 1)
    before = weights(model)
    with pytest.raises(ValueError, match="another architecture"):
        begin_from(model, build_model(dataclasses.replace(CLASSES, **other), 2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pictures_that_a_model_does_not_draw_are_refused():
    model = build_model(CLASSES, 1)
    check_fits(model, "digits", Dataset("mine", torch.zeros(2, 1, 8, 8, dtype=torch.uint8), None))
    for shape, words in (((2, 3, 8, 8), "those of mine are 8 x 8, in colour"), ((2, 1, 16, 16), "are 16 x 16, grey")):
        with pytest.raises(ValueError, match=f"digits draws pictures that are 8 x 8, grey; .*{words}"):
            check_fits(model, "digits", Dataset("mine", torch.zeros(shape, dtype=torch.uint8), None))


def test_a_run_begun_from_trained_weights_begins_with_their_loss(tiny_images):
    """And its average with their average, not with the random weights that the network was built with."""
    y, sched = torch.arange(20) % 10, make_schedule(20, kind="cosine")
    config = TrainConfig(batch_size=20, lr=3e-3)
    source, model = build_model(CLASSES, 1), build_model(CLASSES, 2)
    for _ in fit(source, tiny_images, y, sched=sched, config=config, steps=60):
        pass
    begin_from(model, source)
    first = next(iter(fit(model, tiny_images, y, sched=sched, config=config, steps=60)))
    assert first.loss < 0.8 * next(iter(fit(build_model(CLASSES, 2), tiny_images, y, sched=sched, steps=1))).loss
    ours, theirs = (dict(each.named_parameters()) for each in (first.ema_model(), source))
    assert all((ours[name] - theirs[name]).abs().max() < 1e-4 for name in ours)
