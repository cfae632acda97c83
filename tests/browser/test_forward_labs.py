"""Forward's inner tabs beside the first: step by step, the posterior, back again."""

import math
import re

import pytest
from helpers.steps import (
    choose,
    fits_a_laptop,
    is_inside,
    live,
    pixels,
    playhead,
    status,
    stop_once,
    tab,
    wait_for_change,
    wait_for_status,
)

pytestmark = pytest.mark.browser
SIZES = [(1280, 800), (390, 844)]
LABS = {
    "chain": "Step by step or at once",
    "posterior": "The posterior",
    "denoising": "Denoise it",
    "latent": "Latent space",
    "network": "The network",
}


def open_lab(open_page, name, size=(1280, 800)):
    page = open_page(*size)
    tab(page, LABS[name])
    page.wait_for_selector(f"#{name}-view .view canvas")
    return page


def seek(page, name, position):
    playhead(page, name).evaluate("(r, v) => { r.value = v; r.dispatchEvent(new Event('input')); }", position)


def number(page, name, key):
    return float(live(page, name, key).replace("−", "-"))


def wait_for_live(page, name, key, before):
    page.wait_for_function(
        "([sel, before]) => document.querySelector(sel).textContent !== before",
        arg=[f"#{name}-margin [data-live='{key}']", before],
    )


def feet(page):
    return dict(
        page.locator("#denoising-view .pane").evaluate_all(
            "panes => panes.map(p => [p.className.split('pane-')[1], p.querySelector('.foot').textContent])"
        )
    )


def draws(page):
    """Both panes of Step by step."""
    return pixels(page, "chain", "steps"), pixels(page, "chain", "jump")


def test_each_fits_a_laptop_without_scrolling(open_page):
    page = open_page()
    for name, title in LABS.items():
        tab(page, title)
        page.wait_for_selector("#network-view .unet button" if name == "network" else f"#{name}-view .view canvas")
        page.wait_for_timeout(500)
        assert fits_a_laptop(page), name
    embedding = page.locator("#network-view [data-block=t_embed]")  # whose waves are shown above its numbers
    embedding.click()
    page.wait_for_selector("#network-view .waves:visible")
    assert fits_a_laptop(page)


@pytest.mark.parametrize("width", [390, 768, 1920])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width, 844)
    for name in LABS.values():
        tab(page, name)
        page.wait_for_timeout(500)
        assert is_inside(page, width, "canvas:visible, math:visible")


def test_noise_is_what_the_page_opens_on_and_its_pictures_fill_the_stage(open_page):
    page = open_page()
    assert page.get_by_role("tab", name="Noise it", exact=True).get_attribute("aria-selected") == "true"
    assert page.locator("#forward-view .pane-xt canvas").bounding_box()["width"] >= 6 * 32 + 4


def test_weights_that_were_chosen_before_a_tab_is_opened_are_asked_there(open_page):
    page = open_page()
    choose(page, "weights", "mnist-tutorial")
    page.wait_for_function("document.querySelector('#weights input').value === 'mnist-tutorial'")
    page.wait_for_timeout(1500)
    tab(page, LABS["chain"])
    page.click("#chain-add")
    wait_for_status(page, "chain", "small steps of 1000")
    tab(page, LABS["posterior"])
    page.wait_for_function("document.querySelector('#posterior-margin [data-live=c0]')?.textContent === '0.652'")
    tab(page, LABS["denoising"])
    page.wait_for_function("document.querySelector('#denoising-margin [data-live=a]')?.textContent > 0")
    assert number(page, "denoising", "a") == pytest.approx(0.0259, abs=1e-3), "the linear schedule, at t = 849"


@pytest.mark.parametrize("size", SIZES)
def test_a_thousand_steps_and_one_jump_agree_at_every_t(open_page, size):
    page = open_lab(open_page, "chain", size)
    assert "press Add noise" in status(page, "chain").inner_text()
    clean = draws(page)
    assert clean[0] == clean[1], "before the first step all is the digit"
    page.click("#chain-add")
    wait_for_status(page, "chain", "small steps of 1000")
    wait_for_status(page, "chain", "^The same distribution")
    page.context.set_offline(True)  # all there is to see is in the page by now
    for position, caption in (
        (0, "before the first step"),
        (10, "100 small steps, 256 draws"),
        (60, "600 small steps, 256 draws"),
    ):
        seek(page, "chain", position)
        assert page.locator("#chain-view .pane-steps figcaption").inner_text() == caption
        for i in (0, 1):
            steps, jump, theory = (number(page, "chain", f"{way}{i}") for way in ("steps", "jump", "theory"))
            assert abs(steps - theory) < 0.02 and abs(jump - theory) < 0.02
        assert (draws(page)[0] == draws(page)[1]) == (position == 0), "as distributions, not draw by draw"
    angle = (0.6 + 0.008) / 1.008 * math.pi / 2  # Nichol and Dhariwal 2021, Eq. 17, after 600 steps
    assert number(page, "chain", "theory0") == pytest.approx(math.cos(angle), abs=1e-3)
    assert number(page, "chain", "theory1") == pytest.approx(math.sin(angle) ** 2, abs=1e-3)
    plot = page.locator("#chain-margin .spread canvas")
    before = plot.evaluate("c => c.toDataURL()")
    playhead(page, "chain").press("Home")
    assert draws(page) == clean and plot.evaluate("c => c.toDataURL()") != before
    playhead(page, "chain").press(" ")
    page.wait_for_function("document.querySelector('#chain-view .readout')?.textContent === 't = 49'")
    page.context.set_offline(False)


