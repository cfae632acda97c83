// A picture made small, square and grey as MNIST's are, for the pad.  Pixels in, pixels out: nothing is asked of anyone.
import { paint } from "./pixels.js";

export class Ink {
  static SIDE = 240; // pixels at most of what is levelled: a ruled line grows faint there, a stroke stays

  // canvas: what was drawn or uploaded, opaque.
  constructor(canvas) {
    this.canvas = canvas;
    const { width, height } = canvas;
    this.grey = greyOf(canvas);
    const edge = this.grey.filter((_, i) => i < width || i >= width * (height - 1) || i % width === 0 || i % width === width - 1).sort();
    const mean = edge.reduce((sum, v) => sum + v, 0) / edge.length, share = (q) => edge[Math.floor(q * (edge.length - 1))];
    const { low, high } = extent(this.grey);
    Object.assign(this, { low, high, plain: high - low < 16 });
    this.darkOnLight = mean > (low + high) / 2;
    this.uneven = share(0.95) - share(0.05) > (high - low) / 6; // a photo's paper, with its light, shadow or lines
    this.levels = new Map(); // what was levelled, by whether it was inverted
  }

  // What the network is to see, size * size * channels uint8, or null if nothing is left.
  // invert: dark ink on light paper; threshold: 0 for the picture as it is, else the share of the strongest ink, levelled.
  see(size, channels, { invert, threshold }) {
    if (channels === 3) return inColour(this.canvas, size, invert);
    if (this.plain) return null;
    if (!threshold) {
      const { grey, low, high } = this;
      return asMnist(grey.map((v) => ((invert ? high - v : v - low) / (high - low)) * 255), this.canvas, size);
    }
    if (!this.levels.has(invert)) this.levels.set(invert, this.level(invert));
    const { ink, width, height } = this.levels.get(invert);
    const cut = ink.map((v) => Math.max(0, Math.min(255, (v - threshold) * 1275 + 127.5))); // soft within a tenth
    return asMnist(withoutRules(cut, width, height), { width, height }, size);
  }

  // The ink, 0 to 1, freed of what changes slowly: paper is what a square wider than any stroke finds lightest.
  level(invert) {
    const scale = Math.min(1, Ink.SIDE / Math.max(this.canvas.width, this.canvas.height));
    const small = scaled(this.canvas, scale), { width, height } = small, grey = greyOf(small);
    const radius = Math.ceil(Math.max(width, height) / 8);
    const light = invert ? grey : grey.map((v) => 255 - v);
    const paper = widest(widest(light, width, height, radius, Math.max), width, height, radius, Math.min);
    // In shadow, dark ink is darker by the same share; light ink on a dark ground is lighter by an amount.
    const ink = light.map((v, i) => (invert ? 1 - v / Math.max(1, paper[i]) : (paper[i] - v) / 255));
    const top = Float32Array.from(ink).sort()[Math.floor(0.997 * ink.length)];
    return { ink: ink.map((v) => (top > 0.05 ? v / top : 0)), width, height };
  }
}

const scaled = (image, scale) => {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round((image.naturalWidth || image.width) * scale));
  canvas.height = Math.max(1, Math.round((image.naturalHeight || image.height) * scale));
  const c = canvas.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  c.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
};

const greyOf = (canvas) => {
  const { width, height } = canvas, { data } = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height);
  return Float32Array.from({ length: width * height }, (_, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
};

const extent = (values) => values.reduce(({ low, high }, v) => ({ low: Math.min(low, v), high: Math.max(high, v) }), { low: Infinity, high: -Infinity });

// Of every pixel, the largest or smallest (pick) of the square around it, first along rows, then along columns.
const widest = (values, width, height, radius, pick) => {
  const along = (from, count, step, lines, next) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        let best = from[line * next + i * step];
        for (let j = Math.max(0, i - radius); j <= Math.min(count - 1, i + radius); j++) best = pick(best, from[line * next + j * step]);
        to[line * next + i * step] = best;
      }
    }
    return to;
  };
  return along(along(values, width, 1, height, width), height, width, width, 1);
};

