"""The header's menu, and what opens from it, in a real Chromium."""

import pytest
from helpers.steps import tab

pytestmark = pytest.mark.browser


def test_the_menu_opens_the_papers_and_the_card_of_the_model_that_is_chosen(open_page):
    page = open_page()
    page.get_by_role("button", name="Help", exact=True).click()
    page.locator(".help .menu").get_by_role("button", name="Papers").click()
    dialog = page.locator("dialog.help-text")
    paper = dialog.get_by_role("link", name="Denoising Diffusion Probabilistic Models", exact=True)
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2006.11239"
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")  # an event later
    assert page.evaluate("document.activeElement.textContent") == "Help"
    page.locator("#weights input").click()
    page.get_by_role("option", name="mnist-latent", exact=True).click()
    page.get_by_role("button", name="The model’s card").first.click()
    assert dialog.locator("dd").nth(1).inner_text() == "mnist, 32 × 32, in latent space"
    page.keyboard.press("Escape")
    tab(page, "Reverse")
    more = page.locator("#reverse-more .label-wrap")
    assert more.get_attribute("aria-expanded") == "false"
    more.click()
    page.wait_for_function("document.querySelector('#reverse-more .label-wrap').ariaExpanded === 'true'")


def test_a_phone_has_the_language_in_the_menu(open_page):
    page = open_page(390, 844)
    assert page.locator("#top .language:visible").count() == 0
    for offered, other, begun in (("Deutsch", "English", "Hilfe"), ("English", "Deutsch", "Help")):
        page.locator("#help .help > button").last.click()
        menu = page.locator(".help .menu")
        assert menu.get_by_role("button", name=other, exact=True).count() == 0
        menu.get_by_role("button", name=offered, exact=True).click()
        page.get_by_role("button", name=begun, exact=True).wait_for()
    assert page.evaluate("localStorage['ddpm-language']") == '{"language":"en"}'
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("button", name="Help", exact=True).click()
    assert page.locator(".help .menu").get_by_role("button", name="Deutsch").count() == 0