def test_a_walk_is_stopped_and_another_digit_begins_anew(open_page):
    page = open_lab(open_page, "chain")
    page.click("#chain-add")
    wait_for_status(page, "chain", "small steps of")
    page.click("#chain-stop")
    wait_for_status(page, "chain", "^Stopped")
    noisy = pixels(page, "chain", "steps")
    choose(page, "chain-digit", "0")
    wait_for_status(page, "chain", "press Add noise")
    clean = draws(page)
    assert clean[0] == clean[1] != noisy
    page.click("#chain-add")
    wait_for_status(page, "chain", "^The same distribution")
    page.locator("#chain-schedule").get_by_label("linear").check()
    wait_for_status(page, "chain", "press Add noise")
    assert draws(page) == clean


@pytest.mark.parametrize("size", SIZES)
def test_the_posterior_follows_t_s_the_pixel_and_the_draw(open_page, size):
    page = open_lab(open_page, "posterior", size)
    page.wait_for_function("document.querySelector('#posterior-margin [data-live=c0]').textContent !== '·'")
    assert page.locator("#posterior-view .readout").inner_text() == "t = 500, s = 300"
    far = number(page, "posterior", "c0")
    mean, draw = (pixels(page, "posterior", pane) for pane in ("mean", "draw"))
    page.click("#posterior-draw")
    wait_for_change(page, "posterior", "draw", draw)
    assert pixels(page, "posterior", "mean") == mean, "another draw from the same posterior"

    curves, x0 = page.locator("#posterior-view .bayes canvas"), page.locator("#posterior-view .pane-x0 canvas")
    before, zoom = curves.evaluate("c => c.toDataURL()"), (x0.bounding_box()["width"] - 4) / 32
    x0.click(position={"x": 2 + 3.5 * zoom, "y": 2 + 6.5 * zoom})
    chosen = [page.get_by_label(f"Pixel: {name}").input_value() for name in ("row", "column")]
    assert chosen == ["6", "3"]
    page.wait_for_function(
        "document.querySelector('#posterior-view .pixel output').textContent.startsWith('x₀ = −1.00')"
    )
    assert curves.evaluate("c => c.toDataURL()") != before

    page.locator("#posterior-stride").get_by_label("1, the paper's").check()
    wait_for_live(page, "posterior", "c0", f"{far:.3f}")
    assert page.locator("#posterior-view .readout").inner_text() == "t = 500, s = 499"
    near = number(page, "posterior", "c0")
    assert near < 0.01 < far and number(page, "posterior", "c1") > 0.99
    assert "μ̃ at s = 499" in page.locator("#posterior-view .pane-mean figcaption").inner_text()


def test_the_posterior_by_keyboard_alone(open_page):
    page = open_lab(open_page, "posterior")
    page.wait_for_function("document.querySelector('#posterior-margin [data-live=c0]').textContent !== '·'")
    row = page.get_by_label("Pixel: row")
    values = page.locator("#posterior-view .pixel output").inner_text()
    row.focus()
    row.press("ArrowUp")
    assert row.input_value() == "18"
    page.wait_for_function(
        "before => document.querySelector('#posterior-view .pixel output').textContent !== before", arg=values
    )
    playhead(page, "posterior").press("Home")
    wait_for_status(page, "posterior", "clean data")
    assert page.locator("#posterior-view .readout").inner_text() == "t = 0, s = −1"
    assert pixels(page, "posterior", "mean") == pixels(page, "posterior", "draw") == pixels(page, "posterior", "x0")
    assert [live(page, "posterior", key) for key in ("c0", "c1", "sd")] == ["1.000", "0.000", "0.000"]
    playhead(page, "posterior").press("End")
    wait_for_status(page, "posterior", "^$")


