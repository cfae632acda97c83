"""axe-core over every tab and the lessons, light and dark."""

from pathlib import Path

import pytest
from helpers.starting import development
from helpers.steps import generate, leave_out_evaluation, start_training, tab, wait_for_status

pytestmark = pytest.mark.browser

# Gradio's own markup, which we cannot mend from here: (rule, a piece of its HTML).
GRADIO = [
    ("color-contrast", 'data-testid="max-value"'),  # the grey ends of its sliders
    ("color-contrast", 'data-testid="min-value"'),
]


@pytest.fixture(scope="session")
def axe():
    package = development("axe_playwright_python")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_finding(open_page, axe, theme):
    page = open_page(color_scheme=theme)
    found = []

    def look(where):
        page.mouse.move(0, 0)
        page.wait_for_timeout(400)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert result["passes"]
        for rule in result["violations"]:
            assert rule["id"] != "heading-order", f"{where}: {rule['nodes'][0]['html']}"
            if rule["impact"] in ("serious", "critical"):
                found.extend((where, rule["id"], node["html"]) for node in rule["nodes"])

    page.goto(f"{page.url.split('?')[0]}?__theme={theme}")
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    page.evaluate(axe)
    look("Forward")
    for name in ("Step by step or at once", "The posterior", "Denoise it", "Latent space", "Common mistakes"):
        tab(page, name)
        look(name)
    tab(page, "Reverse")
    generate(page, steps=3)
    wait_for_status(page, "reverse", "^3 steps")
    look("Reverse")
    page.locator("#reverse-view .pane-x canvas").click()
    look("Reverse, enlarged")
    page.keyboard.press("Escape")
    start_training(page, 5)
    leave_out_evaluation(page)
    look("Train")
    page.locator("#train-margin .levels button").nth(5).click()
    look("Train, a noise level")
    page.keyboard.press("Escape")
    for name in ("Compare", "Vary one setting", "Measure quality", "Compare schedules"):
        tab(page, name)
        look(name)
    tab(page, "Edit")
    wait_for_status(page, "draw", r"^\d+ steps: ")  # it denoises at once, and Stop fades while it changes
    look("Draw")
    for name, go in (("Inpaint", "fill"), ("Interpolate", "walk"), ("Invert", "invert"), ("Compose", "compose")):
        tab(page, name)
        page.click(f"#{name.lower()}-{go}")
        wait_for_status(page, name.lower(), r"^\d+ steps: ")
        look(name)
    page.get_by_role("button", name="Lessons", exact=True).click()
    look("Lessons")
    page.locator(".reader .list button").first.click()
    page.get_by_role("button", name="Next").click()
    look("Lessons, a question")
    page.locator(".reader .scale input").fill("495")
    page.get_by_role("button", name="This is my guess").click()
    page.locator(".reader .verdict.right").wait_for()
    look("Lessons, answered")
    ours = [each for each in found if not any(each[1] == rule and piece in each[2] for rule, piece in GRADIO)]
    assert ours == []
