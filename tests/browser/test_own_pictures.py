"""Train on pictures of one's own, in a real Chromium: a zip, drawings, weights to continue from."""

import io
import zipfile

import numpy as np
import pytest
from helpers.steps import choose, fits_a_laptop, set_number, tab, wait_for_status
from PIL import Image

pytestmark = pytest.mark.browser

BROUGHT = "#train-brought .hint"


def zip_of(names):
    """A zip of noisy pictures in colour, as a file that can be chosen."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for i, name in enumerate(names):
            picture = io.BytesIO()
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(picture, "PNG")
            file.writestr(name, picture.getvalue())
    return buffer.getvalue()


def choose_own(page):
    tab(page, "Train")
    page.locator("#train-hint").wait_for()
    assert page.locator("#train-zip").is_hidden()
    choose(page, "train-data", "Your own pictures")
    page.wait_for_selector("#train-zip:visible")
    assert page.locator("#train-hint").is_hidden() and fits_a_laptop(page)


def upload(page, data):
    file = {"name": "pets.zip", "mimeType": "application/zip", "buffer": data}
    page.locator("#train-zip").locator("xpath=preceding-sibling::input").set_input_files(file)


def says(page, text):
    page.wait_for_function(f"document.querySelector('{BROUGHT}')?.textContent.includes({text!r})")


def test_a_zip_is_checked_shown_and_trained_on(open_page):
    page = open_page()
    choose_own(page)
    upload(page, zip_of(["cat/1.png"]))
    says(page, "pets.zip holds 1 picture; at least 4, please.")
    upload(page, zip_of([f"{name}/{i}.png" for name in ("cat", "dog") for i in range(3)]))
    says(page, "6 pictures, 2 classes. Look at them")
    dialog = page.locator("dialog[open]")
    assert "6 pictures, taken as 32 x 32 in colour, 2 classes: cat (3), dog (3). They are in" in dialog.inner_text()
    assert dialog.locator("canvas").get_attribute("aria-label").endswith("classes: cat, dog")
    dialog.get_by_role("button", name="Close").click()
    upload(page, b"no zip")
    says(page, "pets.zip cannot be read as a zip (File is not a zip file); make it anew. Still here: 6 pictures")
    assert fits_a_laptop(page)
    set_number(page, "train-budget", 2)
    choose(page, "train-kind", "steps")
    page.click("#train-start")
    wait_for_status(page, "train", r"^Done after .* step 2, \d+ pictures seen")
    assert "digit" not in page.locator("#train-margin").inner_text(), "the model that is chosen above draws digits"
    assert "digit" not in page.locator("#train-expected").inner_text()
    page.locator("#train-data input").click()
    assert page.get_by_role("option", name="Bundled digits (10,000)").is_visible()
    page.get_by_role("option", name="Bundled digits (10,000)").click()
    page.wait_for_function("document.querySelector('#train-expected').textContent.includes('digits a second')")
    assert "pictures seen" in page.locator("#train-view .status").inner_text(), "the run is still that of pictures"


def test_drawings_are_added_class_by_class_and_trained_on_from_mnist(open_page):
    page = open_page()
    choose_own(page)
    page.click("#train-draw")
    dialog = page.locator("dialog[open]")
    box = dialog.locator(".sheet").bounding_box()
    for name, ends in (("a", (0.2, 0.8)), ("b", (0.8, 0.2))):
        dialog.get_by_label("Class").fill(name)
        for at in (0.3, 0.5, 0.7):
            page.mouse.move(box["x"] + box["width"] * ends[0], box["y"] + box["height"] * at)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * ends[1], box["y"] + box["height"] * 0.8, steps=3)
            page.mouse.up()
            dialog.get_by_role("button", name="Add it").click()
    assert dialog.locator(".rows b").all_inner_texts() == ["a (3)", "b (3)"]
    dialog.get_by_role("button", name="Take away drawing 1 of b").click()
    assert dialog.locator(".rows b").all_inner_texts() == ["a (3)", "b (2)"]
    with page.expect_download() as saved:
        dialog.get_by_role("button", name="Save as zip").click()
    assert saved.value.suggested_filename == "own-pictures.zip"
    dialog.get_by_role("button", name="Use these").click()
    says(page, "5 pictures, 2 classes.")
    page.locator("dialog[open]").get_by_role("button", name="Close").click()
    seen = page.locator(".brought canvas").evaluate("c => c.toDataURL()")
    upload(page, saved.value.path().read_bytes())
    page.wait_for_function("document.querySelector('.brought[open] .hint')?.textContent.includes('a (3), b (2).')")
    assert page.locator(".brought canvas").evaluate("c => c.toDataURL()") == seen, "to the pixel"
    page.locator("dialog[open]").get_by_role("button", name="Close").click()
    choose(page, "train-preset", "from mnist: continue its training")
    set_number(page, "train-budget", 2)
    choose(page, "train-kind", "steps")
    page.click("#train-start")
    wait_for_status(page, "train", "^Done after .* step 2,")
    page.reload()
    page.wait_for_selector("#train-zip:visible")  # the address says whose pictures, and the pictures are gone
    page.click("#train-start")
    wait_for_status(page, "train", "no pictures of yours yet")
