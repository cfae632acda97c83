"""The page as one thing, in a real Chromium."""

import os
import subprocess
import sys

import pytest
from helpers.starting import ROOT, development
from helpers.steps import fits_a_laptop, generate, is_inside, playhead, tab, wait_for_status

pytestmark = pytest.mark.browser

COMPARE = ("Vary one setting", "Measure quality", "Compare schedules")
EDIT = ("Inpaint", "Interpolate", "Invert", "Compose")  # beside Draw, which Edit opens with


# Has the statuses that are to be seen say two lines; gives where the timelines are, before and after.
TWO_LINES = """() => {
    const seen = (what) => [...document.querySelectorAll(what)].filter((each) => each.checkVisibility());
    const places = () => seen('.view .timeline').map((each) => each.getBoundingClientRect().top);
    const before = places();
    for (const each of seen('.view .status')) each.textContent = 'What is going on, at length. '.repeat(5);
    return [before, places()];
}"""


def test_each_tab_fits_a_laptop_without_scrolling_whatever_is_said(open_page):
    page = open_page(1280, 800)
    for name in ("Forward", "Reverse", "Train", "Compare", "Edit", *EDIT):
        tab(page, name)
        page.wait_for_timeout(300)
        assert fits_a_laptop(page), name
        before, after = page.evaluate(TWO_LINES)
        assert len(before) > 0 and after == before and fits_a_laptop(page), f"{name}, two lines of status"


@pytest.mark.parametrize("width", [390, 768, 1920])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width, 844)
    for name in ("Forward", "Reverse", "Train", "Compare", *COMPARE, "Edit", *EDIT):
        tab(page, name)
        page.wait_for_timeout(200)
        assert is_inside(page, width, "canvas:visible")


# What of a tab's stage its pictures take, across or down, whichever is more.
FILLED = """(name) => {
    const field = document.querySelector(`#${name}-view .panes`), rect = field.getBoundingClientRect();
    const panes = [...field.querySelectorAll('.pane:not([hidden])')].map((pane) => pane.getBoundingClientRect());
    const [left, top] = ['left', 'top'].map((side) => Math.min(...panes.map((box) => box[side])));
    const [right, bottom] = ['right', 'bottom'].map((side) => Math.max(...panes.map((box) => box[side])));
    return Math.max((right - left) / rect.width, (bottom - top) / rect.height);
}"""


@pytest.mark.parametrize("size", [(1280, 800), (1440, 900), (1920, 1080)])
def test_the_pictures_use_the_stage(open_page, size):
    page = open_page(*size)
    for name, view in (("Reverse", "reverse"), ("Train", "train"), ("Compare", "race")):
        tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate(FILLED, view) > 0.95, name


def test_in_a_large_window_and_on_a_projector_everything_is_larger(open_page):
    """Text, Gradio's controls, the equation, and what is written on a canvas."""
    watched = """() => {
        window.fonts_ = new Set();
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (...args) {
            fonts_.add(parseFloat(this.font) * this.getTransform().a);
            return write.apply(this, args);
        };
        window.dispatchEvent(new Event('resize'));
    }"""
    sizes = """() => [...['#forward-view .readout', '#forward-another', '#forward-digit input', '#forward-margin math',
        '#tabs button'].map((each) => parseFloat(getComputedStyle(document.querySelector(each)).fontSize)),
        Math.max(...fonts_)]"""

    def measured(page):
        page.evaluate(watched)
        page.locator("#forward-view .timeline input").press("ArrowRight")
        return page.evaluate(sizes)

    laptop, large = measured(open_page()), measured(open_page(1920, 1080))
    assert [b / a for a, b in zip(laptop, large, strict=True)] == pytest.approx([1.25] * len(laptop), rel=0.01)
    page = open_page(1600, 900)
    page.evaluate("document.body.dataset.size = 'projector'")
    assert [b / a for a, b in zip(laptop, measured(page), strict=True)] == pytest.approx([1.25] * len(laptop), rel=0.01)


PRIMARY = {"Forward": "forward-another", "Reverse": "reverse-generate", "Train": "train-start", "Compare": "race-race"}


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_what_a_tab_is_begun_with_is_in_sight(open_page, size):
    page = open_page(*size)
    for name, button in (PRIMARY | {"Edit": "draw-denoise"}).items():
        tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate("scrollY") == 0
        seen = page.locator(f"#{button}").evaluate(
            "(b) => { const { x, y, width, height } = b.getBoundingClientRect();"
            " return b === document.elementFromPoint(x + width / 2, y + height / 2); }"
        )
        assert seen, name


