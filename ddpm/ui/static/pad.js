// Draw or upload a picture: made square, grey and small as MNIST does, and shown before it is used.  All in the page.
"use strict";

DDPM.Pad = class {
  static MAX_BYTES = 10e6;
  static MAX_SIDE = 8192; // pixels

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
    this.say("");
    this.take(null);
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
      if (last) this.take(DDPM.asMnist(this.canvas, this.size, this.channels));
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
      const bytes = DDPM.asMnist(DDPM.opaque(image, 1024), this.size, this.channels);
      if (!bytes) throw Error("There is nothing to see in that picture: it is all of one colour, or damaged. Choose another.");
      this.take(bytes);
      this.say(DDPM.isAnimated(head) ? "An animated picture: its first frame is taken." : "");
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

DDPM.isAnimated = (bytes) => {
  const text = new TextDecoder("latin1").decode(bytes);
  const frames = text.startsWith("GIF") ? text.split("\x21\xF9\x04").length - 1 : 0;
  return frames > 1 || (text.startsWith("\x89PNG") && text.includes("acTL")) || (text.startsWith("RIFF") && text.includes("ANIM"));
};

// A picture on a canvas of at most `side` pixels; what was transparent becomes white, or black behind a light drawing.
DDPM.opaque = (image, side) => {
  const scale = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const c = canvas.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  c.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { data } = c.getImageData(0, 0, canvas.width, canvas.height);
  let light = 0, weight = 0;
  for (let i = 0; i < data.length; i += 4) {
    light += data[i + 3] * (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    weight += data[i + 3];
  }
  c.globalCompositeOperation = "destination-over";
  c.fillStyle = weight && light / weight > 127 ? "#000" : "#fff";
  c.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
};

// As MNIST was made (LeCun et al. 1998): white on black, its box scaled to 20 of 28 pixels, centred by its mass; here in
// a square of `size`.  In colour: the centred square, resized.  Returns size * size * channels bytes; null if empty.
DDPM.asMnist = (source, size, channels) => {
  const { width, height } = source;
  const { data } = source.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height);
  const small = document.createElement("canvas");
  small.width = small.height = size;
  const c = small.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  if (channels === 3) {
    const side = Math.min(width, height);
    c.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, size, size);
    const pixels = c.getImageData(0, 0, size, size).data;
    return Uint8Array.from({ length: 3 * size * size }, (_, i) => pixels[4 * Math.floor(i / 3) + (i % 3)]);
  }

  const grey = Float32Array.from({ length: width * height }, (_, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  let edge = 0, count = 0, low = 255, high = 0;
  grey.forEach((v, i) => {
    const x = i % width, y = Math.floor(i / width);
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) { edge += v; count++; }
    low = Math.min(low, v);
    high = Math.max(high, v);
  });
  if (high - low < 16) return null;
  const inverted = edge / count > (low + high) / 2; // dark on light
  const ink = (v) => ((inverted ? high - v : v - low) / (high - low)) * 255;
  let x0 = width, y0 = height, x1 = 0, y1 = 0;
  grey.forEach((v, i) => {
    if (ink(v) < 64) return;
    const x = i % width, y = Math.floor(i / width);
    x0 = Math.min(x0, x); x1 = Math.max(x1, x + 1);
    y0 = Math.min(y0, y); y1 = Math.max(y1, y + 1);
  });
  const sheet = document.createElement("canvas");
  sheet.width = width;
  sheet.height = height;
  const image = new ImageData(width, height);
  grey.forEach((v, i) => { image.data.fill(ink(v), 4 * i, 4 * i + 3); image.data[4 * i + 3] = 255; });
  sheet.getContext("2d").putImageData(image, 0, 0);

  const scale = ((20 / 28) * size) / Math.max(x1 - x0, y1 - y0), w = (x1 - x0) * scale, h = (y1 - y0) * scale;
  const place = (left, top) => {
    c.fillStyle = "#000";
    c.fillRect(0, 0, size, size);
    c.drawImage(sheet, x0, y0, x1 - x0, y1 - y0, left, top, w, h);
    const pixels = c.getImageData(0, 0, size, size).data;
    return Uint8Array.from({ length: size * size }, (_, i) => pixels[4 * i]);
  };
  const middle = [(size - w) / 2, (size - h) / 2];
  let mass = 0, mx = 0, my = 0;
  place(...middle).forEach((v, i) => { mass += v; mx += v * ((i % size) + 0.5); my += v * (Math.floor(i / size) + 0.5); });
  return place(middle[0] + size / 2 - mx / mass, middle[1] + size / 2 - my / mass);
};
