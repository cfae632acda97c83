"""Training as a generator: what it says, how long it goes on, what it costs, and that a resumed run is the same run."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from ddpm import (
    EMA,
    DataError,
    Loader,
    ModelConfig,
    TrainConfig,
    TrainingDiverged,
    fit,
    from_uint8,
    make_schedule,
    train_step,
)
from ddpm.loader import check_pictures
from ddpm.networks import build_model
from ddpm.seeding import seeded
from ddpm.training import loop
from ddpm.training.optimizer import lr_factor

CONFIG = TrainConfig(epochs=2, batch_size=8, lr=1e-3, lr_warmup=3, lr_decay=True, ema_decay=0.9, label_dropout=0.2)
LABELS = torch.arange(20) % 10
MODEL = ModelConfig(base=8, t_dim=8, mults=(1, 2), num_classes=10, img_size=8, prediction="v")


@pytest.fixture
def sched():
    return make_schedule(50, kind="cosine")


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves; within a step, one second passes."""
    now = SimpleNamespace(time=100.0)

    def perf_counter():
        now.time += 1
        return now.time

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=perf_counter))
    return now


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def test_fit_is_train_step_ema_and_loader_in_a_loop(tiny_classes_model, tiny_images, sched):
    other = build_model(tiny_classes_model.config, seed=1).to(memory_format=torch.channels_last)
    ema, loader = EMA(other, 0.9), Loader(tiny_images, LABELS, 8, seed=0)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.01)
    for step, state in enumerate(fit(tiny_classes_model, tiny_images, LABELS, sched=sched, config=CONFIG, steps=5)):
        lr = optimizer.param_groups[0]["lr"] = 1e-3 * lr_factor(CONFIG, step, step / 5)
        x0, y = loader.batch(step)
        loss = train_step(other, x0, sched, optimizer, y, config=CONFIG, generator=seeded(0, step))
        ema.update(other)
        assert (state.loss, state.lr) == (loss, lr)
    assert same(state.ema_model().state_dict(), ema.shadow)


def test_what_a_state_says(tiny_model, tiny_images, sched, clock):
    states = []
    for state in fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=6):
        states.append(state)
        clock.time += 1000  # a pause costs nothing
    assert [s.step for s in states] == [1, 2, 3, 4, 5, 6]
    assert [s.images_seen for s in states] == [8, 16, 24, 32, 40, 48]
    assert [s.seconds for s in states] == [1, 2, 3, 4, 5, 6]
    assert [s.seconds_left for s in states] == pytest.approx([5, 4, 3, 2, 1, 0])
    assert [s.images_per_second for s in states] == pytest.approx([8] * 6)
    assert [s.lr for s in states] == [1e-3 * lr_factor(CONFIG, k, k / 6) for k in range(6)]
    for k, s in enumerate(states):  # a weighted mean of the losses so far, each older one counting 0.97 times as much
        ages = [0.97 ** (k - j) for j in range(k + 1)]
        assert s.loss_smooth == pytest.approx(sum(w * states[j].loss for j, w in enumerate(ages)) / sum(ages))


