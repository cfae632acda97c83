"""The loss by noise level: measured, shown, and put into words."""

import pytest
import torch
from helpers.pages import TINY, picture

from ddpm import make_schedule, q_sample, to_x0_eps
from ddpm.data import Dataset, from_uint8, load_dataset
from ddpm.device import Inference
from ddpm.evaluation.losses import loss_by_level, times_in_levels
from ddpm.networks import build_model
from ddpm.objective import losses, target
from ddpm.seeding import seeded
from ddpm.ui.tabs.train.loss_levels import EXAMPLES, LEVELS, Levels, about

SCHED = make_schedule(kind="cosine")


class Oracle:
    """Knows the one picture there is, but below t = 500 says nothing."""

    prediction = "x0"

    def __init__(self, x0):
        self.x0 = x0

    def __call__(self, x_t, t, *y):
        return torch.where(t[:, None, None, None] < 500, torch.zeros_like(x_t), self.x0.expand_as(x_t))


def test_each_level_has_its_own_part_of_the_times_evenly():
    t = times_in_levels(10, 20, 1000)
    assert t.shape == (10, 20) and t.flatten().diff().unique().tolist() == [5]
    assert all(100 * i <= row.min() and row.max() < 100 * (i + 1) for i, row in enumerate(t))


def test_the_loss_by_level_is_the_loss_there():
    image = load_dataset("bundled").images[:1]
    x0 = from_uint8(image)
    found = torch.tensor(list(loss_by_level(Oracle(x0), image.repeat(4, 1, 1, 1), None, SCHED)))
    assert found[5:].abs().max() == 0
    assert torch.allclose(found[:5], x0.square().mean().expand(5), rtol=1e-5)


def test_the_losses_of_a_batch_are_those_of_its_pictures():
    model, x0 = build_model(TINY).eval(), torch.rand(3, 1, 32, 32) * 2 - 1
    t, noise, y = torch.tensor([3, 500, 990]), torch.randn(3, 1, 32, 32), torch.tensor([1, -1, 4])
    with torch.no_grad():
        together = losses(model, x0, t, noise, SCHED, y)
        alone = [losses(model, *(v[i : i + 1] for v in (x0, t, noise)), SCHED, y[i : i + 1]).item() for i in range(3)]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)


def test_levels_hold_every_class_and_show_what_the_network_says():
    data, model = load_dataset("bundled"), Inference(build_model(TINY).eval())
    levels = Levels(data, SCHED, 20, labelled=True)
    assert levels.labels.tolist() == [i % 10 for i in range(20)]
    assert len({image.numpy().tobytes() for image in levels.images}) == 20
    measured = list(levels.measure(model))
    assert len(measured) == LEVELS and list(levels.measure(model)) == measured
    thumbnails = [picture(each).astype(float) for each in levels.thumbnails()]
    assert len(thumbnails) == LEVELS and thumbnails[0].std() < thumbnails[-1].std()

    seen = levels.detail(model, 6)
    chosen = torch.linspace(0, 19, EXAMPLES).round().long()
    t, x0 = torch.tensor(seen["t"]), from_uint8(levels.images[chosen])
    noise = torch.randn(x0.shape, generator=seeded(1))
    assert all(600 <= each < 700 for each in seen["t"])
    x_t = q_sample(x0, t, noise, SCHED)
    wanted = target(x0, noise, t, SCHED, "v")
    x0_again, _ = to_x0_eps(wanted, x_t, t, SCHED, "v")
    assert torch.allclose(x0_again, x0, atol=1e-4)
    said = model(x_t, t, levels.labels[chosen])
    assert seen["losses"] == pytest.approx((said - wanted).square().mean(dim=(1, 2, 3)).tolist(), abs=2e-4)
    assert abs(picture(seen["target"]).astype(float) - (wanted.clamp(-1, 1).numpy().ravel() + 1) * 127.5).max() <= 0.51


def test_few_pictures_and_none_with_labels_will_do():
    data = Dataset("folder", torch.zeros(3, 1, 32, 32, dtype=torch.uint8), None)
    levels = Levels(data, SCHED, 20, labelled=False)
    assert len(levels.images) == 3 and levels.labels is None and len(levels.thumbnails()) == LEVELS


EARLY = [0.9] * 10


@pytest.mark.parametrize(
    ("history", "prediction", "words"),
    [
        ([(1.0, EARLY)], "v", ["30% of its loss at t < 300 and 30% at t ≥ 700", "least of it can be seen"]),
        ([(1.0, [0.8, 0.1] + [0.0125] * 8)], "eps", ["Asked for ε", "91% of its loss at t < 300"]),
        ([(1.0, EARLY), (4.0, [0.4] * 10)], "v", ["Since 1 s the mean has fallen by 56%."]),
        ([(5.0, [0.2] * 10), (10.0, [0.178] * 10)], "v", ["Since 5 s the mean has fallen by 11%."]),
        (
            [(5.0, [0.2] * 10), (10.0, [0.2] * 4 + [0.14] + [0.2] * 5)],
            "v",
            ["only fallen by 3%", "30% at t = 400 to 499, where a digit becomes one"],
        ),
        ([(5.0, [0.2] * 10), (10.0, [0.2] * 10)], "x0", ["hardly moved: much of what is left", "Asked for x₀"]),
        ([(5.0, [0.2] * 10), (10.0, [0.19] * 10)], "v", ["only fallen by 5%: much of what is left"]),
        ([(5.0, [0.2] * 10), (10.0, [0.25] * 10)], "v", ["hardly moved"]),
    ],
)
def test_the_caption_says_what_was_measured(history, prediction, words):
    text = about(history, 1000, prediction)
    for each in words:
        assert each in text
