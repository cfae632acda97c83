"""Training on a lent GPU, with a stub of the `spaces` module.  The real one was not tried.

As the real one does (spaces 0.51), the stub runs each call in a process forked for it, pickles what goes in and out,
asks whose request it is, and says that there is CUDA where there is none.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.spaces_stub import STUB

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

BEGIN = """
import app, json, spaces, threading
from gradio.context import LocalContext
from ddpm.device import pick_device
from ddpm.ui.tabs.train import run_store, training_run, zerogpu
from ddpm.ui.server.engine import Engine, once
from helpers.training_runs import new_run
training_run.EVALUATED = 0
engine = Engine()
runs = run_store.Runs(engine)

def train(lent, **options):
    run = new_run(**options)
    run.remote = lent
    LocalContext.request.set("a visitor")
    runs.start(run)
    LocalContext.request.set(None)
    return run

def finished(run):
    run.job.finished.result(timeout=100)
    return run
"""


@pytest.fixture
def on_a_space(tmp_path):
    """Run Python as on a ZeroGPU Space: on_a_space(code, calls granted) -> the JSON that it prints."""

    def run(code: str, calls: int = 1000):
        (tmp_path / "spaces.py").write_text(STUB)
        env = os.environ | {"SPACES_ZERO_GPU": "true", "STUB_CALLS": str(calls), "OMP_NUM_THREADS": "1"}
        env["PYTHONPATH"] = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests")))
        command = [sys.executable, "-c", BEGIN + code]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_run_cut_into_calls_learns_what_an_uncut_one_learns(on_a_space):
    said = on_a_space("""
zerogpu.CALL_SECONDS, zerogpu.REPORT_SECONDS = 0.3, 0.1
here, lent = finished(train(False, budget=150)), finished(train(True, budget=150))
curves = [[(step, loss) for step, _, loss, _ in run.points] for run in (here, lent)]
same = all(a.equal(b) for a, b in zip(*(r.state.ema_model().state_dict().values() for r in (here, lent))))
print(json.dumps({"calls": len(spaces.calls), "asked_for": spaces.calls[0], "whose": len(set(spaces.calls)),
    "booked": spaces.decorated, "curves": curves, "same": same, "complete": lent.complete, "error": lent.job.error,
    "previews": len(lent.previews), "on": lent.info()["device"], "here": str(pick_device()), "lr": lent.state.lr}))
""")
    assert said["calls"] > 2 and said["asked_for"] == "a visitor" and said["whose"] == 1
    assert 5 <= said["booked"][0] <= 10, "the GPU is asked for in pieces of five to ten seconds"
    assert said["error"] is None and said["complete"] and said["previews"] >= 1
    assert len(said["curves"][0]) >= 100 and said["curves"][0] == said["curves"][1] and said["same"]
    assert said["on"] == "ZeroGPU" and said["here"] == "cpu" and said["lr"] > 0


def test_without_a_gpu_the_run_says_so_and_keeps_what_it_has_learned(on_a_space):
    said = on_a_space(
        """
zerogpu.CALL_SECONDS, zerogpu.REPORT_SECONDS = 0.3, 0.1
run = finished(train(True, budget=100_000))
print(json.dumps({"error": run.job.error, "step": run.state.step, "active": run.active}))
""",
        calls=2,
    )
    assert "no GPU" in said["error"] and "exceeded your ZeroGPU quota" in said["error"]
    assert said["step"] > 0 and not said["active"]


def test_a_hopeless_run_ends_in_words(on_a_space):
    said = on_a_space("""
run = finished(train(True, budget=100_000, lr=1.0))
print(json.dumps(run.job.error))
""")
    assert said.startswith("Stopped: the loss")


def test_others_compute_while_a_call_waits_and_stop_stops(on_a_space):
    said = on_a_space("""
import time
run = train(True, budget=100_000)
while run.state is None:
    time.sleep(0.01)
begin = time.monotonic()
engine.submit(once(int), "a classmate").finished.result(timeout=10)
waited = time.monotonic() - begin
run.halt = True
engine.resume(run.job)  # as Stop does
finished(run)
stopped = time.monotonic() - begin
print(json.dumps({"waited": waited, "stopped": stopped, "error": run.job.error, "step": run.state.step}))
""")
    assert said["waited"] < 0.9, "the engine stood still until the GPU's next report, a second later"
    assert said["stopped"] < 6 and said["error"] is None and said["step"] > 0
