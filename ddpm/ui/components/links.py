"""The page's state in its address, `#VIEW?key=value&...`: what can be named there, and how it is read.

VIEW is a tab, or a tab and an inner tab; a key is a control's elem_id without its view's prefix, or what a view's own
script keeps.  Only what differs from what the page opens with is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import gradio as gr

from ..server.protocol import MAX_SEED
from .languages import LANGUAGES

MAX_LENGTH = 2000  # of an address's state: the rest is not read
MAX_KEYS = 60
CONTROLS = (gr.Dropdown, gr.Radio, gr.Checkbox, gr.CheckboxGroup, gr.Slider, gr.Number)
NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?(e[+-]?\d{1,2})?", re.ASCII)  # as JavaScript writes one
OWN = "own"  # in place of a model that was trained or opened in one browser, which no link can name
THEMES, SIZES = ("dark", "light"), ("projector",)

# What an address says, in words that name what would do: a check raises ValueError with them.
Check = Callable[[str], Any]


@dataclass(frozen=True)
class Kept:
    """What a view's own script keeps, and is restored by it.  check: of an address's text; words: what it may be."""

    default: Any
    check: Check
    words: str


@dataclass(frozen=True)
class Key:
    """A setting.  offered: the choices with a model, where they follow it.  control: None of what a script keeps.

    of_model: the check with a model that has more to choose from than can be listed; None of any other model.
    """

    name: str
    default: Any
    check: Check
    words: str
    label: str = ""
    control: Any = None
    offered: Callable[[Any], Sequence[str]] | None = None
    of_model: Callable[[Any], Check | None] | None = None

    def check_with(self, model_id: Any) -> Check:
        """What holds with a model, or whatever model that is."""
        check = self.of_model(model_id) if self.of_model else None
        offered = self.offered(model_id) if self.offered and check is None else ()
        return check or (one_of(offered)[0] if offered else self.check)


@dataclass
class View:
    """A tab, or an inner one.

    component: what its script fills, if that keeps anything.  leads: {key: {its value: {other key: its default then}}}.
    """

    name: str
    prefix: str
    component: Any = None
    keys: dict[str, Key] = field(default_factory=dict)
    leads: dict[str, dict[Any, dict[str, Any]]] = field(default_factory=dict)

    def defaults(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What every key is that `values` leaves out."""
        found = {key.name: key.default for key in self.keys.values()}
        for name, led in self.leads.items():
            if name in values:
                found |= led.get(values[name], {})
        return found


# What is known of components beyond what Gradio knows of them.
_offered: WeakKeyDictionary[Any, tuple[Callable[[Any], Sequence[str]], Any]] = WeakKeyDictionary()
_kept: WeakKeyDictionary[Any, dict[str, Kept]] = WeakKeyDictionary()
_leads: WeakKeyDictionary[Any, Mapping[Any, Mapping[Any, Any]]] = WeakKeyDictionary()


def follows_model(
    choice: gr.Dropdown,
    offered: Callable[[Any], Sequence[str]],
    of_model: Callable[[Any], Check | None] | None = None,
) -> None:
    """This choice depends on the model.  offered: its choices, by the model's id; none if there is no such model.

    of_model: see `Key`.
    """
    _offered[choice] = offered, of_model


def keep(view: gr.HTML, **kept: Kept) -> None:
    """The view's own script keeps these, and hands them to `keep` of links.js."""
    _kept[view] = _kept.get(view, {}) | kept


def leads(control: Any, led: Mapping[Any, Mapping[Any, Any]]) -> None:
    """Choosing a value of this control sets others: {value: {other control: what it then is}}."""
    _leads[control] = led


def number(low: float, high: float, step: float | None = None) -> tuple[Check, str]:
    """(check, words) of a number from low to high, on a grid of `step` from low, or on none."""
    integral = step is not None and step == int(step) and low == int(low)
    grid = "" if step in (None, 1) else f" in steps of {step:g}"
    words = f"a {'whole ' * (step == 1)}number from {low:g} to {high:.10g}{grid}"

    def check(text: str) -> float | int:
        if not NUMBER.fullmatch(text):
            raise ValueError(words)
        value = float(text)
        at = 0.0 if step is None else (value - low) / step
        if not low <= value <= high or abs(at - round(at)) > 1e-6:
            raise ValueError(words)
        return int(value) if integral else value

    return check, words


