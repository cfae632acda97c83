"""What every training from the command line has: a bar, saves on the way, and an end at Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from ..system.distributed import ALONE, Group
from ..system.threads import Threads
from ..training.state import Snapshot, TrainState


class Interrupt:
    """Turns Ctrl-C and SIGTERM into a flag that the loop reads between two steps; a second one ends at once."""

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> Interrupt:
        self.before = {s: signal.signal(s, self.catch) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self.before.items():
            signal.signal(s, handler)

    def catch(self, number: int, _frame: object) -> None:
        if self.signal:
            sys.exit(128 + number)
        self.signal = number


def spent(snapshot: Snapshot | None, steps: int | None) -> float:
    """What a saved training has spent of its budget: steps or, where steps is None, seconds."""
    return snapshot.numbers["seconds" if steps is None else "step"] if snapshot else 0


def follow(
    states: Iterable[TrainState],
    *,
    out: Path,
    steps: int | None,
    seconds: float,
    resumed: Snapshot | None,
    save_every: float,
    log: Callable[[TrainState], None],
    log_every: int,
    save: Callable[[TrainState], None],
    finish: Callable[[TrainState], None],
    group: Group = ALONE,
) -> None:
    """Train to the end, or until Ctrl-C or SIGTERM: then save and exit with 128 + the signal.

    steps, seconds: the budget, of which steps count if given.  resumed: where the states go on from.
    save_every: in seconds of training.  finish: what is saved and shown of a training that came to its end.
    group: of its processes the first alone logs, saves and decides to stop; the others go on until it is gone.
    Raises ValueError if the budget is too small for one step.
    """
    state: TrainState | None = None
    saved = spent(resumed, None)
    done, unit = int(spent(resumed, steps)), "step" if steps else "s"
    bar = tqdm(
        total=steps or round(seconds), initial=done, unit=unit, disable=None if group.leads else True, smoothing=0.05
    )
    lost: RuntimeError | None = None
    with Interrupt() as interrupt, Threads() as threads, bar:
        try:
            for state in states:
                if not group.leads:
                    continue
                bar.update((state.step if steps else int(state.seconds)) - bar.n)
                if state.step % log_every == 0:
                    log(state)
                    bar.set_postfix_str(f"loss {state.loss_smooth:.5f}, {state.images_per_second:.0f} images/s")
                if interrupt.signal:
                    break
                threads.follow()
                if state.seconds - saved > save_every:
                    save(state)
                    saved = state.seconds
        except RuntimeError as error:
            if group.size == 1:
                raise
            lost = error  # of the exchange with another process, before the weights are touched
        if not group.leads:
            sys.exit(128 + interrupt.signal if interrupt.signal else 1 if lost else 0)
        if state is None:
            raise lost or ValueError("the budget is too small for one step")
        if interrupt.signal or lost:
            save(state)
            why = f"another process of this run is gone ({str(lost).partition(chr(10))[0]}): " if lost else ""
            print(f"{why}saved {out} at step {state.step}; go on with --resume", file=sys.stderr)
            sys.exit(128 + interrupt.signal if interrupt.signal else 1)
        finish(state)
