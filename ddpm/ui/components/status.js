// What is going on, in one line.
import { el } from "./dom.js";

// 1 step, 15 steps.
export const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

// What a run has cost so far.
export const costOf = ({ evaluations, seconds }) => `${counted(evaluations, "network evaluation")}, ${seconds.toFixed(1)} s`;

// Its place in the queue, said to whoever waits.
export const waiting = ({ ahead, wait }) => `Waiting for a turn: ${counted(ahead, "step")} of others first${wait >= 1 ? `, about ${Math.round(wait)} s` : ""}.`;

// One line under the stage that says what is going on; errors say what to do next.
export class Status {
  constructor(root, text) {
    this.node = el("p", "status", el("div", "says", root), text);
    this.node.setAttribute("role", "status");
  }

  say(text, isError = false) {
    this.node.textContent = text;
    this.node.classList.toggle("error", isError);
  }
}
