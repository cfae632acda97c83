// The timeline: one axis with its curves beneath, and a playhead that can be dragged, stepped and played.
import { drawingOn, numeral, redraw, roundTicks, showLegend, showValues, titleAlong, unitOf } from "./canvas.js";
import { button, el } from "./dom.js";
import { asMenu } from "./menu.js";
import { moved } from "./tabs.js";
import { say } from "./wording.js";

export class Timeline {
  static PAD = { left: 44, right: 14, top: 10, bottom: 22 };
  static SHARES = 50; // units, as PAD, that the axis of shares takes at the right
  static SPEEDS = [1, 2, 0.25, 0.5];

  // label: for screen readers.  words(place): the head of the values at the pointer.  titles: see setCurves.  onseek(position): called whenever the playhead moves.  Positions are 0..count-1.
  constructor(root, { label, onseek, words = null, titles = {}, count = 2, ends = ["", ""], frameMs = 60 }) {
    this.root = el("div", "timeline", root);
    const view = root.closest("[id$=-view]"); // none in a dialog
    if (view) this.root.id = view.id.replace(/view$/, "timeline"); // which a lesson may name
    const transport = el("div", "transport", this.root);
    this.back = button(transport, "◀", () => this.move(-1), "One step back");
    this.playing = button(transport, "Play", () => this.toggle());
    this.playing.classList.add("play");
    this.forth = button(transport, "▶", () => this.move(1), "One step forward");
    this.rate = button(transport, "1×", () => this.faster(), "Speed: 1×");
    this.legend = el("span", "legend", transport);
    this.readout = el("output", "readout", transport);
    this.looping = this.addToggle("Loop", () => {});
    this.looping.textContent = "⟳";
    this.legend.before(this.looping);
    const track = el("div", "track", this.root);
    this.canvas = el("canvas", "", track);
    this.canvas.setAttribute("aria-hidden", "true");
    this.input = el("input", "", track);
    Object.assign(this.input, { type: "range", min: 0, step: 1 });
    this.input.setAttribute("aria-label", label);
    this.input.addEventListener("input", () => { this.pause(); this.seek(this.positionAt(Number(this.input.value))); });
    this.untouched();
    Object.assign(this, { onseek, words, ends, frameMs, curves: [], axis: {}, titles, position: 0, available: count, timer: null, chasing: null, log: false, speed: 1, shares: false, places: null, fork: null }); // fork: a position to be marked, where two ways part
    this.setCount(count);
    redraw(this.canvas, () => this.draw());
    showValues(this.canvas, this.input, (x) => this.valuesAt(x));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // Space plays and pauses wherever nothing else wants it; arrows, Home and End move.  On the slider all but the space
  // are the browser's own.
  key(event) {
    const { target } = event, slider = target === this.input;
    if (!this.canvas.clientWidth || this.available < 2 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!slider && target.closest("input, textarea, select, button, summary, dialog, [role], [contenteditable]")) return;
    const act = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.move(-1), ArrowRight: () => this.move(1), Home: () => this.move(-Infinity), End: () => this.move(Infinity),
    }[event.key];
    if (!act || (slider && event.key !== " ")) return;
    event.preventDefault();
    act();
  }

  // A finger that scrolls the page over the slider does not move it.
  untouched() {
    let before = 0;
    this.input.addEventListener("pointerdown", () => { before = this.position; });
    this.input.addEventListener("pointercancel", () => this.seek(before));
  }

  faster() {
    const { SPEEDS } = Timeline;
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    this.rate.textContent = `${this.speed}×`;
    this.rate.title = `Speed: ${this.speed}×`;
    this.rate.setAttribute("aria-label", this.rate.title);
    if (this.timer) this.play(this.stride || 1);
  }

  rename(control, text) {
    control.textContent = control.title = text;
    control.setAttribute("aria-label", text);
  }

  addButton(text, act, label = text) {
    const added = button(this.root.querySelector(".transport"), text, act, label);
    this.readout.before(added);
    return added;
  }

  // A button that stays pressed.  act(pressed).
  addToggle(text, act, label = text) {
    const toggle = this.addButton(text, () => {
      toggle.setAttribute("aria-pressed", toggle.ariaPressed !== "true");
      act(toggle.ariaPressed === "true");
    }, label);
    toggle.setAttribute("aria-pressed", "false");
    return toggle;
  }

  // A button that opens a list of others, {text: act}.
  addMenu(text, acts) {
    return asMenu(this.addButton(`${text} ▾`, () => {}, text), acts);
  }

  // Where on the axis a position lies: there, or where `places` says, for a way that goes back and forth.
  place(position) {
    return this.places ? this.places[position] : position;
  }

  // The position at a place of the axis, the latest of several.
  positionAt(place) {
    return this.places ? Math.max(0, this.places.slice(0, this.available).findLastIndex((one) => one <= place)) : place;
  }

