// Compare: the schedules side by side, computed in the page.  One row of pictures each: the same digit, the same noise.
"use strict";

DDPM.schedules = (element, props, watch) => {
  const TIMES = [0, 125, 250, 375, 500, 625, 750, 875, 999];
  const root = element.querySelector(".view");
  const { KINDS, NAMES, decibels, signal } = DDPM.SCHEDULES;
  const stage = new DDPM.Stage(root, KINDS.map((key) => ({ key, label: NAMES[key] })), { n: TIMES.length, columns: TIMES.length });
  const status = new DDPM.Status(root, "");
  const timeline = DDPM.noiseTimeline(root, show);
  const ratios = new DDPM.SignalToNoise("#schedules-margin");
  let state = {};

  function receive(packet) {
    if (!packet) return;
    status.say(packet.error || "", Boolean(packet.error));
    state = { ...state, ...DDPM.unpack(packet) };
    if (!state.x0 || state.x0.length !== state.eps?.length) return;
    stage.shape(TIMES.length, state.size, state.channels);
    timeline.setCurves(DDPM.SCHEDULES.curves());
    for (const kind of KINDS) {
      const strip = new Uint8ClampedArray(TIMES.length * state.x0.length);
      TIMES.forEach((t, i) => strip.set(DDPM.shown(DDPM.mix(state, t, kind)), i * state.x0.length));
      stage.show(kind, strip);
    }
    show(timeline.position);
  }

  function show(t) {
    const nearest = TIMES.reduce((best, time, i) => (Math.abs(time - t) < Math.abs(TIMES[best] - t) ? i : best), 0);
    for (const kind of KINDS) {
      const a = signal[kind][t];
      stage.caption(kind, `${NAMES[kind]}: ᾱ = ${(a * a).toFixed(3)}, ${decibels(a)} dB at t = ${t}`);
      stage.frame(kind, nearest);
    }
    timeline.say(`t = ${t}`);
    ratios.draw(null, t);
  }

  watch("value", () => receive(props.value));
  timeline.seek(500);
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root);
};
