// The forward process in the page: x_t = sqrt(alphas_bar) x0 + sqrt(1 - alphas_bar) eps, for each schedule.
"use strict";

DDPM.SCHEDULES = {
  KINDS: ["linear", "cosine", "log_snr"],
  NAMES: { linear: "linear", cosine: "cosine", log_snr: "log-SNR" },
  CURVES: { linear: { colour: "b", dash: [8, 4] }, cosine: { colour: "a" }, log_snr: { colour: "d", dash: [2, 3] } },
  dB: (a) => 10 * Math.log10((a * a) / (1 - a * a)), // of sqrt(alphas_bar)
  decibels: (a) => DDPM.SCHEDULES.dB(a).toFixed(1).replace("-", "−"),

  signal: {}, // sqrt(alphas_bar) by t, of each: the server puts it in the page's head

  // How much signal and how much noise, for a timeline.  signal: sqrt(alphas_bar) at each position.
  levels: (signal) => [
    { label: "√ᾱ", y: signal, colour: "a", mark: true },
    { label: "√(1−ᾱ)", y: signal.map((a) => Math.sqrt(1 - a * a)), colour: "b", mark: true, dash: [6, 4] },
  ],

  // alphas_bar of each, for a timeline.
  curves() {
    const { KINDS, NAMES, CURVES, signal } = DDPM.SCHEDULES;
    return KINDS.map((kind) => ({ label: `ᾱ ${NAMES[kind]}`, y: signal[kind].map((a) => a * a), mark: true, ...CURVES[kind] }));
  },
};

// A timeline whose positions are t.
DDPM.noiseTimeline = (root, onseek) => {
  const timeline = new DDPM.Timeline(root, {
    label: "t, the noise level", count: 1000, ends: ["t = 0, clean", "t = 999, noise"], frameMs: 40, onseek,
  });
  timeline.stride = 8;
  return timeline;
};

// What the server sent, with the picture as bytes and the noise as floats.
DDPM.unpack = (packet) => {
  const { x0, eps, ...rest } = packet;
  if (x0) rest.x0 = DDPM.bytes(x0);
  if (eps) {
    const half = new DataView(DDPM.bytes(eps).buffer);
    rest.eps = Float32Array.from({ length: half.byteLength / 2 }, (_, i) => DDPM.float16(half.getUint16(2 * i, true)));
  }
  return rest;
};

// What reaches a tab that shows a digit and runs something from it: packets of a run, sentences, and another digit.
DDPM.receiver = (status, stream, anew) => (packet) => {
  if (!packet) return;
  if (packet.run) return stream(packet);
  if (packet.error) return status.say(packet.error, true);
  if (packet.notice) return status.say(packet.notice);
  anew(DDPM.unpack(packet));
};

// Ask the server one question at a time, {x0: bytes, ...}; of those that come up meanwhile, only the last.
// answered(answer, question): for an answer that is no error.
DDPM.asker = (ask, status, answered) => {
  let asking = false, wanted = null;
  return async (question) => {
    wanted = question;
    if (asking) return;
    asking = true;
    while (wanted) {
      const now = wanted;
      wanted = null;
      try {
        const answer = await ask({ ...now, x0: DDPM.base64(now.x0) });
        if (answer.error) status.say(answer.error, true);
        else answered(answer, now);
      } catch {
        status.say("The server does not answer. Is it still running? Then reload this page.", true);
      }
    }
    asking = false;
  };
};

DDPM.float16 = (bits) => {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * 2 ** -14 * (fraction / 1024);
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
};

// x_t as floats, not clamped.
DDPM.mix = ({ x0, eps }, t, kind) => {
  const a = DDPM.SCHEDULES.signal[kind][t], b = Math.sqrt(1 - a * a);
  return Float32Array.from(x0, (v, i) => a * (v / 127.5 - 1) + b * eps[i]);
};

DDPM.shown = (x) => Uint8ClampedArray.from(x, (v) => 127.5 * (v + 1)); // rounds and clamps

// The schedules' signal-to-noise ratios, in the margin, which may come after the stage.
DDPM.SignalToNoise = class {
  constructor(margin) {
    this.margin = margin;
    this.plot = null;
  }

  draw(schedule, t) {
    const place = document.querySelector(`${this.margin} .ratios`), { KINDS, NAMES, CURVES, dB, signal } = DDPM.SCHEDULES;
    if (!place) return;
    if (!this.plot) {
      this.plot = new DDPM.Plot(place, {
        label: "Signal-to-noise ratio in dB over t, of the three schedules",
        x: { min: 0, max: signal.linear.length - 1, ticks: [0, 250, 500, 750, 999] }, y: { min: -90, max: 45, ticks: [-80, -40, 0, 40] },
      });
      DDPM.legend(place.nextElementSibling, KINDS.map((kind) => ({ label: NAMES[kind], ...CURVES[kind] })));
    }
    this.plot.cursor = t;
    this.plot.set(KINDS.map((kind) => ({ y: signal[kind].map(dB), width: kind === schedule ? 3 : 1.5, ...CURVES[kind] })));
  }
};
