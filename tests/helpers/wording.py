"""Catalogues of languages as components/catalogue.js reads them, and the texts of the page that want an entry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import gradio as gr

import ddpm

UI = Path(ddpm.__file__).parent / "ui"
HOLE, NUMBER = "{}", "{#}"
INSIDE = "\ufffc"  # in a sentence, for an element inside of it
NAMES = {"DDPM", "DDIM", "DPM-Solver++", "Heun", "linspace", "log_snr", "eps"}  # the same in every language
EITHER = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")
SEAMS = [re.compile(seam) for seam in (r"((?<=[.!?…]) )", "(; )", "(, )", "(: )")]


def is_words(text: str) -> bool:
    return re.search("[A-Za-z]{2}", text) is not None


def holes(text: str) -> list[str]:
    return re.findall(r"\{#?\d*\}", text)


def compiled(english: str) -> re.Pattern[str]:
    kinds = {HOLE: "(.+?)", NUMBER: r"([−+-]?\d[\d.,]*)"}
    return re.compile("".join(kinds.get(part) or re.escape(part) for part in re.split(r"(\{#?\})", english)))


def filled(text: str, parts: list[str]) -> str:
    order = iter(parts)
    return re.sub(r"\{(\d*)\}", lambda hole: parts[int(hole[1]) - 1] if hole[1] else next(order), text)


class Reading:
    """Texts in another language.  used: the entries that have been read."""

    def __init__(self, entries: dict[str, str]):
        self.entries, self.used = entries, {"1,000"}  # which says how numbers are written
        patterns = sorted(filter(holes, entries), key=len, reverse=True)
        self.patterns = [(compiled(key), key) for key in patterns]
        self.patterns.sort(key=lambda each: each[1].startswith("{"))

    def find(self, text: str) -> str | None:
        """None if it is not all there."""
        if not is_words(text) or text in NAMES:
            return text
        if text in self.entries:
            self.used.add(text)
            return self.entries[text]
        for pattern, key in self.patterns:
            if found := pattern.fullmatch(text):
                self.used.add(key)
                return filled(self.entries[key], [self.find(part) or part for part in found.groups()])
        for seam in SEAMS:
            parts = seam.split(text)
            if len(parts) == 1:
                continue
            told = [part if i % 2 else self.find(part) for i, part in enumerate(parts)]
            if None not in told:
                return "".join(map(str, told))
        return None


# Scripts: a literal is what may be shown, unless what stands before it says otherwise.
STRING = re.compile(r'"((?:\\.|[^"\\\n])*)"|\'((?:\\.|[^\'\\\n])*)\'')
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n])+/[a-z]*")
BEFORE_A_PATTERN = re.compile(r"(?:[=(,:!&|?;{}\n]|return)\s*$")
NOT_SHOWN = re.compile(
    r"""(?:(?:querySelector(?:All)?|closest|matches|matchMedia|addEventListener|getElementById|getContext|createElement
    |classList\.\w+|(?:get|set|remove|has)Attribute|getPropertyValue|registerProperty|trigger|colour|import|console\.\w+
    |new\ Error|toLocaleString|createTreeWalker|localStorage\.\w+|on)\(\s*
    |\bel\((?:"\w+",\s)?(?:[^()"`]*\?\s)?(?:"[^"]*"\s:\s)?|\bfrom\s|[!=]==\s|\.font\s=\s|style\.\w+\s=\s|\[|case\s|\.className\s=\s|in\s)$""",
    re.X,
)
NAMED = re.compile(r"\b(?:label|title|text|words|empty|x|y|share|ends|live|other|averaged)\b: \[?(?:[^,{}]*\? )?$")


def literals(text: str, at: int = 0, end: str = "") -> tuple[list[tuple[int, int, list[str]]], int]:
    """[(begin, end, what it can be)] of the literals of a script, {} being what varies, and where `end` is."""
    found, depth = [], 0
    while at < len(text):
        c = text[at]
        if text.startswith("//", at):
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif text.startswith("/*", at):
            at = text.index("*/", at) + 2
        elif c in "\"'" and (string := STRING.match(text, at)):
            found.append((at, string.end(), [string[1] if string[2] is None else string[2]]))
            at = string.end()
        elif c == "`":
            close, said, inner = template(text, at + 1)
            found += [*inner, (at, close, said)]
            at = close
        elif c == "/" and BEFORE_A_PATTERN.search(text[max(0, at - 20) : at]) and (match := PATTERN.match(text, at)):
            at = match.end()
        elif c == end and not depth:
            break
        else:
            depth += (c == "{") - (c == "}")
            at += 1
    return found, at


def template(text: str, at: int) -> tuple[int, list[str], list[tuple[int, int, list[str]]]]:
    """(its end, what it can be, the literals in it that are no part of it) of a template literal."""
    said, others = [""], []
    while text[at] != "`":
        if text.startswith("${", at):
            inner, close = literals(text, at + 2, "}")
            choice = branches(text, at + 2, close, inner)
            said = [a + b for a in said for b in choice or [HOLE]]
            others += inner[:-2] if choice else inner
            at = close + 1
        else:
            said = [a + text[at] for a in said]
            at += 1
    return at + 1, said, others


def branches(text: str, begin: int, end: int, inner: list[tuple[int, int, list[str]]]) -> list[str]:
    """What `test ? "this" : "that"` can be; [] of anything else."""
    if len(inner) < 2:
        return []
    (a, a_end, this), (b, b_end, that) = inner[-2:]
    between, after = text[a_end:b].strip(), text[b_end:end].strip()
    return this + that if text[begin:a].rstrip().endswith("?") and between == ":" and not after else []


def of_script(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of what a script may show."""
    for begin, _, said in literals(text)[0]:
        before = text[max(0, begin - 160) : begin]
        if NOT_SHOWN.search(before):
            continue
        for each in said:
            if is_words(each) and (" " in each.strip() or each[0].isupper() or NAMED.search(before)):
                yield text.count("\n", 0, begin) + 1, " ".join(each.split())


CODE = re.compile(r"[<`]|\bddpm\.|=>|\w\(|\w\[[\w{]|^python |^#|_\w+ = |_\w+\.|\| \w|self\.|^export |^import ")


def of_python(text: str, raised_only: bool = False) -> Iterator[tuple[int, str]]:
    """(line, text) of the sentences and labels in a module that are no docstring, no markup and no code."""
    tree: ast.AST = ast.parse(text)
    if raised_only:
        tree = ast.Module([node for node in ast.walk(tree) if isinstance(node, ast.Raise)], [])
    inside = {id(child) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for child in ast.walk(node)}
    described = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    skipped = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, described) and is_docstring(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (id(node) not in inside | skipped and is_text(node)):
            for each in said_by(node):
                if re.search(r"[A-Za-z]{2}.* [^\W\d_]|^[A-Z][a-z]+$", each) and not CODE.search(each):
                    yield node.lineno, " ".join(each.split())


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_docstring(node: ast.AST) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and is_text(node.body[0].value)


def said_by(node: ast.AST) -> list[str]:
    """What a string can be, {} being what varies."""
    if is_text(node):
        return [node.value]
    if isinstance(node, ast.IfExp) and (is_text(node.body) or is_text(node.orelse)):
        return said_by(node.body) + said_by(node.orelse)
    if not isinstance(node, ast.JoinedStr):
        return [HOLE]
    said = [""]
    for part in node.values:
        said = [a + b for a in said for b in said_by(part.value if isinstance(part, ast.FormattedValue) else part)]
    return said


class Markup(HTMLParser):
    """The texts of a piece of HTML: of each element, INSIDE for those in it, and of its attributes."""

    SILENT = ("script", "style", "code", "pre", "math")
    VOID = ("br", "input", "img", "hr")

    def __init__(self, markup: str):
        super().__init__()
        self.texts, self.open = list[str](), [("", [""])]
        self.feed(markup)
        self.texts += ["".join(self.open[0][1])]

    def handle_starttag(self, tag, attrs):
        if any(name in self.SILENT for name, _ in self.open):
            self.open.append((tag, [""]))
            return
        self.texts += [value for name, value in attrs if name in ("title", "aria-label", "placeholder", "alt")]
        self.open[-1][1].append(INSIDE)
        if tag not in self.VOID:
            self.open.append((tag, [""]))

    def handle_endtag(self, tag):
        name, said = self.open.pop()
        if not any(each in self.SILENT for each, _ in [*self.open, (name, None)]):
            self.texts.append("".join(said))

    def handle_data(self, data):
        self.open[-1][1].append(data)


def of_page(demo: gr.Blocks) -> Iterator[tuple[str, str]]:
    """(where, text) of what the page is built with."""
    yield "title", str(demo.title)
    for block in demo.blocks.values():
        where = f"{type(block).__name__} {getattr(block, 'elem_id', None) or ''}"
        said = [getattr(block, name, None) for name in ("label", "info", "placeholder")]
        said += [block.value] if isinstance(block, gr.Button | gr.UploadButton | gr.DownloadButton) else []
        choices = getattr(block, "choices", None)
        if isinstance(choices, list) and block.elem_id != "weights":  # elsewhere a name of a component's own function
            said += [label for label, _ in choices]
        if isinstance(block, gr.HTML):
            said = Markup(str(block.html_template)).texts
            said += [block.value] if isinstance(block.value, str) and "<" not in block.value else []
            said += Markup(block.value).texts if isinstance(block.value, str) and "<" in block.value else []
        for each in said:
            if isinstance(each, str) and is_words(each) and not each.startswith("${"):
                yield where, " ".join(each.split())
