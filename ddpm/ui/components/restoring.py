"""Copy link, and what an address asks for restored: checked here, set in the controls, and handed to the scripts."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.system.threads import apart

from ..server import protocol
from . import layout
from .links import MAX_LENGTH, OWN, SIZES, THEMES, Table, View
from .streaming import QUIET

SHOWN_PROBLEMS = 3
# packet(model_id, view's values, what of them the address names): a digit and its noise for a view.  Raises ValueError.
Packet = Callable[[Any, dict[str, Any], dict[str, Any]], Awaitable[dict[str, Any]]]


def constants(table: Table) -> dict[str, Any]:
    """What the script knows of the table."""
    views = [
        {"name": view.name, "prefix": view.prefix, "defaults": view.defaults({}), "leads": view.leads}
        for view in table.views.values()
    ]
    hide = {name: [f"#{each}" for each in ids] for name, ids in table.hideable.items()}
    for tab in table.tabs:
        hide.setdefault(tab, []).append(f'#tabs [data-tab-id="{tab}"]')
    return {
        "views": views,
        "order": [(view.name, key.name) for view, key in table.controls],
        "model": {"default": table.model.default, "shipped": table.shipped},
        "own": OWN,
        "page": {"hide": hide, "view": table.alone, "theme": THEMES, "size": SIZES},
        "longest": MAX_LENGTH,
        "events": ["restore", "gather", "copy"],  # Gradio looks for their names here
    }


def sentence(problems: list[str]) -> str:
    """What is wrong with a link, in one line; nothing if all is well."""
    if not problems:
        return ""
    more = len(problems) - SHOWN_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    said = "; ".join(each.removesuffix(".") for each in problems[:SHOWN_PROBLEMS])
    return f"Not all of this link can be shown. {said}{rest}. The defaults are in place."


def connect(shared: layout.Shared, table: Table, packet: Packet) -> gr.HTML:
    """The button, in the row that is being built, and all that it takes.  Called when the rest of the page is there."""
    demo, registry, model = shared.demo, shared.registry, shared.weights
    controls = [key.control for _, key in table.controls]
    views = [view for view in table.views.values() if view.component is not None]
    bar = layout.scripted(
        Path(__file__).with_name("links.js"),
        "links",
        constants=constants(table),
        html_template='<div class="links"></div>',
        elem_id="links",
    )

    def offered(own: Any) -> list[Any]:
        return [*table.shipped, *registry.known(own)]

    def of_browser(own: Any, *wanted: Any) -> str | None:
        """The first of these models that is the browser's own; else its latest, if it has any."""
        mine = [each for _, each in registry.known(own)]
        return next((each for each in (*wanted, *reversed(mine)) if each in mine), None)

    async def restored(asked: Any, now: Any, own: Any) -> list[Any]:
        """asked: {address, number, model, stay}.  now: the model that is chosen; another one comes first, alone.

        model: the one that was chosen before the page was loaded again.  stay: whether `now` stays, whatever the
        address says.
        """
        asked = protocol.fields(asked)
        name, given, problems = await apart(table.parse, asked.get("address"), now)  # it may have to read a data set
        wanted, number = given.get("model", table.model.default), asked.get("number")
        if asked.get("stay"):
            wanted = now
        elif wanted == OWN:
            found = of_browser(own, now, asked.get("model"))
            wanted = found or now
            if found is None:
                problems.append("model=own: it was trained or opened in another browser, or is no longer here")
        answer = {"number": number, "view": name}
        skipped = [gr.skip()] * (len(controls) + len(views))
        if wanted != now:
            return [*skipped, gr.update(choices=offered(own), value=wanted), answer | {"wait": True}]
        view = table.views[name]
        values = view.defaults(given) | {key: value for key, value in given.items() if key in view.keys}
        shown = gr.skip()
        if "picture" in view.keys:
            try:
                shown = await packet(wanted, values, given) | {"weights": wanted, "restored": number}
            except ValueError as error:
                problems.append(str(error))
        kept = {key: values[key] for key in view.keys if view.keys[key].control is None}
        answer |= {"kept": kept, "problems": sentence(problems), "wait": False}
        set_to = [update(view, values, of, key, wanted) for of, key in table.controls]
        return [*set_to, *(shown if each is view else gr.skip() for each in views), gr.skip(), answer]

    outputs = [*controls, *(view.component for view in views), model, bar]
    demo.load(lambda own: gr.update(choices=offered(own)), shared.own, model, **QUIET)
    here = "(asked, ...others) => [DDPM.tabs.links.asked(), ...others]"
    bar.restore(restored, [bar, model, shared.own], outputs, js=here, trigger_mode="multiple", **QUIET)
    everything = [*controls, model]
    for event, function in ((bar.gather, "gathered"), (bar.copy, "copy")):
        event(None, everything, None, js=f"(...values) => {{ DDPM.tabs.links.{function}(values); }}")
    changes = [event for each in everything for event in (each.change, each.input)]
    changes += [tabs.change for tabs in demo.blocks.values() if isinstance(tabs, gr.Tabs)]
    gr.on(changes, None, None, None, js="() => { window.DDPM?.tabs.links?.moved(); }", trigger_mode="multiple")
    # The last that follows the model: Gradio calls those of one event in turn, each once the one before it is done.
    model.change(None, None, None, js="() => { window.DDPM?.tabs.links?.settled(); }")
    return bar


def update(view: View, values: dict[str, Any], of: View, key: Any, model: Any) -> Any:
    """What a control becomes.  One that follows the model keeps what that has made of it, if its value is not there."""
    if of is not view:
        return gr.skip()
    value = values[key.name]
    if key.offered is None:
        return value
    if key.of_model is not None and (check := key.of_model(model)) is not None:
        with contextlib.suppress(ValueError):
            return gr.update(value=check(value))
        return gr.skip()
    offered = key.offered(model)
    return gr.update(choices=list(offered), value=value) if value in offered else gr.skip()
