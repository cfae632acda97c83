// The loss by noise level: a bar and a picture for each, and what the network is asked and says at one of them.
import { fromBase64 } from "../../components/base64.js";
import { makeDialog } from "../../components/dialog.js";
import { el } from "../../components/dom.js";
import { frameButton, paint } from "../../components/pixels.js";
import { Stage } from "../../components/stage.js";

export class Levels {
  // place: where the bars go, which may come after the stage.  look(level): the server's answer for one.
  constructor(place, look) {
    Object.assign(this, { place, look, run: null, bars: [] });
  }

  // inputs: base64 pictures, one a level.
  begin(run, inputs, { size, channels, T }) {
    const root = document.querySelector(this.place);
    if (!root || (run === this.run && this.bars.length)) return;
    Object.assign(this, { run, size, channels, T });
    root.replaceChildren();
    this.bars = inputs.map((input, level) => {
      const { button, canvas } = frameButton(root, "", () => this.open(level));
      const bar = el("i", "bar");
      button.prepend(bar);
      paint(canvas, fromBase64(input), size, size, channels);
      return { button, bar };
    });
  }

  // Square roots, so that small losses can be told apart: the top is 1, what a network that says 0 has.
  show(levels) {
    levels.slice(0, this.bars.length).forEach((loss, level) => {
      const { button, bar } = this.bars[level];
      bar.style.height = `${Math.round(52 * Math.min(1, Math.sqrt(loss)))}px`;
      button.title = `t = ${this.span(level)}: loss ${loss.toFixed(3)}`;
      button.setAttribute("aria-label", button.title);
    });
  }

  span(level) {
    const n = this.bars.length, at = (i) => Math.round((i * this.T) / n);
    return `${at(level)} to ${at(level + 1) - 1}`;
  }

  async open(level) {
    if (!this.dialog) {
      this.dialog = makeDialog("");
      this.dialog.classList.add("asked");
      const panes = [
        { key: "input", label: "input xₜ" }, { key: "target", label: "target" },
        { key: "prediction", label: "prediction" }, { key: "residual", label: "prediction − target, halved" },
      ];
      this.stage = new Stage(this.dialog.body, panes, { n: 4, columns: 4, captionWidth: 100 });
      this.says = el("p", "hint", this.dialog.body, "");
      this.says.setAttribute("role", "status");
    }
    this.dialog.title_.textContent = `What the network is asked at t = ${this.span(level)}`;
    this.dialog.showModal();
    this.says.textContent = "Asking the network…";
    const answer = await this.look(level);
    if (answer.error) return void (this.says.textContent = answer.error);
    this.stage.shape(answer.t.length, this.size, this.channels);
    for (const key of this.stage.panes.keys()) this.stage.show(key, fromBase64(answer[key]));
    const losses = answer.losses.map((loss, i) => `${loss.toFixed(3)} at t = ${answer.t[i]}`).join(", ");
    this.says.textContent = `Loss of each with the live weights as they are now: ${losses}. Grey is 0.`;
  }
}
