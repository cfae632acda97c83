// Forward, the posterior q(x_s | x_t, x0): four pictures, and for one pixel the curves that Bayes' rule multiplies.
import { fromBase64 } from "../../components/base64.js";
import { showLegend } from "../../components/canvas.js";
import { el, live } from "../../components/dom.js";
import { asker, isWhole, mix, toPixels, unpack } from "../../components/mixing.js";
import { Plot } from "../../components/plot.js";
import { pythonItems } from "../../components/python.js";
import { levels, noiseTimeline, signal } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";

export const posterior = (element, props, watch, server, { limit, t: first, pixel, ...start }) => {
  const CURVES = [
    { key: "prior", label: "q(xₛ | x₀)", colour: "a", dash: [8, 4] },
    { key: "seen", label: "q(xₜ | xₛ)", colour: "b", dash: [2, 3] },
    { key: "product", label: "their product, scaled", colour: "d", width: 3 },
  ];
  const root = element.querySelector(".view");
  const stage = new Stage(root, [
    { key: "x0", label: "x₀" }, { key: "xt", label: "xₜ" }, { key: "mean", label: "μ̃" }, { key: "draw", label: "a draw" },
  ], { captionWidth: 100 });
  const bar = el("div", "pixel", root), [row, column] = ["row", "column"].map(number), values = el("output", "", bar);
  const plot = new Plot(el("div", "bayes", root), {
    label: "Over the value of the chosen pixel at s: what x0 says, what x_t says, and their product",
    x: { min: -limit, max: limit, ticks: Array.from({ length: 2 * limit + 1 }, (_, i) => i - limit), title: "pixel at s" }, y: { min: 0, max: 1.12, ticks: [], title: "density / its peak" },
  });
  const legend = el("p", "legend", root);
  showLegend(legend, CURVES);
  legend.prepend("over the pixel at s:");
  const mark = el("span", "key d", legend);
  el("b", "", mark, "◆ ");
  mark.append("μ̃ ± √β̃, from Eq. 7");
  const status = new Status(root, "");
  const timeline = noiseTimeline(root, show);
  timeline.addMenu("Save", pythonItems(server, status, () => {
    const { picture, seed, stride, schedule, draw, weights } = state;
    return { picture, seed, stride, schedule, draw, weights, t: timeline.position };
  }));
  const ask = asker(server.posterior_of, status, answered);
  let state = { ...start, draw: 0, pixel };

  function number(name) {
    const label = el("label", "", bar, name), input = el("input", "", label);
    Object.assign(input, { type: "number", min: 0, step: 1 });
    input.setAttribute("aria-label", `Pixel: ${name}`);
    input.addEventListener("input", () => {
      const pixel = [row, column].map((one) => Math.max(0, Math.min(state.size - 1, Math.round(one.valueAsNumber || 0))));
      choose(pixel);
    });
    return input;
  }

  function choose(pixel) {
    state.pixel = stage.pixel = pixel;
    moved();
    [row, column].forEach((input, i) => {
      input.max = state.size - 1;
      if (document.activeElement !== input) input.value = pixel[i];
    });
    show(timeline.position);
  }

  function receive(packet) {
    if (!packet) return;
    if (packet.error) status.say(packet.error, true);
    state = { ...state, ...unpack(packet) };
    moved();
    if (!isWhole(state)) return;
    stage.shape(1, state.size, state.channels);
    timeline.setCurves(levels(signal(state.schedule)));
    choose(state.pixel.map((v) => Math.min(v, state.size - 1)));
  }

  function show(t) {
    if (!state.x0) return;
    const { x0, seed, stride, schedule, draw, pixel, weights } = state, s = Math.max(t - stride, -1);
    stage.show("x0", x0);
    stage.show("xt", toPixels(mix(state, t, schedule)));
    stage.caption("xt", `xₜ at t = ${t}`);
    stage.caption("mean", s < 0 ? "μ̃ at s = −1" : `μ̃ at s = ${s}`);
    timeline.say(`t = ${t}, s = ${String(s).replace("-", "−")}`);
    ask({ x0, seed, t, stride, schedule, draw, pixel, weights });
  }

  function answered(answer, asked) {
    if (asked.x0.length !== state.x0.length) return;
    status.say(answer.s < 0 ? "s = −1 is clean data, and x₀ is known: nothing is left to draw." : "");
    stage.show("mean", fromBase64(answer.mean));
    stage.show("draw", fromBase64(answer.draw));
    const { here, curves, coefficients: [onX0, onXt, sd] } = answer, text = (v) => v.toFixed(2).replace("-", "−");
    values.textContent = `x₀ = ${text(here.x0)}, xₜ = ${text(here.xt)}, μ̃ = ${text(here.mean)}, drawn ${text(here.draw)}`;
    live("posterior", "c0", onX0.toFixed(3));
    live("posterior", "c1", onXt.toFixed(3));
    live("posterior", "sd", sd.toFixed(3));
    const { mean } = here, reach = { x: [mean - sd, mean, mean + sd], y: [1.06, 1.06, 1.06], colour: "d" };
    plot.set(
      [...(curves ? CURVES.map((curve) => ({ ...curve, x: curves.x, y: curves[curve.key] })) : []), reach],
      [{ x: mean, y: 1.06, low: 1.06, high: 1.06, colour: "d", shape: "diamond" }],
    );
  }

  stage.onpick = (_, pixel) => {
    [row.value, column.value] = pixel;
    choose(pixel);
  };
  tabs.posterior = {
    receive,
    draw: () => receive({ draw: state.draw + 1 }),
    kept: () => ({ t: timeline.position, pixel: state.pixel, draw: state.draw, noise: state.seed, picture: state.picture }),
    restore({ t, ...news }) {
      timeline.pause();
      timeline.seek(t);
      receive(news);
    },
  };
  watch("value", () => receive(props.value));
  timeline.seek(first);
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root);
};
