"""The Compare tab in a real Chromium, at a laptop's and a phone's size."""

import re

import pytest
from helpers.steps import (
    another_run,
    is_inside,
    live,
    open_latent,
    pixels,
    playhead,
    save,
    set_number,
    status,
    tab,
    wait_for_change,
    wait_for_status,
)

pytestmark = pytest.mark.browser
SIZES = [(1280, 800), (390, 844)]


VIEWS = {
    "Race samplers": "race",
    "Vary one setting": "knob",
    "Measure quality": "quality",
    "Compare schedules": "schedules",
}


def open_compare(open_page, name, size=(1280, 800)):
    page = open_page(*size)
    tab(page, "Compare")
    tab(page, name)
    page.wait_for_selector(f"#{VIEWS[name]}-view .view *")
    return page


def lane(page, letter, what):
    return page.get_by_label(f"Lane {letter}: {what}")


def feet(page, name="race"):
    return page.locator(f"#{name}-view .pane:visible .foot").all_inner_texts()


@pytest.mark.parametrize("size", SIZES)
def test_a_race_from_the_same_noise_to_the_classifiers_reading_and_the_distance(open_page, size):
    page = open_compare(open_page, "Race samplers", size)
    assert "Press Race" in page.locator("#race-view .empty").inner_text()
    lane(page, "A", "steps").fill("30")
    set_number(page, "race-seed", size[0])  # the server remembers references: each size needs one of its own
    page.click("#race-race")
    wait_for_status(page, "race", "still running")
    wait_for_status(page, "race", "DDIM, step")  # the reference is on its way, and the lanes can be looked at
    wait_for_status(page, "race", "^All finished")
    said = feet(page)
    assert len(said) == 3 and all(re.search(r"\d of 6 classified as asked", text) for text in said)
    assert "stochastic" in said[0] and all(re.search(r"d = 0\.\d{3}", text) for text in said[1:])
    assert [re.match(r"(\d+) of \1 evaluations", text) is not None for text in said] == [True] * 3
    finished = [pixels(page, "race", f"lane{i}") for i in range(3)]
    assert len(set(finished)) == 3
    page.context.set_offline(True)
    playhead(page, "race").press("Home")
    noise = {pixels(page, "race", f"lane{i}") for i in range(3)}
    assert len(noise) == 1, "all lanes start from the same noise"
    playhead(page, "race").press("End")
    assert [pixels(page, "race", f"lane{i}") for i in range(3)] == finished
    page.context.set_offline(False)


def test_lanes_are_added_changed_and_refused_in_words(open_page):
    page = open_compare(open_page, "Race samplers")
    page.get_by_role("button", name="+ lane").click()
    assert page.get_by_role("button", name="+ lane").is_disabled()
    lane(page, "A", "sampler").select_option("dpmpp")
    assert lane(page, "A", "spacing").input_value() == "log_snr"
    for letter in "ABCD":
        lane(page, letter, "steps").fill("3")
    page.click("#race-race")
    wait_for_status(page, "race", "^All finished")
    captions = page.locator("#race-view .pane:visible figcaption").all_inner_texts()
    assert [re.sub(r"\s+", " ", text) for text in captions] == [
        "A DPM-Solver++, 3 steps",
        "B DDIM, 3 steps",
        "C DPM-Solver++, 3 steps",
        "D Heun, 3 steps",
    ]
    assert pixels(page, "race", "lane0") == pixels(page, "race", "lane2")
    lane(page, "B", "steps").fill("")
    page.click("#race-race")
    wait_for_status(page, "race", "^Lane B. Steps: a whole number from 1 to 1000, please")
    for _ in range(2):
        page.get_by_role("button", name="− lane").click()
    assert page.get_by_role("button", name="− lane").is_disabled()
    lane(page, "B", "steps").fill("4")
    page.click("#race-race")
    wait_for_status(page, "race", "^All finished")
    page.wait_for_function("document.querySelectorAll('#race-view .pane:not([hidden])').length === 2")


