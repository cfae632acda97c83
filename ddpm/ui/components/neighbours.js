// Copying or creating? Each sample with its nearest training pictures, in pixels and in a classifier's features, beside
// how near real pictures are to theirs.
import { fromBase64 } from "./base64.js";
import { drawingOn, numeral, redraw, roundTicks } from "./canvas.js";
import { makeDialog } from "./dialog.js";
import { el } from "./dom.js";
import { paint } from "./pixels.js";
import { say } from "./wording.js";

const TITLES = { pixels: "in pixels:", features: "in features:" };
const UNITS = { pixels: "distance in pixels: grey levels of 255, root mean square", features: "distance in features: 1 is the median of real pictures" };
const percent = (share) => `${Math.round(100 * share)} %`;

export class Neighbours {
  constructor(server) {
    this.server = server;
    this.dialog = makeDialog("Copying or creating?");
    this.dialog.classList.add("neighbours");
    const { body } = this.dialog;
    this.verdict = el("p", "verdict", body);
    this.verdict.setAttribute("role", "status");
    this.about = el("p", "hint", body);
    this.progress = el("p", "progress", body);
    this.charts = el("div", "charts", body);
    this.rows = el("div", "rows", body);
    this.run = null;
    this.dialog.addEventListener("close", () => {
      if (this.run && !this.done) this.server.nearest({ run: this.run, stop: true });
    });
  }

  // Ask until it is done, or until the dialog is closed, which stops it.  version: of a run whose samples change.
  async open(run, version = 0) {
    this.dialog.showModal();
    if (this.run === run && this.version === version && this.done) return;
    const mine = {};
    Object.assign(this, { run, version, done: false, spaces: {}, asking: mine });
    for (const node of [this.verdict, this.about, this.charts, this.rows]) node.replaceChildren();
    this.goes("Looking for the nearest training pictures…");
    while (this.dialog.open && this.asking === mine) {
      const answer = await this.server.nearest({ run, have: Object.keys(this.spaces) });
      if (this.asking !== mine) return;
      if (answer.error) return this.goes(answer.error, true);
      this.receive(answer);
      if (answer.done) return;
    }
  }

  goes(text, over = false) {
    this.progress.hidden = !text;
    this.progress.textContent = text;
    if (over || !text) return;
    const stop = el("button", "", this.progress, "Stop");
    stop.type = "button";
    stop.addEventListener("click", () => this.dialog.close());
  }

  receive(answer) {
    this.done = answer.done;
    this.about.textContent = answer.about;
    this.verdict.textContent = answer.verdict;
    if (!this.rows.children.length) this.begin(answer);
    for (const [name, space] of Object.entries(answer.spaces)) {
      this.spaces[name] = space;
      this.show(name, space, answer);
    }
    const reading = `The classifier reads the training pictures: ${answer.read.toLocaleString("en")} of ${answer.total.toLocaleString("en")}…`;
    this.goes(answer.done ? "" : this.spaces.pixels ? reading : "Looking for the nearest training pictures…");
  }

  // A row for each sample, with room for what is still to come.
  begin({ n, size, channels, samples, features }) {
    const bytes = fromBase64(samples), length = size * size * channels, names = features ? ["pixels", "features"] : ["pixels"];
    this.rows.classList.toggle("one", !features);
    this.cells = Array.from({ length: n }, (_, i) => {
      const row = el("div", "sample", this.rows), own = el("figure", "", row);
      this.picture(own, bytes.subarray(i * length, (i + 1) * length), size, channels, `sample ${i + 1}`);
      el("figcaption", "", own, `sample ${i + 1}`);
      return Object.fromEntries(names.map((name) => [name, el("figure", "three", row)]));
    });
  }

  picture(parent, bytes, size, channels, label) {
    const canvas = el("canvas", "", parent);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    paint(canvas, bytes, size, size, channels);
  }

  show(name, space, { size, channels }) {
    const bytes = fromBase64(space.pictures), length = size * size * channels, k = space.distances[0].length;
    this.cells.forEach((cell, i) => {
      const figure = cell[name], caption = el("figcaption", space.near[i] ? "near" : "", null, `${TITLES[name]} `);
      caption.append(`${percent(space.nearer[i])} as near`);
      caption.title = `${percent(space.nearer[i])} of real pictures of its class are as near to a training picture`;
      space.distances[i].forEach((distance, j) => {
        const at = (i * k + j) * length, one = el("div", "", figure), text = numeral(distance);
        this.picture(one, bytes.subarray(at, at + length), size, channels, `training picture, ${text} away`);
        el("span", "", one, text);
      });
      figure.append(caption);
    });
    const canvas = el("canvas", "", this.charts);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${UNITS[name]}: real pictures as bars, the samples as marks; ${space.near.filter(Boolean).length} samples are nearer than 95 % of real ones`);
    redraw(canvas, () => histogram(canvas, UNITS[name], space));
  }
}

// Bars: how far real pictures are from their nearest training picture. Marks: the samples.
function histogram(canvas, title, { bars, end, distances, near }) {
  const drawing = drawingOn(canvas);
  if (!drawing) return;
  const { c, width, height, colour } = drawing, left = 8, w = width - 2 * left, top = 22, bottom = 36, h = height - top - bottom;
  const px = (v) => left + (v / end) * w, most = Math.max(...bars);
  c.fillStyle = colour("plot");
  c.fillRect(left, top, w, h);
  c.fillStyle = colour("curve-c");
  bars.forEach((bar, i) => c.fillRect(left + (i / bars.length) * w, top + h * (1 - bar / most), w / bars.length - 1, h * (bar / most)));
  distances.forEach(([distance], i) => {
    c.strokeStyle = colour(near[i] ? "curve-b" : "curve-a");
    c.lineWidth = 2;
    c.setLineDash(near[i] ? [] : [5, 2]);
    c.beginPath();
    c.moveTo(px(distance), top + h * 0.55);
    c.lineTo(px(distance), top + h);
    c.stroke();
  });
  c.setLineDash([]);
  c.fillStyle = colour("muted");
  c.textAlign = "center";
  for (const v of roundTicks(0, end, false, 5)) c.fillText(numeral(v), Math.min(px(v), width - 10), top + h + 15);
  c.fillText(say(title), left + w / 2, height - 4, width);
  c.textAlign = "left";
  const legend = [["real pictures", "curve-c"], ["samples", "curve-a"], ["nearer than 95 % of real ones", "curve-b"]].map(([text, name]) => [say(text), name]);
  const widths = legend.map(([text]) => c.measureText(text).width), gaps = 26 * legend.length - 14;
  const narrow = Math.min(1, (w - gaps) / widths.reduce((a, b) => a + b)); // on a phone the letters stand closer
  let x = left;
  legend.forEach(([text, name], i) => {
    c.fillStyle = colour(name);
    c.fillRect(x, 6, 8, 8);
    c.fillStyle = colour("ink");
    c.fillText(text, x + 12, 14, narrow * widths[i]);
    x += narrow * widths[i] + 26;
  });
}
