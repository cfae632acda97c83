"""The Reverse tab's files: a run saved as a picture, a film or a trajectory, and each of them opened again."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from ddpm.system.threads import apart
from ddpm.ui.components import controls
from ddpm.ui.generation.recipe import BEFORE, save
from ddpm.ui.generation.saved import Opened, read, write
from ddpm.ui.generation.settings import Settings, choices
from ddpm.ui.generation.weights import Library
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.engine import Engine, once

# What Generate sends, in this order: what Settings.check takes.
FIELDS = ("n", "choice", "seed", "weights_id", *controls.HOW)
KINDS = {"png": "png", "gif": "gif", "trajectory": "safetensors"}  # and how their names end
NOTHING = [gr.skip()] * len(FIELDS)


def files(
    engine: Engine, library: Library, kept: cache.Kept, check: Callable[[Iterable[Any]], Settings]
) -> tuple[Callable, Callable]:
    """(what the page asks for a file, what opens one).  check: of the values of FIELDS."""

    async def file(asked: Any) -> dict[str, Any]:
        """A run as a file: {run, kind: one of KINDS} -> {name, data, note} or {error}."""
        asked = protocol.fields(asked)
        run, kind, note = kept.get(asked.get("run")), asked.get("kind"), ""
        if run is None or not run.frames or kind not in list(KINDS):
            raise ValueError("These digits are no longer on the server. Press Generate, then save.")
        if kind == "trajectory":
            data, count = await engine.submit(once(write, run)).result()
        else:
            data, count = await apart(save, run, kind)
        if count < len(run.frames):
            note = f"Saved {count} of its {len(run.frames)} moments, evenly chosen, to stay below 10 MB."
        r = run.recipe
        branch = "-branch" if run.parent is not None else ""
        name = f"digits-{r['sampler']}-{r['steps']}-seed{r['seed']}{branch}.{KINDS[kind]}"
        return {"name": name, "data": base64.b64encode(data).decode(), "note": note}

    def of_weights(label: Any, now: Any) -> Any:
        """The id of the weights that a file names: shipped ones, or the chosen ones; None if they are not here."""
        if label in library.shipped:
            return label
        return now if now is not None and library.get(now).label == label else None

    def restored(recipe: dict[str, Any], weights_id: Any) -> Settings:
        """What a recipe asks for, of these weights.  Raises ValueError."""
        known = BEFORE | recipe | {"choice": recipe.get("class"), "weights_id": weights_id}
        return check(known.get(name) for name in FIELDS)

    def values(s: Settings) -> list[Any]:
        """Settings as the controls show them."""
        found = dataclasses.asdict(s.how) | {"n": s.n, "middle": s.middle, "seed": s.seed, "weights_id": s.weights_id}
        found |= {"steps": s.how.num_steps, "choice": gr.update(choices=choices(s.weights), value=s.choice)}
        return [found[name] for name in FIELDS]

    def show(film: Opened, now: Any) -> list[Any]:
        """A film and, as far as they make sense here, its settings."""
        weights_id, s = None, None
        with contextlib.suppress(ValueError):  # the weights here know no such class, say: it is shown all the same
            weights_id = of_weights(film.recipe["weights"], now)
            s = restored(film.recipe, weights_id or now)
        if s is not None and weights_id is not None and film.belongs_to(s):
            film.settings = s
        kept.put(film.id, film, film.size)
        what = f"Opened: {len(film.frames)} moments of {film.shape[0]} digits."
        label = film.recipe["weights"]
        more = f"It plays, but nothing branches from it: its weights ({label}) are not here."
        notice = f"{what} {'Play it, or branch from any of them.' if film.settings else more}"
        return [*(values(s) if s else NOTHING), film.packet(film.frames, done=True, opened=notice)]

    async def open_file(path: str, now: Any) -> list[Any]:
        """The settings in a file, and its film if it has one; or one sentence that says why not, and no change."""
        try:
            recipe, film = await engine.submit(once(read, path)).result()
            if film is not None:
                return show(film, now)
            weights_id = of_weights(recipe.get("weights"), now)
            s = restored(recipe, weights_id or now)
        except ValueError as error:
            return [*NOTHING, {"error": str(error)}]
        rest = " from that file." if weights_id else ", but its weights are not here."
        return [*values(s), {"notice": f"Settings restored{rest}"}]

    return file, open_file
