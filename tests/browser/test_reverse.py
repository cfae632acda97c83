"""The Reverse tab in a real Chromium."""

import re
from functools import partial

import pytest
from helpers.steps import another_run, choose, generate, pixels, playhead, set_number, status, tab, wait_for_status

pytestmark = pytest.mark.browser


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
    guided = sum(300 <= round(999 * i / 59) <= 650 for i in range(60))  # the steps at medium noise cost two
    assert f"{60 + guided} network evaluations" in status(page, "reverse").inner_text()

    finished = pixels(page, "reverse", "x")
    page.context.set_offline(True)
    playhead(page, "reverse").press("Home")
    noise = pixels(page, "reverse", "x")
    assert noise != finished and pixels(page, "reverse", "h") != noise
    playhead(page, "reverse").press("ArrowRight")
    assert pixels(page, "reverse", "x") not in (noise, finished)
    page.locator("#reverse-view .play").click()
    page.wait_for_function("document.querySelector('#reverse-view .readout')?.textContent === 'finished'")
    assert pixels(page, "reverse", "x") == finished
    page.context.set_offline(False)


def test_same_seed_same_digits(open_page):
    page = open_page()
    tab(page, "Reverse")
    pictures = []
    for seed in (1, 2, 1):
        another_run(page, "reverse", partial(generate, page, steps=3, seed=seed))
        wait_for_status(page, "reverse", "^3 steps")
        pictures.append(pixels(page, "reverse", "x"))
    assert pictures[0] == pictures[2] != pictures[1]


def test_one_step_is_told_in_the_singular(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=1)
    wait_for_status(page, "reverse", r"^1 step: 1 network evaluation, ")


@pytest.mark.parametrize("sampler", ["DDPM", "DDIM", "DPM-Solver++", "Heun"])
def test_stop_stops_and_keeps_what_is_there(open_page, sampler):
    page = open_page()
    tab(page, "Reverse")
    choose(page, "reverse-sampler", sampler)
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


@pytest.mark.parametrize(
    ("sampler", "spacing", "knob"),
    [
        ("DDPM", "evenly in t", "Variance σ²"),
        ("DDIM", "evenly in t", "η, stochasticity"),
        ("DPM-Solver++", "evenly in log-SNR", None),
        ("Heun", "evenly in log-SNR", None),
    ],
)
def test_each_sampler_has_its_equation_its_spacing_and_its_own_knob(open_page, sampler, spacing, knob):
    page = open_page()
    tab(page, "Reverse")
    page.get_by_role("button", name="More").click()
    choose(page, "reverse-sampler", "DDPM")
    choose(page, "reverse-sampler", sampler)
    page.wait_for_function(f"document.querySelector('#reverse-spacing input').value === '{spacing}'")
    for name in ("Variance σ²", "η, stochasticity"):
        field = page.locator("#reverse-more").get_by_text(f"{name} (", exact=False)
        field.wait_for(state="visible" if name == knob else "hidden")
    generate(page, steps=5)
    wait_for_status(page, "reverse", "^5 steps")
    blocks = page.locator("#reverse-margin [data-sampler]:visible")
    assert blocks.count() == 1 and sampler in blocks.inner_text()
    playhead(page, "reverse").press("Home")
    playhead(page, "reverse").press("ArrowRight")
    numbers = blocks.locator("[data-live^=c]").all_text_contents()
    assert len(numbers) == 3 and all(re.fullmatch(r"−?\d+\.\d{3}", number) for number in numbers)


