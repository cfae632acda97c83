// Inpaint: a brush takes away what is to be drawn anew; the playhead shows the way, which goes back up where r > 1.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { button, el } from "../../components/dom.js";
import { Pad } from "../../components/pad.js";
import { paint } from "../../components/pixels.js";
import { strokes } from "../../components/sheet.js";
import { moved, tabs } from "../../components/tabs.js";
import { Result } from "./result.js";

const BRUSH = 0.07; // its radius, of the picture's width
const HALVES = {
  "Left half": (x) => x < 0.5, "Right half": (x) => x >= 0.5, "Top half": (x, y) => y < 0.5, "Bottom half": (x, y) => y >= 0.5,
  "Nothing": () => false,
};

export const inpaint = (element, props, watch, server) => {
  const state = { size: 32, channels: 1, erased: new Uint8Array(1024) }, picture = document.createElement("canvas");
  let brush = true, pad = null, modes = [];
  const result = new Result({ element, server }, {
    name: "inpaint", before: [{ key: "own", label: "Erase what is to be drawn anew" }], stage: { n: 4, captionWidth: 150 }, noisy: true,
    idle: "Brush over the digit, or press a half; then press Fill.",
    other: receive,
    shown: ({ read }) => result.stage.mark("x", read ? read.map((text) => ({ text })) : null),
    under: (root) => {
      const tools = el("div", "tools", root);
      modes = ["Erase", "Keep"].map((text, i) => button(tools, text, () => mode(i === 0), `${text}: the brush ${i ? "brings back" : "erases"}`));
      for (const [text, inside] of Object.entries(HALVES)) button(tools, text, () => fill(inside), `${text}: is erased, and nothing else`);
    },
  });
  const { stage, status } = result;

  function mode(erases) {
    brush = erases;
    modes.forEach((node, i) => node.setAttribute("aria-pressed", String((i === 0) === erases)));
  }

  // Every pixel whose centre the brush has come over on its way.
  function line(from, to) {
    const { size, erased } = state, [dx, dy] = [to[0] - from[0], to[1] - from[1]], square = dx * dx + dy * dy;
    for (let i = 0; i < size * size; i++) {
      const x = ((i % size) + 0.5) / size, y = (Math.floor(i / size) + 0.5) / size;
      const along = square ? Math.max(0, Math.min(1, ((x - from[0]) * dx + (y - from[1]) * dy) / square)) : 0;
      if (Math.hypot(x - from[0] - along * dx, y - from[1] - along * dy) < BRUSH) erased[i] = brush ? 1 : 0;
    }
    changed();
  }

  function fill(inside) {
    const { size } = state;
    state.erased = Uint8Array.from({ length: size * size }, (_, i) => inside(((i % size) + 0.5) / size, (Math.floor(i / size) + 0.5) / size));
    changed();
  }

  function changed() {
    result.forget();
    for (const key of ["x", "h"]) stage.show(key, null);
    stage.mark("x", null);
    stage.give("own", (c, width, height, colour) => {
      const tile = width / state.size;
      c.imageSmoothingEnabled = false;
      c.drawImage(picture, 0, 0, width, height);
      c.fillStyle = colour("erased");
      state.erased.forEach((on, i) => {
        if (on) c.fillRect((i % state.size) * tile, Math.floor(i / state.size) * tile, tile + 0.5, tile + 0.5);
      });
    });
    status.say(state.erased.some((on) => on) ? "Press Fill: four fillings, from four noises." : "Brush over what is to be drawn anew, or press a half.");
  }

  function receive(packet) {
    if (!packet || packet.error || !packet.x0) return;
    const { x0, label, drawn, picture: index = null, size = state.size, channels = state.channels, erased, notice } = packet, other = size !== state.size;
    Object.assign(state, { x0: fromBase64(x0), label, size, channels, index });
    moved();
    stage.shape(4, size, channels);
    paint(picture, state.x0, size, size, channels);
    const made = label ? `Drawn: ${label}, erase some of it` : "Drawn: erase some of it";
    stage.caption("own", drawn ? made : label ? `A ${label}: erase some of it` : "Erase some of it");
    if (erased) state.erased = fromBase64(erased);
    else if (other || !state.erased.some((on) => on)) return fill(HALVES["Left half"]);
    changed();
    if (notice) status.say(notice);
  }

  strokes(stage.panes.get("own").canvas, 1, { line });
  tabs.inpaint = {
    kept: () => ({ picture: state.index }),
    asked: () => ({ x0: toBase64(state.x0 || []), erased: toBase64(state.erased), label: state.label || "" }),
    own() {
      pad = pad || new Pad((bytes) => receive({ x0: toBase64(bytes), label: "" }));
      pad.open(state.size, state.channels);
    },
  };
  mode(true);
  watch("value", () => result.receive(props.value));
  result.receive(props.value);
};
