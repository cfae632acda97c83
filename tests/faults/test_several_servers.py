"""Two servers behind an nginx that is set up as docs/hosting.md says: who stays where, and what a death leaves."""

from __future__ import annotations

import http.cookiejar
import json
import signal
import urllib.request

import pytest
from helpers.proxy import documented, find_nginx, proxied
from helpers.served import QUICKLY, Server, until

from ddpm.storage.checkpoint import TRAINING, load_training

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """[one, another], the address of the nginx before them, and where their runs are.  The last test kills one."""
    tmp_path = tmp_path_factory.mktemp("several")
    nginx = find_nginx()
    both = [Server(tmp_path / f"log{i}", QUICKLY, DDPM_RUNS_DIR=tmp_path / "runs") for i in range(2)]
    several, one = documented("nginx-several"), "    proxy_pass http://127.0.0.1:7860/;\n"
    for i, server in enumerate(both):
        assert f"127.0.0.1:{7860 + i};" in several
        several = several.replace(f"127.0.0.1:{7860 + i};", f"127.0.0.1:{server.port};")
    assert one in documented("nginx")
    location = documented("nginx").replace(one, documented("nginx-several-location"))
    with proxied(nginx, tmp_path, location, several) as url:
        until(lambda: answers(f"{url}/ddpm"))
        yield both, f"{url}/ddpm", tmp_path / "runs"
    for server in both:
        server.process.kill()
        server.process.wait()


def answers(url: str) -> bool:
    try:
        return json.loads(urllib.request.urlopen(f"{url}/health", timeout=5).read())["status"] == "ok"
    except OSError:
        return False


class Browser:
    """What keeps the cookies that it is given."""

    def __init__(self, url: str):
        self.url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(jar)

    def uptime(self) -> float:
        """By which the servers can be told apart: the second was started when the first was up."""
        return json.loads(self.opener.open(f"{self.url}/health", timeout=30).read())["uptime"]


def test_a_browser_stays_at_one_server_and_both_have_some(servers):
    (one, another), url, _ = servers
    began = json.loads(one.get("/health"))["uptime"] - json.loads(another.get("/health"))["uptime"]
    assert began > 1
    browsers = [Browser(url) for _ in range(16)]
    first = [browser.uptime() for browser in browsers]
    border = sum(json.loads(each.get("/health"))["uptime"] for each in (one, another)) / 2
    at_one = [uptime > border for uptime in first]
    assert 0 < sum(at_one) < 16  # all at one of them: twice in 2^16
    for browser, old in zip(browsers, at_one, strict=True):
        assert {browser.uptime() > border for _ in range(4)} == {old}


def test_what_a_dead_server_trained_goes_on_at_the_other(servers):
    (one, another), url, runs = servers
    browser = Browser(url)
    run, line = one.train(500)
    (file,) = until(lambda: list(runs.glob(f"*/{TRAINING}")))
    until(lambda: load_training(file.parent)[1]["previews"])
    one.end(signal.SIGKILL)
    line.close()
    for _ in range(8):  # wherever it was, and newcomers
        assert browser.uptime() > 0 and Browser(url).uptime() > 0
    found = next(another.packets("attach", [[run]]))
    assert not found["done"] and found["kept"] > 0
    step = found["step"]
    until(lambda: another.look(run)["step"] > step)
