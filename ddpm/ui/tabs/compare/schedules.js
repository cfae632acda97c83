// Compare: the schedules side by side, computed in the page.  One row of pictures each: the same digit, the same noise.
import { isWhole, mix, toPixels, unpack } from "../../components/mixing.js";
import { curves, decibels, KINDS, nameOf, noiseTimeline, signal, SignalToNoise } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";

export const schedules = (element, props, watch, server, { t: first }) => {
  const TIMES = [0, 125, 250, 375, 500, 625, 750, 875, 999];
  const root = element.querySelector(".view");
  const stage = new Stage(root, KINDS.map((key) => ({ key, label: nameOf(key) })), { n: TIMES.length, columns: TIMES.length });
  const status = new Status(root, "");
  const timeline = noiseTimeline(root, show);
  const ratios = new SignalToNoise("#schedules-margin");
  let state = {};

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
  }

  watch("value", () => receive(props.value));
  tabs.schedules = {
    kept: () => ({ t: timeline.position, noise: state.seed, picture: state.picture }),
    restore({ t }) {
      timeline.pause();
      timeline.seek(t);
    },
  };
  timeline.seek(first);
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root);
};
