"""Copying or creating: from a finished generation to its nearest training pictures, and out again."""

import pytest
from helpers.steps import generate, is_inside, tab, wait_for_status

pytestmark = pytest.mark.browser


def test_the_nearest_training_pictures_of_samples(open_page):
    page = open_page()
    tab(page, "Reverse")
    opener = page.locator("#reverse-view .transport button", has_text="Copies?")
    assert opener.is_disabled() and "Press Generate first" in opener.get_attribute("title")
    generate(page, steps=4)
    wait_for_status(page, "reverse", "^4 steps")
    opener.click()
    dialog = page.locator(".neighbours")
    dialog.locator(".sample:nth-child(4) .three:nth-child(2) canvas >> nth=2").wait_for()
    assert "of 4" in dialog.locator(".verdict").text_content()
    assert "10,000" in dialog.locator(".hint").text_content()
    for width, height in ((390, 844), (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        assert is_inside(page, width, ".neighbours, .neighbours canvas")
    stop = dialog.get_by_role("button", name="Stop")  # the classifier may have read all training pictures before
    (stop if stop.is_visible() else dialog.get_by_role("button", name="Close")).click()
    assert dialog.is_hidden()
    opener.click()
    dialog.locator(".sample:nth-child(4) .three:nth-child(2) canvas >> nth=2").wait_for()
