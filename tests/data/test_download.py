"""A download that is cut off or killed is never taken for the data; the next one mends it.  The mirror is ours."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ddpm.data import DataError, load_dataset

# Downloads MNIST from the mirror argv[1] with the digests argv[2] into the folder argv[3].
FETCH = """
import json, sys
from torchvision.datasets import MNIST
from ddpm.data import DataError, load_dataset
MNIST.mirrors, MNIST.resources = [sys.argv[1]], json.loads(sys.argv[2])
try:
    print(len(load_dataset("mnist", sys.argv[3]).images))
except DataError as error:
    print(error)
"""


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mirror():
    """A server of a small MNIST: mirror.url, .resources, .slow (dribbles), .cut (closes the line half-way)."""
    files, rng = {}, np.random.default_rng(0)
    for part, n in (("train", 300), ("t10k", 40)):
        for kind, shape in (("images-idx3", (n, 28, 28)), ("labels-idx1", (n,))):
            data = idx(rng.integers(0, 10, shape, dtype=np.uint8))
            files[f"{part}-{kind}-ubyte.gz"] = gzip.compress(data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = files[self.path.strip("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            server.begun.set()
            server.asked.append(self.path)
            if server.cut:
                return
            time.sleep(server.rest)
            while server.slow:
                time.sleep(0.05)
            self.wfile.write(data[half:])

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.begun, server.slow, server.cut, server.rest = threading.Event(), False, False, 0.0
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    server.resources = [[name, hashlib.md5(data).hexdigest()] for name, data in files.items()]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.slow = False
    server.shutdown()


@pytest.fixture
def from_mirror(mirror, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", [mirror.url])
    monkeypatch.setattr(MNIST, "resources", [tuple(pair) for pair in mirror.resources])


@pytest.mark.slow
def test_killed_in_the_middle_of_a_download(tmp_path, python, mirror, from_mirror):
    mirror.slow = True
    process = python("-c", FETCH, mirror.url, json.dumps(mirror.resources), str(tmp_path), start=True)
    assert mirror.begun.wait(60)
    end = time.monotonic() + 20
    while not list(tmp_path.rglob("*.gz")) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    mirror.slow = False
    with pytest.raises(DataError, match="try again"):
        load_dataset("mnist", tmp_path, download=False)
    assert len(load_dataset("mnist", tmp_path).images) == 300
    assert len(load_dataset("mnist", tmp_path, train=False, download=False).images) == 40


def test_a_line_that_is_cut_is_said_and_the_next_try_succeeds(tmp_path, mirror, from_mirror):
    mirror.cut = True
    with pytest.raises(DataError, match="could not be downloaded") as error:
        load_dataset("mnist", tmp_path)
    assert "try again" in str(error.value) and "bundled" in str(error.value)
    mirror.cut = False
    assert len(load_dataset("mnist", tmp_path).images) == 300


@pytest.mark.parametrize("train", [True, False])
def test_killed_while_unpacking_it_is_unpacked_again(tmp_path, mirror, from_mirror, train):
    whole = load_dataset("mnist", tmp_path, train=train).images
    prefix = "train" if train else "t10k"
    for kind in ("images-idx3", "labels-idx1"):
        half = tmp_path / "MNIST" / "raw" / f"{prefix}-{kind}-ubyte"
        half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
        assert (
            load_dataset("mnist", tmp_path, train=train, download=False).images == whole
        ).all()  # its archive is there
        half.with_suffix(".gz").write_bytes(b"cut")
        with pytest.raises(DataError, match=rf"{half.name} \(there, but damaged: remove it\)"):
            load_dataset("mnist", tmp_path, train=train, download=False)
        assert (load_dataset("mnist", tmp_path, train=train).images == whole).all()


@pytest.mark.slow
def test_two_downloads_at_once_into_one_folder(tmp_path, mirror, from_mirror):
    load_dataset("mnist", tmp_path / "alone")
    once, found, mirror.rest = len(mirror.asked), [], 0.2
    threads = [
        threading.Thread(target=lambda: found.append(len(load_dataset("mnist", tmp_path).images))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [300] * 4 and len(mirror.asked) == 2 * once  # no file more often than by one alone
