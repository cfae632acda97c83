"""The code behind the page in a real Chromium: the source beside its equation, and what is copied as Python, run."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.starting import ROOT
from helpers.steps import generate, is_inside, playhead, save, tab, wait_for_status

from ddpm import from_uint8, load_dataset, make_schedule, q_sample, to_uint8
from ddpm.schedule import SCHEDULES
from ddpm.ui.components.pictures import noise_of, noise_packet, of_data
from ddpm.ui.generation.models import ModelRegistry, pictures_of

pytestmark = pytest.mark.browser

MIXED = """async ([packet, asked]) => {
    const { mix, toPixels, unpack } = await import(new URL("./scripts/components/mixing.js", document.baseURI));
    return asked.map(([t, kind]) => [...toPixels(mix(unpack(packet), t, kind))]);
}"""


def test_a_function_opens_beside_its_equation_and_lights_its_terms(open_page):
    page = open_page()
    opener = page.locator("#forward-margin button.opens")
    assert opener.get_attribute("aria-expanded") == "false"
    opener.focus()
    page.keyboard.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true"
    listing = page.locator("#forward-margin .listing")
    said = listing.locator(".line").last.text_content()
    assert said.strip().startswith("return gather(sched.sqrt_alphas_bar, t") and "* x0" in said
    link = listing.get_by_role("link", name="Ho et al. 2020")
    assert link.get_attribute("href") == "https://arxiv.org/abs/2006.11239"
    assert link.get_attribute("target") == "_blank" and "noopener" in link.get_attribute("rel")

    playhead(page, "forward").press("End")
    page.wait_for_function("document.querySelector('#forward-margin .listing .now')?.textContent === '999'")

    lit = "[...document.querySelectorAll('#forward-margin .listing .term.lit')].map((node) => node.textContent)"
    page.locator("#forward-margin math [data-term='ε']").first.hover()
    assert set(page.evaluate(lit)) == {"noise"}
    page.locator("#forward-margin math [data-term='x_0']").first.focus()
    assert set(page.evaluate(lit)) == {"x0"}
    listing.locator(".term", has_text="sqrt_one_minus_alphas_bar").hover()
    there = "[...document.querySelectorAll('#forward-margin math .lit')].map((node) => node.dataset.term)"
    assert set(page.evaluate(there)) == {"√(1−ᾱ_t)"}
    listing.locator("pre").focus()
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    assert "x_t" in page.evaluate(there) and "current" in listing.locator(".line").last.get_attribute("class")
    page.keyboard.press("Escape")
    assert listing.is_hidden() and opener.evaluate("node => node === document.activeElement")


def test_a_long_function_stays_within_a_phone(open_page):
    page = open_page(390, 844)
    tab(page, "Reverse")
    page.locator("#reverse-margin button.opens:visible").first.click()
    assert is_inside(page, 390, "#reverse-margin .listing:visible")
    assert page.locator("#reverse-margin .listing:visible pre").bounding_box()["height"] < 500


def test_the_page_noises_a_digit_to_the_pixel_as_python_does(open_page):
    """At every 37th t of every schedule: x_t is not sent by the server."""
    model = ModelRegistry().get("mnist")
    asked = [[t, kind] for kind in SCHEDULES for t in range(0, 1000, 37)]
    found = open_page().evaluate(MIXED, [of_data(pictures_of(model), 7) | noise_packet(model, 3), asked])
    x0, eps = from_uint8(load_dataset("bundled").images[7:8]), noise_of(model, 3)
    for (t, kind), pixels in zip(asked, found, strict=True):
        x_t = q_sample(x0, torch.tensor([t]), eps, make_schedule(kind=kind))
        assert pixels == to_uint8(x_t).flatten().tolist(), (t, kind)


def copied(page, name):
    """What the menu of a tab's view puts on the clipboard."""
    page.locator(f"#{name}-view").get_by_role("button", name="Save", exact=True).click()
    page.locator(f"#{name}-view .menu").get_by_role("button", name="Copy as Python", exact=True).click()
    wait_for_status(page, name, "^Copied \\d+ lines")
    return page.evaluate("navigator.clipboard.readText()")


def test_copied_python_draws_the_same_pixels(open_page, tmp_path):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert copied(page, "forward").startswith("# Forward, noised, t = 250, noise 0.")
    tab(page, "Step by step or at once")
    page.click("#chain-add")
    wait_for_status(page, "chain", "^The same distribution")
    assert copied(page, "chain").startswith("# Step by step and at once, t = 999, noise 0.")
    tab(page, "Latent space")
    assert copied(page, "latent").startswith("# Latent space, t = 400, noise 0.")
    tab(page, "Compare")
    tab(page, "Compare schedules")
    assert copied(page, "schedules").startswith("# Compare schedules, t = 500, noise 0.")
    tab(page, "Reverse")
    generate(page, steps=4, n=3, seed=5)
    wait_for_status(page, "reverse", "^4 steps")
    shown = save(page, "PNG").path()
    text = copied(page, "reverse").replace("again.png", str(tmp_path / "again.png"))
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), np.asarray(Image.open(shown)))
    assert save(page, "Notebook (.ipynb)").suggested_filename.endswith(".ipynb")