def whole(high: int, default: int) -> Kept:
    """A whole number from 0."""
    return Kept(default, *number(0, high, 1))


def numbers(count: int, high: int) -> tuple[Check, str]:
    """(check, words) of so many whole numbers from 0, with commas."""
    one, words = number(0, high, 1)
    words = f"{count} numbers with commas, each {words}"

    def check(text: str) -> list[Any]:
        parts = text.split(",")
        if len(parts) != count:
            raise ValueError(words)
        return [one(part) for part in parts]

    return check, words


def one_of(choices: Sequence[Any]) -> tuple[Check, str]:
    """(check, words) of one of these, by its text."""
    by_text = {str(choice): choice for choice in choices}
    words = f"one of {', '.join(by_text)}"

    def check(text: str) -> Any:
        if text not in by_text:
            raise ValueError(words)
        return by_text[text]

    return check, words


def some_of(choices: Sequence[str]) -> tuple[Check, str]:
    """(check, words) of a list of these, with commas, in their order here."""
    words = f"a list of {', '.join(choices)}"

    def check(text: str) -> list[str]:
        found = [part for part in text.split(",") if part]
        if not set(found) <= set(choices):
            raise ValueError(words)
        return [choice for choice in choices if choice in found]

    return check, words


def step_of_lesson(text: str) -> str:
    """What reader.js opens: 1.2, or 1 for the first step."""
    if not re.fullmatch(r"\d{1,2}(\.\d{1,2})?", text, re.ASCII):
        raise ValueError("a lesson and its step, such as 1.2")
    return text


def switch() -> tuple[Check, str]:
    """(check, words) of 1 or 0."""
    check, words = one_of((0, 1))
    return (lambda text: bool(check(text))), words


def check_of(control: Any) -> tuple[Check, str]:
    """(check, words) of what a control can be set to."""
    if isinstance(control, gr.Slider):
        return number(control.minimum, control.maximum, control.step)
    if isinstance(control, gr.Number):
        return number(0, MAX_SEED, 1 if isinstance(control.value, int) else None)
    if isinstance(control, gr.Checkbox):
        return switch()
    choices = [value for _, value in control.choices]
    return some_of(choices) if isinstance(control, gr.CheckboxGroup) else one_of(choices)


def place(block: Any) -> str:
    """The view that a component is in: the ids of the tabs around it; empty outside of them."""
    around = list[str]()
    while block is not None:
        around += [str(block.id)] if isinstance(block, gr.Tab) else []
        block = block.parent
    return "/".join(reversed(around))


def settable(demo: gr.Blocks) -> Iterator[tuple[str, str, Any]]:
    """(view, prefix, control or view component) of a page, in its order."""
    for block in demo.blocks.values():
        where, elem_id = place(block), getattr(block, "elem_id", None)
        if where and elem_id and (isinstance(block, CONTROLS) or block in _kept):
            yield where, elem_id.partition("-")[0], block


