"""The page under a path of an nginx that is set up as docs/hosting.md says, in a real Chromium."""

import json
import re
import time
import urllib.request

import pytest
from helpers.proxy import documented, find_nginx, proxied
from helpers.serving import free_port
from helpers.starting import ROOT, end, serve
from helpers.steps import generate, open_file, pixels, png, save, start_training, tab, wait_for_change, wait_for_status

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(chromium, tmp_path_factory):
    """The URL of the page as nginx shows it.  In place of the server that the other tests share."""
    nginx, location = find_nginx(), documented("nginx")
    folder, behind = tmp_path_factory.mktemp("nginx"), free_port()
    assert "127.0.0.1:7860" in location
    assert "--root-path /ddpm --port 7860" in (ROOT / "docs/hosting.md").read_text(encoding="utf-8")
    process = serve(behind, folder / "log", "--root-path", "/ddpm")
    with proxied(nginx, folder, location.replace("127.0.0.1:7860", f"127.0.0.1:{behind}")) as url:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/ddpm/health", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        yield f"{url}/ddpm/"
    assert end(process) < 10
    assert str(ROOT / "ddpm") not in (folder / "log").read_text(), (folder / "log").read_text()


def test_health(server):
    with urllib.request.urlopen(f"{server}health") as answer:
        assert json.load(answer)["status"] == "ok"


def test_a_few_bytes_come_through_at_once(server):
    with urllib.request.urlopen(f"{server}gradio_api/heartbeat/somebody", timeout=10) as stream:
        assert stream.readline().strip() == b"data: ALIVE", "the next comes 15 seconds later: one buffer holds minutes"


def test_frames_come_one_after_another(open_page):
    page = open_page()
    tab(page, "Reverse")
    page.wait_for_selector("#reverse-view .status", state="attached")
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => window.seen.push(
            document.querySelector('#reverse-view .status').textContent)).observe(
            document.querySelector('#reverse-view .status'), { childList: true }); }"""
    )
    generate(page, steps=300, n=1)
    wait_for_status(page, "reverse", "^300 steps")
    steps = [int(m[1]) for m in map(re.compile(r"Step (\d+) of 300").match, page.evaluate("window.seen")) if m]
    assert len(steps) >= 5 and steps == sorted(steps) and steps[0] < 150


def test_a_server_function_answers(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=5)
    wait_for_status(page, "reverse", "^5 steps")
    with page.expect_response(lambda answer: "component_server" in answer.url) as asked:
        page.locator("#reverse-view .pane-x canvas").click()
    assert asked.value.ok and len(asked.value.json()["classes"]) == 6


def test_uploads_arrive(open_page):
    page = open_page()
    page.click("#forward-own")
    picture = {"name": "x.png", "mimeType": "image/png", "buffer": png((300, 200), ink=0)}
    page.set_input_files(".pad input[type=file]", picture)
    page.wait_for_function("!document.querySelector('.pad .primary').disabled")
    before = pixels(page, "forward", "hat")
    page.get_by_role("button", name="Use it").click()
    wait_for_change(page, "forward", "hat", before)


def test_a_file_larger_than_nginx_takes_by_itself_comes_and_goes(open_page):
    page = open_page()
    tab(page, "Reverse")
    generate(page, steps=40, n=36)
    wait_for_status(page, "reverse", "^40 steps")
    data = save(page, "Trajectory").path().read_bytes()
    assert len(data) > 1_200_000
    other = open_page()
    tab(other, "Reverse")
    open_file(other, data)
    wait_for_status(other, "reverse", "^Opened: 41 moments of 36 digits")
    assert pixels(other, "reverse", "h") == pixels(page, "reverse", "h")


def test_training_runs_and_is_found_again_after_a_reload(open_page):
    page = open_page()
    start_training(page, 2000)
    wait_for_status(page, "train", "s left: step [1-9]")
    page.reload()
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    tab(page, "Train")
    wait_for_status(page, "train", "s left: step [1-9]")
    page.click("#train-stop")
    wait_for_status(page, "train", "^Stopped after")