def test_the_speed_forgets_an_old_slow_step(tiny_model, tiny_images, sched, monkeypatch):
    ticks = itertools.accumulate([0, 8, 0, 1, 0, 1])  # the first step takes 8 seconds, the others 1
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    speeds = [s.images_per_second for s in fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=3)]
    assert speeds == pytest.approx([1, 1.7, 2.33])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x: x / 255, TypeError, r"\(N, C, H, W\) of uint8, 0\.\.255, not torch\.float32"),
        (from_uint8, TypeError, "not torch.float32; to_uint8 makes them"),
        (lambda x: x > 127, TypeError, "not torch.bool"),
        (lambda x: x.numpy(), TypeError, "not ndarray"),
        (lambda x: x[:, 0], ValueError, r"not of shape \(20, 8, 8\)"),
        (lambda x: x.permute(0, 2, 3, 1), ValueError, r"\(1, 8, 8\), not \(8, 8, 1\)"),
        (lambda x: x.expand(-1, 3, -1, -1), ValueError, r"\(1, 8, 8\), not \(3, 8, 8\)"),
        (lambda x: x.repeat(1, 1, 2, 2), ValueError, r"\(1, 8, 8\), not \(1, 16, 16\)"),
        (lambda x: x[:0], DataError, "empty"),
    ],
)
def test_pictures_that_are_not_what_fit_takes(tiny_model, tiny_images, sched, change, error, words):
    kept = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    with pytest.raises(error, match=words):
        next(fit(tiny_model.eval(), change(tiny_images), sched=sched, config=CONFIG, steps=1))
    assert same(tiny_model.state_dict(), kept) and not tiny_model.training


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (LABELS[:, None], ValueError, r"\(N,\) of int64, here N = 20, not \(20, 1\) of torch\.int64"),
        (torch.eye(20, 10, dtype=torch.int64), ValueError, r"\(N,\) of int64, here N = 20, not \(20, 10\)"),
        (LABELS.float(), ValueError, r"not \(20,\) of torch\.float32"),
        (LABELS.byte(), ValueError, r"not \(20,\) of torch\.uint8"),  # whose -1 would be 255
        (LABELS[:19], ValueError, r"N = 20, not \(19,\)"),
        (LABELS.tolist(), TypeError, "not list"),
        (LABELS + 1, ValueError, r"labels are 0\.\.9, or -1 for a picture without one; these are 1\.\.10"),
        (LABELS - 2, ValueError, r"these are -2\.\.7"),
    ],
)
def test_labels_that_are_not_what_fit_takes(tiny_classes_model, tiny_images, sched, labels, error, words):
    with pytest.raises(error, match=words):
        next(fit(tiny_classes_model, tiny_images, labels, sched=sched, config=CONFIG, steps=1))


def test_a_picture_without_a_label_is_trained_on_as_one_whose_label_was_dropped(tiny_images, sched):
    config = dataclasses.replace(CONFIG, label_dropout=0)
    unlabelled, none = (
        next(fit(build_model(MODEL, 1), tiny_images, labels, sched=sched, config=config, steps=1)).loss
        for labels in (torch.full((20,), -1), None)
    )
    assert unlabelled == none


def test_a_network_of_somebody_elses_is_not_asked_for_its_sizes(tiny_images):
    check_pictures(tiny_images, LABELS + 100, torch.nn.Conv2d(1, 1, 3))
    with pytest.raises(ValueError, match="labels are 0 or more"):
        check_pictures(tiny_images, LABELS - 2)


def test_a_budget_in_steps(tiny_model, tiny_images, sched):
    assert len(list(fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=3))) == 3


def test_a_budget_in_epochs_counts_full_batches(tiny_model, tiny_images, sched):
    assert len(list(fit(tiny_model, tiny_images, sched=sched, config=CONFIG))) == 2 * 2


def test_a_budget_in_seconds_sets_the_learning_rate_by_time_spent(tiny_model, tiny_images, sched, clock):
    states = []
    for state in fit(tiny_model, tiny_images, sched=sched, config=CONFIG, seconds=4):
        states.append(state)
        clock.time += 50
    assert len(states) == 4
    assert [s.lr for s in states] == [1e-3 * lr_factor(CONFIG, k, k / 4) for k in range(4)]
    assert [s.seconds_left for s in states] == pytest.approx([3, 2, 1, 0])


def test_the_default_recipe_is_the_tutorials(tiny_model, tiny_images, sched):
    first = next(fit(tiny_model, tiny_images, sched=sched))
    assert first.lr == 2e-4 and first.images_seen == 20  # a batch is never larger than the data


