"""The page as one thing, in a real Chromium."""

import os
import subprocess
import sys

import pytest
from helpers.starting import ROOT, development
from helpers.steps import fits_a_laptop, generate, is_inside, tab, wait_for_status

pytestmark = pytest.mark.browser

COMPARE = ("Vary one setting", "Measure quality", "Compare schedules")
EDIT = ("Inpaint", "Interpolate", "Invert", "Compose")  # beside Draw, which Edit opens with


@pytest.mark.parametrize("name", ["Forward", "Reverse", "Train", "Compare", "Edit", *EDIT])
def test_each_tab_fits_a_laptop_without_scrolling(open_page, name):
    page = open_page(1280, 800)
    if name in EDIT:
        tab(page, "Edit")
    tab(page, name)
    page.wait_for_timeout(300)
    assert fits_a_laptop(page)


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
