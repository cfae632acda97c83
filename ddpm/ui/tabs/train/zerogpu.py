"""Training on ZeroGPU: a GPU that a Hugging Face Space is lent for one call at a time.

A call waits for a GPU, takes it from the visitor's daily minutes, and runs in a process forked for it: results come
back, state does not.  So a run is cut into calls of a few seconds; each begins from the Snapshot that the one before
has handed back.  Tested with a stub of the `spaces` module, never on the real one.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.config import Config, build_schedule
from ddpm.device import on_zerogpu
from ddpm.networks import build_model
from ddpm.objective import TrainingDiverged
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.training.loop import fit, resting
from ddpm.training.state import Snapshot, TrainState

CALL_SECONDS = 8.0  # of training in a call
BOOKED_SECONDS = 10  # that are asked for: its start takes some
REPORT_SECONDS = 1.0  # between two states that a call hands back
DEVICE = "cuda"  # of the process that a call runs in
PLACES = HERE, REMOTE = "this server", "ZeroGPU"
SAID = ("loss", "lr", "grad_norm", "seconds_left")  # of a TrainState, beside its snapshot's numbers

Points = list[tuple[int, float, float, float]]  # of the curve: step, seconds, loss, smoothed loss


def train_call(
    config: Config, images: Tensor, labels: Tensor | None, budget: dict[str, Any], resume: Snapshot | None
) -> Generator[tuple[Points, dict[str, Any], Snapshot] | str, None, None]:
    """What runs where the GPU is: some seconds of training.

    Yields, once a second and at its end, (points since the last time, further numbers of the state, snapshot); or, as
    text, why it diverged.
    """
    torch.set_num_threads(1)  # a forked process has not the threads of OpenMP that its parent had
    config, codec = with_autoencoder(config)
    model = build_model(config.model, config.train.seed, codec).to(DEVICE)
    sched = build_schedule(config.schedule, torch.device(DEVICE))
    points: Points = []
    begin = time.monotonic()
    told = begin
    try:
        for state in filter(
            None, fit(model, images, labels, sched=sched, config=config.train, resume=resume, **budget)
        ):
            points.append((state.step, state.seconds, state.loss, state.loss_smooth))
            now = time.monotonic()
            if now - told > REPORT_SECONDS or state.seconds_left <= 0 or now - begin > CALL_SECONDS:
                yield points, {name: getattr(state, name) for name in SAID}, state.snapshot()
                points, told = [], now
            if now - begin > CALL_SECONDS:
                return
    except TrainingDiverged as error:
        yield str(error)


if on_zerogpu():
    import spaces  # which app.py has imported before torch

    train_call = spaces.GPU(train_call, duration=BOOKED_SECONDS)
    # `spaces` makes torch say that there is CUDA in the server's own process too, where there is none.  An optimiser
    # would then ask it whether a CUDA graph is being captured, and fail.  None is, here or there.
    torch.optim.Optimizer._accelerator_graph_capture_health_check = lambda self: None  # type: ignore[method-assign]


def elsewhere(function: Callable[..., Any], *args: Any) -> Future[Any]:
    """Call it in a thread of its own, on behalf of the visitor whose request this is: `spaces` asks whose it is."""
    answer: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            answer.set_result(context.run(function, *args))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, name="zerogpu", daemon=True).start()
    return answer


def close(call: Generator[Any, None, None], answered: Future[Any]) -> None:
    """End a call, once what it was asked last is answered."""
    elsewhere(call.close)


def train(
    config: Config, images: Tensor, labels: Tensor | None, budget: dict[str, Any], resume: Snapshot | None
) -> Iterator[Future[Any] | tuple[Points, TrainState]]:
    """`fit` on a lent GPU.  Yields a Future whenever there is something to wait for, and (points since the last time,
    state).  Raises ValueError if there is no GPU to be had, TrainingDiverged as `fit` does."""
    left = 1.0
    while left > 0:
        call = train_call(config, images, labels, budget, resume)
        answer = elsewhere(next, call, None)
        try:
            while True:
                yield answer
                report = answer.result()
                if report is None:
                    break
                if isinstance(report, str):
                    raise TrainingDiverged(report)
                points, said, resume = report
                left = said["seconds_left"]
                yield points, resting(config, resume, with_autoencoder(config)[1], **said)
                answer = elsewhere(next, call, None)
        except gr.Error as error:
            raise ValueError(
                f"There is no GPU for this run now: {error.message} What it has learned is kept. Continue it later, or "
                f"start one on {HERE}."
            ) from None
        finally:
            answer.add_done_callback(functools.partial(close, call))
