"""Addresses in a real Chromium: of one view alone, of what is hidden, and nonsense."""

import pytest

pytestmark = pytest.mark.browser

NONSENSE = [
    "<img src=x onerror=window.hacked=1>?view=${window.hacked=1}",
    "reverse?__proto__=1&constructor=2&hide=constructor,${window.hacked=1}&theme=__proto__",
    "reverse?steps=1e999&class=%E0%A4%A&seed=-1&model=<script>window.hacked=1</script>",
    "&".join(f"{i}=%" for i in range(99)),
]


def go(page, address):
    page.evaluate("(hash) => { location.hash = hash; }", address)
    page.wait_for_timeout(50)  # the event comes as a task of its own
    page.wait_for_function("!window.DDPM.tabs.links.isRestoring()")


def test_a_view_alone_what_is_hidden_and_nonsense(open_page):
    page = open_page()
    go(page, "compare/race?view=knob&theme=dark&size=projector&hide=seed,dice")
    page.wait_for_selector("#knob-vary")
    assert page.evaluate("[document.body.classList.contains('dark'), document.body.dataset.size]") == [
        True,
        "projector",
    ]
    assert not page.locator("#top").is_visible() and not page.get_by_role("tab").first.is_visible()
    assert not page.locator("#knob-seed").is_visible() and page.locator("#knob-n").is_visible()
    for address in NONSENSE:
        go(page, address)
        assert page.locator(".link-problems").text_content().startswith("Not all of this link can be shown. ")
    go(page, "reverse?seed=12&hide=compare")
    page.wait_for_function("document.querySelector('#reverse-seed input')?.value === '12'")
    assert page.get_by_role("tab", name="Reverse").is_visible()
    assert not page.get_by_role("tab", name="Compare").is_visible()
    assert page.evaluate("[window.hacked ?? null, document.body.dataset.size ?? null]") == [None, None]
