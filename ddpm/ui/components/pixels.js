// Eight-bit pictures on a canvas, as they are: one pixel of the canvas for each of theirs.
import { button, el } from "./dom.js";

// bytes: width * height * channels, grey or colour.
export const paint = (canvas, bytes, width, height, channels) => {
  const image = new ImageData(width, height), pixels = image.data, [green, blue] = channels === 1 ? [0, 0] : [1, 2];
  for (let from = 0, to = 0; to < pixels.length; from += channels, to += 4) {
    pixels[to] = bytes[from];
    pixels[to + 1] = bytes[from + green];
    pixels[to + 2] = bytes[from + blue];
    pixels[to + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
};

// Pixels of pure noise, N(0, 1) on the pictures' scale from -1 to 1.
export const noise = (length) => Uint8Array.from({ length }, () => {
  const z = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  return Math.max(0, Math.min(255, 127.5 * (z + 1)));
});

// A small picture that can be pressed, in a row of them; a line of text may stand under it.
export const frameButton = (row, title, act) => {
  const node = button(row, "", act, title);
  return { button: node, canvas: el("canvas", "", node), text: el("span", "", node) };
};
