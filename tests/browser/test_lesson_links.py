"""The links of the lessons, opened one after another on one page, as whoever reads the lessons does."""

import pytest

from ddpm.ui import links
from ddpm.ui.components.lessons import load

pytestmark = pytest.mark.browser


def of_lessons():
    """[(where, step, link)]: of each view the links that no other sets more in, one of those that set the same and
    bring the same into sight."""
    found = {}
    for lesson in load():
        for i, step in enumerate(lesson.steps, 1):
            for link in step.links:
                view, given, _ = links.parse(link)
                found.setdefault(
                    (view, given.pop("model", links.table().model.default), *step.looks, frozenset(given)),
                    (f"{lesson.number}.{i}", step, link),
                )
    kinds = list(found)
    return [found[kind] for kind in kinds if not any(kind[:-1] == o[:-1] and kind[-1] < o[-1] for o in kinds)]


def state(address):
    """(view, the value of every setting, what is wrong) that an address stands for."""
    name, given, problems = links.parse(address)
    view, model = links.table().views[name], given.get("model", links.table().model.default)
    values = {"model": model} | view.defaults(given) | given
    for key in view.keys.values():
        offered = key.offered(model) if key.offered else None
        if offered and values[key.name] not in offered:
            values[key.name] = offered[0]  # a model without classes offers none but `none`
    return name, values, problems


def test_every_kind_of_link_in_the_lessons_brings_its_state(open_page):
    page = open_page()
    for where, step, link in of_lessons():
        page.evaluate("hash => { location.hash = hash; }", f"{link}{'&' if '?' in link else '?'}lesson={where}")
        page.wait_for_function("title => document.querySelector('.reader h2')?.textContent === title", arg=step.title)
        page.wait_for_function("window.DDPM.tabs.links.asked().number && !window.DDPM.tabs.links.isRestoring()")
        assert page.locator(".link-problems").text_content() == "", f"{where}: {link}"
        assert all(page.locator(f"#{each}").is_enabled() for each in step.presses), f"{where}: {link}"
        shown = [page.locator(f"#{each}").evaluate("node => node.checkVisibility()") for each in step.looks]
        assert all(shown), f"{where}: {link}"
        page.locator("#links .copy").click()  # writes into the address what the page's controls say
        page.wait_for_function("!location.hash.includes('lesson=')")
        assert state(page.evaluate("location.hash")) == state(link), f"{where}: {link}"
