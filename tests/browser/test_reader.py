"""The lessons' reader in a real Chromium."""

from itertools import pairwise

import pytest
from helpers.steps import is_inside

from ddpm.ui.components.lessons import load

pytestmark = pytest.mark.browser

LESSONS = load()


def reader(page):
    return page.locator(".reader")


def title(page):
    return page.locator(".reader h2").inner_text()


def open_lesson(page, number):
    page.get_by_role("button", name="Lessons", exact=True).click()
    page.locator(".reader .list button").nth(number - 1).click()


def answer(page, question):
    """Rightly."""
    if question.range is None:
        page.locator(".reader .choice").nth([right for _, right in question.choices].index(True)).click()
    else:
        slider = page.locator(".reader .scale input")
        slider.evaluate("(i, v) => { i.value = v; i.dispatchEvent(new Event('input')); }", question.range["value"])
        page.get_by_role("button", name="This is my guess").click()


# Whether an element is seen whole, above the reader where that is a sheet from below.
SEEN = """(selector) => {
    const end = innerWidth < 700 ? document.querySelector(".reader").getBoundingClientRect().top : innerHeight;
    const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
    return top >= 0 && bottom <= end;
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_a_lesson_is_walked_from_its_first_step_to_its_last(open_page, width):
    page, lesson = open_page(width, 844), LESSONS[0]
    open_lesson(page, 1)
    for i, step in enumerate(lesson.steps):
        assert title(page) == step.title
        assert page.evaluate("document.activeElement === document.querySelector('.reader h2')")
        assert is_inside(page, width, ".reader p, .reader math, .reader button:visible")
        page.wait_for_function(SEEN, arg=f"#{step.look}" if step.look else "#forward-view .panes")
        if step.question:
            assert page.locator(".reader .told p").count() == 0, "what is revealed is not said before"
            answer(page, step.question)
            assert page.locator(".reader .told .verdict.right").count() == 1
        page.get_by_role("button", name="Finish" if i == len(lesson.steps) - 1 else "Next").click()
    assert title(page) == "Lessons"
    assert page.locator(".reader .lesson.done").count() == 1
    page.goto(page.url.partition("#")[0])  # anew: a link to the lesson would open it
    page.get_by_role("button", name="Lessons", exact=True).click()
    assert page.locator(".reader .lesson.done .title").inner_text() == lesson.title


def test_a_step_that_comes_late_leaves_the_place_of_the_next_alone(open_page):
    page, steps = open_page(1280, 600), LESSONS[0].steps
    lower = [step.look for step in steps].index("forward-histogram")
    page.evaluate(f"location.hash = '#forward/noising?lesson=1.{lower}'")  # counted from 1: the step before
    before = steps[lower - 1].title
    page.wait_for_function("title => document.querySelector('.reader h2')?.textContent === title", arg=before)
    page.evaluate("""() => {  // the first of the reader's waits takes two seconds
        const wait = window.setTimeout;
        window.setTimeout = (then, ms, ...rest) => {
            const late = ms === 50 && !window.late;
            if (late) window.late = wait(() => { then(); window.over = true; }, 2000);
            return late ? window.late : wait(then, ms, ...rest);
        };
    }""")
    page.get_by_role("button", name="Restore this step’s state").click()
    page.get_by_role("button", name="Next").click()
    page.wait_for_function(SEEN, arg="#forward-histogram")
    assert page.evaluate("scrollY > 0 && !window.over"), "the second had come first, and had to scroll"
    page.wait_for_function("window.over")
    page.wait_for_timeout(200)
    assert page.evaluate(SEEN, "#forward-histogram")


def test_a_wrong_answer_is_told_from_the_right_one(open_page):
    page = open_page()
    open_lesson(page, 1)
    page.get_by_role("button", name="Next").click()
    page.locator(".reader .scale input").press("Home")
    page.get_by_role("button", name="This is my guess").click()
    assert page.locator(".reader .verdict").inner_text() == "You said 0, it is 495."
    page.get_by_role("button", name="Next").click()
    page.locator(".reader .choice").first.click()
    assert page.locator(".reader .mark").all_inner_texts() == ["✗ your guess", "✓ so it is"]
    assert page.locator(".reader .choice:enabled").count() == 0


def test_the_reader_is_left_by_escape_and_the_tabs_stay_alive_beside_it(open_page):
    page = open_page()
    open_lesson(page, 1)
    page.get_by_role("tab", name="Reverse", exact=True).click()
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    assert reader(page).is_visible()
    heading, beside = (page.locator(each).bounding_box() for each in ("#header h1", ".lessons .opener"))
    assert heading["x"] + heading["width"] <= beside["x"]
    stage, beside = page.locator("#reverse-view").bounding_box(), reader(page).bounding_box()
    assert stage["x"] + stage["width"] <= beside["x"] and stage["width"] > 480
    page.locator(".reader h2").focus()
    page.keyboard.press("Escape")
    assert not reader(page).is_visible()
    opener = page.get_by_role("button", name="Lessons", exact=True)
    assert opener.evaluate("b => b === document.activeElement && b.ariaExpanded === 'false'")


def test_the_first_lesson_is_offered_until_somebody_has_said_no(open_page):
    page = open_page(first_visit=True)
    assert page.locator(".offer").is_visible()
    page.get_by_role("button", name="Do not offer this again").click()
    assert page.locator(".offer").count() == 0
    page.reload()
    page.wait_for_function("document.querySelector('.lessons .opener')")
    assert page.locator(".offer").count() == 0


def test_on_a_phone_neither_the_offer_nor_the_header_covers_what_is_needed(open_page):
    page = open_page(390, 844, first_visit=True)
    tabs, offered = (page.locator(each).bounding_box() for each in ("#tabs", ".offer"))
    assert offered["y"] + offered["height"] <= tabs["y"] and offered["width"] > 300
    row = [page.locator(each).bounding_box() for each in (".lessons .opener", "#weights", "#help")]
    assert row[0]["x"] >= 0 and row[-1]["x"] + row[-1]["width"] <= 390
    assert all(a["x"] + a["width"] <= b["x"] for a, b in pairwise(row))
    at = [[box["x"] + box["width"] * part, box["y"] + box["height"] / 2] for box in row for part in (0.2, 0.5, 0.8)]
    hit = "at => at.some(([x, y]) => document.elementsFromPoint(x, y).some((node) => node.closest('#header h1')))"
    assert not page.evaluate(hit, at), "the title lies under what stands in its row"
    page.locator(".offer .begin").click()
    page.get_by_role("button", name="Next").click()
    answer(page, LESSONS[0].steps[1].question)
    told, foot = page.locator(".reader .verdict").bounding_box(), page.locator(".reader .foot").bounding_box()
    assert told["y"] + told["height"] <= foot["y"], "what is revealed is seen without scrolling"
    page.get_by_role("button", name="Fold the lesson").click()
    button, sheet = (page.locator(each).bounding_box() for each in ("#forward-another", ".reader"))
    assert sheet["y"] + sheet["height"] <= button["y"], "the folded lesson leaves the bar of actions free"


def test_an_address_opens_a_step(open_page):
    page = open_page()
    page.evaluate("location.hash = '#forward/noising?lesson=1.2'")
    page.wait_for_function("document.querySelector('.reader h2')?.textContent === 'Half and half'")
