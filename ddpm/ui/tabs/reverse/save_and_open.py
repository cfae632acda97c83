"""The Reverse tab's files: a run saved as a picture, a recording or a trajectory, and each of them opened again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from ddpm.ui.components import controls
from ddpm.ui.components.saving import KINDS, as_file
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation.as_python import of_trajectory, packet_of
from ddpm.ui.generation.image_file import BEFORE
from ddpm.ui.generation.labels import choices
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory_file import Opened, read
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Engine, once

# What Generate sends, in this order: what Settings.check takes.
FIELDS = ("n", "choice", "seed", "weights_id", *controls.HOW)
NOTHING = [gr.skip()] * len(FIELDS)


def files(
    engine: Engine, registry: ModelRegistry, runs: Streaming, check: Callable[[Iterable[Any]], Settings]
) -> tuple[Callable, Callable, Callable]:
    """(what the page asks for a file, and for lines of Python, what opens a file).  check: of the values of FIELDS."""

    def kept(question: Any) -> tuple[Any, str]:
        """(the run that is asked about, what its files are called)."""
        run = runs.get(protocol.fields(question).get("run"))
        if run is None or not run.frames:
            raise ValueError("These digits are no longer on the server. Press Generate, then save.")
        r = run.parameters
        branch = "-branch" if run.parent is not None else ""
        return run, f"digits-{r['sampler']}-{r['steps']}-seed{r['seed']}{branch}"

    async def file(question: Any) -> dict[str, Any]:
        """A run as a file: {run, kind: one of KINDS} -> {name, data, note} or {error}."""
        run, stem = kept(question)
        kind = protocol.one_of(protocol.fields(question).get("kind"), "File", KINDS)
        return await as_file(engine, run, kind, stem)

    def python(question: Any) -> dict[str, str]:
        """A run as lines of Python: {run} -> {text, name, data} or {error}."""
        run, stem = kept(question)
        return packet_of("Reverse", stem, [of_trajectory(run)])

    def of_weights(label: Any, now: Any) -> Any:
        """The id of the weights that a file names: shipped ones, or the chosen ones; None if they are not here."""
        if label in registry.shipped:
            return label
        return now if now is not None and registry.get(now).label == label else None

    def restored(parameters: dict[str, Any], weights_id: Any) -> Settings:
        """What generation parameters ask for, of these weights.  Raises ValueError."""
        known = BEFORE | parameters | {"choice": parameters.get("class"), "weights_id": weights_id}
        return check(known.get(name) for name in FIELDS)

    def values(s: Settings) -> list[Any]:
        """Settings as the controls show them."""
        found = dataclasses.asdict(s.sampling) | {
            "n": s.n,
            "middle": s.middle,
            "seed": s.seed,
            "weights_id": s.weights_id,
        }
        found |= {"steps": s.sampling.num_steps, "choice": gr.update(choices=choices(s.weights), value=s.choice)}
        return [found[name] for name in FIELDS]

    def show(recording: Opened, now: Any) -> list[Any]:
        """A recording and, as far as they make sense here, its settings.  Raises ValueError of another autoencoder."""
        named, weights_id, s = recording.autoencoder, None, None
        here = registry.autoencoders.get(named.folder) if named else None
        if named and here not in (None, named.sha256):
            raise ValueError(
                f"That trajectory cannot be opened: its latents are of another {named.folder} than the one here."
            )
        with contextlib.suppress(ValueError):  # the weights here know no such class, say: it is shown all the same
            weights_id = of_weights(recording.parameters["weights"], now)
            s = restored(recording.parameters, weights_id or now)
        if s is not None and weights_id is not None and recording.belongs_to(s):
            recording.settings = s
        runs.keep(recording)
        what = f"Opened: {len(recording.frames)} moments of {recording.shape[0]} digits."
        label = recording.parameters["weights"]
        more = f"It plays, but nothing branches from it: its weights ({label}) are not here."
        notice = f"{what} {'Play it, or branch from any of them.' if recording.settings else more}"
        return [*(values(s) if s else NOTHING), recording.packet(recording.frames, done=True, opened=notice)]

    async def open_file(path: str, now: Any) -> list[Any]:
        """The settings in a file, and its recording if it has one; or one sentence that says why not, and no change."""
        try:
            parameters, recording = await engine.submit(once(read, path)).result()
            if recording is not None:
                return show(recording, now)
            if "edit" in parameters:
                raise ValueError("That picture was made in Edit: open it there.")
            weights_id = of_weights(parameters.get("weights"), now)
            s = restored(parameters, weights_id or now)
        except ValueError as error:
            return [*NOTHING, {"error": str(error)}]
        rest = " from that file." if weights_id else ", but its weights are not here."
        return [*values(s), {"notice": f"Settings restored{rest}"}]

    return file, python, open_file
