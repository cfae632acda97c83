"""The Forward tab in a real Chromium."""

import base64
import io
import json
import math
import re
import urllib.request

import numpy as np
import pytest
import torch
from helpers.steps import live, pixels, playhead, png, tab, wait_for_change
from PIL import Image, ImageDraw, ImageFilter

import ddpm

pytestmark = pytest.mark.browser


def test_dragging_t_needs_no_server(open_page):
    page = open_page()
    before = pixels(page, "forward", "xt")
    # Within one task of the page: no answer of a server can have come in between.
    changed = page.evaluate(
        """() => {
            const canvas = document.querySelector('#forward-view .pane-xt canvas'), before = canvas.toDataURL();
            const range = document.querySelector('#forward-view input[type=range]');
            range.value = 800; range.dispatchEvent(new Event('input'));
            return canvas.toDataURL() !== before;
        }"""
    )
    assert changed and pixels(page, "forward", "xt") != before
    a, b = float(live(page, "forward", "a")), float(live(page, "forward", "b"))
    assert live(page, "forward", "t") == "800"
    angle = (0.801 + 0.008) / 1.008 * math.pi / 2  # Nichol and Dhariwal 2021, Eq. 17, at t = 800
    assert a == pytest.approx(math.cos(angle), abs=1e-3) and b == pytest.approx(math.sin(angle), abs=1e-3)


def test_x_t_in_the_page_is_q_sample(open_page, server):
    with urllib.request.urlopen(f"{server}/config") as answer:
        components = json.load(answer)["components"]
    start = next(c for c in components if c["props"].get("elem_id") == "forward-view")["props"]["value"]
    x0 = np.frombuffer(base64.b64decode(start["x0"]), np.uint8).reshape(1, 1, 32, 32)
    eps = np.frombuffer(base64.b64decode(start["eps"]), np.float16).astype(np.float32).reshape(1, 1, 32, 32)
    page = open_page()
    for t in (100, 400, 900):
        to_noise_level(page, t)
        x_t = ddpm.q_sample(
            ddpm.from_uint8(torch.tensor(x0)),
            torch.tensor([t]),
            torch.tensor(eps),
            ddpm.make_schedule(kind="cosine"),
        )
        shown = page.locator("#forward-view .pane-xt canvas").evaluate(
            """(c) => { const gap = 2, zoom = (c.width - 2 * gap) / 32, context = c.getContext('2d');
                return Array.from({ length: 1024 }, (_, i) => context.getImageData(
                    gap + (i % 32 + 0.5) * zoom, gap + (Math.floor(i / 32) + 0.5) * zoom, 1, 1).data[0]); }"""
        )
        exact = ddpm.to_uint8(x_t).numpy().ravel().astype(int)
        assert np.abs(np.array(shown) - exact).max() <= 1


def test_at_t_0_x_t_is_nearly_the_digit_and_the_guess_is_the_digit(open_page):
    page = open_page()
    eps = pixels(page, "forward", "eps")
    guess = pixels(page, "forward", "hat")
    playhead(page, "forward").press("End")
    assert float(live(page, "forward", "a")) < 0.01
    playhead(page, "forward").press("Home")
    assert live(page, "forward", "t") == "0"
    wait_for_change(page, "forward", "hat", guess)
    mean_difference = """(pane) => {
        const read = (p) => { const c = document.querySelector(`#forward-view .pane-${p} canvas`);
            return c.getContext('2d').getImageData(0, 0, c.width, c.height).data; };
        const one = read('x0'), other = read(pane);
        return one.reduce((sum, v, i) => sum + Math.abs(v - other[i]), 0) / one.length; }"""
    page.wait_for_function(f"({mean_difference})('hat') < 4")
    assert page.evaluate(mean_difference, "xt") < 4
    assert page.evaluate(mean_difference, "eps") > 30
    assert pixels(page, "forward", "eps") == eps  # the same eps is held while t moves


