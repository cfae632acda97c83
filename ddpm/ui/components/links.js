// The page's state in its address, #VIEW?key=value&...: written as somebody chooses, restored on load and on going back.
// What was set in the other views is kept for the window, and is back once they are opened after a reload.
import { el } from "./dom.js";
import { recall, remember } from "./storage.js";
import { moved, tabs } from "./tabs.js";
import { chosenLanguage, languageChoice, speak } from "./wording.js";

const REST = 300, LULL = 1000, SAY = 2000; // ms: after a change, between keys of one act, that Copied is said
const PATIENCE = 15000; // ms, for what is opened or followed before a state can be restored
const KEPT = ["ddpm-settings", "sessionStorage"]; // {at: the latest address, model: the id, views: {view: its address}}

// Wait until test() is something, and return it; null if it takes too long.
const seen = async (test) => {
  for (const end = performance.now() + PATIENCE; performance.now() < end; await new Promise((resolve) => setTimeout(resolve, 30))) {
    const found = test();
    if (found) return found;
  }
  return null;
};

// A value as an address has it.
const text = (value) => (typeof value === "boolean" ? String(Number(value)) : String(value));
const encoded = (value) => encodeURIComponent(text(value)).replace(/%20/g, "+").replace(/%2C/g, ",");
const same = (a, b) => text(a) === text(b);

// What must be said of a view's values: those that are not what they would be without.  leads: what a value brings along.
export const told = ({ defaults, leads }, values) => {
  const said = {}, expected = { ...defaults };
  for (let more = true; more;) {
    more = false;
    for (const [key, value] of Object.entries(values)) {
      if (key in said || value === null || value === undefined || same(value, expected[key])) continue;
      said[key] = value;
      more = true;
      for (const [lead, brings] of Object.entries(leads)) if (lead in said) Object.assign(expected, brings[text(said[lead])]);
    }
  }
  return said;
};

export const address = (view, values, rest = {}) => {
  const pairs = Object.entries({ ...told(view, values), ...rest }).map(([key, value]) => `${key}=${encoded(value)}`);
  return `#${view.name}${pairs.length ? "?" : ""}${pairs.join("&")}`;
};

// The tab that is chosen in a row of tabs, by its id.
const chosen = (row) => row?.querySelector(":scope > .tab-wrapper [aria-selected=true]")?.dataset.tabId;
const innerTabs = () => Array.from(document.querySelectorAll("#tabs .inner-tabs")).find((node) => node.checkVisibility());

