"""Edit in a real Chromium: a drawing under mouse and finger, a part erased, a path dragged, noise found, a sum."""

import itertools
import re

import pytest
from helpers.steps import (
    choose,
    live,
    open_file,
    pixels,
    playhead,
    png,
    save,
    set_number,
    status,
    stop_once,
    tab,
    wait_for_change,
    wait_for_status,
)

pytestmark = pytest.mark.browser


def open_edit(open_page, name, *size, **options):
    """The page, with that inner tab before one's eyes."""
    page = open_page(*size, **options)
    tab(page, "Edit")
    tab(page, name)
    page.wait_for_function(
        "name => document.querySelector(`#${name}-view canvas`)?.checkVisibility()", arg=name.lower()
    )
    return page


def sheet(page, name):
    """The box of what is drawn or brushed on."""
    canvas = page.locator(f"#{name}-view .pane-own canvas")
    canvas.evaluate("c => c.scrollIntoView({ block: 'center' })")  # on a phone a bar stands above the lower edge
    return canvas.bounding_box()


def stroke(page, name, begin, end):
    """With the mouse, between two points in shares of the sheet, and not lifted."""
    box = sheet(page, name)
    (x0, y0), (x1, y1) = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=8)


def touch(page, name, begin, end):
    """The same with a finger."""
    box, client = sheet(page, name), page.context.new_cdp_session(page)
    points = [(begin[0] + (end[0] - begin[0]) * k / 5, begin[1] + (end[1] - begin[1]) * k / 5) for k in range(6)]
    places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]
    for kind, place in (("touchStart", places[0]), *(("touchMove", each) for each in places[1:])):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def button(page, name, text):
    return page.locator(f"#{name}-view button").filter(has_text=re.compile(f"^{text}( ▾)?$"))


def finished(page, name):
    """Wait for the end of a run."""
    wait_for_status(page, name, r"^\d+ steps: ")


def test_a_stroke_is_answered_while_the_pen_is_down_and_finished_when_it_rests(open_page):
    page = open_edit(open_page, "Draw")
    wait_for_status(page, "draw", "An example")
    before = pixels(page, "draw", "x")
    stroke(page, "draw", (0.3, 0.3), (0.7, 0.35))
    wait_for_change(page, "draw", "x", before)
    page.wait_for_timeout(500)  # longer than the rest after which all steps are taken
    assert "two steps" in page.locator("#draw-view .pane-x figcaption").inner_text()
    glance = pixels(page, "draw", "x")
    page.mouse.up()
    stroke(page, "draw", (0.5, 0.4), (0.5, 0.42))
    page.mouse.up()
    finished(page, "draw")
    assert pixels(page, "draw", "x") != glance
    assert "finished" in page.locator("#draw-view .pane-x figcaption").inner_text()
    playhead(page, "draw").press("Home")
    assert re.fullmatch(r"t = \d+", page.locator("#draw-view .readout").inner_text())


def test_clear_undo_and_the_strength(open_page):
    page = open_edit(open_page, "Draw")
    drawn = pixels(page, "draw", "own")
    button(page, "draw", "Clear").click()
    wait_for_status(page, "draw", "^Draw on the black square")
    empty = pixels(page, "draw", "own")
    page.click("#draw-denoise")
    wait_for_status(page, "draw", "nothing drawn yet")
    button(page, "draw", "Undo").click()
    assert pixels(page, "draw", "own") == drawn != empty
    finished(page, "draw")
    set_number(page, "draw-t0", 200)
    page.wait_for_function("document.querySelector('#draw-margin [data-live=t0]')?.textContent < 250")
    finished(page, "draw")
    signal, noise = float(live(page, "draw", "a0")), float(live(page, "draw", "b0"))
    assert signal > 0.8 and abs(signal**2 + noise**2 - 1) < 0.01


def test_six_strengths_and_one_of_them_taken(open_page):
    page = open_edit(open_page, "Draw")
    page.click("#draw-six")
    wait_for_status(page, "draw", "^Faithful on the left")
    row = page.locator("#draw-view .strengths button")
    assert row.count() == 6
    row.nth(5).click()
    assert page.locator("#draw-t0 input[type=number]").input_value() == "949"
    finished(page, "draw")
    assert not row.first.is_visible(), "they were of another strength"


def test_a_finger_draws_and_does_not_scroll(open_page):
    page = open_edit(open_page, "Draw", 390, 844, has_touch=True)
    before, scrolled = pixels(page, "draw", "own"), page.evaluate("scrollY")
    touch(page, "draw", (0.2, 0.7), (0.8, 0.2))
    assert pixels(page, "draw", "own") != before and page.evaluate("scrollY") == scrolled
    finished(page, "draw")