  // How many positions the axis has, and how many of them are there already.
  setCount(count, available = count) {
    this.count = Math.max(count, 2);
    this.available = available;
    this.input.max = this.count - 1;
    for (const control of [this.back, this.playing, this.forth, this.rate, this.looping]) control.disabled = available < 2;
    this.input.disabled = available < 1;
    this.draw();
  }

  // More positions have come: if the playhead was at the last one it runs after them, one at a time, or half of what is
  // left where they come faster than they can be shown.
  // Often enough to be smooth, and no more: what the page draws, the sampler beside it does not compute.
  // onarrive(): called when it is there, or when the reader has taken over.
  grow(count, available) {
    const following = !this.timer && (this.chasing || this.position >= this.available - 1);
    this.setCount(count, available);
    if (!following || this.chasing) return;
    this.chasing = setInterval(() => this.chase(), 35);
    this.chase();
  }

  chase() {
    const last = this.available - 1;
    const left = last - this.position;
    this.seek(this.position + (left > 3 ? Math.ceil(left / 2) : Math.min(left, 1)));
    if (this.position >= last) this.stopChase();
  }

  stopChase() {
    if (!this.chasing) return;
    clearInterval(this.chasing);
    this.chasing = null;
    if (this.onarrive) this.onarrive();
  }

  // curves: [{label, y: [one value per position, or null], x: [positions, if not 0, 1, 2...], colour: "a".."e", dash}],
  // with share: true those that are drawn from 0 to 100 % on an axis of their own at the right.  shares: whether it is
  // there.  titles: {x, y, share}, what the axes are of, with their units.
  setCurves(curves, { log = false, shares = false, titles = this.titles } = {}) {
    Object.assign(this, { curves, log, shares, titles });
    this.root.classList.toggle("shares", shares);
    showLegend(this.legend, curves);
    this.draw();
  }

  // bottom, top: {label, ticks: [{at: position, text}], colour}, instead of the words at the ends, or above the plot.
  setAxis({ bottom, top }) {
    this.axis = { bottom, top };
    this.root.classList.toggle("two-axes", Boolean(top));
    this.draw();
  }

  get pad() {
    const { PAD, SHARES } = Timeline;
    return { ...PAD, right: PAD.right + (this.shares ? SHARES : 0) };
  }

  // What the curves are at a place across, the latest value each; null outside.
  valuesAt(x) {
    const { left, right } = this.pad, w = this.canvas.clientWidth / unitOf(this.canvas) - left - right, share = (x - left) / w;
    if (share < -0.02 || share > 1.02) return null;
    const place = Math.max(0, Math.min(this.count - 1, Math.round(share * (this.count - 1)))), found = [];
    for (const { label, colour, x: at, y, share: percent } of this.curves) {
      const v = at ? y[at.findLastIndex((one) => one <= place)] : y[place];
      if (label && v !== null && v !== undefined) found.push([label, colour, percent ? `${Math.round(100 * v)} %` : numeral(v)]);
    }
    return found.length ? [this.words ? this.words(place) : "", found] : null;
  }

  // The furthest place of what is there.
  get reached() {
    return this.places ? Math.max(...this.places.slice(0, this.available)) : this.available - 1;
  }

  say(text) {
    this.readout.textContent = text;
    this.input.setAttribute("aria-valuetext", text);
  }

  seek(position) {
    this.position = Math.max(0, Math.min(position, this.available - 1));
    this.input.value = this.place(this.position);
    this.draw();
    this.onseek(this.position);
    moved();
  }

  move(by) {
    this.pause();
    this.seek(this.position + by);
  }

  toggle() {
    if (this.timer) return this.pause();
    if (this.position >= this.available - 1) this.seek(0);
    this.play();
  }

  // Advance by `stride` positions a frame until the end of what is there, or until nobody can see it.
  play(stride = this.stride || 1, onend = null) {
    this.pause();
    this.rename(this.playing, "Pause");
    this.timer = setInterval(() => {
      if (!this.canvas.clientWidth) return this.pause();
      if (this.position < this.available - 1) return this.seek(this.position + stride);
      if (!onend && this.looping.ariaPressed === "true") return this.seek(0);
      this.pause();
      if (onend) onend();
    }, this.frameMs / this.speed);
  }

  pause() {
    this.stopChase();
    clearInterval(this.timer);
    this.timer = null;
    this.rename(this.playing, "Play");
  }

