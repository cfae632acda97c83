"""What the inner tabs of Edit have in common: a run streamed into a view, its files, and its way into Reverse."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr
from torch import Tensor

from ddpm.ui.components import layout, pictures
from ddpm.ui.components.saving import KINDS, as_file
from ddpm.ui.components.streaming import QUIET, Streaming
from ddpm.ui.generation.as_python import packet_of
from ddpm.ui.generation.edited import Edited
from ddpm.ui.generation.labels import NONE, label_of, named, read_attributes, text_of
from ddpm.ui.generation.models import Model, ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory_file import read
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Job, once

from .as_python import of_edit

MAX_LABEL = 200  # characters of what a page says a picture is
OWN = "its own"  # chosen instead of a class: the one that the picture is known to be of
# make(page, weights_id, **controls): a run of what the page's own script says and of the values of the controls.
Make = Callable[..., Edited]


class Editor:
    """One inner tab's runs.  name: the tab's, and of its elements and its script."""

    def __init__(self, shared: layout.Shared, name: str):
        self.shared, self.name, self.engine, self.registry = shared, name, shared.engine, shared.registry
        self.runs = Streaming(self.engine, name)
        self._asking: dict[str, tuple[int, Job]] = {}  # of each page the latest question that is being answered

    @property
    def answers(self) -> list[Callable]:
        """What answers the view's questions about a run."""
        return [self.runs.replay, self.file, self.python, self.in_reverse]

    def finished(self, question: Any) -> Edited:
        """The run that a page asks about, {run}.  Raises ValueError if it has not ended, or is no longer kept."""
        run = self.runs.get(protocol.fields(question).get("run"))
        if run is None or not run.frames:
            raise ValueError("That result is no longer on the server. Make it again.")
        return run

    async def file(self, question: Any) -> dict[str, Any]:
        """A run as a file, what was asked for within: {run, kind: one of KINDS} -> {name, data, note} or {error}."""
        run = self.finished(question)
        kind = protocol.one_of(protocol.fields(question).get("kind"), "File", KINDS)
        recording = run.plain() if kind == "trajectory" else run
        return await as_file(self.engine, recording, kind, self.stem(run))

    def stem(self, run: Edited) -> str:
        """What a run's files are called."""
        return f"{self.name}-seed{run.parameters['seed']}"

    def python(self, question: Any) -> dict[str, str]:
        """A run as lines of Python: {run} -> {text, name, data} or {error}."""
        run = self.finished(question)
        stem = self.stem(run)
        return packet_of(f"Edit, {self.name}", stem, [of_edit(run, f"{stem}.png")])

    def in_reverse(self, question: Any) -> dict[str, Any]:
        """What shows a run in Reverse: {run} -> a packet."""
        return self.shared.takers["reverse"](self.finished(question).plain())

    async def answer(self, question: Any, steps: Iterator[Any]) -> dict[str, Any]:
        """What a job yields last, in the turns of the page that asks; its next question takes the place of this one.

        question: {pen: what the page calls itself, number: of its questions, ...}.
        """
        question = protocol.fields(question)
        pen, number = str(question.get("pen"))[:40], question.get("number", 0)
        number = protocol.whole_number(number, "Number", 0, protocol.MAX_SEED)
        latest, before = self._asking.get(pen, (0, None))
        if before is not None:
            if number < latest:  # two that were sent at once may change places on their way
                return {"replaced": True}
            before.close()
        job = self.engine.submit(steps, ("pen", pen), f"{self.name}-question")
        self._asking[pen] = number, job
        try:
            return await job.result() or {"replaced": True}
        finally:
            job.close()
            if self._asking.get(pen) == (number, job):
                del self._asking[pen]

    def connect(
        self, view: gr.HTML, go: gr.Button, halt: gr.Button, opener: gr.UploadButton, make: Make, **fields: Any
    ) -> None:
        """The buttons do what they say.  fields: the controls, by the names that `make` takes their values by."""
        weights, page = self.shared.weights, gr.JSON(visible=False)  # page: filled in as the button is pressed

        def run(page: Any, weights_id: Any, *values: Any) -> Edited:
            of_controls = dict(zip(fields, values, strict=True))
            made = make(protocol.fields(page), weights_id, **of_controls)
            made.parameters |= {"edit": self.name, "asked": {"page": made.edit.page} | of_controls}  # to ask again
            return made

        async def opened(path: Any, weights_id: Any) -> list[Any]:
            try:
                page, values = await self.read(path, weights_id, make, fields)
            except ValueError as error:
                return [*[gr.skip()] * len(fields), {"error": str(error)}]
            return [*values, page | {"notice": f"Opened. Press {go.value} to make it again."}]

        here = f"(page, ...others) => [DDPM.tabs.{self.name}.asked(), ...others]"
        self.runs.start(go.click, run, [page, weights, *fields.values()], view, js=here)
        self.runs.stop(halt, view)
        opener.upload(opened, [opener, weights], [*fields.values(), view], **QUIET)

    def tell_page(self, fields: Mapping[str, Any]) -> None:
        """The page's script hears of every change of these controls, by their names."""
        for name, control in fields.items():
            script = f"(value) => {{ DDPM.tabs.{self.name}.receive({{{name}: value}}); }}"
            control.change(None, control, None, js=script)

    async def read(
        self, path: Any, weights_id: Any, make: Make, fields: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        """(what the page's script gets, the controls' values) of a picture that was saved here.  Raises ValueError."""
        parameters, _ = await self.engine.submit(once(read, path)).result()
        asked = protocol.fields(parameters.get("asked"))
        if parameters.get("edit") != self.name:
            where = f"in {str(parameters['edit']).capitalize()[:20]}" if "edit" in parameters else "in Reverse"
            raise ValueError(f"That file was not saved in this tab. Open it {where}.")
        if parameters.get("weights") != self.registry.get(weights_id).label:
            raise ValueError(
                f"It was made with the model {str(parameters.get('weights'))[:40]}: choose that one above."
            )
        page, values = protocol.fields(asked.get("page")), {name: asked.get(name) for name in fields}
        make(page, weights_id, **values)  # what could not be made is not shown either
        return page, list(values.values())


def opener(name: str) -> gr.UploadButton:
    return gr.UploadButton("Open a saved picture", file_types=[".png", ".gif"], elem_id=f"{name}-open", size="lg")


def settings(
    registry: ModelRegistry,
    weights_id: Any,
    n: int,
    choice: Any,
    seed: Any,
    steps: Any,
    guidance: Any,
    eta: float = 0.0,
    clip: bool = True,
) -> Settings:
    """DDIM, guided at medium noise only.  Raises ValueError with one clear sentence."""
    sampling = {"sampler": "ddim", "steps": steps, "guidance": guidance, "middle": True, "eta": eta, "clip": clip}
    return Settings.check(registry, n, choice, seed, weights_id, **sampling)


def classes(weights: Model) -> tuple[str, ...]:
    """The classes of weights by name; no class of those that know none."""
    return named(weights.class_names) if weights.num_classes else (NONE,)


def class_or_none(weights: Model) -> tuple[str, ...]:
    """No class, or one of them."""
    return (NONE, *named(weights.class_names)) if weights.num_classes else (NONE,)


def own_or_another(weights: Model) -> tuple[str, ...]:
    """What the picture is known to be, no class, or one of them."""
    return (OWN, *class_or_none(weights))


def meant(weights: Model, choice: Any, label: Any) -> str:
    """What a choice of `own_or_another` means for a picture of that label.  Raises ValueError."""
    if choice != OWN:
        label_of(weights, choice)
        return choice
    if weights.attributes:
        with contextlib.suppress(ValueError):
            return text_of(weights.attributes, read_attributes(weights.attributes, str(label)))
        return NONE
    known = dict(zip(weights.class_names, named(weights.class_names), strict=True)) if weights.num_classes else {}
    return known.get(str(label), NONE)


def given_picture(weights: Model, page: Mapping[str, Any], nothing: str) -> Tensor:
    """x0 of the page, (1, C, S, S) in [-1, 1].  Raises ValueError: `nothing`, of a picture of one colour."""
    x0 = pictures.read_picture(page.get("x0"), weights)
    if bool((x0 == x0.flatten()[0]).all()):
        raise ValueError(nothing)
    return x0
