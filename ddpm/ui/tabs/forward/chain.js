// Forward, step by step: many draws of one digit, noised in small steps and in one jump, with mean and variance of each.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { showLegend } from "../../components/canvas.js";
import { T } from "../../components/constants.js";
import { live } from "../../components/dom.js";
import { isThere, isWhole, unpack } from "../../components/mixing.js";
import { Plot } from "../../components/plot.js";
import { pythonItems } from "../../components/python.js";
import { RunView } from "../../components/run_view.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";
import { Timeline } from "../../components/timeline.js";

export const chain = (element, props, watch, server, { schedule, shown, limit, total }) => {
  const WAYS = ["steps", "jump"], TILES = [...Array(shown).fill(""), "mean", "variance"], IDLE = "Nothing noised yet: press Add noise.";
  const root = element.querySelector(".view");
  const stage = new Stage(root, [{ key: "steps", label: "small steps" }, { key: "jump", label: "one jump" }], { n: TILES.length });
  const status = new Status(root, IDLE);
  const timeline = new Timeline(root, { label: "t, the noise level", ends: ["x₀, clean", `t = ${T - 1}, noise`], onseek: show, titles: { y: "of the pixels" }, frameMs: 80 });
  const asked = () => ({ x0: toBase64(state.x0 || []), seed: state.seed, schedule: state.schedule, weights: state.weights, question });
  timeline.addMenu("Save", pythonItems(server, status, () => ({ ...asked(), picture: state.picture, t: view.run.frames[timeline.position]?.t })));
  let state = { schedule }, question = 0, plot = null;
  const view = new RunView({ root, stage, status, timeline, replay: server.replay }, {
    belongs: (packet) => packet.question === question,
    decode: (frame) => ({ ...frame, ...Object.fromEntries(WAYS.map((way) => [way, { ...frame[way], pictures: fromBase64(frame[way].pictures) }])) }),
    added: curves,
    starting: "Starting…",
    progress: ({ kept, stride, total }) => `${(kept - 1) * stride} small steps of ${(total - 1) * stride}`,
    ended: ({ stopped }) => `${stopped ? "Stopped" : "The same distribution, both ways"}. Play it again, or drag the playhead.`,
    finished: () => show(timeline.position),
    other: (packet) => packet.error || packet.notice || anew(unpack(packet)),
  });

  // Another digit, noise or schedule: all draws are still the digit itself, and the run that was shown is not of it.
  function anew(news) {
    if (isThere(state, news)) return;
    state = { ...state, ...news };
    moved();
    if (!isWhole(state)) return;
    question++;
    const { length } = state.x0, pictures = new Uint8ClampedArray(TILES.length * length);
    for (let i = 0; i < TILES.length - 1; i++) pictures.set(state.x0, i * length);
    const still = { pictures, moments: [1, 0] };
    view.forget([{ t: -1, theory: [1, 0], steps: still, jump: still }]);
    stage.shape(TILES.length, state.size, state.channels);
    for (const key of WAYS) stage.mark(key, TILES.map((text) => ({ text })), `${["no", "one", "two", "three", "four"][shown] || shown} draws, `);
    timeline.setCount(total, 1);
    curves();
    timeline.seek(0);
    status.say(IDLE);
  }

  // What theory says is wide and pale; what was measured lies on it.
  function curves() {
    const { frames } = view.run, each = (value) => Array.from(frames, (frame) => (frame ? value(frame) : null));
    const of = (i, options) => [
      { y: each((f) => f.theory[i]), colour: "c", width: 7, ...options[0] },
      { y: each((f) => f.steps.moments[i]), ...options[1] },
      { y: each((f) => f.jump.moments[i]), ...options[2] },
    ];
    timeline.setCurves([
      ...of(0, [{ label: "theory" }, { label: "mean", colour: "a", mark: true }, { colour: "e", dash: [2, 4], width: 4 }]),
      ...of(1, [{}, { label: "variance", colour: "b", mark: true }, { colour: "e", dash: [2, 4], width: 4 }]),
    ]);
  }

  function show(position) {
    const { run } = view, frame = run.frames[position];
    if (!frame) return;
    const { t } = frame;
    for (const way of WAYS) stage.show(way, frame[way].pictures);
    stage.caption("steps", t < 0 ? "before the first step" : `${t + 1} small steps, ${run.packet.draws} draws`);
    stage.caption("jump", t < 0 ? "before the jump" : `jump to t = ${t}, ${run.packet.draws} draws`);
    timeline.say(t < 0 ? "x₀" : `t = ${t}`);
    live("chain", "beta", t < 0 ? "·" : frame.beta.toPrecision(2));
    for (const i of [0, 1]) {
      live("chain", `theory${i}`, frame.theory[i].toFixed(3));
      for (const way of WAYS) live("chain", `${way}${i}`, frame[way].moments[i].toFixed(3));
    }
    spread(frame);
  }

  function spread(frame) {
    const place = document.querySelector("#chain-margin .spread");
    if (!place) return;
    const normal = { label: "N(0, 1)", colour: "c", width: 7 }, looks = [{ label: "steps", colour: "a" }, { label: "one jump", colour: "e", dash: [2, 4], width: 4 }];
    if (!plot) {
      plot = new Plot(place, {
        label: "Densities of the standardised pixels, by small steps, by one jump, and of N(0, 1)",
        x: { min: -limit, max: limit, ticks: [-3, -2, -1, 0, 1, 2, 3], title: "pixel, standardised" }, y: { min: 0, max: 0.45, ticks: [0, 0.2, 0.4], title: "density" },
      });
      showLegend(place.nextElementSibling, [normal, ...looks]);
    }
    const density = frame.steps.spread || [], width = (2 * limit) / (density.length || 1), at = density.map((_, i) => -limit + (i + 0.5) * width);
    const grid = Array.from({ length: 81 }, (_, i) => -limit + (i * limit) / 40);
    plot.set([
      { ...normal, x: grid, y: grid.map((v) => Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI)) },
      ...WAYS.map((way, i) => ({ ...looks[i], x: at, y: frame[way].spread || [] })),
    ]);
  }

  tabs.chain = { kept: () => ({ noise: state.seed, picture: state.picture }), receive: (packet) => view.receive(packet), asked };
  watch("value", () => view.receive(props.value));
  view.receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root); // the margin may come after the stage
};