def test_another_digit_keeps_the_noise_and_new_noise_keeps_the_digit(open_page):
    page = open_page()
    digit, eps = pixels(page, "forward", "x0"), pixels(page, "forward", "eps")
    page.click("#forward-noise")
    wait_for_change(page, "forward", "eps", eps)
    assert pixels(page, "forward", "x0") == digit
    eps = pixels(page, "forward", "eps")
    page.click("#forward-another")
    wait_for_change(page, "forward", "x0", digit)
    assert pixels(page, "forward", "eps") == eps


def test_the_linear_schedule_drowns_the_digit_sooner(open_page):
    page = open_page()
    playhead(page, "forward").evaluate("r => { r.value = 600; r.dispatchEvent(new Event('input')); }")
    cosine = float(live(page, "forward", "a"))
    page.get_by_label("linear").check()
    page.wait_for_function(
        "before => Number(document.querySelector('#forward-margin [data-live=a]').textContent) < before - 0.2",
        arg=cosine,
    )
    assert float(live(page, "forward", "a")) == pytest.approx(0.159, abs=2e-3)  # sqrt(alphas_bar_600), linear


def test_t_sweeps_once_by_itself_unless_less_motion_is_preferred(open_page):
    still = open_page()
    page = open_page(reduced_motion="no-preference")
    page.wait_for_function("Number(document.querySelector('#forward-view input[type=range]').value) > 400")
    page.wait_for_function("document.querySelector('#forward-view .play')?.textContent === 'Play'")
    assert playhead(still, "forward").input_value() == "250"


def to_noise_level(page, t):
    playhead(page, "forward").evaluate("(r, t) => { r.value = t; r.dispatchEvent(new Event('input')); }", t)


def test_the_filmstrip_shows_and_sets_t(open_page):
    page = open_page()
    recording = page.locator("#forward-view .recording button")
    assert recording.count() == 10
    shown = recording.locator("canvas").evaluate_all("all => all.map((c) => c.toDataURL())")
    assert len(set(shown)) == 10
    recording.nth(7).click()
    assert live(page, "forward", "t") == "777"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_schedules_side_by_side_at_the_same_t_and_eps(open_page, width):
    page = open_page(width, 800)
    to_noise_level(page, 500)
    page.get_by_label("All schedules side by side").check()
    page.wait_for_function("document.querySelectorAll('#forward-view .pane:not([hidden])').length === 6")
    captions = page.locator("#forward-view .pane:visible figcaption").all_inner_texts()
    signals = [float(re.search(r"([−\d.]+) dB", text)[1].replace("−", "-")) for text in captions if "dB" in text]
    linear = 0.078  # alphas_bar_500 of the linear schedule, by hand: exp(sum log(1 - beta))
    assert signals[0] == pytest.approx(10 * math.log10(linear / (1 - linear)), abs=0.1)
    assert signals[1] == pytest.approx(0, abs=0.2)  # cosine, half-way
    assert signals[2] == pytest.approx((40 - 43.9) / 2, abs=0.2)  # half-way between the linear one's ends
    assert len({pixels(page, "forward", pane) for pane in ("xt", "xt1", "xt2")}) == 3
    rows = [page.locator(f"#forward-view .pane-{pane}").bounding_box()["y"] for pane in ("xt", "xt1", "hat")]
    assert (rows[0] == rows[1] != rows[2]) if width == 1280 else (rows[0] != rows[1] and rows[0] == rows[2])
    guess = pixels(page, "forward", "hat2")
    to_noise_level(page, 900)
    wait_for_change(page, "forward", "hat2", guess)


def test_signal_to_noise_and_the_histogram_follow_t(open_page):
    page = open_page()
    histogram = page.locator("#forward-margin .histogram")
    to_noise_level(page, 999)
    at_noise = histogram.evaluate("c => c.toDataURL()")
    assert live(page, "forward", "snr").startswith("−")
    to_noise_level(page, 0)
    assert histogram.evaluate("c => c.toDataURL()") != at_noise
    assert float(live(page, "forward", "snr")) > 30


