// The functions that a margin names open beside its equation.  A term of the equation that is pointed at is lit in the
// code, and the other way round.
import { el } from "./dom.js";

const ARXIV = "https://arxiv.org/abs/";

export const margin = (element, props, watch, server, { sources }) => {
  const root = element.querySelector(".margin"), listings = [];
  // Each place that names a function, in the order of the markup, with what it takes to open that.
  root.querySelectorAll("code").forEach((name) => {
    if (sources[0]?.function !== name.textContent) return;
    listings.push(new Listing(root, name, sources.shift()));
  });

  // What is pointed at: a term here or there, or a line of code and all that is in it.
  function look({ target }) {
    if (!listings.some((listing) => listing.isOpen)) return light(root, []);
    const term = target.closest("[data-term]"), line = target.closest(".listing .line");
    if (term) light(root, [term.dataset.term]);
    else if (line) light(root, Array.from(line.querySelectorAll("[data-term]"), (node) => node.dataset.term));
    else light(root, []);
    if (term && !line) listings.forEach((listing) => listing.reveal());
  }
  for (const event of ["pointerover", "focusin", "click"]) root.addEventListener(event, look);
  root.addEventListener("pointerleave", () => light(root, []));
  root.addEventListener("focusout", ({ relatedTarget }) => { if (!root.contains(relatedTarget)) light(root, []); });
};

// A place of the code that is of several terms names them all, with a space between.
const light = (root, terms) => {
  const chosen = new Set(terms.flatMap((term) => term.split(" ")));
  for (const node of root.querySelectorAll("[data-term]")) {
    node.classList.toggle("lit", node.dataset.term.split(" ").some((term) => chosen.has(term)));
  }
  for (const line of root.querySelectorAll(".listing .line")) line.classList.toggle("lit", Boolean(line.querySelector(".lit")));
};

class Listing {
  constructor(root, name, source) {
    Object.assign(this, { root, source, box: null, opener: el("button", "opens") });
    if (name.textContent.split(".").length > 4) name.textContent = name.textContent.split(".").slice(-2).join("."); // or it wraps; its file is said above its source
    this.opener.type = "button";
    this.opener.title = "Open its source";
    this.opener.setAttribute("aria-expanded", "false");
    name.replaceWith(this.opener);
    this.opener.append(name);
    this.opener.addEventListener("click", () => this.toggle());
  }

  get isOpen() {
    return Boolean(this.box && !this.box.hidden);
  }

  toggle() {
    this.box = this.box || this.build();
    this.box.hidden = !this.box.hidden;
    this.opener.setAttribute("aria-expanded", String(this.isOpen));
    this.opener.title = this.isOpen ? "Close its source" : "Open its source";
    this.terms();
    if (!this.isOpen) return light(this.root, []);
    this.box.scrollIntoView({ block: "nearest" });
    this.bring(this.lines.length - 1); // so that the body is in sight, under what may be a long docstring
    this.bring(this.body);
  }

  // While something is open, each term of an equation can be reached by keyboard, once.
  terms() {
    const open = this.root.querySelector(".listing:not([hidden])"), seen = new Map();
    for (const node of this.root.querySelectorAll("math [data-term]")) {
      const block = node.closest("math").parentElement, known = seen.get(block) || new Set();
      if (open && !known.has(node.dataset.term)) node.setAttribute("tabindex", "0");
      else node.removeAttribute("tabindex");
      seen.set(block, known.add(node.dataset.term));
    }
  }

  build() {
    const { function: name, where, first, text, quiet, marks, values, papers } = this.source;
    const box = el("section", "listing"), head = el("p", "where", box), code = el("pre", "", box);
    box.hidden = true;
    box.id = `source-${Math.random().toString(36).slice(2)}`;
    this.opener.setAttribute("aria-controls", box.id);
    box.setAttribute("aria-label", `Source of ${name}`);
    el("span", "", head, `${where}, line ${first}`);
    for (const [label, number] of papers) {
      const link = el("a", "", head, `${label} ↗`);
      Object.assign(link, { href: ARXIV + number, target: "_blank", rel: "noopener noreferrer", title: `arXiv:${number}, in a new window` });
    }
    code.tabIndex = 0;
    code.setAttribute("role", "group");
    code.setAttribute("aria-label", `${name}: arrow keys go from line to line`);
    this.lines = text.split("\n").map((line, i) => {
      const row = el("span", quiet.some(([from, to]) => from <= i && i <= to) ? "line quiet" : "line", code);
      const within = line.length - line.trimStart().length + 4; // characters that what goes on below is indented by
      Object.assign(row.style, { paddingLeft: `calc(8px + ${within}ch)`, textIndent: `${-within}ch` });
      row.dataset.line = first + i;
      this.fill(row, line, marks.filter((mark) => mark[0] === i), values.filter((value) => value[0] === i));
      return row;
    });
    code.addEventListener("keydown", (event) => this.key(event));
    this.code = code;
    let before = this.opener.closest("p"); // and after what other functions of that paragraph have opened
    while (before.nextElementSibling?.classList.contains("listing")) before = before.nextElementSibling;
    before.after(box);
    return box;
  }

  // A line as text, its terms and the present numbers in their places.
  fill(row, line, marks, values) {
    const cuts = [...new Set([0, line.length, ...marks.flatMap(([, from, to]) => [from, to]), ...values.map(([, at]) => at)])].sort((a, b) => a - b);
    cuts.forEach((from, i) => {
      for (const [, at, key] of values) {
        if (at !== from) continue;
        const now = el("span", "now", row, this.root.querySelector(`[data-live="${key}"]`)?.textContent);
        now.dataset.live = key; // filled from now on as all numbers of the margin are
        now.title = "its present value";
      }
      const text = line.slice(from, cuts[i + 1]), of = marks.filter(([, start, end]) => start <= from && from < end).map((mark) => mark[3]);
      if (!text || i + 1 === cuts.length) return;
      if (of.length) el("span", "term", row, text).dataset.term = of.join(" ");
      else row.append(text);
    });
    if (!line) row.append("\u200b");
  }

  key(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") {
      this.toggle();
      this.opener.focus();
    }
    if (!by) return;
    event.preventDefault();
    const now = this.lines.findIndex((line) => line.classList.contains("current"));
    const next = Math.max(0, Math.min(this.lines.length - 1, now + by));
    this.lines.forEach((line, i) => line.classList.toggle("current", i === next));
    light(this.root, Array.from(this.lines[next].querySelectorAll("[data-term]"), (node) => node.dataset.term));
    this.bring(next);
  }

  // Bring the first lit line of the body into sight, within the listing alone.
  reveal() {
    if (!this.isOpen) return;
    const lit = this.lines.map((line, i) => i).filter((i) => this.lines[i].classList.contains("lit"));
    if (lit.length) this.bring(lit.find((i) => i >= this.body) ?? lit[0]);
  }

  // The line after the first docstring.
  get body() {
    return Math.min(this.lines.length - 1, (this.source.quiet[0]?.[1] ?? -1) + 1);
  }

  // A line into sight, by scrolling within the listing alone.
  bring(i) {
    const { code, lines } = this, top = lines[i].offsetTop, bottom = top + lines[i].offsetHeight;
    if (top < code.scrollTop || bottom > code.scrollTop + code.clientHeight) code.scrollTop = top - code.clientHeight / 4;
  }
}
