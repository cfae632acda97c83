"""Networking cut: a namespace with nothing but loopback, in which the server and Chromium run and every tab works."""

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.serving import free_port
from helpers.starting import FLAGS, ROOT, development, end, is_problem, serve, unavailable
from helpers.steps import generate, leave_out_evaluation, playhead, set_number, start_training, tab, wait_for_status

pytestmark = pytest.mark.browser

INNER = {
    "Forward": (
        "Noise it",
        "Step by step or at once",
        "The posterior",
        "Denoise it",
        "Latent space",
        "Common mistakes",
    ),
    "Compare": ("Race samplers", "Vary one setting", "Measure quality", "Compare schedules"),
}
SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41


@pytest.fixture
def cut(chromium):
    """The beginning of a command: what follows has no network."""
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        unavailable("there is no unshare to cut the network with")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        unavailable(f"network namespaces are not permitted: {tried.stderr.strip()}")
    return command


def test_every_tab_works_without_a_network(cut, tmp_path):
    command = [*cut, sys.executable, __file__, shutil.which("chromium") or "", str(tmp_path)]
    modules = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # pytest's, which holds tests/ too
    done = subprocess.run(command, env=modules, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    said = done.stdout.split("\n")
    assert "no network" in said and "all tabs" in said and "no request elsewhere" in said


def loopback_only() -> None:
    """Bring loopback up, and make sure that there is nothing else."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", UP_AND_RUNNING, b""))
        try:
            any_socket.connect(("192.0.2.1", 80))
            raise AssertionError("there is a way out")
        except OSError:
            print("no network")


def walk(page) -> None:
    """Open every tab and do what it is for."""
    playhead(page, "forward").press("End")
    page.wait_for_function("document.querySelector('#forward-view')?.textContent.includes('999')")
    for outer, names in INNER.items():
        tab(page, outer)
        for name in names:
            page.get_by_role("tab", name=name, exact=True).click()
            page.locator(".stage:visible, .view:visible").first.wait_for()
            page.wait_for_function("[...document.querySelectorAll('canvas')].some((c) => c.checkVisibility())")
    page.get_by_role("tab", name="Race samplers", exact=True).click()
    for letter in "ABC":
        page.get_by_label(f"Lane {letter}: steps").fill("3")
    set_number(page, "race-n", 2)
    page.click("#race-race")
    wait_for_status(page, "race", "^All finished")
    tab(page, "Reverse")
    generate(page, steps=5)
    wait_for_status(page, "reverse", "^5 steps")
    start_training(page, 5)
    leave_out_evaluation(page)
    wait_for_status(page, "train", "^Done after .* step 5,")
    print("all tabs")


def main(chromium: str, folder: Path) -> None:
    loopback_only()
    port, problems = free_port(), []
    url = f"http://127.0.0.1:{port}"
    process = serve(port, folder / "log")
    with development("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        page.set_default_timeout(90_000)
        page.on("console", lambda m: problems.append(f"console: {m.text}") if is_problem(m) else None)
        page.on("pageerror", lambda e: problems.append(f"page error: {e}"))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else problems.append(r.url))
        page.on("requestfailed", lambda r: problems.append(f"failed: {r.url}") if "/queue/" not in r.url else None)
        page.goto(url)
        page.wait_for_function("document.querySelector('#forward-view canvas')")
        walk(page)
        browser.close()
    end(process)
    assert problems == [], problems
    assert str(ROOT / "ddpm") not in (folder / "log").read_text(), (folder / "log").read_text()
    print("no request elsewhere")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
