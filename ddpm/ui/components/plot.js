// A small chart: lines and points with error bars, on linear or logarithmic axes, redrawn when its size or theme changes.
import { drawingOn, numeral, redraw, showValues, titleAlong, unitOf } from "./canvas.js";
import { el } from "./dom.js";
import { say } from "./wording.js";

export class Plot {
  static PAD = { left: 46, right: 12, top: 8, bottom: 24 };
  static TITLE = 15; // units, that the title of an axis takes

  // label: for screen readers.  x, y: {min, max, ticks: [value, ...], log, title}.
  constructor(root, { label, x, y }) {
    this.canvas = el("canvas", "plot", root);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    Object.assign(this, { x, y, curves: [], points: [], cursor: null }); // cursor: the x of a vertical line
    redraw(this.canvas, () => this.draw());
    showValues(this.canvas, this.canvas, (across) => this.valuesAt(across));
  }

  get pad() {
    const { PAD, TITLE } = Plot;
    return { ...PAD, left: PAD.left + (this.y.title ? TITLE : 0), bottom: PAD.bottom + (this.x.title ? TITLE : 0) };
  }

  // Where a value lies along an axis, from 0 to 1.
  static share({ log, min, max }, v) {
    return log ? Math.log(v / min) / Math.log(max / min) : (v - min) / (max - min);
  }

  // What the curves are where one of them has a value nearest to a place across; null outside.
  valuesAt(across) {
    const { left, right } = this.pad, w = this.canvas.clientWidth / unitOf(this.canvas) - left - right, place = (across - left) / w;
    if (place < -0.02 || place > 1.02) return null;
    const far = ([x]) => Math.abs(Plot.share(this.x, x) - place), nearer = (one, other) => (far(other) < far(one) ? other : one);
    const found = this.curves.filter((curve) => curve.label && curve.y.length).map((curve) => {
      const [x, y] = curve.y.map((v, i) => [curve.x ? curve.x[i] : i, v]).reduce(nearer);
      return [x, y, curve];
    });
    if (!found.length) return null;
    const nearest = found.reduce(nearer), there = found.filter((one) => far(one) < far(nearest) + 0.02); // as near as can be seen
    return [`${this.x.title || "x"}: ${numeral(nearest[0])}`, there.map(([, y, { label, colour }]) => [label, colour, numeral(y)])];
  }

  // curves: [{x: [...], y: [...], colour, dash, width, shape, error: [...]}], shape marks each value, y +- error is
  // drawn as a bar.
  // points: [{x, y, low, high, colour, shape}], low to high being an error bar.
  set(curves, points = []) {
    Object.assign(this, { curves, points });
    this.draw();
  }

  draw() {
    const drawing = drawingOn(this.canvas);
    if (!drawing) return;
    const { c, width, height, colour } = drawing, { left, right, top, bottom } = this.pad;
    const w = width - left - right, h = height - top - bottom;
    const px = (v) => left + Plot.share(this.x, v) * w, py = (v) => top + (1 - Plot.share(this.y, v)) * h;
    const text = (v) => String(v).replace("-", "−");
    c.fillStyle = colour("plot");
    c.fillRect(left, top, w, h);
    c.fillStyle = colour("muted");
    c.strokeStyle = colour("line");
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const v of this.y.ticks) {
      c.fillText(text(v), left - 6, py(v));
      c.beginPath();
      c.moveTo(left, py(v));
      c.lineTo(left + w, py(v));
      c.stroke();
    }
    c.textAlign = "center";
    c.textBaseline = "alphabetic";
    for (const v of this.x.ticks) c.fillText(text(v), px(v), top + h + 17);
    if (this.x.title) c.fillText(say(this.x.title), left + w / 2, height - 5);
    if (this.y.title) titleAlong(c, this.y.title, 8, top + h / 2);
    c.save();
    c.beginPath();
    c.rect(left - 6, top - 6, w + 12, h + 12);
    c.clip();
    for (const curve of this.curves) {
      c.strokeStyle = c.fillStyle = colour(`curve-${curve.colour}`);
      c.lineWidth = curve.width || 2;
      c.setLineDash(curve.dash || []);
      c.beginPath();
      curve.y.forEach((v, i) => c.lineTo(px(curve.x ? curve.x[i] : i), py(v)));
      c.stroke();
      c.setLineDash([]);
      (curve.error || []).forEach((error, i) => {
        c.lineWidth = 1;
        this.bar(c, px(curve.x[i]), py(this.inside(curve.y[i] - error)), py(this.inside(curve.y[i] + error)));
      });
      if (curve.shape) curve.y.forEach((v, i) => this.shape(c, curve.shape, px(curve.x[i]), py(v), 3.5));
    }
    if (this.cursor !== null) {
      c.strokeStyle = colour("accent");
      c.lineWidth = 2;
      c.beginPath();
      c.moveTo(px(this.cursor), top);
      c.lineTo(px(this.cursor), top + h);
      c.stroke();
    }
    for (const point of this.points) {
      c.strokeStyle = c.fillStyle = colour(`curve-${point.colour}`);
      c.lineWidth = 2;
      this.bar(c, px(point.x), py(this.inside(point.low)), py(this.inside(point.high)));
      this.shape(c, point.shape, px(point.x), py(this.inside(point.y)), 7);
      c.strokeStyle = colour("ink");
      c.stroke();
    }
    c.restore();
  }

  inside(v) {
    return Math.max(this.y.min, Math.min(this.y.max, v));
  }

  bar(c, x, low, high) {
    c.beginPath();
    c.moveTo(x, low);
    c.lineTo(x, high);
    c.stroke();
  }

  // Leaves its outline as the path.
  shape(c, name, x, y, r) {
    const corners = { square: [4, Math.PI / 4], diamond: [4, 0], triangle: [3, -Math.PI / 2], down: [3, Math.PI / 2] }[name];
    c.beginPath();
    if (!corners) c.arc(x, y, r, 0, 2 * Math.PI);
    else {
      const [n, turn] = corners;
      for (let i = 0; i < n; i++) c.lineTo(x + 1.25 * r * Math.cos(turn + (i * 2 * Math.PI) / n), y + 1.25 * r * Math.sin(turn + (i * 2 * Math.PI) / n));
      c.closePath();
    }
    c.fill();
  }
}
