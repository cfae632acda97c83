// Draw: each stroke is answered at once, by few steps; when the pen rests Denoise is pressed, for all of them.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { button, el, live } from "../../components/dom.js";
import { asker } from "../../components/mixing.js";
import { Pad } from "../../components/pad.js";
import { frameButton, paint } from "../../components/pixels.js";
import { Sheet, strokes } from "../../components/sheet.js";
import { tabs } from "../../components/tabs.js";
import { pen, Result } from "./result.js";

const REST = 300; // ms without a change, after which all steps are taken
const EXAMPLE = [[9, 9], [22, 8], [17, 15], [14, 25]]; // a hasty 7, as shares of 32 pixels
const IDLE = "Draw on the black square, with mouse, pen or finger.";

export const draw = (element, props, watch, server, start) => {
  const state = { ...start, ...props.value, pen: pen() };
  let sheet = new Sheet(state.size), rest = null, pad = null, row = null;
  const result = new Result({ element, server }, {
    name: "draw", before: [{ key: "own", label: "Your drawing" }], stage: { n: 4, captionWidth: 150 }, idle: IDLE,
    other: receive,
    begin: ({ packet }) => tell(packet.times[0], packet.signal[0]),
    under: (root) => {
      const tools = el("div", "tools", root);
      button(tools, "Clear", () => { sheet.mark(); sheet.clear(); changed(); });
      button(tools, "Undo", () => { sheet.undo(); changed(); });
      row = el("div", "recording strengths", root);
      row.hidden = true;
    },
  });
  const { stage, status } = result, { canvas } = stage.panes.get("own");
  let down = false;
  strokes(canvas, 1, {
    line: (from, to) => {
      if (!down) sheet.mark();
      down = true;
      sheet.line(...[from, to].map((point) => point.map((v) => v * state.size)));
      changed();
    },
    end: () => {
      down = false;
      ask.hurry(); // the whole stroke, before what was asked half-way through it
    },
  });
  const ask = asker(server.look, status, (answer) => {
    if (answer.replaced || result.view.run.id || !state.drawn) return;
    stage.show("h", fromBase64(answer.x0_hat));
    stage.show("x", fromBase64(state.noisy ? answer.x_t : answer.x0_hat));
    stage.caption("x", state.noisy ? `your drawing at t₀ = ${answer.t}` : "x₀  by two steps");
    tell(answer.t, answer.signal);
  });

  function tell(t, signal) {
    live("draw", "t0", t);
    live("draw", "a0", signal.toFixed(3));
    live("draw", "b0", Math.sqrt(1 - signal * signal).toFixed(3));
  }

  const question = () => {
    const { choice, t0, seed, guidance, weights } = state;
    return { x0: sheet.bytes(state.channels), choice, t0, seed, guidance, weights, pen: state.pen };
  };

  // Another drawing, or another setting: what was made of the last one is not of it.  noisy: whether to show it at t₀.
  function changed(noisy = false) {
    state.noisy = noisy;
    stage.give("own", (context, width, height) => context.drawImage(sheet.canvas, 0, 0, width, height));
    if (result.isStreaming) document.querySelector("#draw-stop").click();
    result.forget();
    row.hidden = true;
    clearTimeout(rest);
    const asked = question();
    state.drawn = asked.x0.some((v) => v > 0);
    status.say(state.drawn ? "" : IDLE);
    if (!state.drawn) return ["x", "h"].forEach((key) => stage.show(key, null));
    ask(asked);
    rest = setTimeout(() => { if (!down) document.querySelector("#draw-denoise").click(); }, REST);
  }

  function receive(packet) {
    if (!packet || packet.error) return;
    const { x0, size = state.size, notice, ...news } = packet;
    Object.assign(state, news);
    if (size !== state.size) {
      sheet = new Sheet(size);
      example();
    }
    state.size = size;
    stage.shape(4, size, state.channels);
    if (x0) take(fromBase64(x0));
    changed("t0" in news);
    if (notice) status.say(notice);
  }

  // A picture as the drawing: bytes as the network sees them.
  function take(bytes) {
    const picture = document.createElement("canvas");
    paint(picture, bytes, state.size, state.size, state.channels);
    sheet.mark();
    sheet.put(picture);
  }

  function example() {
    const points = EXAMPLE.map((point) => point.map((v) => (v / 32) * sheet.size));
    points.slice(1).forEach((to, i) => sheet.line(points[i], to));
  }

  async function strengths() {
    if (!state.drawn) return status.say(IDLE, true);
    status.say("The same drawing and noise, at six strengths…");
    const asked = question(), { error, replaced, answers, times } = await server.strengths({ ...asked, x0: toBase64(asked.x0), pen: pen() });
    if (error || replaced) return status.say(error || "", Boolean(error));
    row.replaceChildren();
    row.hidden = false;
    answers.forEach((picture, i) => {
      const { button: node, canvas: small, text } = frameButton(row, `t₀ = ${times[i]}`, () => set("#draw-t0", times[i]));
      paint(small, fromBase64(picture), state.size, state.size, state.channels);
      text.textContent = times[i];
      node.classList.toggle("now", Math.abs(times[i] - state.t0) < 60);
    });
    status.say("Faithful on the left, free on the right. Press one to draw with its t₀.");
  }

  // A slider of Gradio's, as a person would set it.
  function set(slider, value) {
    const input = document.querySelector(`${slider} input[type="number"]`);
    input.value = value;
    for (const kind of ["input", "change", "blur"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
  }

  tabs.draw = {
    receive,
    asked: () => ({ x0: toBase64(sheet.bytes(state.channels)) }),
    own() {
      pad = pad || new Pad((bytes) => { take(bytes); changed(); });
      pad.open(state.size, state.channels);
    },
    strengths,
  };
  watch("value", () => result.receive(props.value));
  example();
  changed();
  status.say("An example. Clear it and draw your own, or draw over it.");
};
