// A result as lines of Python that make it again: on the clipboard, or as a notebook.
import { fromBase64 } from "./base64.js";
import { el } from "./dom.js";
import { download } from "./download.js";

// The entries of a menu.  question(): what the server is asked about, {run, ...}.
export const pythonItems = (server, status, question) => ({
  "Copy as Python": () => copyPython(server, status, question()),
  "Notebook (.ipynb)": () => saveNotebook(server, status, question()),
});

export const copyPython = async (server, status, question) => {
  const { error, text } = await server.python(question);
  if (error) return status.say(error, true);
  const copied = await toClipboard(text), lines = text.trim().split("\n").length;
  if (copied) status.say(`Copied ${lines} lines of Python. What they draw, and whether to the pixel, is said in the first.`);
  else status.say("This browser lets no page copy. Take the notebook instead.", true);
};

export const saveNotebook = async (server, status, question) => {
  const { error, name, data } = await server.python(question);
  if (error) return status.say(error, true);
  download(name, fromBase64(data), "application/x-ipynb+json");
  status.say(`Saved ${name}. Each of its cells makes again what is shown here.`);
};

// A page that came over plain http from elsewhere has no clipboard of its own: there a field is copied from.
async function toClipboard(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* not permitted: the other way may be */ }
  }
  const field = el("textarea", "", document.body), before = document.activeElement;
  field.value = text;
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}
