"""Lessons: text files in ddpm/ui/lessons/, read strictly, as plain data for the page's reader.

    title: Drown a digit
    minutes: 6
    for: whoever knows what a normal distribution is

    ## The title of a step
    [show](#forward/noising?t=250)
    [look](forward-timeline)

    Paragraphs, with **bold**, *emphasis*, `code` and formulas: $x_t = √ᾱ_t x_0$.

    $x_t = √ᾱ_t x_0 + √{1 − ᾱ_t} ε$

    [Generate](press:reverse-generate)

    ? A question, with answers
    - [ ] wrong
    - [x] right

    > What is revealed once it has been answered.
    > [show](#forward/noising?t=500)

Every step begins with the state of the page that it is about.  `[look](id)` under it, there or in a revelation, brings
the element of that id into sight, on a phone above the reader.  `[text](press:id)` presses the button of that id: in a
step when the reader says so, in a revelation at once.  A question may also ask for a number on a range, and then
instead of answers has the line `t = 258 ± 40, from 0 to 999`.  The last step is the task that is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..generation import maths

FOLDER = Path(__file__).parents[1] / "lessons"
NAME = re.compile(r"(\d\d)-[a-z0-9-]+\.md")
HEAD = ("title", "minutes", "for")
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
ID = re.compile(r"[a-z0-9-]+")
CHOICE = re.compile(r"- \[([ x])\] (.+)")
RANGE = re.compile(r"(.+?) = (NUM) ± (NUM), from (NUM) to (NUM)".replace("NUM", r"−?\d+(?:\.\d+)?"))
INLINE = re.compile(r"\$([^$]+)\$|`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*")

# Text is a list of strings and of ["code" | "b" | "em", text] and ["math", MathML]; a block is ["p", text],
# ["math", MathML] or ["press", what the button says, the button's id].
Text = list[Any]
Block = list[Any]


class LessonError(ValueError):
    """A lesson that cannot be read: says in which file and line, and why."""


@dataclass(frozen=True)
class Question:
    """choices: [text, whether it is right], one of them right; or a range: {name, value, within, from, to}."""

    text: Text
    choices: list[tuple[Text, bool]] = field(default_factory=list)
    range: dict[str, Any] | None = None


@dataclass(frozen=True)
class Reveal:
    """What is shown once the question is answered, the state the page then takes, the button it presses, and the id of
    what is then brought into sight."""

    blocks: list[Block]
    show: str | None = None
    press: str | None = None
    look: str | None = None


@dataclass(frozen=True)
class Step:
    title: str
    show: str
    blocks: list[Block]
    question: Question | None = None
    reveal: Reveal | None = None
    look: str | None = None

    @property
    def links(self) -> list[str]:
        """The states of the page that it shows."""
        return [self.show, *([self.reveal.show] if self.reveal and self.reveal.show else [])]

    @property
    def presses(self) -> list[str]:
        """The ids of the buttons that it presses."""
        pressed = [block[2] for block in self.blocks if block[0] == "press"]
        return pressed + ([self.reveal.press] if self.reveal and self.reveal.press else [])

    @property
    def looks(self) -> list[str]:
        """The ids of what it brings into sight."""
        return [each.look for each in (self, self.reveal) if each and each.look]


@dataclass(frozen=True)
class Lesson:
    number: int
    title: str
    minutes: int
    audience: str
    steps: list[Step]
    language: str = "en"


def translated(language: str, folder: Path = FOLDER) -> list[Lesson]:
    """The lessons in a language: those of its own folder, and in English what that lacks.  Raises LessonError."""
    english = load(folder)
    if language == "en":
        return english
    theirs = {path.name for path in folder.glob("*.md")}
    found = {}
    for path in sorted((folder / language).glob("*.md")):
        if path.name not in theirs:
            raise LessonError(f"{language}/{path.name}: there is no lesson of that name in English")
        lesson = parse(path.read_text(encoding="utf-8"), f"{language}/{path.name}")
        found[lesson.number] = replace(lesson, language=language)
    return [found.get(lesson.number, lesson) for lesson in english]


def load(folder: Path = FOLDER) -> list[Lesson]:
    """The lessons of a folder, in the order of their numbers: 1, 2, 3...  Raises LessonError."""
    paths = sorted(folder.glob("*.md"))
    for number, path in enumerate(paths, start=1):
        named = NAME.fullmatch(path.name)
        if not named or int(named[1]) != number:
            raise LessonError(f"{path.name}: lesson {number} is called {number:02}-and-words.md")
    return [parse(path.read_text(encoding="utf-8"), path.name) for path in paths]


def parse(text: str, name: str) -> Lesson:
    """A lesson from the text of its file.  name: of the file.  Raises LessonError."""
    return _File(text, name).lesson()


class _File:
    """Reads a file line by line, and knows which line it is at."""

    def __init__(self, text: str, name: str):
        self.name, self.lines, self.at = name, [line.rstrip() for line in text.splitlines()], 0

    def error(self, why: str, at: int | None = None) -> LessonError:
        return LessonError(f"{self.name}, line {(self.at if at is None else at) + 1}: {why}")

    def lesson(self) -> Lesson:
        head = self.head()
        if not head["minutes"].isdigit():
            raise self.error("minutes: a whole number", HEAD.index("minutes"))
        steps = []
        begin = self.at
        while self.skip_blank():
            begin = self.at
            steps.append(self.step())
        if not steps:
            raise self.error("a lesson has at least one step, which begins with ## and its title")
        if steps[-1].question:
            raise self.error("the last step is the task that is handed in, without a question", begin)
        start = Path(self.name).name[:2]
        number = int(start) if start.isdigit() else 0
        return Lesson(number, head["title"], int(head["minutes"]), head["for"], steps)

    def head(self) -> dict[str, str]:
        head = {}
        for self.at, key in enumerate(HEAD):
            line = self.lines[self.at] if self.at < len(self.lines) else ""
            if not line.startswith(f"{key}: "):
                raise self.error(f"the head is {', '.join(HEAD)}, each `name: value`; here {key} is expected")
            head[key] = line.removeprefix(f"{key}: ").strip()
        self.at += 1
        return head

    def skip_blank(self) -> bool:
        """Go to the next line that says something.  Returns whether there is one."""
        while self.at < len(self.lines) and not self.lines[self.at]:
            self.at += 1
        return self.at < len(self.lines)

    def step(self) -> Step:
        begin, title = self.at, self.lines[self.at]
        if not title.startswith("## "):
            raise self.error("a step begins with ## and its title")
        self.at += 1
        if not self.skip_blank() or not (shown := self.link("show")):
            raise self.error("a step's first line is [show](#...), the state of the page that it is about")
        show, _ = shown
        self.at += 1
        look = None
        if self.at < len(self.lines) and (found := self.link("look")):
            look, _ = found
            self.at += 1
        blocks, question, reveal = list(self.blocks()), None, None
        if self.at < len(self.lines) and self.lines[self.at].startswith("? "):
            question = self.question()
            if not self.skip_blank() or not self.lines[self.at].startswith("> "):
                raise self.error("after a question stands what is revealed, each line beginning with >")
            reveal = self.reveal()
        if not blocks and not question:
            raise self.error("a step says something, or asks", begin)
        return Step(title.removeprefix("## ").strip(), show, blocks, question, reveal, look)

    def blocks(self) -> Iterator[Block]:
        """Up to a question, the next step or the end."""
        while self.skip_blank() and not self.lines[self.at].startswith(("## ", "? ")):
            begin, words = self.at, []
            while self.at < len(self.lines) and self.lines[self.at]:
                words.append(self.lines[self.at])
                self.at += 1
            yield self.block(" ".join(words), begin)

    def block(self, words: str, at: int) -> Block:
        if found := LINK.fullmatch(words):
            if not found[2].startswith("press:"):
                raise self.error("a link that stands alone is [text](press:the-id-of-a-button)", at)
            return ["press", found[1], found[2].removeprefix("press:")]
        if words.startswith(("#", ">", "- ", "? ")) or LINK.search(words):
            raise self.error(f"{words[:20]!r} does not belong here", at)
        text = self.text(words, at)
        return text[0] if len(text) == 1 and text[0][0] == "math" else ["p", text]

    def text(self, words: str, at: int) -> Text:
        """A line of text, with what is marked in it."""
        text: Text = []
        end = 0
        for found in INLINE.finditer(words):
            text.append(words[end : found.start()])
            formula, code, bold, emphasis = found.groups()
            try:
                marked = ["math", maths.parse(formula)] if formula else ["code", code] if code else ["b", bold]
            except maths.MathsError as error:
                raise self.error(str(error), at) from None
            text.append(["em", emphasis] if emphasis else marked)
            end = found.end()
        text.append(words[end:])
        if any(mark in each for each in text if isinstance(each, str) for mark in "$`*"):
            raise self.error("a $, ` or * that closes nothing", at)
        return [each for each in text if each]

    def link(self, scheme: str) -> tuple[str, str] | None:
        """(where it leads, what it says), if this line is a link of this kind alone: `show`, `look` or `press`."""
        found = LINK.fullmatch(self.lines[self.at].removeprefix("> ").strip())
        if not found:
            return None
        text, target = found.groups()
        if scheme == "look":
            return (target, text) if text == "look" and ID.fullmatch(target) else None
        if scheme == "show":
            return (target, text) if text == "show" and target.startswith("#") else None
        return (target.removeprefix("press:"), text) if target.startswith("press:") else None

    def question(self) -> Question:
        begin, asked = self.at, [self.lines[self.at].removeprefix("? ")]
        self.at += 1
        while self.at < len(self.lines) and self.lines[self.at] and not self.is_answer(self.lines[self.at]):
            asked.append(self.lines[self.at])
            self.at += 1
        text = self.text(" ".join(asked), begin)
        if self.at < len(self.lines) and (found := RANGE.fullmatch(self.lines[self.at])):
            self.at += 1
            return Question(text, range=self.range(found))
        choices = []
        while self.at < len(self.lines) and (answer := CHOICE.fullmatch(self.lines[self.at])):
            choices.append((self.text(answer[2], self.at), answer[1] == "x"))
            self.at += 1
        if len(choices) < 2 or [right for _, right in choices].count(True) != 1:
            raise self.error("a question has two answers or more, exactly one of them `- [x]`; or a range", begin)
        return Question(text, choices)

    @staticmethod
    def is_answer(line: str) -> bool:
        return bool(CHOICE.fullmatch(line) or RANGE.fullmatch(line))

    def range(self, found: re.Match[str]) -> dict[str, Any]:
        value, within, low, high = (float(each.replace("−", "-")) for each in found.groups()[1:])
        if not low <= value <= high or not 0 < within < (high - low) / 2:
            raise self.error("of a range, the value lies between its ends, and ± is less than half of it", self.at - 1)
        return {"name": self.text(found[1], self.at - 1), "value": value, "within": within, "from": low, "to": high}

    def reveal(self) -> Reveal:
        begin, links = self.at, dict[str, str]()
        paragraphs: list[tuple[int, list[str]]] = []
        fresh = True
        while self.at < len(self.lines) and self.lines[self.at].startswith(">"):
            line = self.lines[self.at].removeprefix(">").strip()
            if line.startswith("["):
                kind = "press" if "(press:" in line else "look" if line.startswith("[look]") else "show"
                if not (found := self.link(kind)) or kind in links:
                    raise self.error("a revelation has at most one [show](#...), [look](id) and [text](press:...) each")
                links[kind], fresh = found[0], True
            elif not line:
                fresh = True
            else:
                if fresh:
                    paragraphs.append((self.at, []))
                paragraphs[-1][1].append(line)
                fresh = False
            self.at += 1
        if not paragraphs:
            raise self.error("a revelation says something", begin)
        blocks = [self.block(" ".join(words), at) for at, words in paragraphs]
        return Reveal(blocks, links.get("show"), links.get("press"), links.get("look"))