class Table:
    """All that an address can name on a page."""

    def __init__(self, demo: gr.Blocks, model: gr.Dropdown):
        """model: what is called `model` in every view: shipped ones by name, any other as OWN."""
        self.shipped = [value for _, value in model.choices]
        self.model = Key("model", model.value, *one_of([*self.shipped, OWN]), "Model", model)
        self.views: dict[str, View] = {}
        for where, prefix, block in settable(demo):
            view = self.views.setdefault(where, View(where, prefix))
            if block in _kept:
                view.component = block
                view.keys |= {name: Key(name, k.default, k.check, k.words) for name, k in _kept[block].items()}
            else:
                name = key_of(block)
                view.keys[name] = Key(
                    name, block.value, *check_of(block), str(block.label or ""), block, *_offered.get(block, ())
                )
            if block in _leads:
                view.leads[key_of(block)] = {
                    value: {key_of(other): then for other, then in led.items()} for value, led in _leads[block].items()
                }
        self.hideable = {"model": ["weights"]} | hideable(demo, {view.prefix for view in self.views.values()})
        self.tabs = sorted({part for name in self.views for part in name.split("/")})
        self.to_hide = sorted({*self.hideable, *self.tabs})
        self.alone = [name.rpartition("/")[2] for name in self.views]
        self.page = {
            "hide": Key("hide", [], *some_of(self.to_hide)),
            "view": Key("view", "", *one_of(self.alone)),
            "theme": Key("theme", "", *one_of(THEMES)),
            "size": Key("size", "", *one_of(SIZES)),
            "lang": Key("lang", "", *one_of(LANGUAGES)),
            "lesson": Key("lesson", "", step_of_lesson, "a lesson and its step, such as 1.2"),
        }

    @property
    def controls(self) -> list[tuple[View, Key]]:
        """All that Gradio's controls set, in the page's order."""
        keys = [(view, key) for view in self.views.values() for key in view.keys.values()]
        return [(view, key) for view, key in keys if key.control is not None]

    def view_of(self, text: str) -> View | None:
        """The view of that name; of a tab that has inner ones, the first of them."""
        inside = [view for name, view in self.views.items() if name == text or name.startswith(f"{text}/")]
        return inside[0] if inside and text else None

    def parse(self, address: Any, model_id: Any = None) -> tuple[str, dict[str, Any], list[str]]:
        """(view, what is set, what is wrong) of an address, or of what follows its #.

        model_id: the model chosen now, whose choices hold where the address names no other, or OWN.  Never raises.
        """
        text = address if isinstance(address, str) else ""
        problems, values = [], dict[str, Any]()
        if len(text) > MAX_LENGTH:
            problems.append(f"it is longer than {MAX_LENGTH} characters")
            text = text[:MAX_LENGTH]
        text = text.rpartition("#")[2]
        where, _, rest = text.partition("?")
        view = self.view_of(where)
        if view is None:
            if where:
                problems.append(f"{shortened(where)}: no such view")
            view = next(iter(self.views.values()))
        try:
            given = dict(parse_qsl(rest, keep_blank_values=True, max_num_fields=MAX_KEYS))
        except ValueError:
            problems.append(f"more than {MAX_KEYS} settings")
            given = {}
        if "view" in given:  # alone, it is the view that is opened
            values |= self._checked({"view": self.page["view"]}, given, problems)
            alone = [each for name, each in self.views.items() if name.rpartition("/")[2] == values.get("view")]
            view = alone[0] if alone else view
        values |= self._checked({"model": self.model}, given, problems)
        chosen = values.get("model", self.model.default)
        known = {**view.keys, **{name: key for name, key in self.page.items() if name != "view"}}
        values |= self._checked(known, given, problems, model_id if chosen == OWN else chosen)
        unknown = [name for name in given if name not in {*known, "model", "view"}]
        problems += [f"{shortened(name)}: no such setting in {view.name}" for name in unknown]
        return view.name, values, problems

    def _checked(
        self, keys: Mapping[str, Key], given: Mapping[str, str], problems: list[str], model_id: Any = None
    ) -> dict[str, Any]:
        """Those of the keys that are given, and well.  What is wrong with the others joins `problems`."""
        found = {}
        for name in [name for name in given if name in keys]:
            try:
                found[name] = keys[name].check_with(model_id)(given[name])
            except ValueError as error:
                problems.append(f"{name}={shortened(given[name])}: {error}, please")
        return found


def key_of(control: Any) -> str:
    """What a control is called in addresses: `steps` of reverse-steps."""
    return str(control.elem_id).partition("-")[2]


def hideable(demo: gr.Blocks, prefixes: set[str]) -> dict[str, list[str]]:
    """The elem_ids by the names that `hide` has for them: controls, buttons and margins, in all views alike."""
    found: dict[str, list[str]] = {}
    for block in demo.blocks.values():
        prefix, _, name = str(getattr(block, "elem_id", None) or "").partition("-")
        if prefix in prefixes and name not in ("", "view"):
            found.setdefault(name, []).append(f"{prefix}-{name}")
    return found


def shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
