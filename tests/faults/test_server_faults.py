"""What a real server does when it is killed, ended, left alone, or finds no room: nobody else's work is lost.

A disk that is full or may not be written is a small tmpfs; where none may be mounted, that test skips.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from helpers.served import QUICKLY, Server, small_disk, until  # noqa: F401 (small_disk is a fixture)

from ddpm.storage.checkpoint import TRAINING, load_training

pytestmark = pytest.mark.slow

LOGGED = "import logging; logging.basicConfig(level=logging.INFO)"
# A sampler that fails for whoever asks for 7 steps.
PLANTED = """
from ddpm.ui.generation.trajectory import Trajectory
def steps(self, real=Trajectory.steps):
    if self.num_steps == 7:
        raise RuntimeError("a secret of the server")
    yield from real(self)
Trajectory.steps = steps
"""


def digits(n: int, steps: int) -> list:
    """What Generate is asked for."""
    return [n, "all in turn", 0, "mnist", "ddim", steps, 2, True, 0, "small", "linspace", True]


@pytest.fixture
def serve(tmp_path):
    """Starts servers, and ends what is left of them."""
    servers = []

    def start(*args, **environ):
        servers.append(Server(tmp_path / "log", *args, **environ))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


def written(folder):
    return list(folder.glob(f"*/{TRAINING}"))


def test_killed_in_the_middle_of_training_then_ended_with_four_runs_under_way(serve, tmp_path):
    runs = tmp_path / "runs"
    first = serve(QUICKLY, DDPM_RUNS_DIR=runs)
    run, line = first.train(500)
    until(lambda: first.look(run).get("kept"))  # a preview: what is written from now on has it
    (file,) = until(lambda: written(runs))
    until(lambda: load_training(file.parent)[1]["previews"])
    reached = first.look(run)["step"]
    first.end(signal.SIGKILL)
    line.close()
    kept = load_training(file.parent)[1]["numbers"]["step"]
    assert 0 < kept <= reached + 50

    (file.parent / f"{TRAINING}killed.tmp").write_bytes(b"half a file")  # as a kill in the middle of a write leaves it
    second = serve(QUICKLY, DDPM_RUNS_DIR=runs)
    lines = {run: second.packets("attach", [[run]])}
    found = next(lines[run])
    assert not found["done"] and found["step"] >= kept and found["kept"] > 0
    assert not list(runs.rglob("*.tmp"))
    for _ in range(3):
        lines |= [second.train(500)]
    until(lambda: all("step" in second.look(each) for each in lines))
    seconds = second.end(signal.SIGTERM)
    assert seconds < 10, f"it took {seconds:.1f} s"
    assert len(written(runs)) == 4 and not list(runs.rglob("*.tmp"))
    assert all(load_training(path.parent)[1]["numbers"]["step"] > 0 for path in written(runs))
    assert "Traceback" not in (tmp_path / "log").read_text()


def upload(server, size):
    boundary = "limit"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
    body = head.encode() + os.urandom(size) + f"\r\n--{boundary}--\r\n".encode()
    return server.post("/upload", body, f"multipart/form-data; boundary={boundary}")


def test_a_disk_that_is_full_or_may_not_be_written(serve, small_disk, tmp_path):  # noqa: F811
    """Under the folder of the runs and under Gradio's uploads, of one server that goes on serving."""
    disk = small_disk.folder
    (disk / "ballast").write_bytes(bytes(900_000))
    server = serve(QUICKLY, DDPM_RUNS_DIR=disk / "runs", GRADIO_TEMP_DIR=disk / "uploads", TMPDIR=disk)
    run, line = server.train(500)
    log = tmp_path / "log"
    for state, options, sentence in (
        ("full", None, "No space left on device"),
        ("read-only", "remount,ro", "Read-only file system"),
    ):
        if options:
            assert small_disk("-o", options).returncode == 0
        until(lambda: sentence in log.read_text())  # noqa: B023
        files = sorted(path for path in disk.rglob("*") if path.is_file())
        assert files == [disk / "ballast"], state
        assert upload(server, 500_000) == (507, b'{"detail": "This server has no room for files at present."}'), state
        last = list(server.stream("reverse-generate", digits(2, 2)))[-1]
        assert last["success"], state
        step = server.look(run)["step"]
        until(lambda: server.look(run)["step"] > step)  # noqa: B023
        assert sorted(path for path in disk.rglob("*") if path.is_file()) == files, state

    assert small_disk("-o", "remount,rw,size=64m").returncode == 0
    until(lambda: written(disk / "runs"))
    assert upload(server, 500_000)[0] == 200
    line.close()
    assert server.end(signal.SIGTERM) < 10
    assert "Traceback" not in log.read_text()


def test_a_browser_that_vanishes_and_an_exception_inside_a_job(serve, tmp_path):
    server = serve(f"{QUICKLY}\n{LOGGED}\n{PLANTED}", DDPM_RUNS_DIR=tmp_path / "runs", DDPM_RUNS_PER_ADDRESS=2)
    run, watching = server.train(500)
    watching.close()

    def jobs(sampling):
        return sum(
            f'"name": "reverse-view", "how": "{sampling}"' in text
            for text in (tmp_path / "log").read_text().splitlines()
        )

    gone = [server.stream("reverse-generate", digits(16, 1000)) for _ in range(2)]
    for line in gone:
        while next(line)["msg"] != "process_generating":
            pass
    busy = list(server.packets("reverse-generate", digits(2, 2)))
    assert "one address" in str(busy)
    for line in gone:
        line.close()
    cut = time.monotonic()
    until(lambda: jobs("stopped") == 2, 10)
    assert time.monotonic() - cut < 5

    slow = server.stream("reverse-generate", digits(16, 60))
    while next(slow)["msg"] != "process_generating":
        pass
    messages = list(server.stream("reverse-generate", digits(2, 7)))
    text = str(messages)
    assert "Something went wrong in this computation" in text and messages[-1]["success"]
    assert "secret" not in text and "RuntimeError" not in text and "Traceback" not in text
    assert "a secret of the server" in (tmp_path / "log").read_text()  # for whoever runs the server
    *_, last = slow
    assert last["success"] and jobs("done") >= 1 and jobs("failed") == 1
    step = server.look(run)["step"]
    until(lambda: server.look(run)["step"] > step)