def test_a_number_out_of_range_is_said_in_words_and_loses_nothing(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    before = pixels(page, "reverse", "x")
    set_number(page, "reverse-n", 999)
    page.click("#reverse-generate")
    wait_for_status(page, "reverse", "Digits: a whole number from 1 to 64, please")
    assert pixels(page, "reverse", "x") == before
    assert page.locator("#reverse-view .changed").inner_text() == "Changed since this result: Digits"


def test_ddpm_in_the_tutorials_notation(open_page):
    page = open_page()
    tab(page, "Reverse")
    choose(page, "reverse-sampler", "DDPM")
    generate(page, steps=5, n=1)
    wait_for_status(page, "reverse", "^5 steps")
    playhead(page, "reverse").evaluate("r => { r.value = 2; r.dispatchEvent(new Event('input')); }")
    margin = page.locator("#reverse-margin [data-sampler=ddpm]")
    general, tutorial = margin.locator("[data-form=general]"), margin.locator("[data-form=tutorial]")
    assert general.is_visible() and tutorial.is_hidden()
    margin.get_by_role("button", name="tutorial").click()
    assert tutorial.is_visible() and general.is_hidden()
    numbers = [float(text) for text in tutorial.locator("[data-live^=e]").all_text_contents()]
    sigma = general.locator("[data-live=c2]").text_content()
    assert numbers[0] > 1 and numbers[1] > 0 and numbers[2] == float(sigma)
    assert tutorial.get_by_role("button", name="ddpm.samplers.sample").is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    margin.get_by_role("button", name="general").press("Enter")
    assert general.is_visible() and tutorial.is_hidden()


def test_the_equation_follows_the_sampler_and_the_stage_says_what_has_changed(open_page):
    page = open_page()
    tab(page, "Reverse")
    changed, equation = page.locator("#reverse-view .changed"), page.locator("#reverse-margin [data-sampler]:visible")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    numbers = equation.locator("[data-live^=c]").all_text_contents()
    assert changed.is_hidden() and "·" not in numbers
    choose(page, "reverse-sampler", "DDPM")
    page.wait_for_function("document.querySelector('#reverse-margin [data-sampler=ddpm]').checkVisibility()")
    assert changed.inner_text() == "Changed since this result: Sampler"
    assert equation.count() == 1 and set(equation.locator("[data-live^=c]").all_text_contents()) == {"·"}
    choose(page, "reverse-sampler", "DDIM")
    changed.wait_for(state="hidden")
    assert equation.locator("[data-live^=c]").all_text_contents() == numbers
    tab(page, "Compare")
    page.click("#race-race")
    wait_for_status(page, "race", "finished")
    page.get_by_label("Lane A: steps").fill("20")
    assert page.locator("#race-view .changed").inner_text() == "Changed since this result: Lanes"


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


def test_the_dice_gives_another_seed(open_page):
    page = open_page()
    tab(page, "Reverse")
    page.click("#reverse-dice")
    page.wait_for_function("document.querySelector('#reverse-seed input').value > 0")


def test_what_it_costs_is_said_beforehand(open_page):
    page = open_page()
    tab(page, "Reverse")
    text = "document.querySelector('#reverse-cost').textContent"
    page.wait_for_function(f"{text}.includes('15 steps, 5 of them guided: 20 network evaluations, about')")
    page.get_by_role("button", name="More").click()
    page.get_by_label("Limited-interval guidance").uncheck()
    page.wait_for_function(f"{text}.includes('15 steps, guided: 30 network evaluations, about')")
    set_number(page, "reverse-steps", 10)
    page.wait_for_function(f"{text}.includes('10 steps, guided: 20 network evaluations, about')")


def test_a_digit_is_enlarged_and_follows_the_playhead(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=5, n=4)
    wait_for_status(page, "reverse", "^5 steps")
    page.locator("#reverse-view .pane-x canvas").click(position={"x": 20, "y": 20})
    big = page.locator(".ddpm-dialog[open] .pane-x canvas")
    first = big.evaluate("c => c.toDataURL()")
    page.keyboard.press("ArrowRight")
    assert big.evaluate("c => c.toDataURL()") != first
    assert "Digit 2 of 4" in page.locator(".ddpm-dialog[open] h2").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".ddpm-dialog[open]").count() == 0
    page.locator("#reverse-view .pane-h canvas").focus()
    page.keyboard.press("Enter")  # by keyboard, where it was left
    assert "Digit 2 of 4" in page.locator(".ddpm-dialog[open] h2").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.pane-h') !== null")


def test_generate_during_generate_replaces_it(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=1000)
    wait_for_status(page, "reverse", "Step [1-9]")
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    page.wait_for_timeout(500)
    assert status(page, "reverse").inner_text().startswith("2 steps")  # the first one does not come back


def test_a_window_closed_in_the_middle_leaves_the_server_well(open_page):
    page, other = open_page(), open_page()
    tab(page, "Reverse")
    generate(page, steps=1000)
    wait_for_status(page, "reverse", "Step [1-9]")
    page.close()
    tab(other, "Reverse")
    generate(other, steps=2)
    wait_for_status(other, "reverse", "^2 steps")


def test_space_plays_and_pauses_and_arrows_move_wherever_the_focus_is(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=40)
    wait_for_status(page, "reverse", "^40 steps")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Home")
    assert playhead(page, "reverse").input_value() == "0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert playhead(page, "reverse").input_value() == "1"
    page.keyboard.press(" ")
    assert page.locator("#reverse-view .play").inner_text() == "Pause"
    page.wait_for_function("Number(document.querySelector('#reverse-view input[type=range]').value) > 3")
    page.keyboard.press(" ")
    assert page.locator("#reverse-view .play").inner_text() == "Play"
    page.keyboard.press("End")
    assert playhead(page, "reverse").input_value() == "40"
    page.locator("#reverse-seed input").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert playhead(page, "reverse").input_value() == "40", "who types a number does not move the playhead"


def test_loop_starts_again_and_speed_changes(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=4, n=1)
    wait_for_status(page, "reverse", "^4 steps")
    view = page.locator("#reverse-view")
    view.get_by_role("button", name="Speed").click()
    assert view.get_by_role("button", name="Speed: 2×").is_visible()
    view.get_by_role("button", name="Loop", exact=True).click()
    page.evaluate(
        """() => { window.seen = []; const r = document.querySelector('#reverse-view input[type=range]');
            window.timer = setInterval(() => window.seen.push(Number(r.value)), 20); }"""
    )
    playhead(page, "reverse").press("Home")
    view.locator(".play").click()
    page.wait_for_function("window.seen.filter((v, i) => v === 0 && window.seen[i - 1] === 4).length >= 2")
    view.locator(".play").click()
    assert view.locator(".play").inner_text() == "Play"


