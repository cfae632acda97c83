// Common mistakes: the same digits by a network as it should be and by a broken one, at several moments of their training.
import { fromBase64 } from "../../../components/base64.js";
import { showLegend } from "../../../components/canvas.js";
import { el, live } from "../../../components/dom.js";
import { download } from "../../../components/download.js";
import { paint } from "../../../components/pixels.js";
import { Plot } from "../../../components/plot.js";
import { pythonItems } from "../../../components/python.js";
import { RunView } from "../../../components/run_view.js";
import { Stage } from "../../../components/stage.js";
import { Status, waiting } from "../../../components/status.js";
import { tabs } from "../../../components/tabs.js";
import { Timeline } from "../../../components/timeline.js";

export const mistakes = (element, props, watch, server, { draw_steps: drawSteps }) => {
  const LANES = [{ key: "right", label: "As it should be", colour: "a" }, { key: "broken", label: "Broken", colour: "b", dash: [8, 4] }];
  const root = element.querySelector(".view");
  const stage = new Stage(root, LANES, {
    n: 10, columns: 5, beside: false, captionWidth: 60,
    empty: "Choose mistakes and press Train both: two networks learn from the same weights and digits, one of them with the mistakes. A flipped sign is drawn at once.",
  });
  const status = new Status(root, "Nothing trained yet.");
  const timeline = new Timeline(root, { label: "step of the training", ends: ["step 0", ""], titles: { y: "loss (MSE)" }, onseek: show, frameMs: 600 });
  const saving = timeline.addMenu("Save", {
    "PNG, what is shown": async () => download(`${["broken", ...view.run.packet.broken].join("-")}.png`, await stage.png(), "image/png"),
    ...pythonItems(server, status, () => ({ run: view.run.id })),
  });
  let chosen = [], evidence = null;
  const view = new RunView({ root, stage, status, timeline, saving, replay: server.replay }, {
    decode: (frame) => ({ ...frame, pictures: fromBase64(frame.pictures), given: frame.given && fromBase64(frame.given) }),
    begin,
    added: curves,
    grow: (run) => timeline.grow(run.packet.total, at(run).length),
    progress: (packet) => {
      if (packet.ahead > 0) return waiting(packet);
      const { step, num_steps: steps, seconds_left: left, at_once: atOnce } = packet;
      if (atOnce) return `Step ${step} of ${steps} of the reverse process; nothing is trained`;
      return `Step ${step} of ${steps}${left === null ? "" : `; about ${left} s of computing left`}`;
    },
    ended,
  });

  // The margin, which may come after the stage.
  function inMargin(act) {
    const margin = document.querySelector("#mistakes-margin .margin");
    if (margin) act(margin);
    else requestAnimationFrame(() => inMargin(act));
  }

  // Of the mistakes that are switched on the margin tells, and opens the latest.
  function choose(names) {
    const latest = names.find((name) => !chosen.includes(name)) || (names.includes(opened()) ? opened() : names[0]);
    chosen = names;
    inMargin((margin) => {
      for (const block of margin.querySelectorAll("details.break")) {
        block.hidden = !names.includes(block.dataset.break);
        block.open = block.dataset.break === latest;
      }
    });
  }

  const opened = () => document.querySelector("#mistakes-margin details.break[open]:not([hidden])")?.dataset.break;

  // The frames of both lanes at each step of the training that both have come to.
  function at({ there }) {
    const lanes = LANES.map((_, i) => there.filter(({ lane }) => lane === i)), moments = [];
    for (let k = 0; ; k++) {
      const frames = lanes.map((lane) => lane.find(({ moment }) => moment === k));
      if (!frames.every(Boolean)) return moments;
      moments.push(frames);
    }
  }

  function curves({ packet: { curves, num_steps: steps, total, at_once: atOnce } }) {
    timeline.setCurves(curves.map(([at, loss], i) => ({
      label: curves.length === 1 ? "loss of both" : i ? "broken" : "loss, right",
      x: at.map((each) => (each / steps) * (total - 1)), y: loss, colour: LANES[i].colour, dash: LANES[i].dash,
    })), { log: true, titles: { y: atOnce ? "" : "loss (MSE)" } });
  }

  function begin({ packet }) {
    for (const { key, label } of LANES) {
      stage.show(key, null);
      stage.mark(key, null);
      stage.caption(key, label);
    }
    for (const cell of document.querySelectorAll("#mistakes-margin td[data-live]")) cell.textContent = "·";
    timeline.ends = packet.at_once ? ["noise", "finished"] : ["step 0", `step ${packet.num_steps}`];
    timeline.frameMs = packet.at_once ? 120 : 600;
  }

  const read = (frame) => frame.digits.filter((digit, i) => digit === i).length;

  function ended({ step, total }) {
    const moments = at(view.run), last = moments.at(-1);
    if (moments.length < total) return `Stopped at step ${step}.${last ? " Drag the playhead to look at how far both came." : ""}`;
    return `Done: ${read(last[0])} of 10 are classified as asked, broken ${read(last[1])} of 10. Play it, or drag the playhead.`;
  }

  function show(k) {
    const frames = at(view.run)[k];
    if (!frames) return;
    frames.forEach((frame, i) => {
      const { key, label } = LANES[i];
      stage.show(key, frame.pictures);
      const { digits } = frame;
      stage.mark(key, digits.length ? digits.map((digit, j) => ({ text: String(digit), wrong: digit !== j })) : null);
      stage.caption(key, digits.length ? `${label}: ${read(frame)} of ${digits.length} classified as asked` : label);
      measured(frame, i);
    });
    inMargin((margin) => draw(margin, frames));
    timeline.say(`step ${frames[0].step}`);
  }

  const short = (v, digits = 2) => {
    if (v === null) return "–";
    return (Math.abs(v) >= 1e4 ? v.toExponential(1).replace("e+", "e") : v.toFixed(Math.abs(v) >= 100 ? 0 : digits)).replace("-", "−");
  };

  function measured(frame, i) {
    const say = (row, text) => live("mistakes", `${row}-${i}`, text);
    say("loss", short(frame.loss, 3));
    say("read", frame.digits.length ? `${read(frame)} of ${frame.digits.length}` : "–");
    say("edge", short(frame.edge));
    say("range", `${short(frame.low, 1)} … ${short(frame.high, 1)}`);
    say("std", short(Math.max(...frame.stds)));
    say("change", short(frame.change));
    say("scale", short(frame.scale));
  }

  // What the networks were given, and how wide x_t was along the way.
  function draw(margin, frames) {
    evidence = evidence || prepare(margin);
    for (const rows of evidence.given) {
      rows.forEach((canvases, i) => canvases.forEach((canvas, j) => {
        const { size, channels } = stage, { given } = frames[i], length = size * size * channels;
        paint(canvas, given ? given.subarray(j * length, (j + 1) * length) : new Uint8Array(length), size, size, channels);
      }));
    }
    evidence.stds.set(frames.map(({ stds }, i) => ({ y: stds, colour: LANES[i].colour, dash: LANES[i].dash })));
  }

  function prepare(margin) {
    const given = [...margin.querySelectorAll(".given")].map((place) => LANES.map((lane, i) => {
      const row = el("figure", "", place);
      el("figcaption", "", row, i ? "xₜ broken" : "xₜ right");
      return Array.from({ length: 5 }, () => el("canvas", "", row));
    }));
    const place = margin.querySelector(".stds");
    const stds = new Plot(place, {
      label: "Standard deviation of x_t at each step of the drawing", x: { min: 0, max: drawSteps, ticks: [0, drawSteps] },
      y: { min: 0.1, max: 1e8, log: true, ticks: [1, 100, 10000] },
    });
    showLegend(el("p", "legend", place), [{ ...LANES[0], label: "std of xₜ, right" }, { ...LANES[1], label: "broken" }]);
    return { given, stds };
  }

  tabs.mistakes = { choose };
  choose(["pixels"]);
  watch("value", () => view.receive(props.value));
  view.receive(props.value);
};
