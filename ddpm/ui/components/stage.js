// The stage: one or more panes of pictures, each picture a tile with sharp pixels: enlarged by a whole factor below two,
// by whatever fills the stage above.
import { unitOf } from "./canvas.js";
import { el, readerIsSheet } from "./dom.js";
import { noise, paint } from "./pixels.js";
import { say, whenWorded } from "./wording.js";

// The height that a lesson's reader leaves on a phone, where it covers the rest: reader.css.
const aboveReader = (node) => (node.closest("[data-reading]") && readerIsSheet() ? 0.47 * window.innerHeight : Infinity);

export class Stage {
  static GAP = 2; // CSS pixels, between tiles of a pane
  static LEAST = 40; // CSS pixels, across a tile: rather than smaller ones, some lie behind the reader
  static PANE_GAP = 20; // units, between panes; 8 between their rows

  // panes: [{key, label, noisy}], noisy: whether it shows noise, where all of its pictures begin, before there is one of
  // them.  empty: what to do first, said over the tiles.  columns: of tiles in a pane, if they
  // are to be so many.  captionWidth, foot: units that a caption needs across, and the text under a pane down.
  // tall: its height where it has a column of its own, in widths.  beside: whether two panes stand side by side.
  constructor(root, panes, { n = 1, size = 32, channels = 1, empty = "", columns = null, captionWidth = 160, foot = 0, tall = 1.75, beside = true } = {}) {
    this.root = el("div", "stage", root);
    this.field = el("div", "panes", this.root);
    this.n = n;
    this.size = size;
    this.channels = channels;
    Object.assign(this, { columns, captionWidth, foot, tall, beside });
    this.panes = new Map();
    for (const { key, label, noisy = false } of panes) {
      const figure = el("figure", `pane pane-${key}`, this.field);
      const caption = el("figcaption", "", figure, label);
      const canvas = el("canvas", "", figure);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", label || "nothing yet");
      canvas.addEventListener("click", (event) => this.pick(canvas, event, key));
      const under = foot ? el("p", "foot", figure) : null;
      if (under) under.style.height = `calc(${foot} * var(--unit))`;
      this.panes.set(key, { figure, caption, text: label, canvas, under, data: null, marks: null, framed: null, own: null, lines: null, noisy });
    }
    this.message = el("p", "empty", this.field, empty);
    this.buffer = document.createElement("canvas");
    this.sharp = document.createElement("canvas"); // the buffer, each pixel a square
    this.onpick = null; // (i, [row, column], key) => ...: what a click on that pixel of picture i of a pane does
    this.pixel = null; // [row, column] of the one that is outlined in every picture
    new ResizeObserver(() => this.layout()).observe(this.field);
    window.addEventListener("resize", () => this.layout()); // as the reader says, too
    whenWorded(() => {
      for (const [key, { lines }] of this.panes) if (lines) this.say(key, lines);
      this.layout();
    });
    this.layout();
  }

  // Which panes are to be seen, in reading order.
  arrange(keys) {
    for (const [key, { figure }] of this.panes) {
      figure.hidden = !keys.includes(key);
      figure.style.order = keys.indexOf(key);
    }
    this.layout();
  }

  // The shape of what comes next: n square pictures of `size` pixels in each pane.
  shape(n, size, channels) {
    if (n === this.n && size === this.size && channels === this.channels) return;
    Object.assign(this, { n, size, channels });
    for (const pane of this.panes.values()) Object.assign(pane, { data: null, marks: null });
    this.layout();
  }

  // marks: [{text, wrong}], one in the corner of each picture, or null.  as: what a screen reader hears before them.
  mark(key, marks, as = "classified as ") {
    const pane = this.panes.get(key);
    if (JSON.stringify(marks) === JSON.stringify(pane.marks)) return;
    pane.marks = marks;
    pane.canvas.setAttribute("aria-label", pane.text + (marks ? `: ${as}${marks.map((m) => m.text).filter(Boolean).join(", ")}` : ""));
    this.draw(pane);
  }

  // Draw a frame around picture i of a pane.
  frame(key, i) {
    const pane = this.panes.get(key);
    if (pane.framed === i) return;
    pane.framed = i;
    this.draw(pane);
  }

  // Lines of text under a pane.
  say(key, lines) {
    const pane = this.panes.get(key);
    pane.lines = lines;
    pane.under.textContent = lines.map((line) => say(line)).join("\n");
  }

  // bytes: n * size * size * channels uint8, or null for none.
  show(key, bytes) {
    const pane = this.panes.get(key);
    pane.data = bytes;
    if (bytes) this.message.hidden = true;
    this.draw(pane);
  }

  pick(canvas, event, key) {
    if (!this.onpick || !this.message.hidden) return;
    const { columns, tile, gap } = this.grid, scale = canvas.width / canvas.clientWidth;
    const column = Math.floor((event.offsetX * scale) / (tile + gap)), row = Math.floor((event.offsetY * scale) / (tile + gap));
    const i = row * columns + Math.min(column, columns - 1);
    const pixel = [event.offsetY * scale - row * (tile + gap), event.offsetX * scale - column * (tile + gap)];
    if (i < this.n) this.onpick(i, pixel.map((v) => Math.max(0, Math.min(this.size - 1, Math.floor((v - gap) / this.grid.zoom)))), key);
  }

