// Draw or upload a picture: made square, grey and small (ink.js), and shown before it is used.  All in the page.
"use strict";

DDPM.Pad = class {
  static MAX_BYTES = 10e6;
  static MAX_SIDE = 8192; // pixels
  static NOTHING = "There is nothing to see in that picture: it is all of one colour, or damaged. Choose another.";
  static TOO_MUCH = "Nothing is left of the picture. Lower the threshold.";

  // onuse(bytes): size * size * channels uint8, what the network will see.
  constructor(onuse) {
    this.dialog = DDPM.dialog("Your own digit");
    this.dialog.classList.add("pad");
    const left = DDPM.el("div", "", this.dialog.body), right = DDPM.el("div", "", this.dialog.body);
    DDPM.el("p", "", left, "Draw with mouse, pen or finger");
    this.canvas = DDPM.el("canvas", "sheet", left);
    this.canvas.width = this.canvas.height = 280;
    this.canvas.setAttribute("aria-label", "Drawing area. Without a pointer, choose a picture instead.");
    const row = DDPM.el("div", "row", left);
    this.button(row, "Clear", () => this.clear());
    const file = DDPM.el("label", "button", row, "Choose a picture");
    this.file = DDPM.el("input", "", file);
    Object.assign(this.file, { type: "file", accept: "image/*" });
    this.file.addEventListener("change", () => { this.load(this.file.files[0]); this.file.value = ""; });
    DDPM.el("p", "", right, "What the network will see");
    this.preview = DDPM.el("canvas", "preview", right);
    const see = () => this.see();
    const invert = DDPM.el("label", "knob", right);
    this.invert = DDPM.el("input", "", invert);
    this.invert.type = "checkbox";
    invert.append("Invert");
    this.knob = DDPM.el("label", "knob", right, "Threshold");
    this.threshold = DDPM.el("input", "", this.knob);
    Object.assign(this.threshold, { type: "range", min: 0, max: 90, step: 5 });
    this.percent = DDPM.el("output", "", this.knob);
    this.knob.title = "Takes away shadow, ruled lines and whatever is fainter than this share of the strongest ink";
    for (const control of [this.invert, this.threshold]) control.addEventListener("input", see);
    this.use = this.button(DDPM.el("div", "row", right), "Use it", () => { this.dialog.close(); onuse(this.result); });
    this.use.classList.add("primary");
    this.status = new DDPM.Status(this.dialog, "");
    this.drawing();
    this.dialog.addEventListener("dragover", (event) => event.preventDefault());
    this.dialog.addEventListener("drop", (event) => { event.preventDefault(); this.load(event.dataTransfer.files[0]); });
  }

  button(parent, text, act) {
    const button = DDPM.el("button", "", parent, text);
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }

  open(size, channels) {
    Object.assign(this, { size, channels });
    this.dialog.showModal();
    this.clear();
  }

  clear() {
    const c = this.canvas.getContext("2d");
    c.fillStyle = "#000";
    c.fillRect(0, 0, 280, 280);
    this.picture(null);
  }

  // canvas: what was drawn or uploaded, or null for nothing yet.  The controls begin with what seems right for it.
  picture(canvas) {
    this.ink = canvas && new DDPM.Ink(canvas);
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
    const why = !this.ink || this.result ? "" : this.ink.plain ? DDPM.Pad.NOTHING : DDPM.Pad.TOO_MUCH;
    this.say(why, !!why);
  }

  say(text, isError = false) {
    this.status.say(text, isError);
  }

  drawing() {
    let last = null;
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * 280, ((event.clientY - box.top) / box.height) * 280];
    };
    const line = (from, to) => {
      const c = this.canvas.getContext("2d");
      Object.assign(c, { strokeStyle: "#fff", lineWidth: 20, lineCap: "round", lineJoin: "round" });
      c.beginPath();
      c.moveTo(...from);
      c.lineTo(...to);
      c.stroke();
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      last = at(event);
      line(last, last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      line(last, at(event));
      last = at(event);
    });
    const end = () => {
      if (last) this.picture(this.canvas);
      last = null;
    };
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }

  // bytes: what the network would see, or null for nothing yet.
  take(bytes) {
    this.result = bytes;
    this.use.disabled = !bytes;
    const { size, channels } = this, image = new ImageData(size, size);
    for (let i = 0; i < size * size; i++) {
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = bytes ? bytes[i * channels + (channels === 1 ? 0 : k)] : 12;
      image.data[4 * i + 3] = 255;
    }
    this.preview.width = this.preview.height = size;
    this.preview.getContext("2d").putImageData(image, 0, 0);
  }

  async load(file) {
    if (!file) return;
    try {
      if (file.size > DDPM.Pad.MAX_BYTES) throw Error("That file is larger than 10 MB. Choose a smaller picture.");
      const head = new Uint8Array(await file.slice(0, 400000).arrayBuffer());
      const image = await this.decode(file);
      const { naturalWidth: w, naturalHeight: h } = image;
      if (Math.max(w, h) > DDPM.Pad.MAX_SIDE) throw Error(`That picture is ${w} x ${h} pixels; at most ${DDPM.Pad.MAX_SIDE} a side, please.`);
      this.picture(DDPM.opaque(image, 1024));
      if (this.result && DDPM.isAnimated(head)) this.say("An animated picture: its first frame is taken.");
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
};
