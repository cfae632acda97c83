// What the page says, in the reader's language, and of digits or of pictures.  English stands in the source; here it is
// replaced as it appears and changes, wherever it is shown: ddpm/ui/languages has what each text is otherwise.
import { isWords, reading } from "./catalogue.js";
import { languages } from "./constants.js";
import { el } from "./dom.js";
import { recall, remember } from "./storage.js";

const SPOKEN = ["title", "aria-label", "aria-valuetext", "placeholder", "alt"]; // attributes that are read
// Neither code nor maths nor what somebody wrote: lessons, names, drawings.
const UNSPOKEN = "script, style, code, pre, math, textarea, [translate=no]";
const INSIDE = "\uFFFC"; // in a sentence, for an element inside of it
const KEPT = "ddpm-language"; // in localStorage: {language}
export const NAMES = { en: "English", de: "Deutsch" };
const NOUN = /\b(d)igit(s?)\b/gi, EITHER = /\[([^|\]]*)\|([^\]]*)\]/g; // what is drawn: in English; elsewhere [of digits|of pictures]

const readers = Object.fromEntries(Object.entries(languages).map(([name, entries]) => [name, reading(entries)]));
const before = new WeakMap(); // of a text node or an element's attribute: what it said, and what it says instead
const choices = new Set(), listeners = new Set(), selects = new Set();
let language = "en", explicit = null, pictures = false;

export const picturesFor = (text) => text.replace(NOUN, (_, d, s) => `${d === "D" ? "P" : "p"}icture${s}`);

// A text as it is to be read.  ofPictures: whether it may speak of digits where there are none.
export const say = (text, ofPictures = pictures) => {
  if (!isWords(text)) return text;
  const words = text.trim(), found = readers[language]?.(words.replace(/\s+/g, " "));
  if (!found) return ofPictures ? picturesFor(text) : text;
  return text.replace(words, () => found.replace(EITHER, ofPictures ? "$2" : "$1"));
};

// Of a place in the page, what it said in English.
const english = (node, name, now) => {
  const was = before.get(node)?.[name];
  return was?.said === now ? was.text : now;
};

const put = (node, name, now, said, set) => {
  const text = english(node, name, now);
  if (said === now) return;
  before.set(node, { ...before.get(node), [name]: { text, said } });
  set(said);
};

// Whether a place may speak of digits where there are none: as was said of it, or else of the weights.
const ofPlace = (element) => {
  const drawn = element.closest("[data-draws]")?.dataset.draws;
  return drawn ? drawn === "pictures" : pictures && !element.closest("#top");
};

// The texts of an element, one by one or, with other elements among them, as one sentence.
const sayIn = (element) => {
  const nodes = Array.from(element.childNodes).filter((node) => node.nodeType === Node.TEXT_NODE || node.nodeType === Node.ELEMENT_NODE);
  const texts = nodes.map((node) => (node.nodeType === Node.TEXT_NODE ? english(node, "data", node.data) : INSIDE));
  const speaks = texts.some((text) => isWords(text)), whole = texts.join("");
  if (!speaks && !nodes.some((node) => before.has(node))) return;
  const parts = texts.includes(INSIDE) && isWords(whole) ? say(whole, ofPlace(element)).split(INSIDE) : [];
  const together = parts.length === nodes.filter((node) => node.nodeType === Node.ELEMENT_NODE).length + 1 && parts.join(INSIDE) !== whole;
  let gap = 0, filled = false;
  nodes.forEach((node, i) => {
    if (texts[i] === INSIDE) { gap += 1; filled = false; return; }
    const said = !together ? say(texts[i], ofPlace(element)) : filled ? "" : parts[gap];
    filled = true;
    put(node, "data", node.data, said, (text) => { node.data = text; });
  });
};

const sayOf = (element) => {
  for (const name of SPOKEN) {
    const now = element.getAttribute(name);
    if (now) put(element, name, now, say(english(element, name, now), ofPlace(element)), (text) => element.setAttribute(name, text));
  }
};

