"""Name the mistake in a real Chromium: a round, an answer, the score."""

import pytest
from helpers.steps import another_run, fits_a_laptop, is_inside, pixels, playhead, status, tab, wait_for_status

pytestmark = pytest.mark.browser


def open_naming(open_page, size=(1280, 800)):
    page = open_page(*size)
    tab(page, "Name the mistake")
    page.wait_for_selector("#naming-view canvas")
    return page


def choices(page):
    return page.locator("#naming-view .naming button")


def draw(page):
    another_run(page, "naming", lambda: page.click("#naming-draw"))
    wait_for_status(page, "naming", "^Which mistake was it")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_rounds_are_drawn_named_and_counted(open_page, size):
    page = open_naming(open_page, size)
    told = page.locator("#naming-margin .slip:visible")
    assert choices(page).count() == 5 and not any(each.is_enabled() for each in choices(page).all())
    right = 0
    for i in range(2):
        draw(page)
        assert told.count() == 0, "nothing is told before the answer"
        choices(page).nth(0).focus()
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelectorAll('#naming-margin .slip:not([hidden])').length === 1")
        was_right = status(page, "naming").inner_text().startswith(("Right", "There was no mistake"))
        right += status(page, "naming").inner_text().startswith("Right")
        assert page.locator("#naming-view .score").inner_text() == f"{right} of {i + 1} right"
        assert told.locator("pre.right").is_visible() and "Recognise it" in told.inner_text()
        assert told.locator("pre.wrong").count() == (0 if was_right else 1)
        assert not any(each.is_enabled() for each in choices(page).all())
        last = pixels(page, "naming", "x")
        playhead(page, "naming").press("Home")
        assert pixels(page, "naming", "x") != last
    assert is_inside(
        page, size[0], "#naming-view canvas:visible, #naming-view button:visible, #naming-margin math:visible"
    )
    for told_of in page.locator("#naming-margin .slip").all():
        page.evaluate(
            "(it) => { for (const each of it.parentNode.children) each.hidden = each !== it }",
            told_of.element_handle(),
        )
        assert told_of.is_visible()
        assert size[0] < 1280 or fits_a_laptop(page), "each mistake's text beside the stage, whichever the rounds drew"
