"""Looking inside a training run while it learns, in a real Chromium."""

import pytest
from helpers.steps import (
    choose,
    leave_out_evaluation,
    live,
    playhead,
    set_number,
    start_training,
    status,
    tab,
    wait_for_status,
)

pytestmark = pytest.mark.browser

BARS = "#train-margin .levels button"


def wait_for_bars(page):
    page.wait_for_function(f"document.querySelectorAll('{BARS}').length === 10")


def test_the_loss_by_noise_level_and_what_is_asked_there(open_page):
    page = open_page()
    start_training(page, 20_000)
    wait_for_bars(page)
    first = page.locator(BARS).first
    assert first.get_attribute("aria-label").startswith("t = 0 to 99: loss ")
    heights = page.eval_on_selector_all(f"{BARS} i", "bars => bars.map(bar => bar.offsetHeight)")
    assert min(heights) > 0
    thumbnails = page.eval_on_selector_all(f"{BARS} canvas", "all => all.map(c => c.toDataURL())")
    assert len(set(thumbnails)) == 10
    assert "of its loss at t < 300" in live(page, "train", "about")
    assert float(live(page, "train", "norm")) > 0 and "%" in live(page, "train", "clipped")

    first.focus()
    page.keyboard.press("Enter")  # no pointer needed
    dialog = page.locator("dialog[open]")
    page.wait_for_function("document.querySelector('dialog[open] .hint')?.textContent.startsWith('Loss of each')")
    captions = dialog.locator("figcaption").all_inner_texts()
    assert captions == ["input xₜ", "target", "prediction", "prediction − target, halved"]
    pictures = dialog.locator("canvas").evaluate_all("all => all.map(c => c.toDataURL())")
    assert len(set(pictures)) == 4
    page.keyboard.press("Escape")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")


def test_live_weights_beside_the_average_and_the_film_afterwards(open_page):
    page = open_page()
    start_training(page, 20_000)
    page.get_by_label("Held beside the averaged weights").select_option("live")
    page.wait_for_function("document.querySelectorAll('#train-view figure:not([hidden])').length === 2")
    page.wait_for_function(
        "window.DDPM && Number(document.querySelector('#train-view .readout')?.textContent.split(' ')[0]) > 4"
    )
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")

    def seen():
        panes = page.locator("#train-view figure:not([hidden]) canvas")
        return [panes.nth(i).evaluate("c => c.toDataURL()") for i in range(2)]

    last, bars = seen(), page.locator(BARS).first.get_attribute("aria-label")
    assert last[0] != last[1]
    assert "/20 classified as asked" in page.locator("#train-view figcaption").first.inner_text()
    playhead(page, "train").press("Home")
    first = seen()
    assert first[0] != last[0] and first[1] != last[1]
    assert page.locator(BARS).first.get_attribute("aria-label") != bars
    playhead(page, "train").press("End")
    assert seen() == last


def test_two_runs_overlaid(open_page):
    page = open_page()
    start_training(page, 12)
    leave_out_evaluation(page)
    page.get_by_role("button", name="More").click()
    choose(page, "train-schedule", "linear")
    set_number(page, "train-budget", 10)
    page.click("#train-start")
    wait_for_status(page, "train", "step 10,")
    leave_out_evaluation(page)
    beside = page.get_by_label("Held beside the averaged weights")
    labels = beside.locator("option").all_inner_texts()
    assert labels[:2] == ["Compare with: none", "live weights"] and labels[2] == "fast, bundled, 12 steps"
    beside.select_option(index=2)
    page.wait_for_function("document.querySelector('#train-view .legend')?.textContent.includes('other run')")
    captions = page.locator("#train-view figure:not([hidden]) figcaption").all_inner_texts()
    assert len(captions) == 2 and captions[1].startswith("fast, bundled, 12 steps")


def test_a_second_window_watches(open_page):
    page = open_page()
    start_training(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    other = open_page(same_profile=True)
    tab(other, "Train")
    wait_for_status(other, "train", r"s left: step \d\d")
    wait_for_bars(other)
    other.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
    wait_for_status(other, "train", "^Stopped after")


def test_the_distance_to_real_digits_once_at_the_end(open_page):
    page = open_page()
    start_training(page, 5)
    wait_for_status(page, "train", "^Trained. Evaluation")
    page.set_default_timeout(240_000)  # a thousand digits take a minute and more where other work goes on
    wait_for_status(page, "train", "^Done after .* FID .* times that of real digits")


def test_a_learning_rate_too_high_is_said_in_words(open_page):
    page = open_page()
    tab(page, "Train")
    page.get_by_role("button", name="More").click()
    set_number(page, "train-lr", 1)
    start_training(page, 20_000)
    wait_for_status(page, "train", "^Stopped: .*learning rate")
    assert "error" in status(page, "train").get_attribute("class")