  // A pane with no pictures of the stage's but one of its own.  own(context, width, height, colour): paints it.
  give(key, own) {
    const pane = this.panes.get(key);
    pane.own = own;
    this.draw(pane);
  }

  caption(key, text) {
    const pane = this.panes.get(key), { caption, canvas, marks } = pane;
    caption.textContent = pane.text = text;
    if (!marks) canvas.setAttribute("aria-label", text);
  }

  // The arrangement of so many panes and tiles that makes the tiles largest; an empty place in a pane counts against it.
  arrangement(count, width, height, ratio, unit, captionHeight, rowGap) {
    const { GAP } = Stage, paneGap = Stage.PANE_GAP * unit;
    let best = { zoom: 0, score: 0 };
    const beside = this.beside && width > 480 && count === 2; // two panes are there to be compared: side by side where there is room
    for (let across = beside ? 2 : 1; across <= count; across++) {
      const down = Math.ceil(count / across);
      const w = (width - (across - 1) * paneGap) / across;
      const h = (height - (down - 1) * rowGap) / down - captionHeight;
      for (let columns = this.columns || 1; columns <= (this.columns || this.n); columns++) {
        const rows = Math.ceil(this.n / columns);
        const fit = Math.min((w - (columns + 1) * GAP) / columns, (h - (rows + 1) * GAP) / rows);
        const most = Math.floor(fit * ratio) / this.size, zoom = most < 2 ? Math.floor(most) : most;
        if (across > 1 && columns * ((zoom * this.size) / ratio + GAP) < this.captionWidth * unit) continue;
        const filled = (this.n / (columns * rows)) ** 3 * (count / (across * down)) ** 0.5;
        const score = zoom * filled - Math.abs(columns - rows) / 1000;
        if (score > best.score) best = { zoom, across, columns, rows, score };
      }
    }
    return best;
  }

  layout() {
    const ratio = window.devicePixelRatio || 1, unit = unitOf(this.root);
    // In one column the stage is as high as its pictures need; beside other columns it has the height of the window.
    const narrow = window.matchMedia("(max-width: 1099px)").matches;
    const width = this.field.clientWidth, height = narrow ? this.tall * Math.min(width, 390) : this.field.clientHeight;
    if (!width || !height) return;
    const count = [...this.panes.values()].filter((pane) => !pane.figure.hidden).length, captionHeight = (26 + this.foot) * unit + (this.foot && 4), rowGap = 8 * unit;
    const fit = (most) => this.arrangement(count, width, most, ratio, unit, captionHeight, rowGap);
    const { GAP } = Stage, room = this.foot ? Infinity : aboveReader(this.root); // the lines under a pane need its width
    let best = fit(Math.min(height, room));
    if (height > room && (best.zoom * this.size) / ratio < Stage.LEAST) best = fit(height);
    if (!best.zoom) {
      const columns = this.columns || Math.ceil(Math.sqrt(this.n));
      best = { zoom: 1, across: 1, columns, rows: Math.ceil(this.n / columns) }; // too small for its panes: it overflows
    }
    this.grid = { ...best, tile: Math.round(best.zoom * this.size), gap: Math.round(GAP * ratio) };
    const paneHeight = captionHeight + (best.rows * (this.grid.tile + this.grid.gap) + this.grid.gap) / ratio;
    const down = Math.ceil(count / best.across);
    this.field.style.height = narrow ? `${Math.ceil(down * paneHeight + (down - 1) * rowGap)}px` : "";
    this.message.style.bottom = count === 2 && best.across === 1 ? "50%" : ""; // on the first of two, not where they meet
    this.field.style.gridTemplateColumns = `repeat(${best.across}, max-content)`;
    for (const pane of this.panes.values()) {
      const { columns, rows, tile, gap } = this.grid;
      pane.canvas.width = columns * (tile + gap) + gap;
      pane.canvas.height = rows * (tile + gap) + gap;
      pane.canvas.style.width = `${pane.canvas.width / ratio}px`;
      pane.canvas.style.height = `${pane.canvas.height / ratio}px`;
      this.draw(pane);
    }
  }

  // The page's colours, by name.
  colours() {
    const style = getComputedStyle(this.root);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  }

