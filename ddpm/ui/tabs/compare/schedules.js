// Compare: the schedules side by side, computed in the page.  One row of pictures each: the same digit, the same noise.
import { isWhole, mix, toPixels, unpack } from "../../components/mixing.js";
import { T } from "../../components/constants.js";
import { el, live } from "../../components/dom.js";
import { Plot } from "../../components/plot.js";
import { pythonItems } from "../../components/python.js";
import { atT, betas, curves, decibels, KINDS, look, nameOf, noiseTimeline, signal, SignalToNoise, variance } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";

export const schedules = (element, props, watch, server, { t: first, times: TIMES }) => {
  const root = element.querySelector(".view");
  const stage = new Stage(root, KINDS.map((key) => ({ key, label: nameOf(key) })), { n: TIMES.length, columns: TIMES.length });
  const status = new Status(root, "");
  const timeline = noiseTimeline(root, show);
  const ratios = new SignalToNoise("#schedules-margin");
  timeline.addMenu("Save", pythonItems(server, status, () => ({ picture: state.picture, seed: state.seed, weights: state.weights, t: timeline.position })));
  let state = {}, plot = null;

  function receive(packet) {
    if (!packet) return;
    status.say(packet.error || "", Boolean(packet.error));
    state = { ...state, ...unpack(packet) };
    moved();
    if (!isWhole(state)) return;
    stage.shape(TIMES.length, state.size, state.channels);
    timeline.setCurves(curves(), { titles: { y: "ᾱ" } });
    for (const kind of KINDS) {
      const strip = new Uint8ClampedArray(TIMES.length * state.x0.length);
      TIMES.forEach((t, i) => strip.set(toPixels(mix(state, t, kind)), i * state.x0.length));
      stage.show(kind, strip);
    }
    show(timeline.position);
  }

  function show(t) {
    const nearest = TIMES.reduce((best, time, i) => (Math.abs(time - t) < Math.abs(TIMES[best] - t) ? i : best), 0);
    for (const kind of KINDS) {
      const a = signal(kind)[t];
      stage.caption(kind, `${nameOf(kind)}: ᾱ = ${(a * a).toFixed(3)}, ${decibels(a)} dB at t = ${t}`);
      stage.frame(kind, nearest);
    }
    timeline.say(`t = ${t}`);
    ratios.draw(null, t);
    tables(t);
  }

  // The margin's tables: their values at t, a row each, and beta and its posterior's over t.
  function tables(t) {
    const table = document.querySelector("#schedules-margin .tables"), place = document.querySelector("#schedules-margin .betas");
    if (!table || !place) return;
    if (!plot) {
      plot = new Plot(place, {
        label: "β and the posterior variance β̃ over t, of each schedule",
        x: { min: 0, max: T - 1, ticks: [0, 0.25, 0.5, 0.75].map((share) => share * T).concat(T - 1), title: "t" },
        y: { min: 1e-5, max: 1, log: true, ticks: [0.001, 0.1] },
      });
      plot.set(KINDS.flatMap((kind) => [
        { label: `β ${nameOf(kind)}`, y: betas(kind), width: 2, ...look(kind) },
        { label: `β̃ ${nameOf(kind)}`, y: variance(kind), width: 1, ...look(kind) },
      ]));
      for (const kind of KINDS) {
        const row = el("tr", "", table.tBodies[0]);
        el("th", "", row, nameOf(kind));
        for (const name of ["b", "a", "ab", "v"]) el("td", "", row).dataset.live = `${kind}-${name}`;
      }
    }
    live("schedules", "t", t);
    for (const kind of KINDS) {
      const b = betas(kind)[t], ab = signal(kind)[t] ** 2;
      Object.entries({ b, a: 1 - b, ab, v: variance(kind)[t] }).forEach(([name, value]) => live("schedules", `${kind}-${name}`, small(value)));
    }
    plot.cursor = t;
    plot.draw();
  }

  // Three digits, however small.
  const small = (v) => (v === 0 ? "0" : v < 1e-3 ? v.toExponential(1).replace("e-", "e−") : v.toPrecision(3).slice(0, 6));

  watch("value", () => receive(props.value));
  tabs.schedules = { ...atT(timeline, () => state) };
  timeline.seek(first);
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root);
};
