"""The catalogues: nothing of the page is without an entry, no entry is idle, and what varies is in both languages."""

import re
import shutil

import pytest
from helpers.wording import EITHER, HOLE, INSIDE, UI, Reading, holes, literals, of_page, of_python, of_script

from ddpm.idx import CLASSES
from ddpm.ui import links, page
from ddpm.ui.components import help, languages, lessons

CATALOGUES = languages.catalogues()
# Of these modules nothing reaches the page: what is said to whoever starts a server, writes a lesson, or reads a log.
UNSEEN = {"address.py", "environment.py", "hosting.py", "lessons.py", "limits.py", "maths.py", "protocol.py"}
UNSEEN |= {"scripts.py", "source.py", "symbols.py"}
# Names, code, and what only scripts, styles or logs read.
UNSHOWN = {
    "α_{ts}, β_{ts}",
    *("ts", "ABCD", "English", "Deutsch", "Picture{}", "GIF", "RIFF", "ANIM", "seeds", "between", "channels"),
    *("line quiet", "noopener noreferrer", "(max-width: 699px)", "calc(8px + {}ch)", "#train-margin .levels"),
    *("{} { display: none !important; }", "script, style, code, pre, math, textarea, [translate=no]"),
    *("TimeEmbedding", "ResBlock", "Attention", "Conv2d", "ConvTranspose2d", "mnist", "own pictures"),  # as in the code
    *help.TITLES.values(),
    *("ddpm trajectory", "label dropout {:g}", "the Train tab: {}", "a saved training run could not be read"),
    *(
        "None",
        "if time % {} == {}:",
        "sweeping the runs",
        "the engine's thread has ended",
        "a step has not ended for {} seconds",
        "a job failed",
    ),
    "FID / real-data FID of {} samples, its error, and the class accuracy.",
    "A training run could not be saved, and would not outlive this server: %s",
}
# Sentences that are put together of several literals, as they come out.
WHOLE = [
    "15 steps, guided: 30 network evaluations, about 0.3 s here.",
    "1 step: 1 network evaluation, about 0.1 s here.",
    "15 steps, 5 of them guided, all but the last asking twice: 39 network evaluations, about 0.3 s here.",
    "Two networks in turn, 400 steps each, about 9 s here.",
    "branch: class 3, DDPM, seed 7, guidance 2, η 0.5, small variance, clip False, guided in the middle: True",
    "branch: large variance, clip True, guided in the middle: False",
    "The branch's x̂₀ is classified as 3 from t = 500 on; the classifier is 99 % certain at the end.",
    "Its x̂₀ is classified as 3 from the first on; the classifier is 99 % certain at the end.",
    "t = 300: classified as 3, 98 % certain",
    "x₀ the digit: 3: classified as 3, 4",
    "mean: two draws, mean, variance",
    "one jump: four draws, mean, variance",
    "steps: three draws, mean, variance",
    "steps: no draws, mean, variance",
    "Opened: 15 moments of 16 digits. Play it, or branch from any of them.",
    "Opened: 15 moments of 16 digits. It plays, but nothing branches from it: its weights (mine) are not here.",
    "Settings restored from that file.",
    "Settings restored, but its weights are not here.",
    "In pixels about 700 digits a second here: legible after about 10 s.",
    "In latent space about 700 digits a second here: legible after about 10 s.",
    "In pixels about 700 digits a second here: 2 min to see the 10,000 bundled ones once.",
    "In latent space about 700 digits a second here: 2 min to see the 10,000 bundled ones once.",
    "Asked for ε, the network has 40% of its loss at t < 300 and 12% at t ≥ 700: ε is plain where xₜ is nearly all "
    "noise, and cannot be known where hardly any is left. Since 10 s the mean has fallen by 12%.",
    "Since 10 s the mean has only fallen by 3%: much of what is left, nobody could predict.",
    "Since 10 s the mean has hardly moved: much of what is left, nobody could predict.",
    "Since 10 s the mean has only fallen by 3%, yet by 9% at t = 0 to 99, where edges are drawn: that is what you see "
    "improve.",
    "Since 10 s the mean has hardly moved, yet by 9% at t = 0 to 99, where edges are drawn: that is what you see "
    "improve.",
    "Under More: Learning rate: a number from 0 to 1, please.",
    "Seconds: a number from 1 to 600, please.",
    "A training run is under way on this server, which is as much as it takes. Try again a little later.",
    "4 training runs are under way on this server, which is as much as it takes. Try again a little later.",
    "Stopped: 7. The weights of step 300 are kept.",
    "Stopped: 7. No weights are left.",
    "20 s left: step 100, 3,200 digits seen, 700 a second, loss 0.123",
    "20 s left for each: in pixels 3,200 digits seen, loss none yet; in latent space 3,200 digits seen, loss 0.1",
    "Not all of this link can be shown. w=0: a whole number from 1 to 1000, please; w=9: a number from 0 to 5 in "
    "steps of 0.1, please; x=1: 2 numbers with commas, each a whole number from 0 to 255, please; and 2 more. "
    "The defaults are in place.",
    "Not all of this link can be shown. w=x: one of 1, 2, please. The defaults are in place.",
    "Lane A. Steps: a whole number from 1 to 1000, please.",
    "Sampler: one of 1, 2, please.",
    "guidance 1.5, η 0.7, evenly in t",
    "10 network evaluations a lane; 2 still running",
    "15 evals",
    "ᾱ cosine",
    *(
        "1 component",
        "9 components",
        "1 evaluation",
        "15 evaluations",
        "Stopped at step 3 of 15: 1 network evaluation, 1 s.",
    ),
    "99.0 % (98.0 % to 99.5 %)",
    "The lines: {}, written by {}",
    "DDIM, 15 steps, eta 0.7, guidance 1.5, linspace",
    "loss, pixels",
    *(f"Training, {state}" for state in ("encoding", "waiting", "evaluating", "paused", "20 s left")),
    "loss, latents",
    "as asked, latents",
    "z₀ the branch's",
    "zₜ the branch's",
    "ẑ₀ the branch's",
    "ε̂ the branch's",
    "loss, other run",
    "length 0.99",
    "told 3",
    "row 3, column 4",
    "Show in ▾",
    "Changed since this result: Lanes, Steps and 2 more",
    *("number input for 7", "range slider for 7", "Reset to default value"),  # Gradio's own
    "picture=70000: this model's data set ends at 60000",
    "No sign of copying: 1 of 16 is nearer to a training picture than 95 % of real ones; "
    "by chance it would be about 1.",
    "No sign of copying: 0 of 16 are nearer to a training picture than 95 % of real ones; "
    "by chance it would be about 1.",
    "9 of 16 are training pictures, as far as can be seen. 0.1% of real pictures are, too.",
    "1 of 16 is a training picture, as far as can be seen.",
    "9 of 16 are nearer to a training picture than 95 % of real ones; by chance it would be about 1.",
    "9 of 16 are farther from every training picture than 95 % of real ones; by chance it would be about 1.",
]

