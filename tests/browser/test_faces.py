"""A model of faces: a choice of each attribute where digits have a class, in colour; what says digit says picture."""

import pytest
from helpers.steps import choose, generate, is_inside, pixels, status, tab, wait_for_change, wait_for_status

pytestmark = pytest.mark.browser


def test_attributes_are_chosen_drawn_linked_and_edited(open_page, server):
    page = open_page()
    page.goto(f"{server}/#reverse?model=faces&class=hair:+long&steps=4")
    hair, hat = (page.locator(f"#tabs select[aria-label={name}]:visible") for name in ("hair", "hat"))
    page.wait_for_function("document.querySelector('select[name=hair]')?.value === 'long'")
    assert page.locator("#reverse-class").is_hidden() and page.get_by_label("Pictures", exact=True).is_visible()
    for width, height in ((390, 844), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        assert is_inside(page, width, "#reverse-generate, .attributes:visible select")
    hat.select_option("yes")
    generate(page, steps=4)
    wait_for_status(page, "reverse", "^4 steps")
    asked = pixels(page, "reverse", "x")
    page.wait_for_function("location.hash.includes('class=hair%3A+long,+hat%3A+yes')")
    hair.select_option("")
    hat.select_option("")
    page.click("#reverse-generate")
    wait_for_change(page, "reverse", "x", asked)
    wait_for_status(page, "reverse", "^4 steps")
    page.wait_for_function("location.hash.includes('class=none')")

    tab(page, "Edit")
    tab(page, "Invert")
    page.wait_for_function("document.querySelector('#invert-view .pane-x figcaption')?.textContent.includes('picture')")
    assert page.get_by_label("its own").locator("visible=true").is_checked()
    page.locator("#invert-steps input[type=number]").fill("4")
    page.click("#invert-invert")
    wait_for_status(page, "invert", "^8 steps")
    assert "hat" in page.locator("#invert-view .pane-x canvas").get_attribute("aria-label")
    choose(page, "weights", "mnist")
    page.wait_for_function("document.querySelector('#invert-view .status')?.textContent.includes('digit')")
    assert page.locator("#invert-class").is_visible() and page.locator(".attributes:visible").count() == 0
    assert "error" not in status(page, "invert").get_attribute("class")