def test_a_picture_is_uploaded_as_a_drawing(open_page):
    page = open_edit(open_page, "Draw")
    before = pixels(page, "draw", "own")
    page.click("#draw-own")
    page.locator(".pad input[type=file]").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": png((90, 90), ink=0)}
    )
    page.locator(".pad").get_by_role("button", name="Use").click()
    wait_for_change(page, "draw", "own", before)
    finished(page, "draw")


def test_a_part_is_erased_filled_and_the_rest_stays(open_page):
    page = open_edit(open_page, "Inpaint")
    button(page, "inpaint", "Nothing").click()
    page.click("#inpaint-fill")
    wait_for_status(page, "inpaint", "Nothing is erased yet")
    nothing = pixels(page, "inpaint", "own")
    stroke(page, "inpaint", (0.2, 0.2), (0.6, 0.2))
    page.mouse.up()
    brushed = pixels(page, "inpaint", "own")
    assert brushed != nothing
    button(page, "inpaint", "Keep").click()
    stroke(page, "inpaint", (0.2, 0.2), (0.4, 0.2))
    page.mouse.up()
    assert pixels(page, "inpaint", "own") not in (brushed, nothing)
    button(page, "inpaint", "Top half").click()
    set_number(page, "inpaint-r", 3)
    page.evaluate(
        """() => { window.seen = []; const input = document.querySelector('#inpaint-view input[type=range]');
            (function look() { window.seen.push(Number(input.value)); requestAnimationFrame(look); })(); }"""
    )
    page.click("#inpaint-fill")
    finished(page, "inpaint")
    button(page, "inpaint", "Play").click()
    page.wait_for_timeout(2500)
    seen = page.evaluate("window.seen")
    assert any(b < a for a, b in itertools.pairwise(seen)), "the playhead jumps back"
    playhead(page, "inpaint").press("End")
    different = page.evaluate(
        """() => { const canvas = (key) => document.querySelector(`#inpaint-view .pane-${key} canvas`);
            const own = canvas('own'), x = canvas('x'), at = (c, left, side, i, j) => c.getContext('2d').getImageData(
                left + ((j + 0.5) / 32) * side, left + ((i + 0.5) / 32) * side, 1, 1).data[0];
            let most = 0; // over the lower half of the first filling, but for the corner that says its class
            for (let i = 16; i < 32; i++) for (let j = 8; j < 32; j++)
                most = Math.max(most, Math.abs(at(own, 0, own.width, i, j) - at(x, 2, (x.width - 6) / 2, i, j)));
            return most; }"""
    )
    assert different == 0


def test_brushing_with_a_finger(open_page):
    page = open_edit(open_page, "Inpaint", 390, 844, has_touch=True)
    button(page, "inpaint", "Nothing").click()
    before = pixels(page, "inpaint", "own")
    touch(page, "inpaint", (0.3, 0.3), (0.7, 0.7))
    assert pixels(page, "inpaint", "own") != before


def test_a_generated_digit_is_erased_too(open_page):
    page = open_edit(open_page, "Inpaint")
    choose(page, "inpaint-digit", "4")
    page.wait_for_function("document.querySelector('#inpaint-view figcaption')?.textContent.startsWith('A 4')")
    bundled = pixels(page, "inpaint", "own")
    page.click("#inpaint-generate")
    wait_for_change(page, "inpaint", "own", bundled)
    assert page.locator("#inpaint-view .pane-own figcaption").inner_text().startswith("Drawn: 4")
    page.click("#inpaint-fill")
    finished(page, "inpaint")


def test_the_path_between_two_noises_is_dragged_along(open_page):
    page = open_edit(open_page, "Interpolate")
    path = page.get_by_label("Where on the way from A to B")
    assert path.is_disabled()
    page.click("#interpolate-walk")
    finished(page, "interpolate")
    middle = pixels(page, "interpolate", "s")
    path.fill("0.9")
    wait_for_change(page, "interpolate", "s", middle)
    assert page.locator("#interpolate-view .pane-s figcaption").inner_text() == "s = 0.90"
    page.wait_for_function("document.querySelector('#interpolate-margin [data-live=share]')?.textContent === '0.90'")
    assert 0.9 < float(live(page, "interpolate", "length")) < 1.1
    page.get_by_role("radio", name="Noise, straight").check()
    wait_for_status(page, "interpolate", "^Press Walk")
    page.click("#interpolate-walk")
    finished(page, "interpolate")
    path.fill("0.5")
    page.wait_for_function("document.querySelector('#interpolate-margin [data-live=share]')?.textContent === '0.50'")
    assert 0.6 < float(live(page, "interpolate", "length")) < 0.82, "shorter than noise"
    playhead(page, "interpolate").press("Home")
    assert "length" in page.locator("#interpolate-view .pane-x canvas").get_attribute("aria-label")