HALF = re.compile(r"\b(the|of|and|with|which|each|are)\b")  # in what should be German: only a part of it is
ENGLISH = re.compile(r"\b(the|of|and|with|from|steps?|digits?|evaluations?)\b")


@pytest.fixture(scope="module")
def texts():
    """(where, text) of all that the page may say, {} being what varies."""
    found = list(of_page(page.build()))
    for path in sorted(UI.rglob("*.js")):
        found += [(f"{path.name}:{line}", text) for line, text in of_script(path.read_text(encoding="utf-8"))]
    for path in sorted(UI.rglob("*.py")):
        if path.name not in UNSEEN:
            code = path.read_text(encoding="utf-8")
            found += [(f"{path.name}:{line}", text) for line, text in of_python(code, path.name == "as_python.py")]
    return found


def example(text):
    return text.replace(HOLE, "7")


def apart(reading, text):
    """The pieces of a sentence with elements in it, as the page reads them where the whole has no entry."""
    parts = [reading.find(piece.strip()) for piece in text.split(INSIDE)]
    return None if None in parts or len(parts) == 1 else " ".join(parts)


def untranslated(entries, texts):
    """What a catalogue has nothing for, and the entries that nothing has a use for."""
    reading = Reading(entries)
    missing = [text for text in WHOLE if ENGLISH.search(reading.find(text) or "the")]
    wholes = WHOLE + [text for _, text in texts if INSIDE in text]
    for where, text in texts:
        piece = re.compile(".*".join(map(re.escape, text.split(HOLE))))
        found = reading.find(example(text)) or apart(reading, text)
        within = found is None and any(whole != text and piece.search(whole) for whole in wholes)
        if text in UNSHOWN or (found and not HALF.search(found)) or within:
            continue
        missing.append(f"{where}: {text}")
    for path in sorted(UI.rglob("*.js")):
        for each in literals(path.read_text(encoding="utf-8"))[0]:
            for text in each[2]:
                reading.find(example(" ".join(text.split())))
    for name in CLASSES["fashion"]:
        reading.find(name)
    return missing, sorted(set(entries) - reading.used)


