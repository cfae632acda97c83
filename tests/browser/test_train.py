"""The Train tab in a real Chromium."""

import io
import json
import re
import zipfile

import pytest
from helpers.steps import (
    fits_a_laptop,
    generate,
    leave_out_evaluation,
    live,
    pixels,
    playhead,
    save,
    set_number,
    start_training,
    status,
    tab,
    wait_for_change,
    wait_for_status,
)

pytestmark = pytest.mark.browser


def test_training_streams_and_its_weights_go_to_reverse(open_page):
    page = open_page()
    start_training(page, 12)
    leave_out_evaluation(page)
    wait_for_status(page, "train", "^Done after .* step 12,")
    assert float(live(page, "train", "loss")) > 0
    assert page.locator("#train-view figcaption").first.inner_text().startswith("After")
    assert page.locator("#train-view .empty").is_hidden()
    page.click("#train-use")
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    assert "trained here: fast" in page.locator("#weights input").input_value()
    page.wait_for_function("location.hash.includes('model=own')")
    page.reload()
    page.wait_for_function("document.querySelector('#weights input')?.value.startsWith('trained here: fast')")
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    assert page.locator(".link-problems").text_content() == ""


def offered(page):
    """The buttons of the panel that can be pressed."""
    names = ("start", "pause", "stop", "use", "continue", "both", "open")
    return {name for name in names if page.locator(f"#train-{name}:visible:enabled").count()}


def test_stop_in_the_middle_of_training(open_page):
    page = open_page()
    tab(page, "Train")
    assert offered(page) == {"start", "both", "open"}, "nothing else means anything yet"
    start_training(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    assert offered(page) == {"pause", "stop", "use", "open"}
    assert page.locator("#train-both").get_attribute("title") == "A training is going on: stop it first."
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
    assert offered(page) == {"start", "both", "open", "use", "continue"}
    assert "After" in page.locator("#train-view figcaption").first.inner_text()


def test_a_reload_in_the_middle_of_training_comes_back_to_the_run(open_page):
    page = open_page()
    start_training(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    page.wait_for_function("document.querySelector('#train-view figcaption')?.textContent.startsWith('After')")
    page.reload()
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    page.get_by_role("button", name=re.compile(r"^Training, \d+ s left$")).click()
    wait_for_status(page, "train", r"s left: step \d\d")
    page.wait_for_function("document.querySelector('#train-view figcaption')?.textContent.startsWith('After')")
    playhead(page, "train").press("Home")
    assert page.locator("#train-view .empty").is_hidden()  # what it had drawn before the reload is there
    page.click("#train-stop")
    tab(page, "Reverse")
    page.get_by_role("button", name="Training ended").click()
    wait_for_status(page, "train", "^Stopped after")
    assert not page.locator("#training button").is_visible()


def test_generate_in_another_window_while_training(open_page):
    page = open_page()
    start_training(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    other = open_page(same_profile=False)
    tab(other, "Reverse")
    generate(other, steps=5)
    wait_for_status(other, "reverse", "^5 steps")
    assert "s left" in status(page, "train").inner_text()
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")


def test_pause_and_go_on(open_page):
    page = open_page()
    start_training(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    page.click("#train-pause")
    wait_for_status(page, "train", "^Paused.*Press Resume")
    assert page.locator("#train-pause").inner_text() == "Resume"
    page.wait_for_timeout(700)  # the step it is in is still taken, and on a busy machine it takes its time
    held = status(page, "train").inner_text()
    page.wait_for_timeout(700)
    assert status(page, "train").inner_text() == held
    page.click("#train-pause")
    wait_for_status(page, "train", "s left")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")


def test_both_train_side_by_side_and_come_back_after_a_reload(open_page):
    page = open_page()
    tab(page, "Train")
    page.get_by_role("radio", name="in latent space").check()
    page.wait_for_function("document.querySelector('#train-preset input').value.startsWith('latent')")
    set_number(page, "train-budget", 60)
    page.click("#train-both")
    captions = "[...document.querySelectorAll('#train-view figcaption')].filter((f) => f.checkVisibility())"
    both = f"{captions}.map((f) => f.textContent).join().match(/In pixels: .*,In latent space: .* as asked/)"
    page.wait_for_function(both)
    wait_for_status(page, "train", "s left for each: in pixels [0-9,]+ digits seen.*in latent space [0-9,]+ digits")
    assert fits_a_laptop(page)
    page.reload()
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Train")
    page.wait_for_function(both)
    before = pixels(page, "train", "other")
    wait_for_change(page, "train", "other", before)  # it is followed, too
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after .* each: in pixels")
    assert page.locator("#train-view .legend").inner_text().split("\n") == [
        *("loss, pixels", "as asked, pixels", "loss, latents", "as asked, latents")
    ]
    latents = save(page, "Zip", "train")
    wait_for_status(page, "train", "^Saved ddpm-latent-.* Hold nothing beside")
    page.get_by_label("Held beside the averaged weights").select_option("")
    of_pixels = save(page, "Zip", "train")
    assert "-latent-" in latents.suggested_filename and "-latent-" not in of_pixels.suggested_filename
    page.click("#train-use")
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    assert "trained here: latent" in page.locator("#weights input").input_value()
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")


def test_continue_save_and_open_again(open_page):
    page = open_page()
    start_training(page, 5)
    leave_out_evaluation(page)
    wait_for_status(page, "train", "^Done after .* step 5,")
    page.click("#train-continue")
    wait_for_status(page, "train", "s left: step ([6-9]|\\d\\d)")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
    data = save(page, "Zip", "train").path().read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        config = json.loads(file.read(next(name for name in file.namelist() if name.endswith("config.json"))))
    assert config["model"]["base"] == 24 and config["info"]["step"] > 5
    upload(page, "mine.zip", data)
    wait_for_status(page, "train", "^Opened")
    assert "mine" in page.locator("#weights input").input_value()
    tab(page, "Reverse")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")


def upload(page, name, data):
    file = {"name": name, "mimeType": "application/zip", "buffer": data}
    page.locator("#train-open").locator("xpath=preceding-sibling::input").set_input_files(file)


def test_a_file_that_is_no_checkpoint_changes_nothing(open_page):
    page = open_page()
    tab(page, "Train")
    upload(page, "x.zip", b"PK not really")
    wait_for_status(page, "train", "not a zip that can be read")
    assert page.locator("#weights input").input_value() == "mnist"


def test_the_presets_fill_what_is_under_more_and_bad_values_are_said(open_page):
    page = open_page()
    tab(page, "Train")
    page.get_by_role("button", name="More").click()
    assert page.locator("#train-width input").input_value() == "24"
    page.locator("#train-preset input").click()
    page.get_by_role("option", name="tutorial: as published").click()
    page.wait_for_function("document.querySelector('#train-width input').value === '64'")
    assert page.locator("#train-lr input").input_value() == "0.0002"
    set_number(page, "train-width", 20)
    page.click("#train-start")
    wait_for_status(page, "train", "Under More: Width: a multiple of 8")


def test_the_loss_on_a_linear_axis(open_page):
    page = open_page()
    start_training(page, 5)
    leave_out_evaluation(page)
    curve = page.locator("#train-view .track canvas")
    before = curve.evaluate("c => c.toDataURL()")
    page.get_by_role("button", name="Scale: log", exact=True).click()
    assert curve.evaluate("c => c.toDataURL()") != before
    page.get_by_role("button", name="Scale: linear", exact=True).click()
    assert curve.evaluate("c => c.toDataURL()") == before