  draw(pane) {
    if (!this.grid || pane.figure.hidden) return; // drawn when it is arranged to be seen
    const { columns, tile, gap } = this.grid, { n } = this;
    const context = pane.canvas.getContext("2d");
    context.clearRect(0, 0, pane.canvas.width, pane.canvas.height);
    const bytes = pane.data || (pane.noisy ? this.noise() : null);
    if (bytes) this.enlarge(bytes);
    const colour = this.colours();
    if (pane.own) return pane.own(context, pane.canvas.width, pane.canvas.height, colour);
    const vacant = !bytes && !this.message.hidden; // not a black picture: there is none yet
    for (let i = 0; i < n; i++) {
      const x = gap + (i % columns) * (tile + gap), y = gap + Math.floor(i / columns) * (tile + gap);
      context.fillStyle = colour(vacant ? "line" : "tile-gap");
      context.fillRect(x - gap, y - gap, tile + 2 * gap, tile + 2 * gap);
      context.fillStyle = colour(vacant ? "plot" : "tile-ground");
      if (bytes) this.put(context, i, x, y);
      else context.fillRect(x, y, tile, tile);
      if (this.pixel) this.outline(context, colour, x, y);
      if (pane.marks?.[i].text) this.label(context, colour, pane.marks[i], x, y, tile);
    }
    if (pane.framed !== null && pane.framed < n) { // over its neighbours' gaps
      context.strokeStyle = colour("tile-mark");
      context.lineWidth = Math.max(2, gap);
      context.strokeRect(gap + (pane.framed % columns) * (tile + gap), gap + Math.floor(pane.framed / columns) * (tile + gap), tile, tile);
    }
  }

  // The same in all panes, as the noise of a comparison is.
  noise() {
    const length = this.n * this.size * this.size * this.channels;
    if (this.drawn?.length !== length) this.drawn = noise(length);
    return this.drawn;
  }

  // All pictures of a pane, each pixel a square, in the next whole factor.
  enlarge(bytes) {
    const { n, size, channels } = this, { zoom } = this.grid, factor = Math.ceil(zoom);
    paint(this.buffer, bytes, size, n * size, channels);
    if (factor === zoom) return;
    this.sharp.width = size * factor;
    this.sharp.height = n * size * factor;
    const context = this.sharp.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.buffer, 0, 0, this.sharp.width, this.sharp.height);
  }

  // Picture i.  From the next whole factor down only the edges of pixels are smoothed, and all are of one width.
  put(context, i, x, y) {
    const { tile, zoom } = this.grid, whole = Number.isInteger(zoom), side = this.size * (whole ? 1 : Math.ceil(zoom));
    context.imageSmoothingEnabled = !whole;
    context.drawImage(whole ? this.buffer : this.sharp, 0, i * side, side, side, x, y, tile, tile);
  }

  // The chosen pixel: light on dark, so that it shows on either.
  outline(context, colour, x, y) {
    const { zoom } = this.grid, [row, column] = this.pixel, ratio = window.devicePixelRatio || 1;
    for (const [name, width] of [["tile-ground", 5], ["tile-mark", 2.5]]) {
      context.strokeStyle = colour(name);
      context.lineWidth = width * ratio;
      context.strokeRect(x + column * zoom - ratio, y + row * zoom - ratio, zoom + 2 * ratio, zoom + 2 * ratio);
    }
  }

  label(context, colour, { text, wrong }, x, y, tile) {
    const ratio = (window.devicePixelRatio || 1) * unitOf(this.root), size = Math.min(16 * ratio, Math.max(11 * ratio, Math.round(tile / 6))), whole = wrong ? `✗ ${say(text)}` : say(text);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    const fits = (words) => context.measureText(words).width + size * 0.5 <= tile;
    let said = whole;
    for (let end = whole.length - 1; !fits(said) && end > 0; end--) said = `${whole.slice(0, end).trimEnd()}…`; // as much as fits
    const width = context.measureText(said).width + size * 0.5;
    context.fillStyle = colour("tile-label");
    context.fillRect(x, y + tile - size * 1.25, width, size * 1.25);
    context.fillStyle = colour(wrong ? "tile-wrong" : "tile-right");
    context.fillText(said, x + size * 0.25, y + tile - size * 0.05);
  }

  // What the panes show, with their captions and the text under them, as a PNG.
  async png() {
    const shown = [...this.panes.values()].filter((pane) => !pane.figure.hidden);
    const scale = (window.devicePixelRatio || 1) * unitOf(this.root), head = 26 * scale, gap = 20 * scale, foot = this.foot * scale;
    const width = shown[0].canvas.width, height = shown[0].canvas.height, { across } = this.grid;
    const sheet = document.createElement("canvas");
    sheet.width = gap + across * (width + gap);
    sheet.height = gap + Math.ceil(shown.length / across) * (head + height + foot + gap);
    const c = sheet.getContext("2d");
    c.fillStyle = this.colours()("sheet");
    c.fillRect(0, 0, sheet.width, sheet.height);
    c.fillStyle = this.colours()("sheet-ink");
    shown.forEach(({ canvas, caption, under }, i) => {
      const x = gap + (i % across) * (width + gap), y = gap + Math.floor(i / across) * (head + height + foot + gap);
      c.font = `600 ${15 * scale}px system-ui, sans-serif`;
      c.fillText(caption.textContent, x, y + 17 * scale);
      c.drawImage(canvas, x, y + head);
      c.font = `${12.5 * scale}px system-ui, sans-serif`;
      (under ? under.textContent.split("\n") : []).forEach((line, k) => c.fillText(line, x, y + head + height + (16 + 17 * k) * scale));
    });
    const blob = await new Promise((done) => sheet.toBlob(done, "image/png"));
    return new Uint8Array(await blob.arrayBuffer());
  }
}
