"""Common mistakes in a real Chromium, at a laptop's and a phone's size."""

import re

import pytest
from helpers.steps import another_run, live, pixels, playhead, save, set_number, status, tab, wait_for_status

pytestmark = pytest.mark.browser
SIZES = [(1280, 800), (390, 844)]
STEPS = 16
TITLES = {
    "pixels": "Pixels left in [0, 1]",
    "live": "Live weights instead of the EMA",
    "broadcast": "Coefficients along the wrong axis",
    "sign": "Sign flipped in the mean",
    "scale": "Latents left unscaled",
}
LANES = ("right", "broken")


def open_breaking(open_page, size=(1280, 800), steps=STEPS):
    page = open_page(*size)
    tab(page, "Common mistakes")
    page.set_default_timeout(240_000)  # a run takes what it takes where other work goes on
    page.wait_for_selector("#mistakes-view canvas")
    page.locator("#mistakes-more button").first.click()
    set_number(page, "mistakes-steps", steps)
    return page


def choose(page, *names):
    switches = page.locator("#mistakes-switches")
    for name, title in TITLES.items():
        switches.get_by_label(title).set_checked(name in names)


def break_it(page):
    another_run(page, "mistakes", lambda: page.click("#mistakes-train"))
    wait_for_status(page, "mistakes", "^Done")


def number(page, key):
    return float(live(page, "mistakes", key).replace("−", "-"))


def shown(page):
    return [pixels(page, "mistakes", lane) for lane in LANES]


def margin(page):
    return page.locator("#mistakes-margin details.break:visible")


@pytest.mark.parametrize(("name", "size"), [*((name, SIZES[0]) for name in TITLES), (next(iter(TITLES)), SIZES[1])])
def test_each_break_is_seen_told_and_measured(open_page, name, size):
    page = open_breaking(open_page, size)
    assert "press Train both" in page.locator("#mistakes-view .empty").inner_text()
    choose(page, name)
    assert margin(page).count() == 1 and margin(page).get_attribute("data-break") == name
    lines = margin(page).locator("pre").all_inner_texts()
    assert len(lines) == 2 and lines[0] != lines[1]
    said = "Nothing is trained" if name == "sign" else "about \\\\d+ s here"
    page.wait_for_function(f"document.querySelector('#mistakes-cost')?.textContent.match('{said}')")
    label = "Draw both" if name == "sign" else "Train both"
    page.wait_for_function(f"document.querySelector('#mistakes-train')?.textContent.includes('{label}')")
    break_it(page)
    if size == SIZES[0]:
        page.locator("#mistakes-more button").first.click()
        assert page.evaluate("document.documentElement.scrollHeight") <= 800, "a laptop need not be scrolled"
    right, wrong = shown(page)
    assert right != wrong
    captions = page.locator("#mistakes-view figcaption").all_inner_texts()
    assert re.match(r"As it should be: \d+ of 10 classified as asked", captions[0])
    assert re.match(r"Broken: \d+ of 10 classified as asked", captions[1])
    trained_apart = name in ("pixels", "broadcast", "scale")
    assert (live(page, "mistakes", "loss-0") != live(page, "mistakes", "loss-1")) == trained_apart
    keys = page.locator("#mistakes-view .legend .key").all_inner_texts()
    of_two = [] if name == "sign" else ["loss, right", "broken"]  # nothing is trained to see a sign
    assert keys == (["loss of both"] if name == "live" else of_two)
    if name == "pixels":
        assert abs(number(page, "edge-1")) < 0.5 < abs(number(page, "edge-0"))
    if name == "scale":
        assert number(page, "scale-0") > 0.9 and number(page, "scale-1") == 0.02
    if name == "sign":
        assert number(page, "std-0") < 3 and number(page, "std-1") > 1000
        assert margin(page).locator(".stds canvas").is_visible()
    page.context.set_offline(True)
    playhead(page, "mistakes").press("Home")
    first = shown(page)
    assert (first[0] == first[1]) == (name != "scale"), "the same weights and noise"
    playhead(page, "mistakes").press("End")
    assert shown(page) == [right, wrong]
    page.context.set_offline(False)


