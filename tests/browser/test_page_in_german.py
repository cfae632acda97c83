"""The page in another language: no English is left on it, and it goes back to English."""

import pytest
from helpers.wording import Reading

from ddpm.ui import links
from ddpm.ui.components import languages

pytestmark = pytest.mark.browser
SILENT = "script, style, code, pre, math, [translate=no]"
SHOWN = f"""() => {{
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {{
    const parent = node.parentElement;
    if (!parent.closest("{SILENT}") && parent.checkVisibility({{ visibilityProperty: true }})) found.push(node.data);
  }}
  for (const node of document.querySelectorAll("[title], [aria-label], input[role=combobox]")) {{
    if (!node.checkVisibility()) continue;
    found.push(...["title", "aria-label"].map((name) => node.getAttribute(name) || ""));
  }}
  return found.map((text) => text.trim().replace(/\\s+/g, " "));
}}"""
OPEN = """(prefix) => document.querySelector(`#${prefix}-view`)?.checkVisibility()
  && document.querySelector(`#${prefix}-view .view`).childElementCount && !window.DDPM.tabs.links.isRestoring()"""


def test_no_english_is_left_and_it_comes_back(open_page):
    catalogue = languages.catalogues()["de"]
    english = {text for text, other in catalogue.items() if text != other and "{" not in text}
    english -= set(catalogue.values())
    page = open_page()
    for name, view in links.table().views.items():
        page.evaluate("(hash) => { location.hash = hash; }", f"{name}?lang=de")
        page.wait_for_function(OPEN, arg=view.prefix)
        left = {text for text in page.evaluate(SHOWN) if text in english}
        assert left == set(), name
        assert page.evaluate("document.documentElement.scrollHeight") <= 800, name  # as in English
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.locator("#top .language").input_value() == "de"
    assert page.locator("#compose-compose").inner_text() == "Kombinieren"
    page.locator("#top .language").select_option("en")
    page.wait_for_function("document.querySelector('#compose-compose').innerText === 'Compose'")
    left = {
        text for text in page.evaluate(SHOWN) if Reading(catalogue).find(text) is None and text in catalogue.values()
    }
    assert left == set()
    page.wait_for_function("location.hash.includes('lang=en')")
    assert page.evaluate("document.documentElement.lang") == "en"
