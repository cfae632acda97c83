// A step of a lesson: its text, and its question, which is answered before the answer is told.
import { button, el } from "./dom.js";
import { formula } from "./maths.js";

// Text as lessons.py makes it: strings, and what is marked in them.
export const write = (node, text) => {
  node.translate = false; // it is of the lesson's own language
  let before = null, opening = ""; // a formula, from which what ends its sentence is not broken off, nor a bracket before it
  text.forEach((each, i) => {
    const mark = before && typeof each === "string" ? each.match(/^[.,:;?)]*/)[0] : "";
    if (mark) before.append(mark);
    before = null;
    if (typeof each === "string") {
      opening = text[i + 1]?.[0] === "math" ? each.slice(mark.length).match(/\(*$/)[0] : "";
      node.append(each.slice(mark.length, each.length - opening.length));
    } else if (each[0] === "math") {
      before = el("span", "unbroken", node);
      before.append(opening, formula(each[1]));
      opening = "";
    } else el(each[0], "", node, each[1]);
  });
  return node;
};

// press(id): presses a button of the page.
const blocks = (parent, all, press) => {
  for (const [kind, ...rest] of all) {
    if (kind === "p") write(el("p", "", parent), rest[0]);
    else if (kind === "math") parent.append(formula(rest[0], true));
    else button(parent, rest[0], () => press(rest[1])).classList.add("press");
  }
};

const number = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

// page: {show(hash, pressed, look), press(id)}, what a step does to the page.  answer: what has been answered here before, if anything.
// onanswer(answer): the index of a choice, or a number.
export const showStep = (parent, step, page, answer, onanswer) => {
  blocks(parent, step.blocks, page.press);
  if (!step.question) return;
  const asked = el("fieldset", "question", parent), { question, reveal } = step;
  write(el("legend", "", asked), question.text);
  const told = el("div", "told", parent);
  told.setAttribute("role", "status");
  const tell = (given, now) => {
    const right = question.range ? Math.abs(given - question.range.value) <= question.range.within : question.choices[given][1];
    el("p", right ? "verdict right" : "verdict", told, question.range ? compare(given, question.range, right) : right ? "As you predicted." : "Not as you predicted.");
    blocks(told, reveal.blocks, page.press);
    if (reveal.show) button(told, "Show it again", () => page.show(reveal.show, null, reveal.look)).classList.add("again");
    if (!now) return;
    onanswer(given);
    told.scrollIntoView({ block: "nearest" }); // on a phone it stands below what is seen of the sheet
    if (reveal.show || reveal.press || reveal.look) page.show(reveal.show, reveal.press, reveal.look);
  };
  (question.range ? askNumber : askChoice)(asked, question, answer, tell);
  if (answer !== undefined) tell(answer, false);
};

const compare = (given, { value }, right) => given === value ? `As you predicted: ${number(value)}.` : `${right ? "Close: you" : "You"} said ${number(given)}, it is ${number(value)}.`;

const askChoice = (parent, { choices }, answer, tell) => {
  const buttons = choices.map(([text], i) => {
    const choice = el("button", "choice", parent);
    choice.type = "button";
    write(el("span", "", choice), text);
    choice.addEventListener("click", () => { settle(i); tell(i, true); });
    return choice;
  });
  const settle = (given) => buttons.forEach((choice, i) => {
    choice.disabled = true;
    choice.setAttribute("aria-pressed", i === given);
    const [, right] = choices[i];
    if (right || i === given) el("span", right ? "mark right" : "mark", choice, right ? "✓ so it is" : "✗ your guess");
  });
  if (answer !== undefined) settle(answer);
};

// A number on a range.  Once it has been set, both it and the answer are marked there.
const askNumber = (parent, { range }, answer, tell) => {
  const row = el("label", "guess", parent), name = write(el("span", "", row), range.name), said = el("output", "", row);
  const track = el("div", "scale", parent), input = el("input", "", track), { from, to } = range;
  const whole = [from, to, range.value].every(Number.isInteger);
  Object.assign(input, { type: "range", min: from, max: to, step: whole ? 1 : (to - from) / 200, value: (from + to) / 2 });
  input.setAttribute("aria-label", name.textContent);
  const say = () => { said.textContent = number(Number(input.value)); };
  input.addEventListener("input", say);
  const ends = el("div", "ends", parent);
  for (const end of [from, to]) el("span", "", ends, number(end));
  const ready = button(parent, "This is my guess", () => { settle(); tell(Number(input.value), true); });
  ready.classList.add("choose");
  const settle = () => {
    input.disabled = true;
    ready.remove();
    const mark = el("span", "truth", track);
    mark.style.left = `calc(8px + ${(range.value - from) / (to - from)} * (100% - 16px))`; // of a thumb 16 pixels wide
    mark.title = number(range.value);
  };
  if (answer !== undefined) input.value = answer;
  say();
  if (answer !== undefined) settle();
};
