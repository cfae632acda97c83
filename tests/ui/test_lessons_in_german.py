"""The lessons in German: the same steps as in English, of which only the words differ."""

import re
from collections import Counter

import pytest

from ddpm.ui.components import lessons

ENGLISH, GERMAN = lessons.FOLDER, lessons.FOLDER / "de"
NAMES = sorted(path.name for path in ENGLISH.glob("*.md"))


def read(folder, name, change=lambda text: text):
    return lessons.parse(change((folder / name).read_text(encoding="utf-8")), name)


def marked(text):
    """Formulas and code of a text, in any order: a sentence in German may turn them round."""
    return Counter(str(each) for each in text if each[0] in ("math", "code"))


def numbers(text):
    """The numbers of a text.  English has a comma between thousands, German a no-break space; both have the point."""
    words = " ".join(each if isinstance(each, str) else each[1] for each in text if each[0] != "math")
    return Counter(re.sub(r"[,\u00a0]", "", each) for each in re.findall(r"\d+(?:[.,\u00a0]\d+)*", words))


def says(text):
    return marked(text), numbers(text)


def blocks(found):
    """Of each block all but its words."""
    return [says(b[1]) if b[0] == "p" else b if b[0] == "math" else ("press", b[2]) for b in found]


def asks(question):
    limits = question.range and {key: question.range[key] for key in ("value", "within", "from", "to")}
    return says(question.text), [(*says(text), right) for text, right in question.choices], limits


def skeleton(lesson):
    """All of a lesson but its words."""
    steps = [
        (
            step.links,
            step.presses,
            step.looks,
            blocks(step.blocks),
            step.question and asks(step.question),
            step.reveal and blocks(step.reveal.blocks),
        )
        for step in lesson.steps
    ]
    return lesson.number, lesson.minutes, steps


def test_every_lesson_has_its_german_file_which_the_english_ones_do_not_mix_with():
    assert len(NAMES) == 10 and sorted(path.name for path in GERMAN.iterdir()) == NAMES
    assert len(lessons.load()) == len(lessons.load(GERMAN)) == len(NAMES)
    assert all(step.title.startswith("Zum Abgeben: ") for step in (each.steps[-1] for each in lessons.load(GERMAN)))


@pytest.mark.parametrize("name", NAMES)
def test_steps_links_answers_numbers_and_formulas_are_the_same(name):
    assert skeleton(read(GERMAN, name)) == skeleton(read(ENGLISH, name))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_in_english(name):
    def words(lesson):
        yield lesson.title, lesson.audience
        for step in lesson.steps:
            yield step.title
            parts = [*step.blocks, *(step.reveal.blocks if step.reveal else [])]
            yield from (str(block) for block in parts if block[0] == "p")
            yield from [str(step.question.text)] if step.question else []

    both = zip(words(read(GERMAN, name)), words(read(ENGLISH, name)), strict=True)
    assert [german for german, english in both if german == english] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[show](#forward/noising?t=495)", "[show](#forward/noising?t=496)"),
        ("t = 495 ± 45, from", "t = 495 ± 44, from"),
        ("- [ ] 0.5\n- [x] 1", "- [x] 0.5\n- [ ] 1"),
        ("$x_t = √ᾱ_t x_0 + √{1 − ᾱ_t} ε$", "$x_t = √ᾱ_t x_0 − √{1 − ᾱ_t} ε$"),
        ("0.34", "0.43"),
        ("minutes: 6", "minutes: 7"),
    ],
)
def test_what_differs_is_noticed(old, new):
    assert old in (GERMAN / NAMES[0]).read_text(encoding="utf-8")
    changed = read(GERMAN, NAMES[0], lambda text: text.replace(old, new, 1))
    assert skeleton(changed) != skeleton(read(ENGLISH, NAMES[0]))
