"""The training runs of this server: started, watched, put to sleep, dropped, and kept over a restart and a crash.

Each run is written now and then, and as the server shuts down, into a folder of its own.  Whoever has a run in memory
holds the lock of its folder, which the operating system lets go when a server ends, however it ends: so two servers may
share DDPM_RUNS_DIR, and neither loads, writes or drops what the other trains.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import Any

from ddpm.config import from_dict, to_dict
from ddpm.data import DataError
from ddpm.storage.atomic import lock, remove_unfinished
from ddpm.storage.checkpoint import TRAINING, CheckpointError, load_training, save_training
from ddpm.system.stopwatch import Stopwatch
from ddpm.training.loop import resting
from ddpm.training.state import Snapshot
from ddpm.ui.generation.models import dataset
from ddpm.ui.server import limits
from ddpm.ui.server.engine import Busy, Engine, once

from .pair import in_turn
from .training_run import TrainingRun

log = logging.getLogger(__name__)

CONTINUED = 10  # times as long as one run may be, a run may become by being continued
KEPT_RUNS = 16
IDLE_AFTER = 60.0  # seconds without anybody watching, until a run pauses itself
DROP_AFTER = 3600.0  # and until it is dropped, with its files
SWEEP_EVERY = 5.0
GOING = "Your training run is still going. Press Stop first."
NEVER: list[Any] = []  # how a run stood that was not written yet
KEEP_EVERY = 30.0  # seconds between two writings of a run that trains: what a crash may cost
SAVED = (
    *("kind", "budget", "label", "halt", "complete", "paused_by_hand", "remote"),
    *("points", "stride", "previews", "evaluation"),
)
OLD_PREVIEW = {"k": "index", "x": "averaged", "x_digits": "averaged_digits"}  # as it was written before 2026-12


def default_folder() -> Path:
    """Where runs wait for the server to come back: DDPM_RUNS_DIR, or a folder among this user's temporary files."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(os.environ.get("DDPM_RUNS_DIR") or Path(tempfile.gettempdir()) / f"ddpm-runs{user}")


