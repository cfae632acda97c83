// A dialog with a title and a way out.
import { el } from "./dom.js";

export const makeDialog = (title) => {
  // Inside Gradio's container, so that its theme and our colours reach it.
  const dialog = el("dialog", "ddpm-dialog", document.querySelector(".gradio-container"));
  const head = el("div", "head", dialog);
  dialog.title_ = el("h2", "", head, title);
  const close = el("button", "", head, "Close");
  close.type = "button";
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.body = el("div", "body", dialog);
  return dialog;
};
