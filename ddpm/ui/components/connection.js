// The connection to the server: a line says when it is lost, and the page recovers by itself.  While all is well nothing
// is asked for: a loss is seen by a request that fails, or by the end of the answer that Gradio keeps open, its heartbeat.
// A page that was just receiving something is reloaded, by Gradio; any other keeps what it shows, and works on.
import { el } from "./dom.js";

const ASK_EVERY = 2000, TOO_LONG = 10000, SAY_BACK = 5000; // ms
const GONE = "The server does not answer. This page goes on by itself when the server is back.";
const BACK = "The server is back.";
let line = null, asking = false, known = null, heartbeat = null, open = null;

const say = (text, gone) => {
  if (!line) {
    line = el("p", "connection", document.querySelector(".gradio-container") || document.body);
    line.setAttribute("role", "status");
  }
  line.classList.toggle("gone", gone);
  line.textContent = text;
};

const ask = async (path) => {
  const answer = await fetch(window.gradio_config.root + path, { cache: "no-store", signal: AbortSignal.timeout(TOO_LONG) });
  if (!answer.ok) throw new Error(answer.status); // of a proxy before a server that is not there
  return answer.json();
};

// What this page relies on: a server with other functions under these numbers would misunderstand it.
const shape = (config) => JSON.stringify([
  config.components.map((c) => [c.id, c.type, c.props.elem_id]),
  config.dependencies.map((d) => [d.id, d.targets, d.inputs, d.outputs]),
]);

const check = async () => {
  if (asking || !window.gradio_config) return;
  asking = true;
  known = known || window.gradio_config.app_id;
  for (;; await new Promise((resolve) => setTimeout(resolve, ASK_EVERY))) {
    try {
      const { app_id } = await ask("/gradio_api/app_id");
      if (app_id !== known) {
        if (shape(await ask("/config")) !== shape(window.gradio_config)) return location.reload();
        known = app_id;
      }
      break;
    } catch {
      say(GONE, true);
    }
  }
  asking = false;
  if (!line) return;
  say(BACK, false);
  setTimeout(() => { if (line && !asking) { line.remove(); line = null; } }, SAY_BACK);
  if (heartbeat) open = await fetch(heartbeat); // Gradio does so only when it loads the page
};

new PerformanceObserver((entries) => {
  for (const { name, responseStatus } of entries.getEntries()) {
    if (!name.includes("/gradio_api/")) continue;
    if (name.includes("/heartbeat/")) { heartbeat = name; check(); }
    else if (responseStatus === 0 || responseStatus > 501) check(); // no answer, or that of a proxy
  }
}).observe({ type: "resource", buffered: true });
window.addEventListener("offline", check);