def test_the_margin_leads_to_the_schedules_at_the_same_t_of_the_same_digit(open_page):
    page = open_page()
    page.locator("#forward-margin").get_by_role("link", name="The schedule").click()
    page.wait_for_function("document.querySelector('#schedules-margin [data-live=t]')?.textContent === '250'")
    assert page.evaluate("location.hash").startswith("#compare/schedules?t=250")
    assert page.locator("#schedules-view").is_visible()


def test_the_margin_draws_the_signal_to_noise_of_all_schedules_with_the_present_t(open_page):
    page = open_page()
    plot = page.locator("#forward-margin .ratios canvas")
    to_noise_level(page, 100)
    before = plot.evaluate("c => c.toDataURL()")
    to_noise_level(page, 600)
    assert plot.evaluate("c => c.toDataURL()") != before
    assert page.locator("#forward-margin .legend .key").all_inner_texts() == ["linear", "cosine", "log-SNR"]


def test_what_comes_while_the_tab_is_hidden_is_drawn_when_it_is_opened(open_page):
    page = open_page()
    tab(page, "Train")
    page.evaluate("DDPM.tabs.forward.receive({ schedule: 'linear' })")
    page.locator("#forward-margin .histogram").evaluate("c => { c.width = 0; }")
    tab(page, "Forward")
    page.wait_for_function("document.querySelector('#forward-margin .histogram').width > 100")


def test_a_drawn_digit_is_centred_shown_and_used(open_page):
    page = open_page()
    page.click("#forward-own")
    use = page.get_by_role("button", name="Use it")
    assert use.is_disabled()
    box = page.locator(".pad .sheet").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 30)  # a one, far left
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 240, steps=8)
    page.mouse.up()
    mass = page.locator(".pad .preview").evaluate(
        """(canvas) => { const { data } = canvas.getContext('2d').getImageData(0, 0, 32, 32);
            let m = 0, x = 0, y = 0;
            for (let i = 0; i < 1024; i++) {
                const v = data[4 * i];
                m += v; x += v * (i % 32 + 0.5); y += v * (Math.floor(i / 32) + 0.5);
            }
            return [m / 255, x / m, y / m]; }"""
    )
    assert mass[0] > 20 and mass[1] == pytest.approx(16, abs=0.6) and mass[2] == pytest.approx(16, abs=0.6)
    before = pixels(page, "forward", "x0")
    use.click()
    assert pixels(page, "forward", "x0") != before
    assert "your own" in page.locator("#forward-view .pane-x0 figcaption").inner_text()
    guess = pixels(page, "forward", "hat")
    to_noise_level(page, 300)
    wait_for_change(page, "forward", "hat", guess)


UPLOADS = {
    "no image": (b"this is not a picture", "not a picture"),
    "truncated": (png((64, 64), ink=0)[:60], "damaged"),
    "20,000 wide": (png((20_000, 16), ink=0), "at most 8192"),
    "one colour": (png((64, 64)), "nothing to see"),
    "too large": (b"\x89PNG" + b"\0" * 10_100_000, "larger than 10 MB"),
    "animated": (
        png((64, 64), ink=0, format="GIF", save_all=True, append_images=[Image.new("L", (64, 64), 9)], duration=90),
        "first frame",
    ),
    "dark on light": (png((300, 200), ink=0), None),
    "light on dark": (png((200, 300), colour=0, ink=255), None),
    "transparent": (png((64, 64), "RGBA", (0, 0, 0, 0), ink=(0, 0, 0, 255)), None),
    "transparent, light ink": (png((64, 64), "RGBA", (0, 0, 0, 0), ink=(255, 255, 255, 255)), None),
}


def test_an_upload_is_used_or_refused_in_words(open_page):
    page = open_page()
    page.click("#forward-own")
    for name, (data, words) in UPLOADS.items():
        page.get_by_role("button", name="Clear").click()
        page.wait_for_function("document.querySelector('.pad .primary').disabled")
        page.set_input_files(".pad input[type=file]", {"name": "x.png", "mimeType": "image/png", "buffer": data})
        use = page.get_by_role("button", name="Use it")
        if words:
            page.wait_for_function("w => document.querySelector('.pad .status')?.textContent.includes(w)", arg=words)
        if words in (None, "first frame"):
            page.wait_for_function("!document.querySelector('.pad .primary').disabled")
            corner, ink = page.locator(".pad .preview").evaluate(
                "(c) => [[0, 0], [16, 16]].map(([x, y]) => c.getContext('2d').getImageData(x, y, 1, 1).data[0])"
            )
            assert corner < 40 < 200 < ink, f"white on black, whatever it was: {name}"
        else:
            assert use.is_disabled(), name