// Without specks, and without what runs across as ruled lines do or comes in from an edge, unless little else is there.
const withoutRules = (ink, width, height) => {
  const label = new Int32Array(ink.length), pieces = [];
  for (let start = 0; start < ink.length; start++) {
    if (label[start] || ink[start] < 64) continue;
    const piece = { id: pieces.length + 1, mass: 0, x0: width, x1: 0, y0: height, y1: 0 }, todo = [start];
    label[start] = piece.id;
    while (todo.length) {
      const i = todo.pop(), x = i % width, y = (i - x) / width;
      piece.mass += ink[i];
      piece.x0 = Math.min(piece.x0, x); piece.x1 = Math.max(piece.x1, x);
      piece.y0 = Math.min(piece.y0, y); piece.y1 = Math.max(piece.y1, y);
      for (let yy = Math.max(0, y - 1); yy <= Math.min(height - 1, y + 1); yy++) {
        for (let xx = Math.max(0, x - 1); xx <= Math.min(width - 1, x + 1); xx++) {
          const j = yy * width + xx;
          if (!label[j] && ink[j] >= 64) { label[j] = piece.id; todo.push(j); }
        }
      }
    }
    pieces.push(piece);
  }
  const mass = (some) => Math.max(0, ...some.map((p) => p.mass));
  const rule = (p) => (p.x1 - p.x0 > 0.6 * width && p.y1 - p.y0 < 0.1 * height) || (p.y1 - p.y0 > 0.9 * height && p.x1 - p.x0 < 0.1 * width);
  const inside = pieces.filter((p) => p.x0 > 0 && p.y0 > 0 && p.x1 < width - 1 && p.y1 < height - 1 && !rule(p));
  const found = mass(inside) > mass(pieces) / 8 ? inside : pieces;
  const keep = new Set(found.filter((p) => p.mass > mass(found) / 12).map((p) => p.id));
  return ink.map((v, i) => (keep.has(label[i]) ? v : 0));
};

export const isAnimated = (bytes) => {
  const text = new TextDecoder("latin1").decode(bytes);
  const frames = text.startsWith("GIF") ? text.split("\x21\xF9\x04").length - 1 : 0;
  return frames > 1 || (text.startsWith("\x89PNG") && text.includes("acTL")) || (text.startsWith("RIFF") && text.includes("ANIM"));
};

// A picture on a canvas of at most `side` pixels; what was transparent becomes white, or black behind a light drawing.
export const opaque = (image, side) => {
  const canvas = scaled(image, Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight)));
  const c = canvas.getContext("2d", { willReadFrequently: true });
  const { data } = c.getImageData(0, 0, canvas.width, canvas.height);
  let light = 0, weight = 0;
  for (let i = 0; i < data.length; i += 4) {
    light += data[i + 3] * (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
    weight += data[i + 3];
  }
  c.globalCompositeOperation = "destination-over";
  c.fillStyle = weight && light / weight > 127 ? "black" : "white";
  c.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
};

// The centred square, resized.
const inColour = (source, size, invert) => {
  const { width, height } = source, side = Math.min(width, height), small = document.createElement("canvas");
  small.width = small.height = size;
  const c = small.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  c.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, size, size);
  const pixels = c.getImageData(0, 0, size, size).data;
  return Uint8Array.from({ length: 3 * size * size }, (_, i) => pixels[4 * Math.floor(i / 3) + (i % 3)] ^ (invert ? 255 : 0));
};

// As MNIST was made (LeCun et al. 1998): white on black, its box scaled to 20 of 28 pixels, centred by its mass; here in
// a square of `size`.  ink: 0 to 255 of width * height pixels.  Returns size * size bytes; null if there is none.
const asMnist = (ink, { width, height }, size) => {
  let x0 = width, y0 = height, x1 = 0, y1 = 0;
  ink.forEach((v, i) => {
    if (v < 64) return;
    const x = i % width, y = Math.floor(i / width);
    x0 = Math.min(x0, x); x1 = Math.max(x1, x + 1);
    y0 = Math.min(y0, y); y1 = Math.max(y1, y + 1);
  });
  if (x1 <= x0) return null;
  const sheet = document.createElement("canvas"), small = document.createElement("canvas");
  paint(sheet, Uint8ClampedArray.from(ink), width, height, 1);
  small.width = small.height = size;
  const c = small.getContext("2d", { willReadFrequently: true });
  c.imageSmoothingQuality = "high";
  const scale = ((20 / 28) * size) / Math.max(x1 - x0, y1 - y0), w = (x1 - x0) * scale, h = (y1 - y0) * scale;
  const place = (left, top) => {
    c.fillStyle = "black";
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
