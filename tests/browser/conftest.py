"""A server and a real Chromium.  Without one these tests skip and say why; under DDPM_REQUIRE_BROWSER=1 they fail."""

import shutil

import pytest
from helpers.serving import free_port
from helpers.starting import FLAGS, ROOT, development, end, is_problem, serve, unavailable


@pytest.fixture(scope="session")
def chromium():
    sync_api = development("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        unavailable("there is no Chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(chromium, tmp_path_factory):
    """The URL of a server."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    process = serve(port, log)
    yield f"http://127.0.0.1:{port}"
    end(process)
    # Gradio logs a traceback of its own when a client sends what a component refuses; none may come through our code.
    assert str(ROOT / "ddpm") not in log.read_text(), log.read_text()


@pytest.fixture
def open_page(chromium, server):
    """Opens windows.  In none of them may there have been a console error or a request to another host at the end."""
    contexts, problems = [], []

    def open_(width=1280, height=800, same_profile=False, first_visit=False, **options):
        options = {"reduced_motion": "reduce"} | options
        if not (same_profile and contexts):
            contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
            if not first_visit:
                contexts[-1].add_init_script("localStorage['ddpm-lessons'] ||= '{\"offered\": true}'")
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: problems.append(f"console: {m.text} {m.location}") if is_problem(m) else None)
        page.on("pageerror", lambda e: problems.append(f"page error: {e} {e.stack}"))
        page.on("request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else problems.append(r.url))
        page.goto(server)
        page.wait_for_function("document.querySelector('#forward-view canvas')")
        return page

    yield open_
    seen = list(problems)  # a page that is being closed may fail at what it still asks for
    for context in contexts:
        context.close()
    assert seen == []
