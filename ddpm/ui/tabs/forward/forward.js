// The Forward tab: x_t = a x0 + b eps in the page, at once; predicted x0 from the server, when t rests.
"use strict";

DDPM.forward = (element, props, watch, server) => {
  const STRIP = [0, 111, 222, 333, 444, 555, 666, 777, 888, 999];
  const root = element.querySelector(".view");
  const panes = [
    { key: "x0", label: "x₀  the digit" }, { key: "eps", label: "ε  the noise" },
    { key: "xt", label: "xₜ" }, { key: "hat", label: "x̂₀  predicted x₀" },
    { key: "xt1", label: "xₜ" }, { key: "hat1", label: "x̂₀" },
    { key: "xt2", label: "xₜ" }, { key: "hat2", label: "x̂₀" },
  ];
  const { KINDS, NAMES, decibels, signal } = DDPM.SCHEDULES;
  const stage = new DDPM.Stage(root, panes);
  const recording = DDPM.el("div", "recording", root);
  const status = new DDPM.Status(root, "");
  const state = { x0: null, eps: null, schedule: "cosine", all: false };
  let pad = null;

  const frames = STRIP.map((t) => ({ t, ...DDPM.frameButton(recording, `t = ${t}`, () => { timeline.pause(); timeline.seek(t); }) }));
  const timeline = DDPM.noiseTimeline(root, show);

  const others = () => KINDS.filter((kind) => kind !== state.schedule);
  const ask = DDPM.asker(server.x0_hat, status, (answer, { x0 }) => {
    if (x0.length !== state.x0.length) return;
    answer.x0_hat.forEach((hat, i) => stage.show(`hat${i || ""}`, DDPM.bytes(hat)));
    status.say("");
  });
  const ratios = new DDPM.SignalToNoise("#forward-margin");

  function receive(packet) {
    if (!packet) return;
    if (packet.error) status.say(packet.error, true);
    Object.assign(state, DDPM.unpack(packet));
    if (!state.x0 || state.x0.length !== state.eps?.length) return; // nothing yet, or half of a change of weights
    stage.shape(1, state.size, state.channels);
    arrange();
    curves();
    stage.show("x0", state.x0);
    stage.show("eps", Uint8ClampedArray.from(state.eps, (v) => 127.5 * (v + 1)));
    stage.caption("x0", state.label ? `x₀  the digit: ${state.label}` : "x₀  your own");
    for (const { t, canvas } of frames) DDPM.thumbnail(canvas, DDPM.shown(DDPM.mix(state, t, state.schedule)), state.size, state.channels);
    show(timeline.position);
  }

  // Of all three: a column each where there is room, else a row each.
  function arrange() {
    if (!state.all) stage.arrange(["x0", "eps", "xt", "hat"]);
    else if (root.clientWidth >= 540) stage.arrange(["xt", "xt1", "xt2", "hat", "hat1", "hat2"]);
    else stage.arrange(["xt", "hat", "xt1", "hat1", "xt2", "hat2"]);
  }

  function curves() {
    if (state.all) {
      timeline.setCurves(DDPM.SCHEDULES.curves());
    } else {
      timeline.setCurves([
        ...DDPM.SCHEDULES.levels(signal[state.schedule]),
        ...others().map((kind, i) => ({ label: i ? "" : "other schedules", y: signal[kind], colour: "c", width: 1.5, dash: [2, 3] })),
      ]);
    }
  }

  function show(t) {
    if (!state.x0) return;
    const schedules = state.all ? KINDS : [state.schedule];
    schedules.forEach((schedule, i) => {
      const x = DDPM.mix(state, t, schedule), a = signal[schedule][t], b = Math.sqrt(1 - a * a), end = i || "";
      stage.show(`xt${end}`, DDPM.shown(x));
      stage.caption(`xt${end}`, state.all ? `xₜ  ${NAMES[schedule]}, ${decibels(a)} dB` : `xₜ = ${a.toFixed(2)} x₀ + ${b.toFixed(2)} ε`);
      stage.caption(`hat${end}`, state.all ? `x̂₀  ${NAMES[schedule]}` : "x̂₀  predicted x₀");
      if (schedule !== state.schedule) return;
      DDPM.live("forward", "a", a.toFixed(3));
      DDPM.live("forward", "b", b.toFixed(3));
      DDPM.live("forward", "snr", decibels(a));
      histogram(x);
    });
    ratios.draw(state.schedule, t);
    timeline.say(`t = ${t}`);
    DDPM.live("forward", "t", t);
    for (const frame of frames) frame.button.classList.toggle("now", Math.abs(frame.t - t) < 56);
    ask({ x0: state.x0, seed: state.seed, schedules, t, weights: state.weights });
  }

  function histogram(x) {
    const canvas = document.querySelector("#forward-margin .histogram");
    const drawing = canvas && DDPM.context(canvas);
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

  DDPM.tabs.forward = {
    receive,
    own() {
      pad = pad || new DDPM.Pad((x0) => receive({ x0: DDPM.base64(x0), label: "" }));
      pad.open(state.size, state.channels);
    },
  };
  watch("value", () => receive(props.value));
  timeline.seek(250);
  receive(props.value);
  new ResizeObserver(() => { arrange(); show(timeline.position); }).observe(root); // what came while the tab was hidden

  // The first thing anyone sees moves: t sweeps once, unless the reader prefers less motion or takes over.
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    timeline.seek(0);
    timeline.play(6, () => timeline.seek(350));
  }
};
