"""The font of the page's equations is served by the page, small, and has what equations need."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ddpm import ui
from ddpm.data import ASSETS
from ddpm.ui.server import font

FONT = ASSETS / font.NAME


@pytest.fixture
def client():
    return TestClient(Starlette(routes=[font.route(FONT)]))


def test_it_is_served_and_sent_again_only_once_it_has_changed(client):
    first = client.get("/math.woff2")
    assert first.status_code == 200 and first.content == FONT.read_bytes()
    assert first.headers["content-type"] == "font/woff2" and first.headers["x-content-type-options"] == "nosniff"
    again = client.get("/math.woff2", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_it_is_small_and_named_with_its_licence():
    assert FONT.read_bytes()[:4] == b"wOF2" and FONT.stat().st_size < 150_000
    readme = (ASSETS / "README.md").read_text(encoding="utf-8")
    assert f"`{font.NAME}`" in readme and "GUST Font License" in readme


def test_the_page_asks_for_it_and_sets_its_equations_in_it():
    options = ui.launch_options()
    assert font.HEAD in options["head"] and f'url("./{font.NAME}")' in options["css"]
    assert f"/{font.NAME}" in {route.path for route in options["app_kwargs"]["routes"]}