  draw() {
    const drawing = drawingOn(this.canvas);
    if (!drawing) return;
    const { c, width, height, colour } = drawing;
    const { left, right, bottom } = this.pad, top = this.pad.top + (this.axis.top ? 12 : 0);
    const w = width - left - right, h = height - top - bottom;
    const values = this.curves.filter((curve) => !curve.share).flatMap((curve) => curve.y.filter((v) => v !== null && (!this.log || v > 0)));
    let low = 0, high = values.reduce((a, b) => Math.max(a, b), 0) || 1;
    const scale = (v) => (this.log ? Math.log10(v) : v);
    if (this.log && values.length) {
      low = scale(values.reduce((a, b) => Math.min(a, b)));
      high = Math.max(scale(high), low + 0.1);
    }
    const px = (position) => left + (position / (this.count - 1)) * w;
    const py = (v) => top + ((high - scale(v)) / (high - low)) * h;
    const shareY = (v) => top + (1 - v) * h;

    c.fillStyle = colour("plot");
    c.fillRect(left, top, w, h);
    c.fillStyle = colour("plot-done");
    if (this.available > 1) c.fillRect(left, top, px(this.reached) - left, h);
    c.fillStyle = colour("muted");
    c.textBaseline = "middle";
    c.textAlign = "right";
    if (!this.log || values.length) {
      const ticks = this.log ? roundTicks(10 ** low, 10 ** high, true) : roundTicks(0, high, false, 2);
      for (const v of ticks) c.fillText(numeral(v), left - 6, Math.min(py(v), top + h - 4));
    }
    if (this.shares) {
      c.textAlign = "left";
      for (const v of [1, 0.5, 0]) c.fillText(`${100 * v} %`, left + w + 11, Math.min(shareY(v), top + h - 4));
    }
    if (this.titles.y) titleAlong(c, this.titles.y, 7, top + h / 2);
    if (this.titles.share && this.shares) titleAlong(c, this.titles.share, width - 7, top + h / 2);
    c.textBaseline = "alphabetic";
    if (this.axis.bottom) this.ticks(drawing, this.axis.bottom, px, height - 6, top + h);
    else {
      c.textAlign = "left";
      c.fillText(say(this.ends[0]), left, height - 6);
      c.textAlign = "right";
      c.fillText(say(this.ends[1]), left + w, height - 6);
      c.textAlign = "center";
      if (this.titles.x) c.fillText(say(this.titles.x), left + w / 2, height - 6);
    }
    if (this.axis.top) this.ticks(drawing, this.axis.top, px, top - 8, top - 4);

    for (const curve of this.curves) {
      c.strokeStyle = colour(`curve-${curve.colour}`);
      c.lineWidth = curve.width || 2;
      c.setLineDash(curve.dash || []);
      c.beginPath();
      const y = curve.share ? shareY : py;
      curve.y.forEach((v, i) => {
        if (v !== null && (curve.share || !this.log || v > 0)) c.lineTo(px(curve.x ? curve.x[i] : i), y(v));
      });
      c.stroke();
    }
    c.setLineDash([]);
    if (this.fork !== null) {
      c.strokeStyle = c.fillStyle = colour("ink");
      c.lineWidth = 1;
      c.setLineDash([3, 3]);
      c.beginPath();
      c.moveTo(px(this.fork), top);
      c.lineTo(px(this.fork), top + h);
      c.stroke();
      c.setLineDash([]);
      c.textAlign = this.fork < this.count / 2 ? "left" : "right";
      c.fillText(say("fork"), px(this.fork) + (this.fork < this.count / 2 ? 4 : -4), top + h - 5);
    }
    c.strokeStyle = colour("accent");
    c.lineWidth = 2;
    c.beginPath();
    const now = this.place(this.position);
    c.moveTo(px(now), top - (this.axis.top ? 3 : 6));
    c.lineTo(px(now), top + h);
    c.stroke();
    for (const curve of this.curves.filter((k) => k.mark)) {
      const v = curve.y[now];
      if (v === null || v === undefined) continue;
      c.fillStyle = colour(`curve-${curve.colour}`);
      c.beginPath();
      c.arc(px(now), py(v), 4.5, 0, 2 * Math.PI);
      c.fill();
    }
  }

  // One side's labels: as many as there is room for, the ends first.  y: of the text, mark: of the tick.
  ticks({ c, width, colour }, { label, ticks, colour: ink = "muted" }, px, y, mark) {
    const { left, right } = this.pad, taken = [];
    c.fillStyle = colour(ink);
    c.textAlign = "right";
    c.fillText(say(label), left - 6, y);
    c.textAlign = "center";
    for (const { at, text: named } of [ticks[0], ticks.at(-1), ...ticks.slice(1, -1)]) {
      const text = say(named), half = c.measureText(text).width / 2, x = Math.max(left + half, Math.min(px(at), width - right - half));
      if (taken.some(([from, to]) => x - half < to + 8 && x + half > from - 8)) continue;
      taken.push([x - half, x + half]);
      c.fillText(text, x, y);
      c.fillRect(px(at) - 0.5, mark, 1, 4);
    }
  }
}