def test_live_weights_and_average_part_and_the_copy_is_a_copy(tiny_model, tiny_images, sched):
    start = build_model(tiny_model.config, seed=1).state_dict()
    run = fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=4)
    state = next(run)
    copy = state.ema_model()
    live = tiny_model.state_dict()
    for k, v in copy.state_dict().items():
        torch.testing.assert_close(v, 0.9 * start[k] + 0.1 * live[k], rtol=1e-4, atol=1e-6)
    assert tiny_model.training and not copy.training
    kept = {k: v.clone() for k, v in copy.state_dict().items()}
    next(run)
    assert same(copy.state_dict(), kept)
    with torch.no_grad():
        for p in copy.parameters():
            p.zero_()
    assert next(run).ema_model().state_dict()["in_conv.weight"].any()


def test_the_callers_average_is_updated(tiny_model, tiny_images, sched):
    ema = EMA(tiny_model, 0.5)
    states = list(fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=3, ema=ema))
    assert ema.num_updates == 3 and ema.decay == 0.5
    assert same(ema.shadow, states[-1].ema_model().state_dict())


def test_the_warmup_of_the_average_comes_from_the_config(tiny_model, tiny_images, sched):
    config = TrainConfig(batch_size=8, ema_decay=0.9999, ema_warmup=True)
    start = build_model(tiny_model.config, seed=1).state_dict()
    state = next(fit(tiny_model, tiny_images, sched=sched, config=config, steps=1))
    live, name = tiny_model.state_dict(), "in_conv.weight"
    average = state.ema_model().state_dict()[name]
    torch.testing.assert_close(average, start[name] + 9 / 11 * (live[name] - start[name]), rtol=1e-5, atol=1e-7)


def run(tiny_images, sched, *, model=None, resume=None, steps=8):
    model = model or build_model(MODEL, seed=1)
    return fit(model, tiny_images, LABELS, sched=sched, config=CONFIG, steps=steps, resume=resume)


@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_resumed_run_repeats_the_uninterrupted_one_loss_for_loss(tiny_images, sched, at):
    whole = list(run(tiny_images, sched))
    broken = run(tiny_images, sched)
    snapshot = next(itertools.islice(broken, at - 1, None)).snapshot()
    broken.close()
    resumed = list(run(tiny_images, sched, model=build_model(MODEL, seed=77), resume=snapshot))
    assert [s.step for s in resumed] == list(range(at + 1, 9))
    for a, b in zip(whole[at:], resumed, strict=True):
        assert (a.loss, a.lr, a.loss_smooth, a.images_seen) == (b.loss, b.lr, b.loss_smooth, b.images_seen)
        assert b.seconds > snapshot.numbers["seconds"]
    assert same(whole[-1].ema_model().state_dict(), resumed[-1].ema_model().state_dict())
    assert same(whole[-1].snapshot().tensors, resumed[-1].snapshot().tensors)


def test_a_snapshot_is_at_rest(tiny_images, sched):
    going = run(tiny_images, sched)
    snapshot = next(going).snapshot()
    kept = {k: v.clone() for k, v in snapshot.tensors.items()}
    numbers = dict(snapshot.numbers)
    for _ in going:
        pass
    assert same(snapshot.tensors, kept) and snapshot.numbers == numbers
    again = [[s.loss for s in run(tiny_images, sched, model=build_model(MODEL, 5), resume=snapshot)] for _ in (1, 2)]
    assert again[0] == again[1]
    assert same(snapshot.tensors, kept)
    assert {k.split(".")[0] for k in snapshot.tensors} == {"model", "ema", "optimizer"}


def test_the_averages_warmup_goes_on_where_it_was(tiny_images, sched):
    snapshot = next(run(tiny_images, sched)).snapshot()
    ema = EMA(build_model(MODEL, 3), 0.999, warmup=True)
    model = build_model(MODEL, 3)
    next(fit(model, tiny_images, LABELS, sched=sched, config=CONFIG, steps=8, resume=snapshot, ema=ema))
    assert ema.num_updates == 2
    name = "in_conv.weight"
    before, live = snapshot.tensors[f"ema.{name}"], model.state_dict()[name]
    torch.testing.assert_close(ema.shadow[name], before + 9 / 12 * (live - before), rtol=1e-5, atol=1e-7)


