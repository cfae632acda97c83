import { el } from "../../components/dom.js";
import { frameButton, paint } from "../../components/pixels.js";

// One digit along its run, and along its branch: x̂₀ at each step, and how it is classified. When does it become a 7?
export class Life {
  constructor(parent, timeline, server) {
    Object.assign(this, { timeline, server, root: el("div", "life", parent), marks: [] });
  }

  // runs: [{id, frames}], the second of which is a branch.
  show(i, stage, runs) {
    this.root.replaceChildren();
    this.marks = [];
    this.now = {};
    runs.forEach((run, j) => this.one(i, stage, run, j ? "The branch's" : "Its", this.now));
    this.mark(this.timeline.position);
  }

  async one(i, { size, channels }, { id, frames }, whose, now) {
    const recording = el("div", "recording", this.root), reading = el("p", "hint", this.root, "Classifying…");
    reading.setAttribute("role", "status");
    const there = frames.map((frame, k) => k).filter((k) => frames[k]), length = size * size * channels;
    const count = Math.min(10, there.length, Math.floor(this.root.clientWidth / 54));
    const shown = Array.from({ length: count }, (_, j) => there[Math.round((j * (there.length - 1)) / Math.max(1, count - 1))]);
    const texts = new Map(shown.map((k) => {
      const { t, x0_hat } = frames[k], go = () => { this.timeline.pause(); this.timeline.seek(k); };
      const { button, canvas, text } = frameButton(recording, t < 0 ? "finished" : `t = ${t}`, go);
      paint(canvas, x0_hat.slice(i * length, (i + 1) * length), size, size, channels);
      this.marks.push({ button, k });
      return [k, { button, text }];
    }));
    const answer = await this.server.readings({ run: id, i });
    if (now !== this.now) return; // something else is looked at by now
    if (answer.error) return void (reading.textContent = answer.error);
    const { classes, confidence } = answer, percent = (k) => `${Math.round(100 * confidence[k])}\u202f%`;
    for (const [k, { button, text }] of texts) {
      text.textContent = `${classes[k]} ${percent(k)}`;
      button.title = `${button.title}: classified as ${classes[k]}, ${percent(k)} certain`;
      button.setAttribute("aria-label", button.title);
    }
    const end = classes.length - 1, since = classes.findLastIndex((each) => each !== classes[end]) + 1, t = frames[since]?.t;
    const from = since === 0 ? "from the first on" : t < 0 ? "only when it is finished" : `from t = ${t} on`;
    reading.textContent = `${whose} x̂₀ is classified as ${classes[end]} ${from}; the classifier is ${percent(end)} certain at the end.`;
  }

  // The frame of each recording that the playhead has come to.
  mark(position) {
    for (const { button, k } of this.marks) {
      const next = this.marks.filter((other) => other.button.parentElement === button.parentElement && other.k > k).at(0);
      button.classList.toggle("now", k <= position && !(next && next.k <= position));
    }
  }
}
