"""Formulas as lessons write them, `x_t = √ᾱ_t x_0 + √{1 − ᾱ_t} ε`, made into MathML, as plain data or as markup."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# An element: [its name, its text], or [its name, its children...].
Element = list[Any]

OVER = {"\u0304": "¯", "\u0302": "^", "\u0303": "~"}  # combining marks, and what MathML has over the letter for them
TOKEN = re.compile(r'\s+|\d+(?:\.\d+)?|"[^"]*"|(?:[^\W\d_])[\u0302\u0303\u0304]?|.', re.S)


class MathsError(ValueError):
    """A formula that cannot be read."""


def parse(text: str) -> Element:
    """A formula as the content of <math>.  Raises MathsError.

    _ and ^ put the next thing below and above; √ is of the next thing; { } hold things together and are not shown;
    {a}/{b} is a fraction; "words" stand upright.
    """
    tokens = [t for t in TOKEN.findall(unicodedata.normalize("NFD", text)) if not t.isspace()]
    found, rest = _row(tokens)
    if rest:
        raise MathsError(f"in the formula {text!r} a }} closes nothing")
    return found


def symbols(meanings: Mapping[str, str]) -> str:
    """The list under an equation that says what each of its symbols is: formulas, and markup.  Raises MathsError."""
    rows = (f"<dt><math>{_markup(parse(each))}</math></dt><dd>{meaning}</dd>" for each, meaning in meanings.items())
    return f'<dl class="symbols">{"".join(rows)}</dl>'


def _markup(element: Element) -> str:
    name, *inside = element
    shown = "".join(_markup(each) if isinstance(each, list) else html.escape(each) for each in inside)
    return f"<{name}>{shown}</{name}>"


def _row(tokens: list[str], closing: bool = False) -> tuple[Element, list[str]]:
    """Things in a row, up to the end or to a brace that closes them; and what is left."""
    row: Element = ["mrow"]
    while tokens and tokens[0] != "}":
        item, tokens = _with_scripts(tokens)
        if tokens[:2] == ["/", "{"] and item[0] == "mrow":
            below, tokens = _thing(tokens[1:])
            item = ["mfrac", item, below]
        row.append(item)
    if closing and not tokens:
        raise MathsError("a formula's { is not closed")
    return row, tokens


def _with_scripts(tokens: list[str]) -> tuple[Element, list[str]]:
    base, tokens = _thing(tokens)
    scripts: dict[str, Element] = {}
    while tokens and tokens[0] in ("_", "^") and tokens[0] not in scripts:
        scripts[tokens[0]], tokens = _thing(tokens[1:])
    name = {"_": "msub", "^": "msup", "_^": "msubsup"}.get("".join(sorted(scripts, reverse=True)))
    return ([name, base, *(scripts[each] for each in "_^" if each in scripts)] if name else base), tokens


def _thing(tokens: list[str]) -> tuple[Element, list[str]]:
    """The next thing, without its scripts."""
    if not tokens or tokens[0] in ("_", "^", "}"):
        raise MathsError("a formula lacks what _, ^, √ or / is of")
    first, rest = tokens[0], tokens[1:]
    if first == "{":
        row, rest = _row(rest, closing=True)
        return row, rest[1:]
    if first == "√":
        inside, rest = _with_scripts(rest)
        return ["msqrt", inside], rest
    if first.startswith('"') and first != '"':
        return ["mtext", first[1:-1]], rest
    if first[0].isdigit():
        return ["mn", first], rest
    if first[0].isalpha():
        letter = ["mi", first[0]]
        return (["mover", letter, ["mo", OVER[first[1]]]] if len(first) > 1 else letter), rest
    return ["mo", "−" if first == "-" else first], rest