def photo(marks=True):
    """A three in dark ink on paper; marks: with ruled lines, a hard shadow over a corner, falling light and grain."""
    paper = Image.new("L", (450, 600), 235)
    draw = ImageDraw.Draw(paper)
    for y in range(30, 600 if marks else 0, 35):
        draw.line((0, y, 450, y + 4), fill=165, width=2)
    draw.arc((150, 150, 300, 300), 190, 450, fill=45, width=19)
    draw.arc((145, 285, 320, 460), 270, 530, fill=45, width=19)
    grey = np.asarray(paper.filter(ImageFilter.GaussianBlur(1)), float)
    if marks:
        y, x = np.mgrid[:600, :450]
        grey = grey * (1 - 0.25 * x / 450) * np.where(x + 0.6 * y > 525, 0.5, 1)
        grey += np.random.default_rng(0).normal(0, 4, grey.shape)
    data = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def seen(page):
    """What the network will see, (32, 32)."""
    read = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0)"
    return np.array(page.locator(".pad .preview").evaluate(read), float).reshape(32, 32)


def upload(page, data):
    page.set_input_files(".pad input[type=file]", {"name": "x.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_function("!document.querySelector('.pad .primary').disabled")
    page.wait_for_function("document.querySelector('.pad .preview').width === 32")


@pytest.mark.parametrize("width", [390, 1280])
def test_ruled_lines_and_shadow_vanish_from_a_photo(open_page, width):
    page = open_page(width, 800)
    page.click("#forward-own")
    threshold, invert = page.get_by_label("Threshold"), page.get_by_label("Invert")
    assert threshold.is_disabled() and invert.is_disabled()
    upload(page, photo(marks=False))
    assert threshold.input_value() == "0" and invert.is_checked()
    clean = seen(page)
    upload(page, photo())
    assert threshold.input_value() == "50" and invert.is_checked(), "what seems right for a photo"

    def alike():
        return np.corrcoef(clean.ravel(), seen(page).ravel())[0, 1]

    assert alike() > 0.95
    for _ in range(10):
        threshold.press("ArrowLeft")
    assert page.locator(".pad output").inner_text() == "off"
    assert alike() < 0.7, "lines and shadow are there while nothing is taken away"
    for _ in range(9):
        threshold.press("ArrowRight")
    assert page.locator(".pad output").inner_text() == "45 %" and alike() > 0.95
    shown = seen(page)
    invert.press("Space")
    assert not invert.is_checked() and np.abs(seen(page) - shown).max() > 100
    invert.press("Space")
    assert np.array_equal(seen(page), shown)
    for control in (".pad .knob >> nth=0", ".pad .knob >> nth=1"):  # all in sight, and large enough for a finger
        box = page.locator(control).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 34
    before = pixels(page, "forward", "x0")
    page.get_by_role("button", name="Use it").click()
    assert pixels(page, "forward", "x0") != before


def test_the_pads_controls_begin_anew_with_every_picture(open_page):
    page = open_page()
    page.click("#forward-own")
    upload(page, photo())
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_label("Threshold").is_disabled() and not page.get_by_label("Invert").is_checked()
    upload(page, png((200, 300), colour=0, ink=255))
    assert not page.get_by_label("Invert").is_checked() and page.locator(".pad output").inner_text() == "off"
    as_it_is = seen(page)
    page.get_by_label("Invert").check()
    assert seen(page).mean() > 1.5 * as_it_is.mean(), "the ground is the ink now"
    page.get_by_label("Invert").uncheck()
    assert np.array_equal(seen(page), as_it_is)
