// Interpolate: nine pictures between two, and any other between them while the path is dragged along.
import { fromBase64 } from "../../components/base64.js";
import { el, live } from "../../components/dom.js";
import { asker } from "../../components/mixing.js";
import { noise } from "../../components/pixels.js";
import { Stage } from "../../components/stage.js";
import { moved, tabs } from "../../components/tabs.js";
import { pen, Result } from "./result.js";

export const interpolate = (element, props, watch, server) => {
  const state = { ends: "seeds", way: "slerp", pen: pen() };
  let big = null, range = null, output = null;
  const result = new Result({ element, server }, {
    name: "interpolate", stage: { n: 9, columns: 9, captionWidth: 300, beside: false }, noisy: true,
    idle: "Press Walk: nine pictures from A to B.",
    other: receive,
    begin: () => { range.disabled = true; },
    shown: (frame, run) => {
      const { packet } = run, length = packet.size ** 2 * packet.channels, of = (i) => frame.x_t.slice(i * length, (i + 1) * length);
      for (const [key, i] of [["a", 0], ["b", 8]]) big.show(key, of(i));
      if (!packet.done || frame.t >= 0) big.show("s", of(middle())); // at the end it is where the path is dragged to
      result.stage.mark("x", frame.place ? null : frame.lengths.map((v) => ({ text: v.toFixed(2) })), "length ");
      if (packet.done && range.disabled) {
        range.disabled = false;
        drag();
      }
    },
    above: (root) => {
      big = new Stage(root, [{ key: "a", label: "A" }, { key: "s", label: "between" }, { key: "b", label: "B" }], { captionWidth: 60, tall: 0.42 });
      big.root.classList.add("ends");
      const bar = el("label", "path", root, "A");
      range = el("input", "", bar);
      Object.assign(range, { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, disabled: true });
      range.setAttribute("aria-label", "Where on the way from A to B");
      bar.append("B");
      output = el("output", "", bar);
      range.addEventListener("input", drag);
    },
  });
  const { stage, status } = result;
  const middle = () => Math.round(8 * Number(range.value));
  const ask = asker(server.between, status, (answer, { share, run }) => {
    if (answer.replaced || run !== result.view.run.id) return;
    big.show("s", fromBase64(answer.picture));
    live("interpolate", "length", answer.length === null ? "·" : answer.length.toFixed(2));
    live("interpolate", "share", share.toFixed(2));
  });

  function drag() {
    const share = Number(range.value);
    output.value = `s = ${share.toFixed(2)}`;
    big.caption("s", `s = ${share.toFixed(2)}`);
    for (const key of ["x", "h"]) stage.frame(key, middle());
    result.chosen = middle();
    ask({ run: result.view.run.id, share, pen: state.pen });
  }

  function receive(packet) {
    if (!packet || packet.error) return;
    const { notice, ...news } = packet;
    Object.assign(state, news);
    moved();
    stage.shape(9, state.size, state.channels);
    big.shape(1, state.size, state.channels);
    result.forget();
    range.disabled = true;
    for (const key of ["x", "h"]) stage.show(key, null);
    stage.mark("x", null);
    const digits = state.ends === "digits", begun = () => noise(state.size ** 2 * state.channels);
    big.show("s", begun());
    big.show("a", digits ? fromBase64(state.x0) : begun());
    big.show("b", digits ? fromBase64(state.other) : begun());
    big.caption("a", digits ? `A: ${state.label || "a digit"}` : "A");
    big.caption("b", digits ? `B: ${state.other_label || "a digit"}` : "B");
    status.say(notice || (digits ? "Press Walk: both are inverted to their noise, and mixed." : "Press Walk: nine pictures from A to B."));
  }

  tabs.interpolate = {
    kept: () => ({ picture: state.picture }),
    receive,
    asked: () => {
      const { x0, other, label, other_label } = state;
      return { x0, other, label, other_label };
    },
  };
  watch("value", () => result.receive(props.value));
  result.receive(props.value);
};
