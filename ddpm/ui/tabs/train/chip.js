// In the header: that a training goes on, on whichever tab one is, and that it has ended.
import { el } from "../../components/dom.js";
import { openTab } from "../../components/tabs.js";

const TITLE = "Train";

export const chip = (element, props, watch) => {
  const open = el("button", "", element.querySelector(".training-chip"));
  Object.assign(open, { type: "button", title: "Go to the training" });
  open.addEventListener("click", () => openTab(TITLE));
  const what = el("span", "what", open), state = el("span", "state", open);
  let went = false; // whether one was going on in this window

  const seen = () => document.querySelector("#train-view")?.checkVisibility();

  function show() {
    const { value } = props, ended = went && !value;
    open.hidden = !value && (!ended || seen());
    what.textContent = ended ? "Training " : "Training, ";
    state.textContent = ended ? "ended" : value || "";
    open.classList.toggle("ended", ended);
    went ||= Boolean(value);
  }

  // What has ended is told until its tab is looked at.
  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-tab-id=train], .training-chip") || props.value) return;
    went = false;
    show();
  });
  watch("value", show);
  show();
};
