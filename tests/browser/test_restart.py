"""The server ends and comes back under an open page, in a real Chromium."""

import pytest
from helpers.serving import free_port
from helpers.starting import end, serve
from helpers.steps import generate, pixels, start_training, status, tab, wait_for_change, wait_for_status

pytestmark = pytest.mark.browser


@pytest.fixture
def served():
    """`serve`, whose servers do not outlive the test, however it ends."""
    processes = []

    def start(port, log):
        processes.append(serve(port, log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_training_run_goes_on_after_the_server_was_shut_down(chromium, tmp_path, served):
    port, log = free_port(), tmp_path / "log"
    process = served(port, log)
    page = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    start_training(page, 20_000)
    wait_for_status(page, "train", r"s left: step \d\d")
    page.wait_for_function("document.querySelector('#train-view figcaption')?.textContent.startsWith('After')")
    assert end(process) < 10
    reached = int(status(page, "train").inner_text().split("step ")[1].split(",")[0])

    process = served(port, log)
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Train")
    wait_for_status(page, "train", "s left: step")
    assert int(status(page, "train").inner_text().split("step ")[1].split(",")[0]) >= reached
    page.wait_for_function("document.querySelectorAll('#train-margin .levels button').length === 10")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
    page.context.close()
    end(process)
    assert "Traceback" not in log.read_text(), log.read_text()


def test_an_open_page_says_that_the_server_is_gone_and_recovers(chromium, tmp_path, served):
    port, log = free_port(), tmp_path / "log"
    process = served(port, log)
    page = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce").new_page()
    page.set_default_timeout(60_000)
    loads, asked = [], []
    page.on("load", lambda _: loads.append(1))
    page.on("request", lambda r: asked.append(r) if "/gradio_api/" in r.url and "/heartbeat/" not in r.url else None)
    for event in ("requestfinished", "requestfailed"):
        page.on(event, lambda r: asked.remove(r) if r in asked else None)
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Reverse")
    generate(page, steps=5)
    wait_for_status(page, "reverse", "^5 steps")
    quiet = 0
    while quiet < 5:  # for a second: a forecast follows the run, and Gradio reloads a page that awaits any answer
        page.wait_for_timeout(200)
        quiet = 0 if asked else quiet + 1
    before = pixels(page, "reverse", "x")
    line = page.locator(".connection[role=status]")
    assert line.count() == 0

    process.kill()  # nobody touches the page: it notices by itself, and keeps what it shows
    process.wait()
    line.filter(has_text="does not answer").wait_for()
    process = served(port, log)
    line.filter(has_text="is back").wait_for()
    line.wait_for(state="detached")
    assert len(loads) == 1 and pixels(page, "reverse", "x") == before
    generate(page, steps=5, seed=1)
    wait_for_change(page, "reverse", "x", before)
    wait_for_status(page, "reverse", "^5 steps")

    start_training(page, 20_000)
    wait_for_status(page, "train", r"s left: step \d\d")
    process.kill()  # in the middle of something
    process.wait()
    for name in ("Forward", "Reverse", "Compare", "Train"):
        tab(page, name)
        line.filter(has_text="does not answer").wait_for()
    process = served(port, log)
    line.wait_for(state="detached")
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Reverse")
    generate(page, steps=5)
    wait_for_status(page, "reverse", "^5 steps")
    page.context.close()
    end(process)
    assert "Traceback" not in log.read_text(), log.read_text()