def test_a_chart_says_the_values_at_the_pointer(open_page):
    page = open_page()
    track = page.locator("#forward-view .track").bounding_box()
    page.mouse.move(track["x"] + 44 + (track["width"] - 58) / 2, track["y"] + 40)
    said = page.locator("#forward-view .track .values").inner_text().split("\n")
    t = int(said[0].removeprefix("t = "))
    assert 490 < t < 510
    signal, noise = (float(line.split()[-1]) for line in said[1:3])
    assert said[1].startswith("√ᾱ") and signal**2 + noise**2 == pytest.approx(1, abs=0.003) and 0.69 < signal < 0.73
    page.mouse.move(0, 0)
    assert page.locator("#forward-view .track .values").is_hidden()
    tab(page, "Compare")
    tab(page, "Measure quality")
    chart = page.locator("#quality-view canvas").first.bounding_box()
    page.mouse.move(chart["x"] + chart["width"] / 2, chart["y"] + 40)
    assert page.locator("#quality-view .values:visible").inner_text().startswith("NFE per sample: ")


def test_a_result_prints_as_one_page(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=2, n=16)
    wait_for_status(page, "reverse", "^2 steps")
    page.emulate_media(media="print")
    assert not page.locator("#reverse-generate, #tabs [role=tab], #reverse-view .play").locator("visible=true").count()
    for part in ("#reverse-view .pane-x canvas", "#reverse-view .track canvas", "#reverse-margin math"):
        assert page.locator(part).locator("visible=true").count(), part
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


def test_a_finger_that_scrolls_over_the_timeline_does_not_move_it(open_page):
    page = open_page(390, 844, has_touch=True, is_mobile=True)
    box, client = page.locator("#forward-view .track").bounding_box(), page.context.new_cdp_session(page)
    before = playhead(page, "forward").input_value()

    def touch(kind, *points):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    x, y = box["x"] + 0.8 * box["width"], box["y"] + 40
    touch("touchStart", (x, y))
    for k in range(1, 9):
        touch("touchMove", (x, y - 30 * k))
        page.wait_for_timeout(16)
    touch("touchEnd")
    page.wait_for_function("scrollY > 0")
    assert playhead(page, "forward").input_value() == before


def test_the_stage_keeps_its_size_when_frames_arrive(open_page):
    page = open_page()
    tab(page, "Reverse")
    before = page.locator("#reverse-view .panes").bounding_box()
    generate(page, steps=2, n=16)
    wait_for_status(page, "reverse", "^2 steps")
    assert page.locator("#reverse-view .panes").bounding_box() == before


@pytest.mark.parametrize("module", ["benchmarks.page_smoothness", "benchmarks.load"])
def test_the_documented_benchmarks_find_their_modules(module):
    """Run as in a shell, beside nothing that pytest puts on the path."""
    development("playwright")
    code = f"import {module}"  # -c looks where -m does: in the folder that it is run in
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Whether a font's table MATH is at work: only it makes the sign of a sum larger where it stands alone.
SUM = """(font) => {
    const at = document.querySelector("#forward-margin"), height = (display) => {
        const math = document.createElementNS("http://www.w3.org/1998/Math/MathML", "math");
        math.innerHTML = "<mo>∑</mo>";
        math.setAttribute("display", display);
        if (font) math.style.fontFamily = font;
        at.append(math);
        const { height } = math.firstChild.getBoundingClientRect();
        math.remove();
        return height;
    };
    return height("block") / height("inline");
}"""


def test_equations_are_set_in_the_pages_own_font(open_page):
    page = open_page()
    page.evaluate("document.fonts.ready")
    assert page.evaluate("""document.fonts.check('16px "ddpm math"', '√ᾱ')""")
    assert page.evaluate(SUM, None) > 1.2 > page.evaluate(SUM, "sans-serif")


GREYS = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(data.filter((_, i) => i % 4 === 0)).size;
}"""


def test_before_there_is_anything_one_sees_noise_and_reverse_begins_by_itself(open_page):
    page = open_page()
    for name, view in (("Train", "train"), ("Compare", "race")):
        tab(page, name)
        assert page.locator(f"#{view}-view .pane canvas:visible").first.evaluate(GREYS) > 100, name
    moving = open_page(reduced_motion="no-preference")
    tab(moving, "Reverse")
    wait_for_status(moving, "reverse", "^15 steps")
