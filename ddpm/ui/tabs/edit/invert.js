// Invert: one digit walks up to noise in all tiles alike, and down again as each of the classes.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { x0Words } from "../../components/mixing.js";
import { Pad } from "../../components/pad.js";
import { Plot } from "../../components/plot.js";
import { moved, tabs } from "../../components/tabs.js";
import { Result } from "./result.js";

export const invert = (element, props, watch, server) => {
  const state = {};
  let pad = null, plot = null;
  const result = new Result({ element, server }, {
    name: "invert", stage: { n: 10, columns: 5, captionWidth: 150, beside: false },
    idle: "Press Invert: this digit's noise, and what else comes of it.",
    other: receive,
    begin: ({ packet }) => { result.choose(packet.own ?? 0, packet.own !== null); },
    shown: (frame, { packet }) => {
      errors(packet);
      const there = packet.places[0] === 0 && frame.place < (packet.total - 1) / 2;
      result.stage.caption("x", frame.t < 0 ? (there ? "x₀  before" : packet.names ? "x₀  told otherwise" : "x₀  of each class") : `${there ? "up" : "down"}: xₜ at t = ${frame.t}`);
      if (packet.names) result.stage.mark("x", there ? null : packet.names.map((text) => ({ text })), "told ");
      else result.stage.mark("x", frame.read ? frame.read.map((text, i) => ({ text, wrong: text !== packet.classes[i] })) : null);
    },
  });
  const { stage, status } = result;

  function errors({ errors: found, measured }) {
    const place = document.querySelector("#invert-margin .errors");
    if (!place) return;
    plot = plot || new Plot(place, {
      label: "Error of the way there and back over the number of steps, both axes logarithmic",
      x: { min: 4, max: 125, ticks: measured, log: true, title: "steps" }, y: { min: 0.003, max: 1, ticks: [0.01, 0.1, 1], log: true, title: "error" },
    });
    const x = measured.slice(0, found.length), first = found.length ? x.map((n) => (found[0] * x[0]) / n) : [];
    plot.set([{ label: "1 / steps", x, y: first, colour: "c", dash: [4, 4], width: 1.5 }, { label: "measured", x, y: found, colour: "b", shape: "circle" }]);
  }

  function receive(packet) {
    if (!packet || packet.error || !packet.x0) return;
    const { x0, label, drawn, picture: index = null, size = state.size, channels = state.channels, notice } = packet;
    Object.assign(state, { x0: fromBase64(x0), label, size, channels, index });
    moved();
    result.forget();
    stage.shape(stage.n, size, channels);
    stage.mark("x", null);
    stage.show("h", null);
    stage.show("x", new Uint8Array(stage.n * state.x0.length).map((_, i) => state.x0[i % state.x0.length]));
    stage.caption("x", x0Words({ label, drawn }, "x₀  your own"));
    result.choose(0, false);
    status.say(notice || "Press Invert: this digit's noise, and what else comes of it.");
  }

  tabs.invert = {
    kept: () => ({ picture: state.index }),
    asked: () => ({ x0: toBase64(state.x0 || []), label: state.label || "" }),
    own() {
      pad = pad || new Pad((bytes) => receive({ x0: toBase64(bytes), label: "" }));
      pad.open(state.size, state.channels);
    },
  };
  watch("value", () => result.receive(props.value));
  result.receive(props.value);
};
