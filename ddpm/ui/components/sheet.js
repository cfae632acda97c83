// What is drawn on with mouse, pen or finger: strokes on a canvas, as lines from point to point.

// side: how many units the canvas is across and down, whatever its size on the screen.
// line(from, to): a piece of a stroke, [x, y] each; of a dot both are the same.  end(): the pen has left.
export const strokes = (canvas, side, { line, end = () => {} }) => {
  let last = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
  };
  const stop = () => {
    if (last) end();
    last = null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    line(last, at(event));
    last = at(event);
  });
  canvas.addEventListener("pointerup", stop);
  canvas.addEventListener("pointercancel", stop);
};

export const stroke = (canvas, from, to, width) => {
  const c = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(c, { strokeStyle: "white", lineWidth: width, lineCap: "round", lineJoin: "round" });
  c.beginPath();
  c.moveTo(...from);
  c.lineTo(...to);
  c.stroke();
};

// A black square on which white lines are drawn, seen by a network as a picture of `size` pixels: each the mean of
// ZOOM x ZOOM of the sheet's.
export class Sheet {
  static ZOOM = 10;

  constructor(size) {
    this.size = size;
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = this.side = size * Sheet.ZOOM;
    this.past = []; // sheets before each stroke, the latest last
    this.clear();
  }

  // Remember the sheet as it is, to come back to it.
  mark() {
    this.past = [...this.past.slice(-20), this.context.getImageData(0, 0, this.side, this.side)];
  }

  undo() {
    if (this.past.length) this.context.putImageData(this.past.pop(), 0, 0);
  }

  clear() {
    this.context.fillStyle = "black";
    this.context.fillRect(0, 0, this.side, this.side);
  }

  get context() {
    return this.canvas.getContext("2d", { willReadFrequently: true });
  }

  // from, to: [x, y] in pixels of the network's.
  line(from, to) {
    const scaled = ([x, y]) => [x * Sheet.ZOOM, y * Sheet.ZOOM];
    stroke(this.canvas, scaled(from), scaled(to), 2.7 * Sheet.ZOOM);
  }

  // picture: a canvas of size x size, shown as it is.
  put(picture) {
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(picture, 0, 0, this.side, this.side);
  }

  // size * size * channels uint8.
  bytes(channels) {
    const { size, side } = this, { ZOOM } = Sheet, { data } = this.context.getImageData(0, 0, side, side);
    const sums = new Float32Array(size * size * channels);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const from = 4 * (y * side + x), to = (Math.floor(y / ZOOM) * size + Math.floor(x / ZOOM)) * channels;
        for (let k = 0; k < channels; k++) sums[to + k] += data[from + k];
      }
    }
    return Uint8Array.from(sums, (sum) => Math.round(sum / ZOOM ** 2));
  }
}
