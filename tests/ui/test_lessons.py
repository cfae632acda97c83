"""Lessons: what their files may say, and that every step of those that ship can be taken on the page."""

import re

import gradio as gr
import pytest

from ddpm import ui
from ddpm.presets import PRESETS
from ddpm.ui.components import languages, lessons
from ddpm.ui.generation import maths
from ddpm.ui.tabs.train import request

LESSONS = lessons.load()
STEPS = [(lesson.number, i, step) for lesson in LESSONS for i, step in enumerate(lesson.steps, start=1)]

GOOD = """\
title: Drown a digit
minutes: 6
for: everyone

## First
[show](#forward/noising?t=250)

Some **bold** and *slanted* text, `code`, and $x_0$.

$x_t = ε$

[Generate](press:reverse-generate)

? Which
is it?
- [ ] this
- [x] that

> That.
>
> And why.
> [show](#forward/noising?t=500)
> [Generate](press:reverse-generate)

## Second
[show](#reverse)

? How many?
t = 5 ± 1, from 0 to 10

> Five.

## To hand in
[show](#train)

A number.
"""


def test_a_lesson_is_read_as_it_is_written():
    lesson = lessons.parse(GOOD, "01-drown.md")
    assert (lesson.number, lesson.title, lesson.minutes, lesson.audience) == (1, "Drown a digit", 6, "everyone")
    first, second, last = lesson.steps
    assert first.show == "#forward/noising?t=250" and last.show == "#train"
    assert first.blocks[0][1][:4] == ["Some ", ["b", "bold"], " and ", ["em", "slanted"]]
    assert [block[0] for block in first.blocks] == ["p", "math", "press"]
    assert first.question.text == ["Which is it?"] and first.question.choices == [(["this"], False), (["that"], True)]
    assert first.reveal.blocks == [["p", ["That."]], ["p", ["And why."]]]
    assert first.links == ["#forward/noising?t=250", "#forward/noising?t=500"]
    assert first.presses == ["reverse-generate", "reverse-generate"]
    assert second.question.range == {"name": ["t"], "value": 5, "within": 1, "from": 0, "to": 10}
    assert last.question is None
    assert first.looks == []
    looking = GOOD.replace("t=250)\n", "t=250)\n[look](a)\n").replace("> [Generate]", "> [look](b)\n> [Generate]")
    assert lessons.parse(looking, "01-drown.md").steps[0].looks == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minutes: 6", "minutes: six", "line 2: minutes: a whole number"),
        ("for: everyone", "whom: everyone", "line 3: the head is title, minutes, for"),
        ("## First", "First", "line 5: a step begins with ##"),
        ("[show](#forward/noising?t=250)", "", "line 8: a step's first line is"),
        ("[show](#forward/noising?t=250)", "[show](http://other.example)", "line 6: a step's first line is"),
        ("Some **bold**", "Some $x_$", "line 8: a formula lacks"),
        ("`code`", "`code", "line 8: a $, ` or *"),
        ("[Generate](press:reverse-generate)\n\n?", "[Generate](#reverse)\n\n?", "line 12: a link that stands alone"),
        ("- [ ] this", "- [x] this", "line 14: a question has two answers or more, exactly one"),
        ("- [x] that", "- [ ] that", "line 14: a question has two answers or more, exactly one"),
        ("t = 5 ± 1", "t = 11 ± 1", "line 29: of a range"),
        ("t = 5 ± 1", "t = 5 ± 5", "line 29: of a range"),
        ("> Five.", "Five.", "line 31: after a question"),
        ("> Five.", "> [show](#train)\n> [show](#reverse)\n> Five.", "line 32: a revelation has at most one"),
        ("> Five.", "> [look](x)\n> [look](y)\n> Five.", "line 32: a revelation has at most one"),
        ("> Five.", "> [show](#train)", "line 31: a revelation says something"),
        ("A number.", "", "line 33: a step says something"),
        ("## To hand in\n[show](#train)\n\nA number.\n", "", "line 25: the last step is the task"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old, new, said):
    assert old in GOOD
    with pytest.raises(lessons.LessonError, match=re.escape(f"01-x.md, {said}")):
        lessons.parse(GOOD.replace(old, new, 1), "01-x.md")


def test_lessons_are_numbered_without_a_gap(tmp_path):
    (tmp_path / "01-one.md").write_text(GOOD)
    (tmp_path / "03-three.md").write_text(GOOD)
    with pytest.raises(lessons.LessonError, match=r"03-three.md: lesson 2 is called 02-"):
        lessons.load(tmp_path)