def test_the_columns_are_to_be_seen_in_what_the_network_is_given(open_page):
    page = open_breaking(open_page)
    choose(page, "broadcast")
    break_it(page)
    given = margin(page).locator(".given figure")
    assert given.count() == 2
    # How much the columns of the least noisy picture differ in roughness, from pixel to pixel down: by far more if each
    # has a noise level of its own.
    spread = [
        row.locator("canvas").first.evaluate(
            """c => {
              const { data } = c.getContext('2d').getImageData(0, 0, 32, 32), rough = [];
              for (let x = 0; x < 32; x++) {
                let sum = 0;
                for (let y = 1; y < 32; y++) sum += Math.abs(data[4 * (32 * y + x)] - data[4 * (32 * (y - 1) + x)]);
                rough.push(sum / 31);
              }
              const mean = rough.reduce((a, b) => a + b) / 32;
              return Math.sqrt(rough.reduce((a, b) => a + (b - mean) ** 2, 0) / 32);
            }"""
        )
        for row in given.all()
    ]
    assert spread[1] > 1.5 * spread[0]


def test_several_at_once_none_and_another_without_training_again(open_page):
    page = open_breaking(open_page, steps=24)
    choose(page)
    page.click("#mistakes-train")
    wait_for_status(page, "mistakes", "^There is nothing to break")
    choose(page, "pixels", "sign")
    assert margin(page).count() == 2
    break_it(page)
    right = shown(page)[0]
    choose(page, "pixels", "sign", "live")
    assert page.locator("#mistakes-margin details.break[open]").get_attribute("data-break") == "live"
    page.wait_for_function("document.querySelector('#mistakes-cost')?.textContent.includes('already')")
    break_it(page)
    assert shown(page)[0] == right


def test_stop_and_save(open_page):
    page = open_breaking(open_page, steps=1000)
    saving = page.locator("#mistakes-view").get_by_role("button", name="Save", exact=True)
    assert saving.is_disabled()
    page.click("#mistakes-train")
    wait_for_status(page, "mistakes", "^Step [1-9]")
    page.wait_for_function("document.querySelector('#mistakes-view .readout')?.textContent === 'step 0'")  # drawn
    page.click("#mistakes-stop")
    wait_for_status(page, "mistakes", r"^Stopped at step \d")
    download = save(page, "PNG, what is shown", "mistakes")
    assert download.suggested_filename == "broken-pixels.png"
    assert download.path().read_bytes().startswith(b"\x89PNG")
    assert page.locator("#mistakes-stop").is_disabled()


def test_by_keyboard_alone(open_page):
    page = open_breaking(open_page, steps=8)
    page.locator("#mistakes-switches").get_by_label(TITLES["pixels"]).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.locator("#mistakes-margin details.break[data-break=live]").wait_for()
    assert margin(page).count() == 1
    page.locator("#mistakes-train").focus()
    page.keyboard.press("Enter")
    wait_for_status(page, "mistakes", "^Done")
    playhead(page, "mistakes").focus()
    page.keyboard.press("Home")
    assert page.locator("#mistakes-view .readout").inner_text() == "step 0"
    page.keyboard.press("ArrowRight")
    assert page.locator("#mistakes-view .readout").inner_text() == "step 1"
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#mistakes-view .readout')?.textContent === 'step 8'")
    assert status(page, "mistakes").inner_text().startswith("Done")


@pytest.mark.parametrize("width", [390, 768, 1920])
def test_it_fits_the_window(open_page, width):
    page = open_breaking(open_page, (width, 844), steps=8)
    choose(page, *(name for name in TITLES if name != "scale"))  # which is of latents
    break_it(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
