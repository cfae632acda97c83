// Draw or upload a picture: made square, grey and small (ink.js), and shown before it is used.  All in the page.
import { makeDialog } from "./dialog.js";
import { button, el } from "./dom.js";
import { Ink, isAnimated, opaque } from "./ink.js";
import { paint } from "./pixels.js";
import { stroke, strokes } from "./sheet.js";
import { Status } from "./status.js";

const EMPTY = 12; // the grey of a preview of nothing, as the tiles of a stage have it

export class Pad {
  static MAX_BYTES = 10e6;
  static MAX_SIDE = 8192; // pixels
  static NOTHING = "There is nothing to see in that picture: it is all of one colour, or damaged. Choose another.";
  static TOO_MUCH = "Nothing is left of the picture. Lower the threshold.";

  // onuse(bytes): size * size * channels uint8, what the network will see.  closes: whether that is the end of it.
  constructor(onuse, { title = "Your own digit", use = "Use it", closes = true } = {}) {
    this.dialog = makeDialog(title);
    this.dialog.classList.add("pad");
    const left = el("div", "", this.dialog.body), right = el("div", "", this.dialog.body);
    el("p", "", left, "Draw with mouse, pen or finger");
    this.canvas = el("canvas", "sheet", left);
    this.canvas.width = this.canvas.height = 280;
    this.canvas.setAttribute("aria-label", "Drawing area. Without a pointer, choose a picture instead.");
    const row = el("div", "row", left);
    button(row, "Clear", () => this.clear());
    const file = el("label", "button", row, "Choose a picture");
    this.file = el("input", "", file);
    Object.assign(this.file, { type: "file", accept: "image/*" });
    this.file.addEventListener("change", () => { this.load(this.file.files[0]); this.file.value = ""; });
    el("p", "", right, "What the network will see");
    this.preview = el("canvas", "preview", right);
    const see = () => this.see();
    const invert = el("label", "knob", right);
    this.invert = el("input", "", invert);
    this.invert.type = "checkbox";
    invert.append("Invert");
    this.knob = el("label", "knob", right, "Threshold");
    this.threshold = el("input", "", this.knob);
    Object.assign(this.threshold, { type: "range", min: 0, max: 90, step: 5 });
    this.percent = el("output", "", this.knob);
    this.knob.title = "Takes away shadow, ruled lines and whatever is fainter than this share of the strongest ink";
    for (const control of [this.invert, this.threshold]) control.addEventListener("input", see);
    this.use = button(el("div", "row", right), use, () => {
      if (closes) this.dialog.close();
      onuse(this.result);
    });
    this.use.classList.add("primary");
    this.status = new Status(this.dialog, "");
    this.drawing();
    this.dialog.addEventListener("dragover", (event) => event.preventDefault());
    this.dialog.addEventListener("drop", (event) => { event.preventDefault(); this.load(event.dataTransfer.files[0]); });
  }

  open(size, channels) {
    Object.assign(this, { size, channels });
    this.dialog.showModal();
    this.clear();
  }

  clear() {
    const c = this.canvas.getContext("2d");
    c.fillStyle = "black";
    c.fillRect(0, 0, 280, 280);
    this.picture(null);
  }

  // canvas: what was drawn or uploaded, or null for nothing yet.  The controls begin with what seems right for it.
  picture(canvas) {
    this.ink = canvas && new Ink(canvas);
    this.invert.checked = this.channels === 1 && !!this.ink?.darkOnLight;
    this.threshold.value = this.ink?.uneven ? 50 : 0;
    this.knob.hidden = this.channels !== 1;
    this.invert.disabled = this.threshold.disabled = !canvas || (this.channels === 1 && this.ink.plain);
    this.see();
  }

  see() {
    const threshold = Number(this.threshold.value);
    this.percent.value = threshold ? `${threshold} %` : "off";
    this.threshold.setAttribute("aria-valuetext", this.percent.value);
    this.take(this.ink && this.ink.see(this.size, this.channels, { invert: this.invert.checked, threshold: threshold / 100 }));
    const why = !this.ink || this.result ? "" : this.ink.plain ? Pad.NOTHING : Pad.TOO_MUCH;
    this.say(why, !!why);
  }

  say(text, isError = false) {
    this.status.say(text, isError);
  }

  drawing() {
    strokes(this.canvas, 280, {
      line: (from, to) => stroke(this.canvas, from, to, 20),
      end: () => this.picture(this.canvas),
    });
  }

  // bytes: what the network would see, or null for nothing yet.
  take(bytes) {
    this.result = bytes;
    this.use.disabled = !bytes;
    const { size, channels } = this;
    paint(this.preview, bytes || new Uint8Array(size * size * channels).fill(EMPTY), size, size, channels);
  }

  async load(file) {
    if (!file) return;
    try {
      if (file.size > Pad.MAX_BYTES) throw Error("That file is larger than 10 MB. Choose a smaller picture.");
      const head = new Uint8Array(await file.slice(0, 400000).arrayBuffer());
      const image = await this.decode(file);
      const { naturalWidth: w, naturalHeight: h } = image;
      if (Math.max(w, h) > Pad.MAX_SIDE) throw Error(`That picture is ${w} x ${h} pixels; at most ${Pad.MAX_SIDE} a side, please.`);
      this.picture(opaque(image, 1024));
      if (this.result && isAnimated(head)) this.say("An animated picture: its first frame is taken.");
    } catch (error) {
      this.say(error.message, true);
    }
  }

  decode(file) {
    return new Promise((resolve, reject) => {
      const image = new Image(), url = URL.createObjectURL(file);
      image.onload = () => resolve(image);
      image.onerror = () => reject(Error("That file is not a picture this browser can read. Choose a PNG or a JPEG."));
      image.src = url;
      image.addEventListener("loadend", () => URL.revokeObjectURL(url));
    });
  }
}