export const links = (element, props, watch, server, { views, order, model, own, page, longest }, trigger) => {
  const root = element.querySelector(".links"), copying = el("button", "copy", root, "Copy link");
  const line = el("p", "link-problems"), sheet = el("style", "", document.head), wasDark = document.body.classList.contains("dark");
  let gesture = 0, written = 0, latest = 0, where = null; // of acts: how many, the last that was written, when and on what
  let timer = null, mine = 0; // of a change that is not written yet: when it will be, and the act that made it
  const before = recall(...KEPT), left = { ...before.views }; // as the page was when it was left; what of it is not back yet
  let asked = { address: "", stay: false }, kept = before; // what is being restored; what is to be kept
  let count = 0, restoring = false, onsettled = null, shown = "", look = {};
  languageChoice(root, moved);
  copying.type = "button";
  copying.setAttribute("aria-live", "polite");
  copying.addEventListener("click", () => trigger("copy"));
  line.setAttribute("role", "status");
  document.querySelector("#top").after(line);

  const named = (name) => views.find((view) => view.name === name || view.name.startsWith(`${name}/`));
  const now = () => views.find(({ name }) => {
    const inner = innerTabs();
    return name === (inner ? `${chosen(document.querySelector("#tabs"))}/${chosen(inner)}` : chosen(document.querySelector("#tabs")));
  });

  // What an address asks for of the page's look, as far as it is known: {hide, view, theme, size}.
  function appear(name, query) {
    const asked = new URLSearchParams(query), known = {};
    const hidden = (asked.get("hide") || "").split(",").filter((name) => name in page.hide);
    for (const key of ["view", "theme", "size"]) if (page[key].includes(asked.get(key))) known[key] = asked.get(key);
    speak(asked.get("lang"));
    look = { ...(hidden.length && { hide: hidden }), ...known };
    sheet.textContent = hidden.flatMap((name) => page.hide[name]).map((each) => `${each} { display: none !important; }`).join("\n");
    document.body.classList.toggle("dark", known.theme ? known.theme === "dark" : wasDark);
    for (const key of ["view", "size"]) {
      if (known[key]) document.body.dataset[key] = known[key];
      else delete document.body.dataset[key];
    }
    return known.view ? views.find(({ name }) => name.split("/").at(-1) === known.view) : named(name) || views[0];
  }

  async function press(row, id) {
    const button = await seen(() => row()?.querySelector(`:scope > .tab-wrapper [data-tab-id="${id}"]`));
    if (button?.ariaSelected !== "true") button?.click();
  }

  // What is inside a tab exists only once it has been opened.
  async function open({ name, prefix }) {
    const [tab, inner] = name.split("/");
    await press(() => document.querySelector("#tabs"), tab);
    if (inner) await press(innerTabs, inner);
    await there(prefix);
  }

  async function there(prefix) {
    await seen(() => document.querySelector(`#${prefix}-view .view`)?.childElementCount && document.querySelector(`#${prefix}-view`).checkVisibility());
  }

  async function restore() {
    const number = ++count, hash = location.hash.slice(1, longest), [name] = hash.split("?", 1);
    restoring = true;
    shown = location.hash;
    asked = { address: shown, stay: false };
    clearTimeout(timer);
    const view = appear(name, hash.slice(name.length + 1));
    delete left[view.name];
    await open(view);
    if (number === count) ask();
  }

  // What was set in a view before the page was loaded again, with the model that is chosen now.
  async function bringBack({ name, prefix }) {
    const number = ++count;
    restoring = true;
    asked = { address: left[name], stay: true };
    delete left[name];
    await there(prefix);
    if (number === count) ask();
  }

  const ask = () => trigger("restore");

  function receive(answer) {
    if (!answer || answer.number !== count) return;
    if (answer.wait) { // the model is changed: what follows it comes first
      const go = () => { if (onsettled === go) { onsettled = null; ask(); } };
      onsettled = go;
      setTimeout(go, PATIENCE);
      return;
    }
    tabs[views.find(({ name }) => name === answer.view).prefix]?.restore?.(answer.kept);
    line.textContent = answer.problems;
    setTimeout(() => {
      if (answer.number !== count) return;
      restoring = false;
      if (!asked.stay) written = gesture;
      shown = location.hash;
      moved();
    }, REST);
  }

  function write(list) {
    const view = now();
    if (!view || restoring) return;
    if (left[view.name]?.includes("?")) return bringBack(view);
    const values = {};
    order.forEach(([name, key], i) => { if (name === view.name) values[key] = list[i]; });
    Object.assign(values, tabs[view.prefix]?.kept?.());
    const weights = list.at(-1), rest = { ...(weights !== model.default && { model: model.shipped.includes(weights) ? weights : own }), ...look, ...(chosenLanguage() && { lang: chosenLanguage() }) };
    const hash = address(view, values, rest);
    kept = { at: hash, model: weights, views: { ...kept.views, [view.name]: hash } };
    remember(KEPT[0], kept, KEPT[1]);
    if (hash === location.hash) return;
    if (mine === written) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    written = mine;
    shown = hash;
  }

  async function copy(list) {
    mine = gesture;
    write(list);
    let done = true;
    try {
      await navigator.clipboard.writeText(location.href);
    } catch { // no permission, or a page that is not served securely
      const area = el("textarea", "", root, location.href);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      copying.focus();
    }
    copying.textContent = done ? "Copied" : "Copy the address above";
    setTimeout(() => { copying.textContent = "Copy link"; }, SAY);
  }

  // One act is from a press of the mouse or of a key to the next; keys that follow quickly on one another are one.
  function act({ type, target, timeStamp }) {
    const goesOn = type === "keydown" && target === where && timeStamp - latest < LULL;
    latest = timeStamp;
    where = target;
    if (goesOn) return;
    if (timer) gather();
    gesture += 1;
  }

  function gather() {
    clearTimeout(timer);
    timer = null;
    trigger("gather");
  }

  for (const type of ["pointerdown", "keydown"]) document.addEventListener(type, act, true);
  document.addEventListener("click", ({ target }) => { if (target.closest("[role=tab]")) moved(); });
  for (const type of ["popstate", "hashchange"]) window.addEventListener(type, () => { if (location.hash !== shown) restore(); });
  tabs.links = {
    // Something may have changed.  Until somebody does something the page's own movements are not written.
    moved() {
      if (restoring || !(gesture || shown)) return;
      mine = gesture;
      clearTimeout(timer);
      timer = setTimeout(gather, REST);
    },
    isRestoring: () => restoring,
    asked: () => ({ ...asked, number: count, model: before.model }),
    settled: () => onsettled?.(),
    gathered: write,
    copy,
  };
  watch("value", () => receive(props.value));
  if (location.hash.length <= 1 && before.at) history.replaceState(null, "", before.at);
  if (location.hash.length > 1) restore();
};
