"""The functions that a margin names, as they are installed: their source, and where in it the equation's terms are."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import io
import re
import tokenize
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .symbols import names_of

PACKAGE = Path(__file__).parents[2]
ACCENTS = {"^": "\u0302", "¯": "\u0304", "~": "\u0303"}
MATHS = re.compile(r"<math\b.*?</math>", re.S)
CODE = re.compile(r"<code>(ddpm(?:\.\w+)+)</code>")
NUMBER = re.compile(r'data-live="(\w+)" data-expr="([^"]+)"')
WHO = r"[A-Z][\w-]+(?: et al\.| and [A-Z][\w-]+)"
CITATION = re.compile(rf"({WHO})(?: (\d{{4}}))?(?:,? arXiv:(\d{{4}}\.\d{{4,5}}))?")
PARAGRAPH = re.compile(r"</p>")


@functools.cache
def margin(markup: str) -> tuple[str, list[dict[str, Any]]]:
    """A margin's markup with its equations' terms marked, data-term, and what it takes to open the functions it names.

    An equation is of the functions named in the first paragraph after it that names any, and so are the numbers
    between.  A number says by data-expr which expression of such a function it is the value of.
    """
    parts, sources, begin = [], [], 0
    while named := next(CODE.finditer(markup, begin), None):
        end = PARAGRAPH.search(markup, named.end())
        stop = end.end() if end else len(markup)
        part = markup[begin:stop]
        functions = CODE.findall(part)
        parts.append(MATHS.sub(lambda found, of=functions: marked(found[0], of), part))  # type: ignore[misc]
        terms = sorted(set(re.findall(r'data-term="([^"]+)"', parts[-1])))
        numbers = dict(NUMBER.findall(part))
        for name in functions:
            sources.append(source(name, terms, numbers))
            shown = {key for *_, key in sources[-1]["values"]}  # each once, in the first function that has it
            numbers = {key: expression for key, expression in numbers.items() if key not in shown}
        begin = stop
    return "".join(parts) + markup[begin:], sources


def marked(maths: str, functions: Sequence[str]) -> str:
    """An equation whose symbols that are to be found in these functions are marked with themselves, as data-term."""
    root = ElementTree.fromstring(maths)

    def mark(node: ElementTree.Element) -> None:
        symbol = text_of(node)
        if any(places(function, symbol) for function in functions):
            node.set("data-term", symbol)
            return
        for child in node:
            mark(child)

    mark(root)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def text_of(node: ElementTree.Element) -> str:
    """MathML as text: x_t, x̂_0, σ^2, √(1−ᾱ_t), a/b."""
    if "data-expr" in node.attrib:  # a present number: what it is the value of
        return node.attrib["data-expr"]
    inner = [text_of(child) for child in node]
    if node.tag == "mover":
        return unicodedata.normalize("NFC", inner[0] + ACCENTS.get(inner[1], inner[1]))
    if node.tag in ("msub", "munder"):
        return "_".join(inner)
    if node.tag == "msup":
        return "^".join(inner)
    if node.tag == "msubsup":
        return f"{inner[0]}_{inner[1]}^{inner[2]}"
    if node.tag == "mfrac":
        return "/".join(inner)
    whole = "".join(inner) or "".join((node.text or "").split())
    if node.tag != "msqrt":
        return whole
    return f"√{whole}" if len(node) == 1 else f"√({whole})"


@functools.cache
def code_of(function: str) -> tuple[str, str, int]:
    """(source, path below the package's folder, first line) of what has that dotted name."""
    module, _, name = function.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    lines, first = inspect.getsourcelines(thing)
    path = Path(inspect.getfile(inspect.unwrap(thing))).relative_to(PACKAGE.parent).as_posix()
    return "".join(lines).rstrip(), path, first


@functools.cache
def tokens_of(function: str) -> tuple[tokenize.TokenInfo, ...]:
    """The names and keywords in a function's source."""
    readline = io.StringIO(code_of(function)[0]).readline
    return tuple(token for token in tokenize.generate_tokens(readline) if token.type == tokenize.NAME)


def places(function: str, symbol: str) -> list[tuple[int, int, int]]:
    """(line, first column, column after it) of what a function calls a symbol.  Lines count from 0."""
    names = names_of(symbol, function)
    return [(t.start[0] - 1, t.start[1], t.end[1]) for t in tokens_of(function) if t.string in names]


def place_of_value(function: str, expression: str) -> tuple[int, int] | None:
    """(line, column) after an expression where it comes first in a function's body; None if it is not there."""
    tree, lines = ast.parse(code_of(function)[0]), code_of(function)[0].splitlines()
    wanted = ast.unparse(ast.parse(expression, mode="eval").body)
    ends = [
        (node.end_lineno or 0, node.end_col_offset or 0)
        for node in ast.walk(tree)
        if isinstance(node, ast.expr) and ast.unparse(node) == wanted
    ]
    if not ends:
        return None
    line, column = min(ends)
    return line - 1, len(lines[line - 1].encode()[:column].decode())


def quiet(function: str) -> list[tuple[int, int]]:
    """(first line, last) of each docstring."""
    described = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [
        node.body[0]
        for node in ast.walk(ast.parse(code_of(function)[0]))
        if isinstance(node, described) and ast.get_docstring(node) is not None
    ]
    return [(each.lineno - 1, (each.end_lineno or each.lineno) - 1) for each in found]


def source(function: str, terms: Sequence[str], numbers: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script opens.  numbers: of the margin, by their key in data-live: the expressions they are of.

    marks: [line, first column, column after it, term].  values: [line, column, key] of what has a present number.
    """
    text, path, first = code_of(function)
    marks = [[*place, term] for term in terms for place in places(function, term)]
    found = {key: place_of_value(function, expression) for key, expression in numbers.items()}
    return {
        "function": function,
        "where": path,
        "first": first,
        "text": text,
        "quiet": quiet(function),
        "marks": sorted(marks),
        "values": sorted([*place, key] for key, place in found.items() if place),
        "papers": papers(function),
    }


@functools.cache
def bibliography() -> dict[tuple[str, str], set[str]]:
    """What the package's own texts say of papers: the numbers at arXiv, by author and year."""
    known: dict[tuple[str, str], set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for who, year, number in cited(path.read_text(encoding="utf-8")):
            if number:
                known.setdefault((who, year), set()).add(number)
    return known


def cited(text: str) -> list[tuple[str, str, str]]:
    """(authors, year, number at arXiv) of what a text cites; "" for what it does not say."""
    return CITATION.findall(" ".join(text.split()))


def papers(function: str) -> list[tuple[str, str]]:
    """(authors and year, number at arXiv) of the papers that a function's docstrings cite, where they have one."""
    tree, found = ast.parse(code_of(function)[0]), dict[str, str]()
    described = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, described)]
    for who, year, number in cited("\n".join(texts)):
        known = {(y, n) for (w, y), numbers in bibliography().items() if w == who and year in ("", y) for n in numbers}
        if number:
            known = {(year, number)}
        if len(known) == 1:
            (year, number) = known.pop()
            found.setdefault(f"{who} {year}", number)
    return list(found.items())
