// What is going on, in one line.
import { el } from "./dom.js";

// Its place in the queue, said to whoever waits.
export const waiting = ({ ahead, wait }) => `Waiting for a turn: ${ahead} step${ahead > 1 ? "s" : ""} of others first${wait >= 1 ? `, about ${Math.round(wait)} s` : ""}.`;

// One line under the stage that says what is going on; errors say what to do next.
export class Status {
  constructor(root, text) {
    this.node = el("p", "status", root, text);
    this.node.setAttribute("role", "status");
  }

  say(text, isError = false) {
    this.node.textContent = text;
    this.node.classList.toggle("error", isError);
  }
}
