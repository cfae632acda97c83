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
