"""The Reverse tab with a model of latents in a real Chromium: the channels beside what they decode to."""

import pytest
from helpers.steps import (
    choose,
    generate,
    is_inside,
    open_file,
    open_latent,
    pixels,
    playhead,
    save,
    set_number,
    status,
    wait_for_status,
)

pytestmark = pytest.mark.browser
SIZES = [(1280, 800), (390, 844)]


def z(page):
    return page.locator("#reverse-view").get_by_role("button", name="Show z itself", exact=False)


def captions(page, of="#reverse-view"):
    return page.locator(f"{of} .pane:visible figcaption").all_inner_texts()


@pytest.mark.parametrize("size", SIZES)
def test_the_channels_are_shown_on_demand_at_each_step(open_page, size):
    page = open_latent(open_page, size)
    assert z(page).is_hidden()
    generate(page, steps=4)
    wait_for_status(page, "reverse", "^4 steps")
    decoded = pixels(page, "reverse", "x")
    z(page).click()
    assert captions(page) == ["z₀ 8 channels", "ẑ₀ 8 channels"]
    page.context.set_offline(True)
    shown = [pixels(page, "reverse", "z")]
    for _ in range(4):
        playhead(page, "reverse").press("ArrowLeft")
        shown.append(pixels(page, "reverse", "z"))
    assert len({*shown, decoded}) == 6 and captions(page)[0] == "zₜ 8 channels"
    assert is_inside(page, size[0], "#reverse-view .pane:visible canvas")
    page.context.set_offline(False)
    page.locator("#reverse-view .pane-z canvas").click(position={"x": 20, "y": 20})
    beside = captions(page, "dialog[open]")
    decoded_first = ["zₜ decoded at t = 999", "x̂₀ predicted x₀", "ε̂ the noise, decoded"]
    assert sorted(beside) == sorted([*decoded_first, "zₜ 8 channels", "ẑ₀ 8 channels", "ε̂ 8 channels"])
    page.keyboard.press("Escape")
    z(page).click()
    playhead(page, "reverse").press("End")
    assert pixels(page, "reverse", "x") == decoded


def test_a_branch_a_file_and_a_model_of_pixels(open_page):
    page = open_latent(open_page)
    generate(page, steps=4)
    wait_for_status(page, "reverse", "^4 steps")
    decoded = pixels(page, "reverse", "x")
    z(page).click()
    playhead(page, "reverse").press("Home")
    set_number(page, "reverse-seed", 5)
    choose(page, "reverse-class", "7")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    assert captions(page) == ["z₀ 8 channels", "z₀ the branch's"]
    assert pixels(page, "reverse", "z") != pixels(page, "reverse", "bz")
    data = save(page, "Trajectory, to go on from").path().read_bytes()
    z(page).click()
    open_file(page, data)
    wait_for_status(page, "reverse", "^Opened: 5 moments of 4 digits. Play it, or branch")
    playhead(page, "reverse").press("End")
    assert pixels(page, "reverse", "x") == decoded and captions(page)[0] == "x₀ the finished sample"
    choose(page, "weights", "mnist")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    assert z(page).is_hidden() and "decoded" not in captions(page)[0], status(page, "reverse").inner_text()


def test_a_picture_of_channels(open_page):
    """Each number a square of whole pixels, the channels in rows, and nothing beyond what there is room for."""
    draw = """async ([bytes, n, latent, size, colours]) => {
        const { sheets } = await import(new URL("./scripts/components/channels.js", document.baseURI));
        return Array.from(sheets(Uint8Array.from(bytes), n, latent, size, colours));
    }"""
    page = open_page()
    numbers = list(range(1, 129)) + list(range(101, 229))  # two latents of 8 x 4 x 4
    for colours in (1, 3):
        sheet = page.evaluate(draw, [numbers, 2, {"channels": 8, "side": 4}, 32, colours])
        assert len(sheet) == 2 * 32 * 32 * colours and sheet[::colours] == sheet[colours - 1 :: colours]
        for i in range(2):
            found = sheet[i * 1024 * colours : (i + 1) * 1024 * colours : colours]
            for channel in range(8):
                for k in range(16):
                    top, left = 2 + channel // 3 * 10 + k // 4 * 2, 2 + channel % 3 * 10 + k % 4 * 2
                    square = [found[(top + y) * 32 + left + x] for y in (0, 1) for x in (0, 1)]
                    assert square == [numbers[i * 128 + channel * 16 + k]] * 4
            assert sum(value > 0 for value in found) == 8 * 16 * 4
    assert page.evaluate(draw, [list(range(1, 33)), 1, {"channels": 8, "side": 2}, 4, 1]) == [
        *(1, 2, 5, 6), *(3, 4, 7, 8), *(13, 14, 17, 18), *(15, 16, 19, 20)
    ]  # fmt: skip