def test_the_seed_decides_order_noise_and_labels_and_the_global_generator_nothing(tiny_images, sched):
    torch.manual_seed(1)
    first = [s.loss for s in run(tiny_images, sched, steps=3)]
    torch.manual_seed(2)
    assert [s.loss for s in run(tiny_images, sched, steps=3)] == first
    other = TrainConfig(batch_size=8, seed=1)
    assert next(fit(build_model(MODEL, 1), tiny_images, LABELS, sched=sched, config=other)).loss != first[0]


def test_a_run_spent_already_yields_nothing(tiny_images, sched):
    *_, last = run(tiny_images, sched, steps=2)
    assert list(run(tiny_images, sched, steps=2, resume=last.snapshot())) == []


def test_divergence_is_said_and_the_last_state_can_still_be_kept(tiny_model, tiny_images, sched):
    going = fit(tiny_model, tiny_images, sched=sched, config=CONFIG, steps=9)
    state = next(going)
    kept = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    hook = tiny_model.out_conv.register_forward_hook(lambda _m, _i, out: out * float("nan"))
    with pytest.raises(TrainingDiverged):
        next(going)
    hook.remove()
    assert same(tiny_model.state_dict(), kept)
    assert all(v.isfinite().all() for v in state.ema_model().state_dict().values())


def test_mixed_precision_keeps_every_weight_float32(tiny_images, sched):
    seen, model = [], build_model(MODEL, 1)
    model.in_conv.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    config = TrainConfig(batch_size=8, precision="bfloat16")
    *_, state = fit(model, tiny_images, LABELS, sched=sched, config=config, steps=2)
    assert set(seen) == {torch.bfloat16}
    assert all(v.dtype == torch.float32 for v in state.snapshot().tensors.values())


@pytest.mark.slow
def test_after_the_warm_up_the_first_step_imports_nothing_more():
    code = """
import sys, torch
from ddpm.presets import PRESETS
from ddpm.networks import build_model
from ddpm.training.loop import fit, warm_up
from ddpm.schedule import make_schedule
config = PRESETS["fast"]
warm_up(config.train, "cpu")
before = set(sys.modules)
images, labels = torch.zeros(64, 1, 32, 32, dtype=torch.uint8), torch.zeros(64, dtype=torch.int64)
next(fit(build_model(config.model), images, labels, sched=make_schedule(), config=config.train, steps=1))
print(*sorted(set(sys.modules) - before))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_a_step_in_parts_is_the_step_and_gives_way_between_them(tiny_images, sched):
    """Gradients of parts, each weighed by its share, add up to the batch's: to rounding, the same run."""
    whole = list(run(tiny_images, sched))
    sizes = itertools.cycle([3, 8, 5, 100])  # of eight: 3 + 3 + 2, all, 5 + 3, all
    model = build_model(MODEL, seed=1)
    options = {"sched": sched, "config": CONFIG, "steps": 8, "part_size": lambda: next(sizes)}
    parts = list(fit(model, tiny_images, LABELS, **options))
    states = [state for state in parts if state is not None]
    assert [state is None for state in parts[:7]] == [True, True, False, False, True, False, False]
    assert [s.loss for s in states] == pytest.approx([s.loss for s in whole], rel=1e-4)
    assert [s.grad_norm for s in states] == pytest.approx([s.grad_norm for s in whole], rel=1e-3)
    assert all(s.images_per_second > 0 for s in states)


def test_what_happens_between_two_parts_does_not_count_as_training(tiny_images, sched, monkeypatch):
    looks = itertools.count()  # at a clock that goes on by a second each time
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(looks)))
    parts = fit(
        build_model(MODEL, seed=1), tiny_images, LABELS, sched=sched, config=CONFIG, steps=1, part_size=lambda: 4
    )
    assert next(parts) is None
    for _ in range(1000):
        time.perf_counter()
    assert next(parts).seconds < 100
