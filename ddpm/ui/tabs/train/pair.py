"""Two training runs as one job: one in pixels and one in latent space, with equal seconds of the engine each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .training_run import TrainingRun


def in_turn(runs: Sequence[TrainingRun]) -> Iterator[None]:
    """The engine's job: the next step is of the run whose clock shows the fewest seconds.

    Its clock counts in its own steps alone.  A run that diverges ends by itself: the other goes on.
    """
    going = {run: run.steps() for run in runs}
    while going:
        run = min(going, key=lambda each: each.clock())
        run.clock.run(not (run.complete or run.halt))
        try:
            next(going[run])
        except StopIteration:
            del going[run]
        except ValueError as error:
            run.ended_with = str(error)
            del going[run]
        run.clock.run(False)
        yield None
