"""The state in the address, in a real Chromium: written and restored."""

import pytest
from helpers.linking import another
from helpers.steps import set_number, tab

from ddpm.ui import links

pytestmark = pytest.mark.browser

WRITTEN = """async (views) => {
    const { address } = await import(new URL("./scripts/components/links.js", document.baseURI));
    return views.map(([view, values]) => address(view, values));
}"""


def go(page, address):
    """To an address of this page, as a link on it does; returns once it has been restored."""
    page.evaluate("(address) => { location.hash = address; }", address)


def waits_for(page, condition):
    page.wait_for_function(condition)


def test_every_control_makes_the_way_there_and_back(open_page):
    """What the page writes, read by the server: one value of every control, and all of a view's at once."""
    asked, expected = [], []
    for view in links.table().views.values():
        known = {"name": view.name, "defaults": view.defaults({}), "leads": view.leads}
        others = {key.name: other[0] for key in view.keys.values() if (other := another(key))}
        assert set(others) == set(view.keys)
        for values in [*({name: value} for name, value in others.items()), others]:
            asked.append([known, view.defaults(values) | values])
            expected.append((view, view.defaults(values) | values))
    for written, (view, values) in zip(open_page().evaluate(WRITTEN, asked), expected, strict=True):
        name, found, wrong = links.parse(written)
        assert (name, view.defaults(found) | found, wrong) == (view.name, values, []), written


def test_what_scripts_keep_comes_back(open_page):
    page = open_page()
    go(page, "forward/posterior?t=300&pixel=5,6&noise=9&stride=50&picture=12")
    waits_for(page, "document.querySelector('#posterior-view .readout')?.textContent === 't = 300, s = 250'")
    waits_for(page, "location.hash.includes('noise=9')")
    assert [page.locator(f"[aria-label='Pixel: {which}']").input_value() for which in ("row", "column")] == ["5", "6"]
    assert {part for part in page.evaluate("location.hash").partition("?")[2].split("&")} == {
        *("t=300", "pixel=5,6", "noise=9", "stride=50", "picture=12")
    }


def test_a_reload_brings_back_what_was_set_in_each_tab(open_page, server):
    page = open_page()
    tab(page, "Reverse")
    set_number(page, "reverse-steps", 33)
    waits_for(page, "location.hash.includes('steps=33')")
    tab(page, "Train")
    set_number(page, "train-budget", 7)
    waits_for(page, "location.hash === '#train?budget=7'")
    page.goto(server)  # without what stood behind #
    waits_for(page, "document.querySelector('#train-budget input')?.value === '7' && !DDPM.tabs.links.isRestoring()")
    tab(page, "Reverse")
    waits_for(page, "document.querySelector('#reverse-steps input').value === '33'")
    waits_for(page, "location.hash === '#reverse?steps=33'")
    page.go_back()
    waits_for(page, "document.querySelector('#train-view').checkVisibility()")
    assert open_page(same_profile=True).evaluate("location.hash") == "", "another window begins afresh"
