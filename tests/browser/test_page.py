"""Each tab's main action in a real Chromium: what a person does, and what they then see."""

import math
import re

import pytest

pytestmark = pytest.mark.browser


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def status(page, name):
    return page.locator(f"#{name}-view .status")


def wait_for_status(page, name, text):
    page.wait_for_function(
        "([name, text]) => document.querySelector(`#${name}-view .status`).textContent.match(text)", arg=[name, text]
    )


def pixels(page, name, pane):
    """The picture of a pane as the person sees it."""
    return page.locator(f"#{name}-view .pane-{pane} canvas").evaluate("c => c.toDataURL()")


def playhead(page, name):
    return page.locator(f"#{name}-view input[type=range]")


def live(page, name, key):
    return page.locator(f"#{name}-margin [data-live='{key}']").first.text_content()


def set_number(page, elem_id, value):
    field = page.locator(f"#{elem_id} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def wait_for_change(page, name, pane, before):
    page.wait_for_function(
        "([sel, before]) => document.querySelector(sel).toDataURL() !== before",
        arg=[f"#{name}-view .pane-{pane} canvas", before],
    )


# Forward


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
    page.wait_for_function("document.querySelector('#forward-view .play').textContent === 'Play'")
    assert playhead(still, "forward").input_value() == "250"


# Reverse


def generate(page, steps=20, n=4, seed=0):
    set_number(page, "reverse-n", n)
    set_number(page, "reverse-seed", seed)
    set_number(page, "reverse-steps", steps)
    page.click("#reverse-generate")


def test_generate_streams_and_then_plays_without_the_server(open_page):
    page = open_page()
    tab(page, "Reverse")
    assert "Press Generate" in page.locator("#reverse-view .empty").inner_text()
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => window.seen.push(
            document.querySelector('#reverse-view .status').textContent)).observe(
            document.querySelector('#reverse-view .status'), { childList: true }); }"""
    )
    generate(page, steps=60)
    wait_for_status(page, "reverse", "^60 steps")
    steps = [int(m[1]) for m in map(re.compile(r"Step (\d+) of 60").match, page.evaluate("window.seen")) if m]
    assert len(steps) >= 3 and steps == sorted(steps) and steps[0] < 50  # frames came while it ran
    assert "120 network evaluations" in status(page, "reverse").inner_text()

    finished = pixels(page, "reverse", "x")
    page.context.set_offline(True)
    playhead(page, "reverse").press("Home")
    noise = pixels(page, "reverse", "x")
    assert noise != finished and pixels(page, "reverse", "h") != noise
    playhead(page, "reverse").press("ArrowRight")
    assert pixels(page, "reverse", "x") not in (noise, finished)
    page.locator("#reverse-view .play").click()
    page.wait_for_function("document.querySelector('#reverse-view .readout').textContent === 'finished'")
    assert pixels(page, "reverse", "x") == finished
    page.context.set_offline(False)


def test_same_seed_same_digits(open_page):
    page = open_page()
    tab(page, "Reverse")
    pictures = []
    for seed in (1, 2, 1):
        generate(page, steps=3, seed=seed)
        wait_for_status(page, "reverse", "Starting|Step 0")
        wait_for_status(page, "reverse", "^3 steps")
        pictures.append(pixels(page, "reverse", "x"))
    assert pictures[0] == pictures[2] != pictures[1]


@pytest.mark.parametrize("sampler", ["DDPM", "DDIM"])
def test_stop_stops_and_keeps_what_is_there(open_page, sampler):
    page = open_page()
    tab(page, "Reverse")
    page.get_by_role("radio", name=sampler).check()
    generate(page, steps=1000)
    wait_for_status(page, "reverse", "Step [1-9]")
    page.click("#reverse-stop")
    wait_for_status(page, "reverse", "^Stopped at step")
    step = int(re.search(r"step (\d+) of 1000", status(page, "reverse").inner_text())[1])
    assert 0 < step < 1000
    last = pixels(page, "reverse", "x")
    playhead(page, "reverse").press("Home")
    assert pixels(page, "reverse", "x") != last
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")


def test_a_number_out_of_range_is_said_in_words_and_loses_nothing(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    before = pixels(page, "reverse", "x")
    # By the page's own fields a person can only reach what they allow; a client of the endpoint can send anything.
    page.evaluate("document.querySelector('#reverse-n input').removeAttribute('max')")
    set_number(page, "reverse-n", 999)
    page.click("#reverse-generate")
    page.wait_for_function(
        "document.querySelector('#reverse-view .status.error') || document.querySelector('[data-testid=toast-body]')"
    )
    assert pixels(page, "reverse", "x") == before


def test_generate_by_keyboard_alone(open_page):
    page = open_page()
    page.get_by_role("tab", name="Forward").focus()
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Reverse").focus()
    page.keyboard.press("Enter")
    set_number(page, "reverse-steps", 2)
    for _ in range(40):
        if page.evaluate("document.activeElement.id") == "reverse-generate":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_for_status(page, "reverse", "^2 steps")


# Train


def start(page, budget, kind="steps"):
    tab(page, "Train")
    if kind == "steps":
        page.locator("#train-kind input").click()
        page.get_by_role("option", name="steps").click()
    set_number(page, "train-budget", budget)
    page.click("#train-start")


def test_training_streams_and_its_weights_go_to_reverse(open_page):
    page = open_page()
    start(page, 12)
    wait_for_status(page, "train", "^Done after .* step 12,")
    assert float(live(page, "train", "loss")) > 0
    assert "step 12" in page.locator("#train-view figcaption").inner_text()
    assert page.locator("#train-view .empty").is_hidden()
    page.click("#train-use")
    page.wait_for_function("document.querySelector('#reverse-view')?.checkVisibility()")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    page.get_by_role("button", name="More").click()
    assert "trained here: fast" in page.locator("#reverse-weights input").input_value()


def test_stop_in_the_middle_of_training(open_page):
    page = open_page()
    page.click("button[role=tab]:has-text('Train')")
    page.click("#train-stop")
    wait_for_status(page, "train", "Nothing is training")
    start(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    page.click("#train-start")
    wait_for_status(page, "train", "still going|s left")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
    assert "Samples after" in page.locator("#train-view figcaption").inner_text()


def test_a_reload_in_the_middle_of_training_comes_back_to_the_run(open_page):
    page = open_page()
    start(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    page.wait_for_function("document.querySelector('#train-view figcaption').textContent.startsWith('Samples after')")
    page.reload()
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Train")
    wait_for_status(page, "train", r"s left: step \d\d")
    page.wait_for_function("document.querySelector('#train-view figcaption').textContent.startsWith('Samples after')")
    playhead(page, "train").press("Home")
    assert page.locator("#train-view .empty").is_hidden()  # what it had drawn before the reload is there
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")


def test_generate_in_another_window_while_training(open_page):
    page = open_page()
    start(page, 20_000)
    wait_for_status(page, "train", "s left: step [1-9]")
    other = open_page(same_profile=False)
    tab(other, "Reverse")
    generate(other, steps=5)
    wait_for_status(other, "reverse", "^5 steps")
    assert "s left" in status(page, "train").inner_text()
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")


# The page


@pytest.mark.parametrize("name", ["Forward", "Reverse", "Train"])
def test_each_tab_fits_a_laptop_without_scrolling(open_page, name):
    page = open_page(1280, 800)
    tab(page, name)
    page.wait_for_timeout(300)
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= 1280 and size[1] <= 800


@pytest.mark.parametrize("width", [390, 768, 1920])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width, 844)
    for name in ("Forward", "Reverse", "Train"):
        tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for canvas in page.locator("canvas:visible").all():
            box = canvas.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width


def test_the_stage_keeps_its_size_when_frames_arrive(open_page):
    page = open_page()
    tab(page, "Reverse")
    before = page.locator("#reverse-view .panes").bounding_box()
    generate(page, steps=2, n=16)
    wait_for_status(page, "reverse", "^2 steps")
    assert page.locator("#reverse-view .panes").bounding_box() == before
