// The schedules, as the server has computed them, and what the page draws of them.
import { showLegend } from "./canvas.js";
import { SCHEDULES, T } from "./constants.js"; // made by the server: see pictures.py
import { Plot } from "./plot.js";
import { Timeline } from "./timeline.js";

export const KINDS = Object.keys(SCHEDULES);
const LOOKS = [{ colour: "b", dash: [8, 4] }, { colour: "a" }, { colour: "d", dash: [2, 3] }, { colour: "e", dash: [10, 3] }];
export const look = (kind) => LOOKS[KINDS.indexOf(kind) % LOOKS.length];
const dB = (a) => 10 * Math.log10((a * a) / (1 - a * a)); // of sqrt(alphas_bar)

export const signal = (kind) => SCHEDULES[kind].signal; // sqrt(alphas_bar) by t
export const noise = (kind) => SCHEDULES[kind].noise; // sqrt(1 - alphas_bar)
export const betas = (kind) => SCHEDULES[kind].betas;
export const variance = (kind) => SCHEDULES[kind].variance; // of the posterior q(x_{t-1} | x_t, x0)
export const nameOf = (kind) => SCHEDULES[kind].label;
export const decibels = (a) => dB(a).toFixed(1).replace("-", "−");

// How much signal and how much noise, for a timeline.  signal: sqrt(alphas_bar) at each position.
export const levels = (signal) => [
  { label: "√ᾱ", y: signal, colour: "a", mark: true },
  { label: "√(1−ᾱ)", y: signal.map((a) => Math.sqrt(1 - a * a)), colour: "b", mark: true, dash: [6, 4] },
];

// What their axis is called.
export const COEFFICIENTS = { y: "coefficient" };

// alphas_bar of each, for a timeline.
export const curves = () => KINDS.map((kind) => ({ label: `ᾱ ${nameOf(kind)}`, y: signal(kind).map((a) => a * a), mark: true, ...look(kind) }));

// A timeline whose positions are t.
export const noiseTimeline = (root, onseek) => {
  const timeline = new Timeline(root, {
    label: "t, the noise level", count: T, ends: ["t = 0, clean", `t = ${T - 1}, noise`], frameMs: 40, onseek,
    titles: COEFFICIENTS, words: (t) => `t = ${t}`,
  });
  timeline.stride = 8;
  return timeline;
};

// What an address keeps of a view of one picture and its noise over t, and how it is put back.  state(): {seed, picture}.
export const atT = (timeline, state) => ({
  kept: () => ({ t: timeline.position, noise: state().seed, picture: state().picture }),
  restore({ t }) {
    timeline.pause();
    timeline.seek(t);
  },
});

// The schedules' signal-to-noise ratios, in the margin, which may come after the stage.
export class SignalToNoise {
  constructor(margin) {
    this.margin = margin;
    this.plot = null;
  }

  draw(schedule, t) {
    const place = document.querySelector(`${this.margin} .ratios`);
    if (!place) return;
    if (!this.plot) {
      this.plot = new Plot(place, {
        label: "Signal-to-noise ratio in dB over t, of each schedule",
        x: { min: 0, max: T - 1, ticks: [0, 0.25, 0.5, 0.75].map((share) => share * T).concat(T - 1), title: "t" },
        y: { min: -90, max: 45, ticks: [-80, -40, 0, 40], title: "dB" },
      });
      showLegend(place.nextElementSibling, KINDS.map((kind) => ({ label: nameOf(kind), ...look(kind) })));
    }
    this.plot.cursor = t;
    this.plot.set(KINDS.map((kind) => ({ label: nameOf(kind), y: signal(kind).map(dB), width: kind === schedule ? 3 : 1.5, ...look(kind) })));
  }
}
