"""A module `spaces` that forks, pickles and lies about CUDA as the real one does."""

STUB = """
import sys
assert "torch" not in sys.modules and "gradio" not in sys.modules, "spaces patches torch: it has to come first"
import inspect, multiprocessing, os, pickle
import torch
truth = torch.cuda.is_available, torch.cuda.device_count
torch.cuda.is_available, torch.cuda.device_count = lambda: True, lambda: 1  # as the real one makes it say
allowed, calls, decorated = int(os.environ.get("STUB_CALLS", "1000")), [], []

def GPU(task=None, *, duration=60):
    if task is None:
        return lambda f: GPU(f, duration=duration)
    assert inspect.isgeneratorfunction(task)
    decorated.append(duration)

    def call(*args):
        import gradio as gr
        from gradio.context import LocalContext
        calls.append(LocalContext.request.get(None))
        if len(calls) > allowed:
            raise gr.Error("You have exceeded your ZeroGPU quota. Try again in 3:00.")
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        asked = pickle.dumps(args)

        def work():
            torch.cuda.is_available, torch.cuda.device_count = truth
            from ddpm.ui.tabs.train import zerogpu
            zerogpu.DEVICE = "cpu"  # there is no other here
            for value in task(*pickle.loads(asked)):
                theirs.send_bytes(pickle.dumps(value))
            theirs.send_bytes(b"")

        process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
        process.start()
        theirs.close()
        try:
            while data := ours.recv_bytes():
                yield pickle.loads(data)
        finally:
            process.terminate()
    return call
"""