@pytest.mark.parametrize("size", SIZES)
def test_pixels_race_latents_at_equal_seconds(open_page, size):
    page = open_latent(open_page, size)  # the model above
    tab(page, "Compare")
    page.get_by_role("button", name="− lane").click()
    for letter in "AB":
        lane(page, letter, "sampler").select_option("dpmpp")
        lane(page, letter, "steps").fill("20")
    page.locator("#race-lanes summary").first.click()
    own = lane(page, "A", "model").locator("option", has_text="trained here: latent")
    own.wait_for(state="attached")
    models = lane(page, "A", "model").locator("option").all_inner_texts()
    assert models[:5] == ["the model above", "cifar10", "faces", "fashion", "mnist"]
    lane(page, "A", "model").select_option("mnist")
    assert page.locator("#race-lanes summary").first.inner_text().startswith("mnist, guidance")
    page.click("#race-race")
    wait_for_status(page, "race", r"^\d\.\d+ s a lane; \d still running")
    wait_for_status(page, "race", r"^All finished: B first, after \d\.\d\d s")
    captions = page.locator("#race-view .pane:visible figcaption").all_inner_texts()
    assert captions[0] == "A mnist" and captions[1].startswith("B trained here: latent")
    spent = [float(re.search(r"DPM-Solver\+\+, 20 steps: (\d+\.\d+) s", text)[1]) for text in feet(page)]
    assert spent[0] > spent[1]
    ended = [pixels(page, "race", f"lane{i}") for i in range(2)]
    axis = playhead(page, "race")
    last = int(axis.get_attribute("max"))
    unit = float(page.locator("#race-view .readout").inner_text().removesuffix(" s")) / last
    for _ in range(last - int((spent[1] + spent[0]) / 2 / unit)):
        axis.press("ArrowLeft")
    assert pixels(page, "race", "lane1") == ended[1], "the latents were done by then"
    assert pixels(page, "race", "lane0") != ended[0]
    assert is_inside(page, size[0], "#race-view .pane:visible canvas, #race-lanes .lane:visible select")


def test_stop_stops_a_race_and_its_reference(open_page):
    page = open_compare(open_page, "Race samplers")
    lane(page, "A", "steps").fill("1000")
    page.click("#race-race")
    wait_for_status(page, "race", "1 still running")
    page.click("#race-stop")
    wait_for_status(page, "race", "^Stopped")
    assert re.search(r"^(\d+) of 13\d\d evaluations", feet(page)[0])
    lane(page, "A", "steps").fill("5")
    set_number(page, "race-seed", 77)
    page.click("#race-race")
    wait_for_status(page, "race", "DDIM, step")
    page.click("#race-stop")
    wait_for_status(page, "race", "^All finished")
    assert not any("d =" in text for text in feet(page))


def test_a_race_is_saved_as_a_picture(open_page):
    page = open_compare(open_page, "Race samplers")
    for letter in "ABC":
        lane(page, letter, "steps").fill("2")
    assert page.locator("#race-view").get_by_role("button", name="Save", exact=True).is_disabled()
    page.click("#race-race")
    wait_for_status(page, "race", "^All finished")
    data = save(page, "PNG", "race").path().read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 5000


@pytest.mark.parametrize(
    ("size", "knobs"), [(SIZES[0], ["steps", "eta", "guidance", "seed"]), *((size, ["steps"]) for size in SIZES[1:])]
)
def test_one_knob_at_six_values(open_page, size, knobs):
    page = open_compare(open_page, "Vary one setting", size)
    right = "(each) => each.getBoundingClientRect().right"
    panel, offered = page.locator("#knob-knob"), page.locator("#knob-knob label")
    assert all(one.evaluate(right) < panel.evaluate(right) for one in offered.all()), "a knob is cut off"
    set_number(page, "knob-n", 2)
    for knob in knobs:
        page.locator("#knob-knob").get_by_label(knob).check()
        another_run(page, "knob", lambda: page.click("#knob-vary"))
        wait_for_status(page, "knob", "^All finished")
        captions = page.locator("#knob-view .pane:visible figcaption").all_inner_texts()
        assert len(captions) == 6 and len(set(captions)) == 6
        assert len({pixels(page, "knob", f"lane{i}") for i in range(6)}) >= 5
        assert all(re.search(r"\d+ evals\s+\d/2 right", text) for text in feet(page, "knob"))
        playhead(page, "knob").press("Home")
        assert (len({pixels(page, "knob", f"lane{i}") for i in range(6)}) == 1) == (knob != "seed"), "the same noise"


