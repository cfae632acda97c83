// The Forward tab: x_t = a x0 + b eps in the page, at once; the model's guess from the server, when t rests.
"use strict";

DDPM.forward = (element, props, watch, server) => {
  const root = element.querySelector(".view");
  const panes = [
    { key: "x0", label: "x₀  the digit" }, { key: "eps", label: "ε  the noise" },
    { key: "xt", label: "xₜ  what is left" }, { key: "hat", label: "x̂₀  the network's guess" },
  ];
  const stage = new DDPM.Stage(root, panes);
  const status = new DDPM.Status(root, "");
  const state = { x0: null, eps: null };
  let asking = false, wanted = null;

  const timeline = new DDPM.Timeline(root, {
    label: "t, the noise level", count: 1000, ends: ["t = 0, clean", "t = 999, noise"], frameMs: 40, onseek: show,
  });
  timeline.stride = 8;

  function receive(packet) {
    if (!packet) return;
    if (packet.x0) packet = { ...packet, x0: DDPM.bytes(packet.x0) };
    if (packet.eps) {
      const half = new DataView(DDPM.bytes(packet.eps).buffer);
      packet = { ...packet, eps: Float32Array.from({ length: half.byteLength / 2 }, (_, i) => float16(half.getUint16(2 * i, true))) };
    }
    const scheduleChanged = packet.schedule && packet.schedule !== state.schedule;
    Object.assign(state, packet);
    if (scheduleChanged) curves();
    stage.show("x0", state.x0);
    stage.show("eps", Uint8ClampedArray.from(state.eps, (v) => 127.5 * (v + 1)));
    stage.caption("x0", `x₀  the digit, a ${state.label}`);
    show(timeline.position);
  }

  function curves() {
    const noise = (signal) => signal.map((a) => Math.sqrt(1 - a * a));
    const other = state.schedule === "cosine" ? "linear" : "cosine";
    const { [state.schedule]: chosen, [other]: faint } = state.signal;
    timeline.setCurves([
      { label: "√ᾱ", y: chosen, colour: "a", mark: true },
      { label: "√(1−ᾱ)", y: noise(chosen), colour: "b", dash: [7, 4], mark: true },
      { label: `${other}, for comparison`, y: faint, colour: "c", width: 1.5, dash: [2, 3] },
      { y: noise(faint), colour: "c", width: 1.5, dash: [2, 3] },
    ]);
  }

  function show(t) {
    if (!state.x0) return;
    const a = state.signal[state.schedule][t], b = Math.sqrt(1 - a * a);
    const x_t = new Uint8ClampedArray(state.x0.length);
    for (let i = 0; i < x_t.length; i++) {
      const x0 = state.x0[i] / 127.5 - 1;
      x_t[i] = 127.5 * (a * x0 + b * state.eps[i] + 1); // Uint8ClampedArray rounds and clamps
    }
    stage.show("xt", x_t);
    stage.caption("xt", `xₜ = ${a.toFixed(2)} x₀ + ${b.toFixed(2)} ε`);
    timeline.say(`t = ${t}`);
    DDPM.live("forward", "t", t);
    DDPM.live("forward", "a", a.toFixed(3));
    DDPM.live("forward", "b", b.toFixed(3));
    ask({ index: state.index, seed: state.seed, schedule: state.schedule, t });
  }

  // One question at a time; of those that come up meanwhile, only the last.
  async function ask(question) {
    wanted = question;
    if (asking) return;
    asking = true;
    while (wanted) {
      const now = wanted;
      wanted = null;
      try {
        const answer = await server.x0_hat(now);
        if (answer.error) status.say(answer.error, true);
        else {
          stage.show("hat", DDPM.bytes(answer.x0_hat));
          stage.caption("hat", "x̂₀  the network's guess");
          status.say("");
        }
      } catch {
        status.say("The server does not answer. Is it still running? Then reload this page.", true);
      }
    }
    asking = false;
  }

  watch("value", () => receive(props.value));
  receive(props.value);
  timeline.seek(250);

  // The first thing anyone sees moves: t sweeps once, unless the reader prefers less motion or takes over.
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    timeline.seek(0);
    timeline.play(6, () => timeline.seek(350));
  }

  function float16(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * 2 ** -14 * (fraction / 1024);
    return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
  }
};