def test_two_real_digits_are_walked_between(open_page):
    page = open_edit(open_page, "Interpolate")
    assert not page.locator("#interpolate-digit").is_visible()
    page.get_by_role("radio", name="Two real digits, inverted").check()
    page.locator("#interpolate-digit").wait_for()
    before = pixels(page, "interpolate", "b")
    page.click("#interpolate-other")
    wait_for_change(page, "interpolate", "b", before)
    page.click("#interpolate-walk")
    finished(page, "interpolate")


def test_a_digit_is_inverted_and_told_every_class(open_page):
    page = open_edit(open_page, "Invert")
    set_number(page, "invert-steps", 10)
    page.click("#invert-invert")
    finished(page, "invert")
    label = page.locator("#invert-view .pane-x canvas").get_attribute("aria-label")
    assert label.endswith("0, 1, 2, 3, 4, 5, 6, 7, 8, 9"), label
    assert page.locator("#invert-margin .errors canvas").get_attribute("aria-label").startswith("Error of the way")
    assert page.locator("#invert-view .readout").inner_text() == "clean"
    playhead(page, "invert").press("Home")
    assert "before" in page.locator("#invert-view .pane-x figcaption").inner_text()


def test_an_illusion_is_seen_both_ways(open_page):
    page = open_edit(open_page, "Compose")
    formula = page.locator("#compose-margin .formula:visible")
    assert formula.count() == 1 and "1.5" in formula.inner_text()
    page.get_by_role("radio", name="Upright one, upside down another").check()
    page.locator("#compose-view .pane-t").wait_for()
    assert "1.5" not in formula.inner_text() and "Visual Anagrams" in formula.inner_text()
    page.click("#compose-compose")
    finished(page, "compose")
    for pane, digit in (("x", "6"), ("t", "9")):
        read = page.locator(f"#compose-view .pane-{pane} canvas").get_attribute("aria-label")
        assert read.count(digit) >= 6, read
    set_number(page, "compose-w", 1)
    wait_for_status(page, "compose", "^Settings changed")


def test_a_result_is_kept_opened_again_and_followed_in_other_tabs(open_page):
    page = open_edit(open_page, "Compose")
    set_number(page, "compose-seed", 5)
    page.click("#compose-compose")
    finished(page, "compose")
    made = pixels(page, "compose", "x")
    data = save(page, "PNG", "compose").path().read_bytes()
    set_number(page, "compose-seed", 6)
    open_file(page, data, "mine.png", "compose")
    wait_for_status(page, "compose", "^Opened. Press Compose")
    assert page.locator("#compose-seed input").input_value() == "5"
    page.click("#compose-compose")
    finished(page, "compose")
    assert pixels(page, "compose", "x") == made
    button(page, "compose", "Show in").click()
    page.locator("#compose-view .menu").get_by_role("button", name="Reverse").click()
    page.locator("#reverse-view .pane-x").wait_for()
    wait_for_status(page, "reverse", "^From Edit")
    playhead(page, "reverse").press("Home")
    assert page.locator("#reverse-view .readout").inner_text() == "t = 999"
    before = pixels(page, "forward", "x0")
    tab(page, "Edit")
    page.locator("#compose-view .pane-x canvas").click(position={"x": 200, "y": 20})
    button(page, "compose", "Show in").click()
    page.locator("#compose-view .menu").get_by_role("button", name="Forward").click()
    page.locator("#forward-view .pane-x0").wait_for()
    wait_for_change(page, "forward", "x0", before)


def test_stop_stops_and_keeps_what_is_there(open_page):
    page = open_edit(open_page, "Inpaint")
    page.locator("#inpaint-more button").first.click()
    set_number(page, "inpaint-steps", 50)
    set_number(page, "inpaint-r", 10)
    page.click("#inpaint-fill")
    stop_once(page, "inpaint", "Step [1-9]")
    wait_for_status(page, "inpaint", "^Stopped at step")
    assert button(page, "inpaint", "Save").is_enabled()
    assert page.locator("#inpaint-stop").is_disabled()


def test_latents_are_drawn_with_and_what_needs_pixels_says_so(open_page):
    page = open_edit(open_page, "Draw")
    choose(page, "weights", "mnist-latent")
    finished(page, "draw")
    tab(page, "Inpaint")
    page.click("#inpaint-fill")
    wait_for_status(page, "inpaint", "pixels")
    assert "error" in status(page, "inpaint").get_attribute("class")
