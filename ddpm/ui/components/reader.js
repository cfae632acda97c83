// Lessons beside the tabs, which stay alive: a list of them, one step at a time, and how far one has come.
import { button, el, readerIsSheet } from "./dom.js";
import { showStep } from "./step.js";
import { recall, remember } from "./storage.js";
import { tabs } from "./tabs.js";
import { spoken, whenWorded } from "./wording.js";

const KEPT = "ddpm-lessons"; // in localStorage: {progress: {number of a lesson: {at, done}}, offered}
const MARGIN = 8, LEAST = 100; // pixels, around what is brought into sight, and of it: it may be filled later

const kept = () => ({ progress: {}, ...recall(KEPT) });
const keep = (what) => remember(KEPT, { ...kept(), ...what });

export const reader = (element, props) => {
  const root = element.querySelector(".lessons");
  const opener = button(root, "Lessons", () => (panel.hidden ? openWhereLeft() : leave()));
  opener.classList.add("opener");
  const panel = el("div", "reader", root);
  Object.assign(panel, { hidden: true, id: "lessons-reader" });
  panel.setAttribute("role", "complementary");
  panel.setAttribute("aria-label", "Lessons");
  opener.setAttribute("aria-controls", panel.id);
  const head = el("div", "head", panel), body = el("div", "body", panel), foot = el("nav", "foot", panel);
  foot.setAttribute("aria-label", "Steps of the lesson");
  const answers = new Map(); // by "lesson.step", of this visit
  let lessons = props.value[spoken()], lesson = null, at = 0, shows = 0;

  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") leave(); });
  window.addEventListener("hashchange", follow);
  whenWorded(reword);
  expanded(false);
  follow();
  if (!kept().offered && panel.hidden) offer();

  function expanded(open) {
    opener.setAttribute("aria-expanded", open);
    opener.setAttribute("aria-label", open ? "Leave the lessons" : "Lessons");
    const page = root.closest("#top").parentElement; // it makes room: reader.css
    if (open) page.dataset.reading = "";
    else delete page.dataset.reading;
    window.dispatchEvent(new Event("resize")); // for what has its size of the window's
  }

  // The same step, or the list, in the language that the page now has.
  function reword() {
    if (lessons === props.value[spoken()]) return;
    lessons = props.value[spoken()];
    lesson = lesson && lessons.find(({ number }) => number === lesson.number);
    if (!panel.hidden) (lesson ? render : list)();
    if (root.querySelector(".offer")) { root.querySelector(".offer").remove(); offer(); }
  }

  function open() {
    stopOffering();
    panel.hidden = false;
    fold(false);
    expanded(true);
  }

  function leave() {
    panel.hidden = true;
    expanded(false);
    opener.focus();
  }

  // At the step where the reader was closed, or at the list.
  function openWhereLeft() {
    open();
    if (lesson) render();
    else list();
  }

  // On a phone the sheet folds down to its head, so that the page above it is seen.
  function fold(folded) {
    panel.classList.toggle("folded", folded);
  }

  function clear(title) {
    for (const part of [head, body, foot]) part.replaceChildren();
    const bar = el("div", "bar", head);
    const folding = button(bar, "▾", () => {
      fold(!panel.classList.contains("folded"));
      folding.textContent = panel.classList.contains("folded") ? "▴" : "▾";
      folding.setAttribute("aria-expanded", !panel.classList.contains("folded"));
    }, "Fold the lesson");
    folding.classList.add("fold");
    button(bar, "✕", leave, "Leave").classList.add("leave");
    const heading = el("h2", "", head, title);
    heading.tabIndex = -1;
    body.scrollTop = 0;
    heading.focus({ preventScroll: true });
    return bar;
  }

  function list() {
    lesson = null;
    body.classList.remove("task");
    body.lang = spoken();
    clear("Lessons").prepend(el("p", "kicker", null, "predict, then see"));
    const { progress } = kept(), all = el("ol", "list", body);
    const next = lessons.find(({ number }) => !progress[number]?.done);
    for (const one of lessons) {
      const { number, title, minutes, steps } = one, { at: there = 0, done } = progress[number] || {};
      const choose = el("button", one === next ? "lesson next" : "lesson", el("li", "", all));
      choose.type = "button";
      el("span", "number", choose, number);
      el("span", "title", choose, title);
      el("span", "about", choose, done ? `done, ${minutes} min` : there ? `step ${there + 1} of ${steps.length}` : `${minutes} min`);
      if (done) choose.classList.add("done");
      choose.addEventListener("click", () => begin(one, done ? 0 : there));
    }
    el("p", "hint", body, "Each lesson puts the page into a state, asks what will happen, and shows it. The page stays yours: turn anything at any time, and go back to the lesson’s state whenever you like.");
  }

  function begin(one, step) {
    lesson = one;
    to(step);
  }

  function to(step) {
    at = step;
    const { progress } = kept(), before = progress[lesson.number] || {};
    keep({ progress: { ...progress, [lesson.number]: { at, done: before.done || false } } });
    render();
    restore();
  }

  function render() {
    const { number, title, steps } = lesson, step = steps[at], key = `${number}.${at + 1}`;
    const bar = clear(step.title), last = at === steps.length - 1;
    const back = button(null, "All lessons", list);
    back.classList.add("all");
    bar.prepend(back, el("p", "kicker", null, `${number}. ${title}`));
    body.classList.toggle("task", last);
    if (at === 0) el("p", "for", body, `${lesson.minutes} minutes, for ${lesson.audience}.`);
    if (lesson.language !== spoken()) el("p", "for", body, "This lesson is there in English only.");
    body.lang = lesson.language;
    showStep(body, step, { show, press }, answers.get(key), (answer) => answers.set(key, answer));
    button(el("p", "restore", body), "Restore this step’s state", restore).classList.add("again");
    button(foot, "Back", () => (at ? to(at - 1) : list()));
    const dots = el("span", "dots", foot);
    dots.setAttribute("role", "img");
    dots.setAttribute("aria-label", `Step ${at + 1} of ${steps.length}`);
    steps.forEach((_, i) => el("i", i === at ? "now" : i < at ? "past" : "", dots));
    button(foot, last ? "Finish" : "Next", last ? finish : () => to(at + 1)).classList.add("primary");
  }

  function finish() {
    const { progress } = kept();
    keep({ progress: { ...progress, [lesson.number]: { at: 0, done: true } } });
    list();
  }

  function restore() {
    show(lesson.steps[at].show, null, lesson.steps[at].look);
  }

  // Put the page into a state, press a button of it, and bring into sight what is to be looked at: else the view.
  async function show(hash, id, look) {
    const mine = ++shows, isOver = () => mine !== shows || !lesson; // another has begun, or one has left the lesson
    if (hash) {
      const target = `${hash}${hash.includes("?") ? "&" : "?"}lesson=${lesson.number}.${at + 1}`;
      location.hash = target;
      await new Promise((resolve) => setTimeout(resolve, 50)); // the event comes as a task of its own
      while (tabs.links?.isRestoring()) await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (isOver()) return; // what it would press and scroll is no longer what is read
    if (id) await press(id);
    if (isOver()) return;
    const narrow = readerIsSheet(), views = Array.from(document.querySelectorAll(".ddpm-view"));
    if (narrow) views.find((view) => view.checkVisibility())?.scrollIntoView();
    else window.scrollTo(0, 0);
    const looked = look && (await find(look));
    if (!looked || isOver()) return;
    const { top, height } = looked.getBoundingClientRect(), bottom = top + Math.max(height, LEAST), end = narrow ? panel.getBoundingClientRect().top : window.innerHeight;
    if (bottom > end) window.scrollBy(0, Math.min(top - MARGIN, bottom - end + MARGIN));
  }

  // An element, once it is shown; null if that takes too long.
  async function find(id) {
    const shown = () => document.getElementById(id)?.checkVisibility();
    for (let tries = 0; !shown() && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
    return shown() ? document.getElementById(id) : null;
  }

  async function press(id) {
    const found = await find(id);
    if (found) (found.matches("button") ? found : found.querySelector("button")).click(); // not so Start of what is running
  }

  // An address may name a step of a lesson: #forward/noising?t=250&lesson=1.2
  function follow() {
    const named = location.hash.match(/[?&]lesson=(\d+)(?:\.(\d+))?(?=&|$)/);
    const one = named && lessons.find(({ number }) => number === Number(named[1]));
    if (!one) return;
    const step = Math.min(Math.max(Number(named[2] || 1), 1), one.steps.length) - 1;
    if (!panel.hidden && lesson === one && at === step) return;
    lesson = one;
    at = step;
    open();
    render();
  }

  function offer() {
    const { number, title, minutes } = lessons[0], line = el("p", "offer", root);
    el("span", "", line, "New here?");
    button(line, `Begin lesson ${number}: ${title}, ${minutes} min`, () => { open(); begin(lessons[0], 0); }).classList.add("begin");
    button(line, "✕", () => { stopOffering(); opener.focus(); }, "Do not offer this again");
  }

  function stopOffering() {
    root.querySelector(".offer")?.remove();
    if (!kept().offered) keep({ offered: true });
  }
};
