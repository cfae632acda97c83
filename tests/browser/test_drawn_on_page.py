"""A model whose training pictures are not on the server, as a person meets it: CIFAR-10's do not ship."""

import pytest
from helpers.steps import pixels, tab, wait_for_status

from ddpm import DataError, load_dataset

pytestmark = pytest.mark.browser

CAPTION = "text => document.querySelector('#{}-view .pane-{} figcaption')?.textContent.replace(/\\s+/g, ' ') === text"


@pytest.fixture
def page(open_page):
    try:
        load_dataset("cifar10", download=False)
    except DataError:
        page = open_page()
        before = pixels(page, "forward", "x0")
        page.evaluate("location.hash = '#forward/noising?model=cifar10&picture=13'")
        page.wait_for_function(CAPTION.format("forward", "x0"), arg="x₀ drawn: cat")
        assert pixels(page, "forward", "x0") != before, "the last model's picture is gone"
        return page
    pytest.skip("CIFAR-10 is here")


def test_what_it_draws_stands_where_a_picture_would_and_says_so(page):
    first = pixels(page, "forward", "x0")
    assert page.locator("#forward-digit").get_by_text("The pictures this model was trained on are not").is_visible()
    assert page.locator("#forward-view .status.error").count() == 0
    page.get_by_role("button", name="Another picture").click()
    page.wait_for_function(
        "first => document.querySelector('#forward-view .pane-x0 canvas').toDataURL() !== first", arg=first
    )
    page.wait_for_function("!location.hash.includes('picture=13')")
    tab(page, "Edit")
    tab(page, "Inpaint")
    page.wait_for_function(CAPTION.format("inpaint", "own"), arg="Drawn: horse, erase some of it")
    page.locator("#inpaint-fill").click()
    wait_for_status(page, "inpaint", "network evaluation")


def test_the_network_that_is_shown_is_its_own(page):
    tab(page, "The network")
    page.wait_for_function("document.querySelector('#network-view .unet')?.textContent.includes('Conv2d 48 × 32 × 32')")
