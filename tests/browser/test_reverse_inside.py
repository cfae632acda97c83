"""The Reverse tab's noise, its second axis and its files in a real Chromium."""

import base64

import pytest
from helpers.steps import choose, generate, open_file, pixels, playhead, save, tab, wait_for_status

from ddpm import make_schedule

pytestmark = pytest.mark.browser


def eps(page):
    return page.get_by_role("button", name="Show ε̂")


def test_the_predicted_noise_is_a_third_pane_in_lockstep(open_page):
    page = open_page()
    tab(page, "Reverse")
    pane, panes = page.locator("#reverse-view .pane-eps"), page.locator("#reverse-view .pane:visible")
    assert not pane.is_visible()
    eps(page).focus()
    page.keyboard.press("Enter")
    assert pane.is_visible() and eps(page).get_attribute("aria-pressed") == "true"
    generate(page, steps=6, n=16)
    wait_for_status(page, "reverse", "^6 steps")
    assert panes.count() == 3 and "none" in pane.locator("figcaption").inner_text()
    finished = pixels(page, "reverse", "eps")
    seen = []
    for _ in range(3):
        playhead(page, "reverse").press("ArrowLeft")
        seen.append(pixels(page, "reverse", "eps"))
    assert len({finished, *seen}) == 4 and pixels(page, "reverse", "eps") != pixels(page, "reverse", "x")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    assert panes.count() == 4 and page.locator("#reverse-view .pane-beps").is_visible()
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    assert panes.count() == 3, "it stays as it was chosen"
    eps(page).click()
    assert panes.count() == 2 and eps(page).get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_one_digit_enlarged_has_all_three_and_its_branch_too(open_page, size):
    page = open_page(*size)
    tab(page, "Reverse")
    generate(page, steps=8, n=4)
    wait_for_status(page, "reverse", "^8 steps")
    for _ in range(5):
        playhead(page, "reverse").press("ArrowLeft")
    page.locator("#reverse-view .pane-x canvas").click(position={"x": 20, "y": 20})
    dialog = page.locator(".ddpm-dialog[open]")
    assert dialog.locator(".pane:visible").count() == 3 and dialog.locator(".recording").count() == 1
    shown = dialog.locator(".pane-eps canvas")
    colours = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    assert shown.evaluate(colours) > 50
    page.keyboard.press("Escape")
    page.click("#reverse-dice")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    page.locator("#reverse-view .pane-b canvas").click(position={"x": 20, "y": 20})
    assert dialog.locator(".pane:visible").count() == 6 and dialog.locator(".recording").count() == 2
    page.wait_for_function(
        "[...document.querySelectorAll('.ddpm-dialog[open] .hint')].every((p) => /classified as \\d/.test("
        "p.textContent))"
    )
    hints = dialog.locator(".hint").all_inner_texts()
    assert hints[0].startswith("Its x̂₀") and hints[1].startswith("The branch's x̂₀")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_noise_level_is_a_second_axis(open_page):
    page = open_page()
    page.evaluate(
        """() => { window.said = []; const draw = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
              if (this.canvas.closest('#reverse-view .track')) window.said.push([text, Math.round(x), Math.round(y)]);
              return draw.call(this, text, x, y); }; }"""
    )
    tab(page, "Reverse")
    generate(page, steps=10, n=1)
    wait_for_status(page, "reverse", "^10 steps")
    page.evaluate("window.said = []")
    playhead(page, "reverse").press("Home")
    said = page.evaluate("window.said")
    rows = {}
    for text, x, y in said:
        rows.setdefault(y, {})[x] = text
    top = next(row for row in rows.values() if "noise" in row.values())
    bottom = next(row for row in rows.values() if "t" in row.values())
    assert list(bottom.values())[1:] == ["999", "clean", "777", "555", "333", "111"]
    noise = make_schedule(kind="cosine").sqrt_one_minus_alphas_bar[[777, 555, 333, 111]].tolist()
    assert list(top.values())[1:] == ["1.00", "0.00", *(f"{level:.2f}" for level in noise)]
    assert list(top)[3:] == list(bottom)[3:], "at the same places"