@pytest.mark.parametrize("name", CATALOGUES)
def test_the_page_is_in_the_catalogue(name, texts):
    missing, idle = untranslated(CATALOGUES[name], texts)
    assert not missing, "\n".join(missing)
    assert not idle, "\n".join(idle)


def test_what_is_missing_or_idle_is_found(texts):
    entries = dict(CATALOGUES["de"])
    del entries["Copy link"], entries["Seed"], entries["DDIM, Song et al. 2021, Eq. 12 and 16: {}"]
    missing, idle = untranslated(entries | {"Of nothing": "Von nichts"}, texts)
    assert {"Copy link", "Seed"} <= {text.partition(": ")[2] for text in missing}
    assert any(f"Eq. 12 and 16: {INSIDE}" in text for text in missing), "a sentence with an element in it"
    assert "Of nothing" in idle and "Copy as Python" not in idle


@pytest.mark.parametrize("name", CATALOGUES)
def test_what_varies_is_in_both(name):
    for english, other in CATALOGUES[name].items():
        numbered = [hole for hole in holes(other) if hole != HOLE]
        assert "{#}" not in other, english
        if numbered:
            assert sorted(holes(other)) == [f"{{{i + 1}}}" for i in range(len(holes(english)))], english
        else:
            assert len(holes(other)) == len(holes(english)), english
        assert " ".join(english.split()) == english and english and other, english


@pytest.mark.parametrize("name", CATALOGUES)
def test_digits_are_pictures_where_the_model_draws_no_digits(name):
    """[of digits|of pictures]; what speaks of MNIST's own digits stays."""
    for english, other in CATALOGUES[name].items():
        assert other.count("[") == other.count("]") and len(EITHER.findall(other)) == other.count("|"), english
        if re.search(r"\bdigits?\b", english, re.I) and not re.search("MNIST|[Bb]undled", english):
            assert EITHER.search(other), english


@pytest.mark.slow
def test_a_lesson_that_is_not_translated_is_the_english_one(tmp_path):
    shutil.copytree(lessons.FOLDER, tmp_path / "lessons")
    (tmp_path / "lessons" / "de" / "02-why-one-jump-is-enough.md").unlink()
    found = lessons.translated("de", tmp_path / "lessons")
    assert [lesson.number for lesson in found if lesson.language == "en"] == [2]
    assert found[1] == lessons.load()[1] and all(lesson.language == "de" for lesson in lessons.translated("de"))
    (tmp_path / "lessons" / "de" / "99-of-nothing.md").write_text("title: Nichts", encoding="utf-8")
    with pytest.raises(lessons.LessonError, match="there is no lesson of that name"):
        lessons.translated("de", tmp_path / "lessons")


def test_a_link_names_a_language():
    for name in languages.LANGUAGES:
        view, values, problems = links.parse(f"#reverse?lang={name}")
        assert (view, values["lang"], problems) == ("reverse", name, [])
    *_, values, problems = links.parse("#reverse?lang=xx")
    assert "lang" not in values and problems == ["lang=xx: one of en, de, please"]