// What is chosen in one of Gradio's dropdowns is the value of an input: it shows one text, and keeps the other.
const sayValue = (input) => {
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  let text = get.call(input), said = null;
  Object.defineProperty(input, "value", {
    configurable: true,
    get: () => (get.call(input) === said ? text : get.call(input)),
    set(value) {
      text = String(value ?? "");
      set.call(input, (said = say(text, ofPlace(input))));
    },
  });
  selects.add(new WeakRef(input));
  input.value = text;
};

const sayAll = (root) => {
  if (root.closest(UNSPOKEN)) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT, (node) => (node.matches(UNSPOKEN) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  for (let node = root; node; node = walker.nextNode()) {
    sayOf(node);
    sayIn(node);
    if (node.matches("input[role=combobox]") && !Object.hasOwn(node, "value")) sayValue(node);
  }
};

const observer = new MutationObserver((changes) => {
  const around = new Set(), added = new Set();
  for (const { target, type, addedNodes } of changes) {
    if (type === "attributes") around.add(target);
    else if (target.nodeType === Node.TEXT_NODE) around.add(target.parentElement);
    else {
      around.add(target);
      for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) added.add(node);
    }
  }
  for (const node of added) if (node.isConnected) sayAll(node);
  for (const node of around) {
    if (!node?.isConnected || node.closest(UNSPOKEN)) continue;
    sayOf(node);
    sayIn(node);
  }
});

// Everything anew.  Where it is said as it stands, nothing is watched.
const show = () => {
  observer.disconnect();
  document.documentElement.lang = language;
  sayAll(document.documentElement);
  for (const each of selects) {
    const input = each.deref();
    if (input) input.value = input.value;
    else selects.delete(each);
  }
  for (const act of listeners) act();
  if (language === "en" && !pictures && !document.querySelector("[data-draws=pictures]")) return;
  observer.observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SPOKEN });
};

// What is spoken of in a place is digits or not, whatever the weights above draw.
export const speaksOfDigits = (place, digits) => {
  const drawn = digits ? "digits" : "pictures";
  if (place.dataset.draws === drawn) return;
  place.dataset.draws = drawn;
  show();
};

// Call act whenever the page is to be worded otherwise: for what is drawn or made anew.
export const whenWorded = (act) => listeners.add(act);
export const spoken = () => language;
export const chosenLanguage = () => explicit; // null if it is the browser's

const known = (name) => name in NAMES;
const ofBrowser = () => [recall(KEPT).language, ...navigator.languages].map((name) => (name || "").split("-")[0]).find(known) || "en";

// Speak the language that an address or a person names.
export const speak = (name) => {
  if (!known(name)) return;
  explicit = name;
  for (const select of choices) select.value = name;
  if (name === language) return;
  language = name;
  show();
};

// Speak the language that a person chooses, now and on later visits.
export const choose = (name) => {
  remember(KEPT, { language: name });
  speak(name);
};

// The choice of a language, in its row.  onchoose(): what is done once it has been made.
export const languageChoice = (parent, onchoose) => {
  const select = el("select", "language", parent);
  select.setAttribute("aria-label", "Language");
  for (const [name, text] of Object.entries(NAMES)) {
    const option = el("option", "", select, name.toUpperCase());
    Object.assign(option, { value: name, translate: false, title: text, lang: name });
  }
  select.value = language;
  select.addEventListener("change", () => {
    choose(select.value);
    onchoose();
  });
  choices.add(select);
};

export const wording = (element, props, watch) => {
  const follow = () => {
    if (pictures === !(props.value ?? true)) return;
    pictures = !pictures;
    show();
  };
  watch("value", follow);
  follow();
};

const asked = new URLSearchParams(location.hash.slice(1).split("?")[1] || "").get("lang");
language = known(asked) ? asked : ofBrowser();
explicit = known(asked) ? asked : null;
if (language !== "en") show();