X_T, AB = ["msub", ["mi", "x"], ["mi", "t"]], ["mover", ["mi", "α"], ["mo", "¯"]]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x_t = 3.5", [X_T, ["mo", "="], ["mn", "3.5"]]),
        ("√ᾱ_t x_t", [["msqrt", ["msub", AB, ["mi", "t"]]], X_T]),
        ("√{1 - ᾱ}", [["msqrt", ["mrow", ["mn", "1"], ["mo", "−"], AB]]]),
        ("x_0^2", [["msubsup", ["mi", "x"], ["mn", "0"], ["mn", "2"]]]),
        ("x̂^2", [["msup", ["mover", ["mi", "x"], ["mo", "^"]], ["mn", "2"]]]),
        ("{a}/{b}", [["mfrac", ["mrow", ["mi", "a"]], ["mrow", ["mi", "b"]]]]),
        ("a/b", [["mi", "a"], ["mo", "/"], ["mi", "b"]]),
        ('L_"simple"', [["msub", ["mi", "L"], ["mtext", "simple"]]]),
    ],
)
def test_a_formula_becomes_mathml(text, tree):
    assert maths.parse(text) == ["mrow", *tree]


@pytest.mark.parametrize("text", ["x_", "{x", "x}", "√", "^2"])
def test_a_formula_that_is_not_one_is_refused(text):
    with pytest.raises(maths.MathsError):
        maths.parse(text)


def test_symbols_are_listed_with_what_they_are():
    listed = maths.symbols({"x_s": "what is left, <b>now</b>", "ᾱ<1": "a share"})
    left, share = "<dd>what is left, <b>now</b></dd>", "<dd>a share</dd>"
    assert f"<dt><math><mrow><msub><mi>x</mi><mi>s</mi></msub></mrow></math></dt>{left}" in listed
    assert f"<mover><mi>α</mi><mo>¯</mo></mover><mo>&lt;</mo><mn>1</mn></mrow></math></dt>{share}</dl>" in listed


def test_ten_lessons_ship_each_with_questions_and_a_task():
    assert [lesson.number for lesson in LESSONS] == list(range(1, 11))
    for lesson in LESSONS:
        assert 5 <= lesson.minutes <= 10
        assert len([step for step in lesson.steps if step.question]) >= 4
        assert lesson.steps[-1].title.startswith("To hand in: ")


@pytest.fixture(scope="module")
def page():
    return ui.build()


def test_every_button_that_a_lesson_presses_is_on_the_page_under_its_name(page):
    buttons = {b.elem_id: b.value for b in page.blocks.values() if isinstance(b, gr.Button)}
    for _, _, step in STEPS:
        assert set(step.presses) <= set(buttons)
    written = [
        re.findall(r"\[([^\]]+)\]\(press:([^)]+)\)", path.read_text("utf-8")) for path in lessons.FOLDER.glob("*.md")
    ]
    at_once = "Draw both", "mistakes-train"  # what that button is called where nothing is to be trained
    told = {each for found in written for each in found} - {at_once}
    assert all(text == buttons[elem_id] for text, elem_id in told)


def bold(text):
    """What is printed bold in all that a step, or a part of one, says."""
    if isinstance(text, (list, tuple)):
        if len(text) == 2 and text[0] == "b":
            return {text[1]}
        return {each for part in text for each in bold(part)}
    return {each for part in vars(text).values() for each in bold(part)} if hasattr(text, "__dict__") else set()


@pytest.mark.parametrize("language", languages.LANGUAGES)
def test_what_a_lesson_prints_bold_the_page_calls_so(page, language):
    """By the catalogue, whose keys are all texts of the page; [of digits|of pictures]."""
    entries = languages.catalogues()["de" if language == "en" else language]
    either = re.compile(r"\[([^|\]]*)\|[^\]]*\]")
    texts = entries if language == "en" else [either.sub(r"\1", each) for each in entries.values()]
    names = {text.lower() for text in texts} | set(PRESETS) | set(page.links.shipped)
    for lesson in lessons.translated(language):
        for i, step in enumerate(lesson.steps, start=1):
            assert {each for each in bold(step) if each.lower() not in names} == set(), f"{lesson.number}.{i}"


def test_every_link_of_every_step_is_a_state_of_the_page(page):
    links = getattr(page, "links", None)
    if links is None:
        pytest.skip("this page does not read its address yet")
    for number, i, step in STEPS:
        for link in step.links:
            _, _, problems = links.parse(f"{link}{'&' if '?' in link else '?'}lesson={number}.{i}")
            assert problems == [], f"lesson {number}, step {i}: {link}"


def test_what_a_lesson_lets_train_may_be_trained(page):
    asked = {link for _, _, step in STEPS for link in step.links if link.startswith("#train")}
    for link in asked:
        _, given, _ = page.links.parse(link)
        values = page.links.views["train"].defaults(given) | given
        assert request.check(*(values[name] for name in ("preset", "data", "kind", "budget"))).budget == given["budget"]


def test_the_texts_reach_the_reader_as_data(page):
    reader = next(b for b in page.blocks.values() if getattr(b, "elem_id", None) == "lessons")
    assert [lesson["title"] for lesson in reader.value["en"]] == [lesson.title for lesson in LESSONS]
    assert LESSONS[0].steps[0].title not in reader.html_template + str(reader.js_on_load)
