// The inner tab Noise it: x_t = a x0 + b eps in the page, at once; predicted x0 from the server, when t rests.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { drawingOn } from "../../components/canvas.js";
import { el, live } from "../../components/dom.js";
import { asker, isWhole, mix, toPixels, unpack, x0Words } from "../../components/mixing.js";
import { Pad } from "../../components/pad.js";
import { frameButton, paint } from "../../components/pixels.js";
import { pythonItems } from "../../components/python.js";
import { atT, COEFFICIENTS, curves as curvesOfAll, decibels, KINDS, levels, nameOf, noiseTimeline, signal, SignalToNoise } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";

export const forward = (element, props, watch, server, { schedule, t: first }) => {
  const STRIP = [0, 111, 222, 333, 444, 555, 666, 777, 888, 999];
  const root = element.querySelector(".view");
  const panes = [
    { key: "x0", label: "x₀  the digit" }, { key: "eps", label: "ε  the noise" },
    ...KINDS.flatMap((_, i) => [{ key: `xt${i || ""}`, label: "xₜ" }, { key: `hat${i || ""}`, label: "x̂₀  predicted x₀" }]),
  ];
  const stage = new Stage(root, panes);
  const recording = el("div", "recording", root);
  const status = new Status(root, "");
  const state = { x0: null, eps: null, schedule, all: false };
  let pad = null;

  const strip = STRIP.map((t) => ({ t, ...frameButton(recording, `t = ${t}`, () => { timeline.pause(); timeline.seek(t); }) }));
  const timeline = noiseTimeline(root, show);
  timeline.addMenu("Save", pythonItems(server, status, () => {
    const { picture, seed, schedule, weights } = state;
    return { picture, seed, schedule, weights, t: timeline.position };
  }));

  const others = () => KINDS.filter((kind) => kind !== state.schedule);
  const ask = asker(server.x0_hat, status, (answer, { x0 }) => {
    if (x0.length !== state.x0.length) return;
    answer.x0_hat.forEach((hat, i) => stage.show(`hat${i || ""}`, fromBase64(hat)));
    status.say("");
  });
  const ratios = new SignalToNoise("#forward-margin");

  function receive(packet) {
    if (!packet) return;
    if (packet.error) status.say(packet.error, true);
    Object.assign(state, unpack(packet));
    moved();
    if (!isWhole(state)) return;
    stage.shape(1, state.size, state.channels);
    arrange();
    curves();
    stage.show("x0", state.x0);
    stage.show("eps", toPixels(state.eps));
    stage.caption("x0", x0Words(state, "x₀  your own"));
    for (const { t, canvas } of strip) paint(canvas, toPixels(mix(state, t, state.schedule)), state.size, state.size, state.channels);
    show(timeline.position);
  }

  // Of all schedules: a column each where there is room, else a row each.
  function arrange() {
    const of = (what) => KINDS.map((_, i) => `${what}${i || ""}`), [noisy, predicted] = [of("xt"), of("hat")];
    if (!state.all) stage.arrange(["x0", "eps", "xt", "hat"]);
    else if (root.clientWidth >= 540) stage.arrange([...noisy, ...predicted]);
    else stage.arrange(noisy.flatMap((key, i) => [key, predicted[i]]));
  }

  function curves() {
    if (state.all) {
      timeline.setCurves(curvesOfAll(), { titles: { y: "ᾱ" } });
    } else {
      timeline.setCurves([
        ...levels(signal(state.schedule)),
        ...others().map((kind, i) => ({ label: i ? "" : "other schedules", y: signal(kind), colour: "c", width: 1.5, dash: [2, 3] })),
      ], { titles: COEFFICIENTS });
    }
  }

  function show(t) {
    if (!state.x0) return;
    const schedules = state.all ? KINDS : [state.schedule];
    schedules.forEach((schedule, i) => {
      const x = mix(state, t, schedule), a = signal(schedule)[t], b = Math.sqrt(1 - a * a), end = i || "";
      stage.show(`xt${end}`, toPixels(x));
      stage.caption(`xt${end}`, state.all ? `${nameOf(schedule)}, ${decibels(a)} dB` : `xₜ = ${a.toFixed(2)} x₀ + ${b.toFixed(2)} ε`);
      stage.caption(`hat${end}`, state.all ? `${nameOf(schedule)}, x̂₀` : "x̂₀  predicted x₀");
      if (schedule !== state.schedule) return;
      live("forward", "a", a.toFixed(3));
      live("forward", "b", b.toFixed(3));
      live("forward", "snr", decibels(a));
      histogram(x);
    });
    ratios.draw(state.schedule, t);
    timeline.say(`t = ${t}`);
    live("forward", "t", t);
    const link = document.querySelector("#forward-margin .to-schedules");
    if (link) link.href = `#compare/schedules?t=${t}${state.picture === null ? "" : `&picture=${state.picture}&noise=${state.seed}`}`;
    for (const one of strip) one.button.classList.toggle("now", Math.abs(one.t - t) < 56);
    ask({ x0: state.x0, seed: state.seed, schedules, t, weights: state.weights });
  }

  function histogram(x) {
    const canvas = document.querySelector("#forward-margin .histogram");
    const drawing = canvas && drawingOn(canvas);
    if (!drawing) return;
    const { c, width, height, colour } = drawing, bins = 48, limit = 4, counts = new Float32Array(bins);
    for (const v of x) counts[Math.max(0, Math.min(bins - 1, Math.floor(((v + limit) / (2 * limit)) * bins)))]++;
    const top = 1, density = (count) => Math.min(top, count / x.length / ((2 * limit) / bins));
    const base = height - 18, w = width / bins;
    c.fillStyle = colour("curve-a");
    counts.forEach((count, i) => {
      const h = (density(count) / top) * (base - 4);
      c.fillRect(i * w, base - h, w - 1, h);
    });
    c.strokeStyle = colour("curve-b");
    c.lineWidth = 2;
    c.setLineDash([6, 3]);
    c.beginPath();
    for (let i = 0; i <= width; i += 2) {
      const v = (i / width) * 2 * limit - limit;
      c.lineTo(i, base - (Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI) / top) * (base - 4));
    }
    c.stroke();
    c.fillStyle = colour("muted");
    c.textAlign = "center";
    for (const v of [-2, 0, 2]) c.fillText(String(v).replace("-", "−"), ((v + limit) / (2 * limit)) * width, height - 4);
  }

  tabs.forward = {
    receive,
    ...atT(timeline, () => state),
    own() {
      pad = pad || new Pad((x0) => receive({ x0: toBase64(x0), label: "" }));
      pad.open(state.size, state.channels);
    },
  };
  watch("value", () => receive(props.value));
  timeline.seek(first);
  receive(props.value);
  new ResizeObserver(() => { arrange(); show(timeline.position); }).observe(root); // what came while the tab was hidden

  // The first thing anyone sees moves: t sweeps once, unless the reader prefers less motion, takes over or came to a state.
  if (location.hash.length < 2 && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    timeline.seek(0);
    timeline.play(6, () => timeline.seek(first));
  }
};