def test_a_branch_shares_the_past_and_runs_beside_the_future_that_was(open_page):
    page = open_page()
    tab(page, "Reverse")
    page.wait_for_selector("#reverse-branch:disabled")  # once the tab is built
    assert "Press Generate first" in page.locator("#reverse-branch").get_attribute("title")
    generate(page, steps=20, n=4)
    wait_for_status(page, "reverse", "^20 steps")
    finished = pixels(page, "reverse", "x")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "Drag the playhead back")
    playhead(page, "reverse").press("Home")
    for _ in range(6):
        playhead(page, "reverse").press("ArrowRight")
    choose(page, "reverse-class", "7")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    assert pixels(page, "reverse", "x") == finished != pixels(page, "reverse", "b")
    assert page.locator("#reverse-view .pane-b figcaption").inner_text() == "branch: class 7"
    for _ in range(14):
        playhead(page, "reverse").press("ArrowLeft")
    assert playhead(page, "reverse").input_value() == "6"
    assert pixels(page, "reverse", "x") == pixels(page, "reverse", "b"), "where they part"
    playhead(page, "reverse").press("Home")
    assert "the same past" in page.locator("#reverse-view .pane-b figcaption").inner_text()
    generate(page, steps=2)
    wait_for_status(page, "reverse", "^2 steps")
    assert not page.locator("#reverse-view .pane-b").is_visible() and page.locator("#reverse-view .pane-h").is_visible()


def test_stop_stops_a_branch(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=600)
    wait_for_status(page, "reverse", "^600 steps|Step 1[0-9][0-9]")
    page.click("#reverse-stop")
    wait_for_status(page, "reverse", "^Stopped")
    playhead(page, "reverse").press("Home")
    playhead(page, "reverse").press("ArrowRight")
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Branch: step")
    page.click("#reverse-stop")
    wait_for_status(page, "reverse", "^Branch stopped")


def test_one_digits_life_with_the_classifiers_reading(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=12, n=4)
    wait_for_status(page, "reverse", "^12 steps")
    page.locator("#reverse-view .pane-x canvas").click(position={"x": 20, "y": 20})
    dialog = page.locator(".ddpm-dialog[open]")
    page.wait_for_function(
        "document.querySelector('.ddpm-dialog[open] .hint')?.textContent.match(/classified as \\d/i)"
    )
    recording = dialog.locator(".recording button")
    assert recording.count() == 10
    assert all(re.fullmatch(r"\d \d+\u202f%", text) for text in dialog.locator(".recording span").all_inner_texts())
    recording.nth(3).click()
    assert playhead(page, "reverse").input_value() == "4"
    assert dialog.locator(".recording button.now").count() == 1 and "now" in recording.nth(3).get_attribute("class")
    first = dialog.locator(".recording canvas").last.evaluate("c => c.toDataURL()")
    page.keyboard.press("ArrowRight")
    assert dialog.locator(".recording canvas").last.evaluate("c => c.toDataURL()") != first


def back_to(page, position, of):
    playhead(page, "reverse").press("Home")
    for _ in range(position):
        playhead(page, "reverse").press("ArrowRight")
    assert playhead(page, "reverse").get_attribute("max") == str(of)


def test_a_branch_of_a_stopped_run_goes_on_where_that_one_ends(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=600, n=2)
    wait_for_status(page, "reverse", "Step [1-9][0-9]")
    page.click("#reverse-stop")
    wait_for_status(page, "reverse", "^Stopped")
    back_to(page, 2, of=99)
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    assert page.locator("#reverse-view .readout").inner_text() == "finished"
    assert "stopped at t" in page.locator("#reverse-view .pane-x figcaption").inner_text()
    assert page.locator("#reverse-view .pane-b figcaption").inner_text() == "branch: nothing changed"


@pytest.mark.parametrize("what", ["seed", "sampler", "guidance"])
def test_what_a_branch_does_otherwise_is_said(open_page, what):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=8, n=4)
    wait_for_status(page, "reverse", "^8 steps")
    finished = pixels(page, "reverse", "x")
    back_to(page, 2, of=8)
    if what == "sampler":
        choose(page, "reverse-sampler", "DDPM")
    else:
        set_number(page, f"reverse-{what}", 5)
    page.click("#reverse-branch")
    wait_for_status(page, "reverse", "^Two futures")
    said = {"seed": "branch: seed 5", "sampler": "branch: DDPM", "guidance": "branch: guidance 5"}[what]
    assert page.locator("#reverse-view .pane-b figcaption").inner_text() == said
    assert pixels(page, "reverse", "x") == finished != pixels(page, "reverse", "b")