def test_a_knob_that_does_nothing_says_so(open_page):
    page = open_compare(open_page, "Vary one setting")
    page.locator("#knob-knob").get_by_label("guidance").check()
    page.locator("#knob-class input").click()
    page.get_by_role("option", name="none", exact=True).click()
    page.click("#knob-vary")
    wait_for_status(page, "knob", "nothing to be guided by")


@pytest.mark.parametrize("size", SIZES)
def test_the_chart_names_its_file_and_takes_a_point_measured_live(open_page, size):
    page = open_compare(open_page, "Measure quality", size)
    source = page.locator("#quality-view .source").inner_text()
    assert "checkpoints/mnist/curve.json" in source and "python -m ddpm bench --curve checkpoints/mnist" in source
    keys = page.locator("#quality-view .legend .key").all_inner_texts()
    assert {"DDPM", "DDIM", "DPM-Solver++", "Heun"} <= set(keys)
    before = page.locator("#quality-view canvas").first.evaluate("c => c.toDataURL()")
    set_number(page, "quality-steps", 5)
    page.locator("#quality-n").get_by_label("200", exact=True).check()
    page.click("#quality-measure")
    wait_for_status(page, "quality", "^Measured with 200 samples")
    assert page.locator("#quality-view canvas").first.evaluate("c => c.toDataURL()") != before
    cells = page.locator("#quality-view .points td").all_inner_texts()
    assert cells[0].startswith("DDIM, 5 steps, eta 0.7, guidance 1.5") and cells[1] == "6" and cells[2] == "200"
    assert re.fullmatch(r"\d+\.\d\d ± \d\.\d\d", cells[3]) and "%" in cells[4]


def test_stop_stops_a_measurement(open_page):
    page = open_compare(open_page, "Measure quality")
    set_number(page, "quality-steps", 1000)
    page.click("#quality-measure")
    wait_for_status(page, "quality", r"Drawing: \d+ of 500")
    page.click("#quality-stop")
    wait_for_status(page, "quality", "^Stopped: no point")


@pytest.mark.parametrize("size", SIZES)
def test_the_schedules_side_by_side(open_page, size):
    page = open_compare(open_page, "Compare schedules", size)
    captions = "#schedules-view .pane figcaption"
    page.wait_for_function(f"document.querySelector('{captions}')?.textContent.includes('dB')")
    at_half = page.locator(captions).all_inner_texts()
    assert [re.search(r"ᾱ = ([\d.]+)", text)[1] for text in at_half] == ["0.078", "0.492", "0.386"]
    playhead(page, "schedules").evaluate("r => { r.value = 900; r.dispatchEvent(new Event('input')); }")
    later = page.locator(captions).all_inner_texts()
    assert all("t = 900" in text for text in later)
    assert page.locator("#schedules-margin .betas canvas").is_visible()
    told = {key: live(page, "schedules", key) for key in ("t", "linear-b", "linear-a", "cosine-ab")}
    assert told == {"t": "900", "linear-b": "0.0180", "linear-a": "0.982", "cosine-ab": "0.0236"}
    playhead(page, "schedules").evaluate("r => { r.value = 1; r.dispatchEvent(new Event('input')); }")
    told = {key: float(live(page, "schedules", f"linear-{key}").replace("−", "-")) for key in ("b", "v")}
    assert told == {"b": 1.2e-4, "v": 5.5e-5}, "a step before clean data the posterior is narrower by half"
    rows = {pixels(page, "schedules", kind) for kind in ("linear", "cosine", "log_snr")}
    assert len(rows) == 3
    before = pixels(page, "schedules", "cosine")
    page.click("#schedules-noise")
    wait_for_change(page, "schedules", "cosine", before)
    assert page.locator("#schedules-margin .ratios canvas").is_visible()
    assert status(page, "schedules").inner_text() == ""