@pytest.mark.parametrize("size", SIZES)
def test_three_ways_back_from_the_same_x_t(open_page, size):
    page = open_lab(open_page, "denoising", size)
    wait_for_status(page, "denoising", "Press Denoise fully")
    page.wait_for_function(
        "document.querySelector('#denoising-view .pane-x0_hat .foot').textContent.includes('classified as')"
    )
    said = feet(page)
    assert said["x0"].startswith("d = 0.00") and said["f0"] == said["mean"] == ""
    page.click("#denoising-denoise")
    wait_for_status(page, "denoising", "^34 network evaluations")
    said = feet(page)
    d = {key: float(re.match(r"d = ([\d.]+)", text)[1]) for key, text in said.items() if key != "xt"}
    assert all(re.search(r"uncertain \d+ %\nclassified as \d, \d+ %$", said[key]) for key in d)
    assert 0 < d["x0_hat"] < d["blur"] and abs(d["mean"] - d["x0_hat"]) < 0.05
    assert d["x0_hat"] < (d["f0"] + d["f1"] + d["f2"]) / 3
    ends = {key: pixels(page, "denoising", key) for key in ("f0", "f1", "f2", "mean")}
    assert len(set(ends.values())) == 4
    page.context.set_offline(True)
    playhead(page, "denoising").press("Home")
    assert {pixels(page, "denoising", key) for key in ends} == {pixels(page, "denoising", "xt")}, (
        "all begin at this x_t"
    )
    assert "classified as" not in feet(page)["f0"]
    playhead(page, "denoising").press("End")
    assert {key: pixels(page, "denoising", key) for key in ends} == ends
    page.context.set_offline(False)


def test_another_x_t_has_other_futures(open_page):
    page = open_lab(open_page, "denoising")
    page.wait_for_function(
        "document.querySelector('#denoising-view .pane-x0_hat .foot').textContent.includes('classified as')"
    )
    page.click("#denoising-denoise")
    wait_for_status(page, "denoising", "network evaluations")
    x_t, x0_hat = pixels(page, "denoising", "xt"), pixels(page, "denoising", "x0_hat")
    slider = page.locator("#denoising-t input[type=range]")
    for _ in range(20):
        slider.press("ArrowLeft")
    wait_for_status(page, "denoising", "Press Denoise fully")
    page.wait_for_function(
        "document.querySelector('#denoising-view .pane-xt figcaption').textContent.includes('t = 349')"
    )
    assert pixels(page, "denoising", "xt") != x_t and pixels(page, "denoising", "x0_hat") != x0_hat
    assert feet(page)["f0"] == "" and page.locator("#denoising-view .play").is_disabled()
    page.click("#denoising-denoise")
    wait_for_status(page, "denoising", "^14 network evaluations")
    page.click("#denoising-noise")
    wait_for_status(page, "denoising", "Press Denoise fully")
    assert feet(page)["f0"] == ""


def test_stop_stops_the_way_back(open_page):
    page = open_lab(open_page, "denoising")
    slider = page.locator("#denoising-t input[type=range]")
    slider.press("End")
    page.wait_for_function(
        "document.querySelector('#denoising-view .pane-xt figcaption').textContent.includes('t = 999')"
    )
    page.click("#denoising-denoise")
    stop_once(page, "denoising", r"^Step \d+ of 40")
    wait_for_status(page, "denoising", "^Stopped")
    assert "classified as" not in feet(page)["f0"]


# ---------------------------------------------------------------- latent space


def test_latent_space_follows_t_k_and_the_other_digit(open_page):
    page = open_lab(open_page, "latent")
    page.wait_for_function("document.querySelectorAll('#latent-view .walk canvas').length === 18")
    before = number(page, "latent", "pca_error")
    assert number(page, "latent", "error") < before / 4 and number(page, "latent", "k") == 32
    noisy = pixels(page, "latent", "z_t")
    seek(page, "latent", 0)
    wait_for_change(page, "latent", "z_t", noisy)
    told = live(page, "latent", "pca_error")
    page.locator("#latent-k input[type=number]").fill("100")
    page.keyboard.press("Tab")
    wait_for_live(page, "latent", "pca_error", told)
    assert number(page, "latent", "pca_error") < before and number(page, "latent", "k") == 100
    end = "document.querySelector('#latent-view .walk:first-child canvas:last-child').toDataURL()"
    last = page.evaluate(end)
    page.locator("#latent-other").click()
    page.wait_for_function(f"last => {end} !== last", arg=last)


def test_latent_space_opened_after_another_model_was_chosen_shows_it(open_page):
    page = open_page()
    choose(page, "weights", "mnist-latent")
    wait_for_status(page, "forward", "works on latents")
    tab(page, "Latent space")
    page.wait_for_function("document.querySelectorAll('#latent-view .walk canvas').length === 18")
    assert number(page, "latent", "error") < number(page, "latent", "pca_error")
