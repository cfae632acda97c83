"""Where a server listens and is seen: each thing that will not do is one sentence, before anything starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.serving import free_port, wait_for

from ddpm.ui.server import address, hosting

ROOT = Path(__file__).parents[3]


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("text", ["99999", "0", "-1", "abc", "", "80.5", "0x50", "٣", "7860 ", "1" * 5000])
def test_a_port_that_is_none(text):
    with pytest.raises(ValueError, match="--port: a whole number from 1 to 65535, not"):
        address.asked(None, text, None, {})


@pytest.mark.parametrize("host", [None, "0.0.0.0", "localhost"])
def test_a_port_in_use_is_told_and_no_other_is_taken(taken, host):
    for port, environ in ((str(taken), {}), (None, {"DDPM_SERVER_PORT": str(taken)})):
        with pytest.raises(ValueError, match=f"Port {taken} is in use"):
            address.asked(host, port, None, environ)


def test_the_option_counts_before_the_environment_and_none_is_the_first_free_one(taken):
    port, environ = free_port(), {"DDPM_SERVER_PORT": str(taken), "GRADIO_ROOT_PATH": "/there"}
    assert address.asked(None, str(port), "here", environ) == address.Address("127.0.0.1", port, "/here")
    assert address.asked(None, None, None, {}) == address.Address("127.0.0.1", None, "")
    assert address.asked(None, None, None, {"GRADIO_ROOT_PATH": "/there/"}).root_path == "/there"
    assert address.asked(None, None, None, {"GRADIO_SERVER_NAME": "0.0.0.0", "DDPM_SERVER_PORT": ""}).port is None


def test_a_host_that_is_none():
    for host in ("no such host", "192.0.2.7", "x" * 300, "a..b"):
        with pytest.raises(ValueError, match="--host: ") as told:
            address.asked(host, None, None, {})
        assert len(str(told.value)) < 200 and "\n" not in str(told.value)
    assert address.bracketed("::1") == address.bracketed("[::1]") == "[::1]"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/ddpm", "/ddpm"),
        ("ddpm", "/ddpm"),
        ("ddpm/", "/ddpm"),
        ("//a/b//", "/a/b"),
        ("/user/jo@x.org/proxy/7860/", "/user/jo@x.org/proxy/7860"),
        ("", ""),
        ("/", ""),
        ("https://host.org:8443/ddpm/", "https://host.org:8443/ddpm"),
        ("http://host.org", "http://host.org"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_a_root_path_whose_slashes_can_be_mended(text, path):
    assert address.root_of(text, "--root-path") == path


NO_PATHS = ["a b", "../x", "/a/../b", "/a//b", "a?b", "a#b", 'a"b', "<script>", "a\nb", "C:/Git/ddpm", "C:\\ddpm"]
NO_PATHS += ["ftp://x/y", "https://", "http:///x", "http://x:99999/y", "http://me:secret@x/y", "http://a b/c"]
NO_PATHS += ["http://x/a?b", "http://[x"]


@pytest.mark.parametrize("text", NO_PATHS)
def test_a_root_path_that_is_none(text):
    with pytest.raises(ValueError, match="--root-path: a path such as /ddpm") as told:
        address.root_of(text, "--root-path")
    assert "\n" not in str(told.value)


def start(*args, **environ):
    """`python app.py` that is refused: (exit status, what it says)."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")} | environ
    command = [sys.executable, "app.py", "--no-open", *args]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_what_will_not_do_ends_the_program_with_one_sentence(taken):
    for args, environ, words in (
        (["--port", "99999"], {}, "--port: a whole number"),
        ([], {"GRADIO_SERVER_PORT": "abc"}, "GRADIO_SERVER_PORT: a whole number"),
        ([], {"GRADIO_SERVER_PORT": str(taken)}, f"Port {taken} is in use"),
        (["--root-path", "a b"], {}, "--root-path: a path"),
    ):
        code, said = start(*args, **environ)
        assert code == 2 and said.startswith(f"error: {words}") and said.count("\n") == 1, said


def test_a_user_whose_temporary_folder_is_somebody_elses_gets_another(tmp_path, monkeypatch):
    monkeypatch.setattr(hosting.tempfile, "tempdir", str(tmp_path))
    ours = Path(hosting.own_folder({})["GRADIO_TEMP_DIR"])
    assert ours.parent == tmp_path and ours.stat().st_mode & 0o777 == 0o700
    assert hosting.own_folder({}) == {"GRADIO_TEMP_DIR": str(ours)}
    assert hosting.own_folder({"GRADIO_TEMP_DIR": "/mine"}) == {}
    ours.rename(tmp_path / "elsewhere")
    ours.symlink_to(tmp_path / "elsewhere")  # somebody would have us write there
    assert hosting.own_folder({})["GRADIO_TEMP_DIR"] != str(ours)
    ours.unlink()
    ours.write_text("a file")
    found = Path(hosting.own_folder({})["GRADIO_TEMP_DIR"])
    assert found != ours and found.is_dir()


def test_what_goes_past_a_proxy_and_that_all_is_afterwards_as_before():
    for before in ({}, {"no_proxy": "a.org"}, {"NO_PROXY": ""}, {"no_proxy": "a", "NO_PROXY": "b", "http_proxy": "c"}):
        environ = dict(before)
        with pytest.raises(ZeroDivisionError), hosting.past_proxies(environ):
            assert environ == before | {"no_proxy": "*", "NO_PROXY": "*"}
            1 / 0  # noqa: B018
        assert environ == before


NOBODY = "http://127.0.0.1:9"
PROXIES = {
    "lower case": {"http_proxy": NOBODY, "https_proxy": NOBODY, "all_proxy": NOBODY},
    "upper case": {"HTTP_PROXY": NOBODY, "HTTPS_PROXY": NOBODY, "ALL_PROXY": NOBODY},
    "SOCKS, and names of one's own that need none": {"all_proxy": "socks5://127.0.0.1:9", "no_proxy": "intra.net"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROXIES)
def test_a_server_starts_where_a_proxy_is_set(name, tmp_path):
    port, log = free_port(), tmp_path / "log"
    plain = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env = plain | PROXIES[name] | {"DDPM_RUNS_DIR": str(tmp_path / "runs")}
    command = [sys.executable, "app.py", "--no-open", "--port", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        with pytest.raises(subprocess.TimeoutExpired):  # it answers before it has looked at itself, and then ended
            server.wait(6)
    finally:
        server.terminate()
        server.wait(30)
    assert "Traceback" not in log.read_text()
