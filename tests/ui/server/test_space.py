"""The folder as a Hugging Face Space: what its front matter says, and what the documented command uploads."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from helpers.spaces_stub import STUB
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOSTING = (ROOT / "docs/hosting.md").read_text(encoding="utf-8")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_the_front_matter_is_what_a_space_reads():
    said = yaml.safe_load(README.split("---\n")[1])
    assert said["sdk"] == "gradio" and said["license"] == "mit"
    assert {said["colorFrom"], said["colorTo"]} <= COLOURS
    assert (ROOT / said["app_file"]).is_file()
    assert re.fullmatch(r"3\.\d+", said["python_version"])
    wanted = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().split()]
    gradio = next(each for each in wanted if each.name == "gradio")
    assert Version(said["sdk_version"]) in gradio.specifier, "pip would have to install two versions of gradio"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's API as an upload asks for."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        space = f"http://{self.headers['Host']}/spaces/USER/SPACE"
        answer = {"url": space, "name": "USER/SPACE"}
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            for line in lines[1:]:
                assert line["key"] == "file"
                self.server.uploaded[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            answer = {"commitUrl": f"{space}/commit/1", "commitOid": "1", "success": True}
        elif self.path.endswith("/repos/create"):
            self.server.created.update(json.loads(body))
        self.answer(answer)

    def do_GET(self):
        self.answer({"id": "USER/SPACE", "name": "USER", "type": "user", "siblings": [], "sha": "0", "orgs": []})

    def answer(self, said):
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_the_documented_command_uploads_the_tracked_files_and_nothing_else(tmp_path):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a clone")
    command = re.search(r"<!-- command:space -->\n```\n(.*?)\n```", HOSTING, re.S)[1]
    hf = Path(sys.executable).with_name("hf")
    if not hf.exists():
        pytest.skip("huggingface_hub came without its command")
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    hub.uploaded, hub.created = {}, {}
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    env = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_TOKEN": "hf_none"}
    env |= {"HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    assert ".venv/bin/hf" in command
    command = command.replace(".venv/bin/hf", str(hf))
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    hub.shutdown()
    assert done.returncode == 0, done.stderr
    assert (hub.created["type"], hub.created["sdk"]) == ("space", "gradio")
    git = {"cwd": ROOT, "capture_output": True, "check": True}
    tracked = subprocess.run(["git", "ls-tree", "-r", "-z", "--name-only", "HEAD"], **git).stdout.decode().split("\0")
    assert set(hub.uploaded) == set(filter(None, tracked)) and "app.py" in tracked
    model = "checkpoints/mnist/model.safetensors"
    assert hub.uploaded[model] == subprocess.run(["git", "show", f"HEAD:{model}"], **git).stdout


@pytest.mark.slow
def test_a_space_opens_on_zerogpu_with_the_choice_and_anywhere_else_without_it(tmp_path):
    """CUDA calls of the server itself fail there, as torch's do here."""
    (tmp_path / "spaces.py").write_text(STUB)
    code = "import app, sys, torch; from ddpm import ui; from ddpm.device import pick_device\n"
    code += "demo = ui.build(); print(pick_device(), demo.health.report()[0], torch.cuda.is_available())\n"
    code += "print(any(getattr(b, 'label', '') == 'Compute on' for b in demo.blocks.values()), 'spaces' in sys.modules)"
    for more, wanted in (({"SPACES_ZERO_GPU": "true"}, ["cpu 200 True", "True True"]), ({}, [None, "False False"])):
        env = {k: v for k, v in os.environ.items() if k != "SPACES_ZERO_GPU"} | more
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        said = done.stdout.splitlines()
        assert said[1] == wanted[1] and wanted[0] in (None, said[0])