def test_the_menu_of_files_is_operable_by_keyboard(open_page):
    page = open_page()
    tab(page, "Reverse")
    button = page.locator("#reverse-view").get_by_role("button", name="Save", exact=True)
    assert button.is_disabled()
    generate(page, steps=2, n=1)
    wait_for_status(page, "reverse", "^2 steps")
    menu = page.locator("#reverse-view .menu")
    button.focus()
    page.keyboard.press("Enter")
    assert menu.is_visible() and page.evaluate("document.activeElement.textContent").startswith("PNG")
    page.keyboard.press("Escape")
    assert not menu.is_visible() and page.evaluate("document.activeElement.textContent").startswith("Save")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    assert playhead(page, "reverse").input_value() == "2", "the playhead stays"
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "digits-ddim-2-seed0.gif" and not menu.is_visible()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_saved_picture_dropped_on_the_page_restores_its_settings(open_page, kind):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=3, n=5, seed=77)
    wait_for_status(page, "reverse", "^3 steps")
    digits = pixels(page, "reverse", "x")
    data = save(page, kind).path().read_bytes()
    assert data.startswith(b"\x89PNG" if kind == "PNG" else b"GIF8") and b'"seed": 77' in data
    generate(page, steps=2, n=1, seed=1)
    wait_for_status(page, "reverse", "^2 steps")
    drop(page, data, f"digits.{kind}")
    wait_for_status(page, "reverse", "Settings restored")
    page.wait_for_function("document.querySelector('#reverse-seed input').value === '77'")
    page.click("#reverse-generate")
    wait_for_status(page, "reverse", "^3 steps")
    assert pixels(page, "reverse", "x") == digits


def drop(page, data, name):
    page.evaluate(
        """([text, name]) => { const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            const event = new DragEvent('drop', { dataTransfer: transfer, bubbles: true });
            document.querySelector('#reverse-view .view').dispatchEvent(event); }""",
        [base64.b64encode(data).decode(), name],
    )


def test_a_trajectory_is_opened_in_another_window_and_branched_from(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=8, n=4, seed=3)
    wait_for_status(page, "reverse", "^8 steps")
    download = save(page, "Trajectory")
    assert download.suggested_filename == "digits-ddim-8-seed3.safetensors"
    wait_for_status(page, "reverse", "^Saved digits-ddim-8-seed3.safetensors")
    digits = pixels(page, "reverse", "h")

    other = open_page()
    tab(other, "Reverse")
    open_file(other, download.path().read_bytes())
    wait_for_status(other, "reverse", "^Opened: 9 moments of 4 digits")
    other.wait_for_function("document.querySelector('#reverse-seed input').value === '3'")
    assert pixels(other, "reverse", "h") == digits
    playhead(other, "reverse").press("Home")
    assert pixels(other, "reverse", "h") != digits and playhead(other, "reverse").get_attribute("max") == "8"
    for window in (page, other):
        playhead(window, "reverse").press("Home")
        playhead(window, "reverse").press("ArrowRight")
        window.click("#reverse-branch")
        wait_for_status(window, "reverse", "^Two futures")
        assert window.locator("#reverse-view .pane-b figcaption").inner_text() == "branch: nothing changed"
    drop(page, download.path().read_bytes(), "mine.SAFETENSORS")  # the same door
    wait_for_status(page, "reverse", "^Opened: 9 moments of 4 digits")
    assert not page.locator("#reverse-view .pane-b").is_visible()


def test_a_film_takes_the_place_of_a_run(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=3, n=2)
    wait_for_status(page, "reverse", "^3 steps")
    data = save(page, "Trajectory").path().read_bytes()
    generate(page, steps=1000, n=2)
    wait_for_status(page, "reverse", "Step [1-9]")
    drop(page, data, "x.safetensors")
    wait_for_status(page, "reverse", "^Opened: 4 moments")
    page.wait_for_timeout(500)
    assert playhead(page, "reverse").get_attribute("max") == "3"
    assert page.locator("#reverse-stop").is_disabled(), "the run that it took the place of is over"


def test_what_is_no_file_of_this_page_changes_nothing(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    before = pixels(page, "reverse", "x")
    cases = [("x.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "no settings"), ("x.gif", b"hello", "neither a picture nor")]
    cases += [("x.safetensors", b"PK\x03\x04" + b"\0" * 99, "neither"), ("notes.txt", b"hello", "neither")]
    for name, data, words in cases:
        drop(page, data, name)
        wait_for_status(page, "reverse", words)
        assert pixels(page, "reverse", "x") == before
        generate(page, steps=2)
        wait_for_status(page, "reverse", "^2 steps")


def test_a_branch_is_saved_whole_with_the_past_that_it_shares(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=8, n=4, seed=3)
    wait_for_status(page, "reverse", "^8 steps")
    menu = page.locator("#reverse-view .menu")
    button = page.locator("#reverse-view").get_by_role("button", name="Save", exact=True)
    button.click()
    assert menu.get_by_role("button").count() == 5, "there is no branch yet"
    page.keyboard.press("Escape")
    playhead(page, "reverse").press("Home")
    past = pixels(page, "reverse", "h")
    page.keyboard.press("ArrowRight")
    choose(page, "reverse-class", "7")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    sevens = pixels(page, "reverse", "b")
    download = save(page, "Trajectory of the branch")
    assert download.suggested_filename == "digits-ddim-8-seed3-branch.safetensors"

    open_file(page, download.path().read_bytes())
    wait_for_status(page, "reverse", "^Opened: 9 moments of 4 digits")
    assert pixels(page, "reverse", "h") == sevens != past
    playhead(page, "reverse").press("Home")
    assert pixels(page, "reverse", "h") == past