class Runs:
    """Training runs, by ids that nobody can guess."""

    def __init__(self, engine: Engine, folder: Path | None = None):
        self.engine, self.folder = engine, folder or default_folder()
        self._runs: dict[str, TrainingRun] = {}
        self._loading = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        self._claims: dict[str, int] = {}  # the locks that are held: run id, open folder
        self._kept: dict[str, tuple[Any, float]] = {}  # how each run stood when it was written last, and when that was
        self._since: dict[Path, tuple[float, float]] = {}  # the time of each folder, and since when it has been that
        self._sweeper: threading.Thread | None = None

    def get(self, run_id: Any) -> TrainingRun | None:
        """A run in memory, or one that a server before this one left behind as it shut down or was killed."""
        if not isinstance(run_id, str) or not run_id:
            return None
        with self._loading:
            return self._runs.get(run_id) or self.load(run_id)

    def start(self, run: TrainingRun, owner: Any = None) -> None:
        """owner: see engine.Job; one run at a time.  Raises Busy if that, or all of them, are under way already."""
        if owner is not None and any(
            r.active and r.job is not None and r.job.owner == owner for r in self._runs.values()
        ):
            raise Busy(GOING)
        if not self.room():
            most = limits.current().training_runs
            several = f"{most} training runs are" if most > 1 else "A training run is"
            raise Busy(f"{several} under way on this server, which is as much as it takes. Try again a little later.")
        alone = run.beside is None
        for each in run.together:
            each.halt = each.complete = each.idle = each.paused_by_hand = False
            each.evaluation = each.ended_with = None
            each.seen = time.monotonic()
            each.clock.run(alone)
        try:
            job = self.engine.submit(run.steps() if alone else in_turn(run.together), owner, "train")
        except Busy:
            run.clock.run(False)
            raise
        for each in run.together:
            each.job, self._runs[each.id] = job, each
        idle = sorted((r for r in self._runs.values() if r.idle or not r.active), key=lambda r: r.seen)
        for other in idle[: max(0, len(self._runs) - KEPT_RUNS)]:
            self.drop(other.id)
        if self._sweeper is None:
            self._sweeper = threading.Thread(target=self._sweep_forever, name="runs", daemon=True)
            self._sweeper.start()

    def go_on(self, run: TrainingRun, seconds: float, owner: Any = None) -> None:
        """Train a run that has ended for so many seconds more, and the one beside it.  Raises ValueError."""
        if run.active:
            raise ValueError(GOING)
        if any(each.state is None for each in run.together):
            raise ValueError("There is nothing to continue: press Start.")
        if any(each.reached.seconds + seconds > CONTINUED * limits.current().training_seconds for each in run.together):
            raise ValueError("This run is as long as a run on this server may be. Save it, and go on elsewhere.")
        for each in run.together:
            each.resume = each.reached.snapshot()
            each.kind, each.budget = "seconds", each.reached.seconds + seconds
        self.start(run, owner)

    def room(self) -> bool:
        """Whether one more may train.  Those idle do not count: who left must not keep others waiting."""
        awake = sum(run.active and not (run.idle or run.is_beside) for run in list(self._runs.values()))
        return awake < limits.current().training_runs

    def watched(self, run: TrainingRun) -> None:
        """Somebody is looking at this run now: if it had gone to sleep, it wakes, once there is room."""
        wakes = run.idle and self.room()
        for each in run.together:
            each.seen = time.monotonic()
            each.idle = each.idle and not wakes
        if wakes:
            self.settle(run)

    def looks(self, run: TrainingRun, session: str) -> None:
        """A browser window looks at this run, and keeps it: of what is somebody's own, as long as it is open."""
        for each in run.together:
            each.windows.add(session)

    def leave(self, session: str) -> None:
        """A browser window is closed, or reloaded: then it looks again soon, under another name."""
        for run in list(self._runs.values()):
            if session in run.windows:
                run.windows.discard(session)
                run.seen = time.monotonic()

    def hold(self, run: TrainingRun, held: bool) -> None:
        """Pause a run, or let it go on."""
        for each in run.together:
            each.paused_by_hand = held
        self.settle(run)

    def settle(self, run: TrainingRun) -> None:
        if run.job is not None:
            (self.engine.pause if run.paused else self.engine.resume)(run.job)
        if run.beside is None:  # the clocks of a pair run in their own steps
            run.clock.run(run.active and not (run.paused or run.halt or run.complete))

    def sweep(self) -> None:
        """Put to sleep, or away, what nobody watches, and drop what nobody has watched for long."""
        for run in list(self._runs.values()):
            alone = time.monotonic() - run.seen
            if alone > (IDLE_AFTER if run.of_a_window and not run.windows else DROP_AFTER):
                self.drop(run.id)
            elif alone > IDLE_AFTER and run.active and not (run.idle or run.is_beside):
                for each in run.together:
                    each.idle = True
                self.settle(run)
            elif alone > IDLE_AFTER and not run.active:
                self.put_away(run)
        self.sweep_folder()

    def put_away(self, run: TrainingRun) -> None:
        """Forget a run that has ended and is on disk, where `get` finds it: its weights leave the memory."""
        with self._writing:
            if run.id in self._claims and self._kept.get(run.id, (NEVER, 0))[0] == standing(run):
                del self._runs[run.id], self._kept[run.id]
                self.let_go(run.id)

    def sweep_folder(self) -> None:
        """Drop what other servers left behind and nobody has asked for, or written, for long.

        How long is measured here: the clock by which files are dated may jump.
        """
        now, found = time.monotonic(), {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if re.fullmatch("[0-9a-f]{32}", path.name):
                dated, since = path.stat().st_mtime, now
                if self._since.get(path, (None, 0))[0] == dated:
                    since = self._since[path][1]
                found[path] = (dated, since)
        self._since = found
        for path, (_, since) in found.items():
            if now - since > DROP_AFTER and (claim := lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(claim)

    def _sweep_forever(self) -> None:
        while not wait({self.engine.closed}, SWEEP_EVERY).done:
            try:
                self.sweep()
                self.keep()
            except OSError:  # a folder that went away meanwhile
                log.exception("sweeping the runs")

    def drop(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        if run is not None and run.job is not None:
            run.job.close()
            self.engine.resume(run.job)
        with self._writing:
            if self.claim(run_id):
                shutil.rmtree(self.path_of(run_id), ignore_errors=True)
                self.let_go(run_id)
        self._kept.pop(run_id, None)

    def active(self) -> int:
        """How many are under way, idle or not; a pair is one."""
        return sum(run.active and not run.is_beside for run in list(self._runs.values()))

    def path_of(self, run_id: str) -> Path:
        """The folder of a run.  Its name does not tell the id."""
        return self.folder / hashlib.sha256(run_id.encode()).hexdigest()[:32]

    def claim(self, run_id: str) -> bool:
        """Take the lock of a run's folder, and keep it.  False if there is no folder, or another server has it."""
        if run_id not in self._claims and (handle := lock(self.path_of(run_id))) is not None:
            self._claims[run_id] = handle
        return run_id in self._claims

    def let_go(self, run_id: str) -> None:
        os.close(self._claims.pop(run_id))

    def keep(self) -> None:
        """Write what has got further, each run every KEEP_EVERY seconds and once it has ended."""
        for run in [run for run in self._runs.values() if not run.of_a_window]:
            before, when = self._kept.get(run.id, (NEVER, run.began))
            ended = not run.active and before is not None  # else the disk is full: not at every sweep
            if run.state is None or standing(run) == before or not (ended or time.monotonic() - when > KEEP_EVERY):
                continue
            with contextlib.suppress(Busy):
                job = self.engine.submit(once(self.describe, run), name="keep")  # between two steps of its training
                wait({job.finished, self.engine.closed}, return_when=FIRST_COMPLETED)
                if job.finished.done() and not job.error:
                    self.write(run, *job.take()[-1])

    def save(self) -> None:
        """All runs that have got anywhere, and let go of them: for the end of the server, once the engine is closed."""
        if self._sweeper is not None:
            self._sweeper.join(5.0)  # a thread that is still in PyTorch when Python ends would abort the process
        for run in list(self._runs.values()):
            if run.state is not None and not run.of_a_window:
                self.write(run, *self.describe(run))
        with self._writing:
            self._closed = True
            for run_id in list(self._claims):
                self.let_go(run_id)

    def describe(self, run: TrainingRun) -> tuple[dict[str, Any], dict[str, Any]]:
        """A run as it is now: tensors, and the rest as JSON."""
        described = {name: getattr(run, name) for name in SAVED} | {"standing": standing(run)}
        snapshot = run.reached.snapshot()
        described |= {"points": list(run.points), "previews": list(run.previews)}  # which grow while they are written
        described |= {"config": to_dict(run.config), "data": run.data.name, "numbers": snapshot.numbers}
        described["ended_with"] = run.error
        described |= {"beside": run.beside.id if run.beside else None, "is_beside": run.is_beside}
        return snapshot.tensors, described

    def write(self, run: TrainingRun, tensors: dict[str, Any], described: dict[str, Any]) -> None:
        """A run as it was described into its folder.  Where that cannot be, the log says so, and it trains on."""
        with self._writing:
            if self._closed or run.id not in self._runs:
                return
            self._kept[run.id] = (described["standing"], time.monotonic())
            try:
                self.path_of(run.id).mkdir(parents=True, exist_ok=True, mode=0o700)
                if self.claim(run.id):
                    save_training(self.path_of(run.id), tensors, described)
            except OSError as error:
                self._kept[run.id] = (None, time.monotonic())
                log.warning("A training run could not be saved, and would not outlive this server: %s", error)

    def load(self, run_id: str) -> TrainingRun | None:
        """What was written of a run, which goes on if it was not done; None if there is nothing, or nothing whole."""
        if not self.claim(run_id):
            return None
        remove_unfinished(self.path_of(run_id), TRAINING)
        try:
            tensors, described = load_training(self.path_of(run_id))
            config, data = from_dict(described["config"]), dataset(described["data"])
            run = TrainingRun(config, data, described["kind"], described["budget"], described["label"])
            for name in (*SAVED, "ended_with"):
                setattr(run, name, described[name])
            run.previews = [{OLD_PREVIEW.get(name, name): v for name, v in each.items()} for each in run.previews]
            run.id, run.resume = run_id, Snapshot(tensors, described["numbers"])
            run.state = resting(config, run.resume, run.codec)
            run.clock = Stopwatch(run.state.seconds)
        except (CheckpointError, DataError, ValueError, KeyError, TypeError):
            log.exception("a saved training run could not be read")
            self.drop(run_id)
            return None
        self._kept[run_id] = (described["standing"], time.monotonic())
        self._runs[run_id] = run
        run.is_beside, beside = described.get("is_beside", False), described.get("beside")
        if beside is not None:
            run.beside = self._runs.get(beside) or self.load(beside)
        if not (run.is_beside or any(each.halt or each.complete for each in run.together)):
            try:
                self.start(run)
                self.hold(run, described["paused_by_hand"])
            except Busy:
                run.halt = True  # to be continued by hand
        return run


def standing(run: TrainingRun) -> list[Any]:
    """How far a run is: what has to be written again once it has changed."""
    state = run.state  # None of one that diverged before it had weights worth keeping
    return [state.step if state else None, run.active, run.paused_by_hand]
