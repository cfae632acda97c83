"""How smooth the page is, in figures: python -m benchmarks.page_smoothness [URL of a running server]

Prints: time to interactive, layout shift; while 64 digits are generated and played, the longest task, the frames shown
a second and how many were dropped; and how long a stroke on the sheet of Edit waits for its answer.  Not a test: on a
busy machine the figures are the machine's.
"""

import itertools
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.helpers.serving import free_port
from tests.helpers.starting import FLAGS, end, serve
from tests.helpers.steps import generate, tab, wait_for_status

STROKES = 8
OBSERVE = """
window.seen = {tasks: [], shift: 0};
const watch = (type, act) => {
  new PerformanceObserver((list) => list.getEntries().forEach(act)).observe({type, buffered: true});
};
watch("longtask", (e) => window.seen.tasks.push([e.startTime, e.duration]));
watch("layout-shift", (e) => { if (!e.hadRecentInput) window.seen.shift += e.value; });
"""
# Every picture that the sample's pane shows, and when.
WATCH = """async () => {
  const { Stage } = await import(new URL("./scripts/components/stage.js", document.baseURI));
  const stage = Stage.prototype, show = stage.show;
  window.shown = [];
  stage.show = function (key, bytes) {
    if (key === "x" && bytes) window.shown.push([performance.now(), bytes]);
    return show.call(this, key, bytes);
  };
}"""


def figures(page, url):
    page.add_init_script(OBSERVE)
    page.goto(url)
    page.wait_for_function("document.querySelector('#forward-view canvas')")
    page.wait_for_timeout(4000)
    ready = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    tasks = page.evaluate("window.seen.tasks")
    # Time to interactive: the end of the last long task before the page came to rest, or its first paint.
    result = {"time_to_interactive_ms": round(max([ready, *(s + d for s, d in tasks if s < ready + 3000)]))}

    tab(page, "Reverse")
    page.wait_for_timeout(500)
    page.evaluate(WATCH)
    page.evaluate("window.seen.tasks = []")
    generate(page, steps=50, n=64)
    wait_for_status(page, "reverse", "^50 steps")
    shown = page.evaluate("window.shown.map(([at]) => at)")
    different = page.evaluate("new Set(window.shown.map(([, bytes]) => bytes)).size")
    span = (shown[-1] - shown[0]) / 1000
    result |= {
        "generated": {"frames": different, "of": 51, "seconds": round(span, 2), "a_second": round(len(shown) / span, 1)}
    }
    result["generated"]["longest_task_ms"] = round(max([d for _, d in page.evaluate("window.seen.tasks")] or [0]))

    page.evaluate("window.seen.tasks = []; window.shown = []")
    page.locator("#reverse-view .play").click()
    page.wait_for_function("document.querySelector('#reverse-view .play').textContent === 'Pause'")
    page.wait_for_function("document.querySelector('#reverse-view .play').textContent === 'Play'")
    shown = page.evaluate("window.shown.map(([at]) => at)")
    result["played"] = {"frames": len(shown), "a_second": round((len(shown) - 1) / (shown[-1] - shown[0]) * 1000, 1)}
    result["played"]["longest_task_ms"] = round(max([d for _, d in page.evaluate("window.seen.tasks")] or [0]))
    result["layout_shift"] = round(page.evaluate("window.seen.shift"), 4)

    tab(page, "Edit")
    wait_for_status(page, "draw", "An example")
    box = page.locator("#draw-view .pane-own canvas").bounding_box()
    page.evaluate("window.seen.tasks = []; window.moved = []")
    page.evaluate("addEventListener('pointermove', () => window.moved.push(performance.now()), true)")
    waits, after = [], []
    for k in range(STROKES):
        page.evaluate("window.shown = []; window.moved = []")
        page.mouse.move(box["x"] + box["width"] * (k + 1) / (STROKES + 1), box["y"] + 40)
        page.mouse.down()
        page.evaluate("window.moved = []")
        for i in range(20):
            page.mouse.move(box["x"] + box["width"] * (k + 1) / (STROKES + 1), box["y"] + 50 + 4 * i)
        page.wait_for_timeout(280)  # shorter than the rest after which all steps are taken
        moved, shown = page.evaluate("[window.moved, window.shown.map(([at]) => at)]")
        waits += [b - a for a, b in itertools.pairwise([moved[0], *shown])]  # from one answer to the next
        after.append(max(shown) - moved[-1])
        page.mouse.up()
        page.wait_for_timeout(1500)
    result["strokes"] = {
        "n": STROKES,
        "answers": len(waits),
        "answered_after_ms": {
            "of_the_whole_stroke": round(statistics.median(after)),
            "worst": round(max(after)),
            "between_answers": round(statistics.median(waits)),
        },
    }
    result["strokes"]["longest_task_ms"] = round(max([d for _, d in page.evaluate("window.seen.tasks")] or [0]))
    result["layout_shift_in_edit"] = round(page.evaluate("window.seen.shift") - result["layout_shift"], 4)
    return result


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port = free_port()
        process = None if len(sys.argv) > 1 else serve(port, Path(folder) / "log")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(120_000)
        print(json.dumps(figures(page, sys.argv[1] if process is None else f"http://127.0.0.1:{port}"), indent=1))
        browser.close()
        if process is not None:
            end(process)


if __name__ == "__main__":
    main()
