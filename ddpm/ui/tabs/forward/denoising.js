// The inner tab Denoise it: from one x_t a blur, x̂₀ in one step, and whole denoisings, with their distances to x0.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { live } from "../../components/dom.js";
import { asker, isThere, isWhole, unpack, x0Words } from "../../components/mixing.js";
import { pythonItems } from "../../components/python.js";
import { RunView } from "../../components/run_view.js";
import { Stage } from "../../components/stage.js";
import { counted, Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";
import { Timeline } from "../../components/timeline.js";

export const denoising = (element, props, watch, server, { shown, t: first }) => {
  const FUTURES = [...Array.from({ length: shown }, (_, i) => `f${i}`), "mean"];
  const root = element.querySelector(".view");
  const stage = new Stage(root, [
    { key: "x0", label: "x₀  the digit" }, { key: "xt", label: "xₜ" }, { key: "blur", label: "best blur" }, { key: "x0_hat", label: "x̂₀ in one step" },
    ...FUTURES.map((key, i) => ({ key, label: i < shown ? `all steps, ${String.fromCharCode(65 + i)}` : "mean of all" })),
  ], { foot: 56, captionWidth: 110, tall: 2.5 });
  const status = new Status(root, "");
  const timeline = new Timeline(root, { label: "steps from x_t to a digit", ends: ["xₜ", "clean"], titles: { y: "d, share" }, onseek: show });
  timeline.addMenu("Save", pythonItems(server, status, () => ({ ...sent(), picture: state.picture })));
  const ask = asker(server.look, status, answered);
  const IDLE = "Press Denoise fully: digits that this xₜ could have come from, one noise each.";
  let state = { t: first }, question = 0;
  const view = new RunView({ root, stage, status, timeline, replay: server.replay }, {
    belongs: (packet) => packet.question === question,
    decode: (frame) => ({ ...frame, pictures: fromBase64(frame.pictures) }),
    begin: ({ packet }) => {
      timeline.ends = [`xₜ, t = ${packet.t}`, "clean"];
      timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.total));
      stage.caption("mean", `mean of ${packet.futures}`);
    },
    added: curves,
    starting: "Starting from xₜ…",
    progress: ({ kept, total }) => `Step ${kept - 1} of ${total - 1}`,
    ended: ({ stopped, total }) => stopped
      ? "Stopped. Drag the playhead to look at how far they came."
      : `${counted(total - 1, "network evaluation")} a digit; x̂₀ took one. Play it again, or drag the playhead.`,
    finished: () => show(timeline.position),
    other: (packet) => packet.error || packet.notice || anew(unpack(packet)),
  });

  // Another x_t: what was drawn from the last one is not of it.
  function anew(news) {
    if (isThere(state, news)) return;
    state = { ...state, ...news };
    moved();
    if (!isWhole(state)) return;
    question++;
    view.forget();
    timeline.setCount(2, 0);
    timeline.setCurves([]);
    timeline.say("");
    stage.shape(1, state.size, state.channels);
    for (const key of FUTURES) {
      stage.show(key, null);
      stage.say(key, []);
    }
    stage.show("x0", state.x0);
    stage.caption("x0", x0Words(state, "x₀  the digit"));
    status.say(IDLE);
    ask(asked());
  }

  const asked = () => ({ x0: state.x0, seed: state.seed, t: state.t, weights: state.weights, question });
  const sent = () => ({ ...asked(), x0: toBase64(state.x0 || []) });
  const percent = (share) => `${Math.round(100 * share)} %`;
  const reading = (kind, certainty) => { // a name leaves room for few words
    if (kind === undefined) return "";
    return kind.length > 1 ? `class: ${kind}, ${percent(certainty)}` : `classified as ${kind}, ${percent(certainty)}`;
  };
  const words = ({ distance: d, grey, class: kind, certainty }) => [
    `d = ${d < 100 ? d.toFixed(2) : Math.round(d)}`, `uncertain ${percent(grey)}`, reading(kind, certainty),
  ];

  function answered(answer, { question: of }) {
    if (of !== question) return;
    stage.show("xt", fromBase64(answer.x_t));
    stage.caption("xt", `xₜ at t = ${answer.t}`);
    for (const [key, picture] of Object.entries(answer.pictures)) {
      if (key !== "x0") stage.show(key, fromBase64(picture));
      stage.say(key, words(answer.measured[key]));
    }
    stage.say("xt", [`√ᾱ = ${answer.signal.toFixed(3)}`, `√(1−ᾱ) = ${answer.noise.toFixed(3)}`]);
    live("denoising", "a", answer.signal.toFixed(3));
    live("denoising", "b", answer.noise.toFixed(3));
    live("denoising", "width", answer.width.toFixed(1));
  }

  function curves({ frames }) {
    const each = (of) => Array.from(frames, (frame) => (frame ? of(frame.of_x0_hat) : null));
    timeline.setCurves([
      { label: "d of x̂₀", y: each((mean) => mean.distance), colour: "b", mark: true },
      { label: "uncertain pixels", y: each((mean) => mean.grey), colour: "a", dash: [6, 4], mark: true },
    ]);
  }

  function show(position) {
    const frame = view.run.frames[position];
    if (!frame) return;
    const length = stage.size * stage.size * stage.channels;
    FUTURES.forEach((key, i) => {
      stage.show(key, frame.pictures.slice(i * length, (i + 1) * length));
      stage.say(key, words(frame.measured[i]));
    });
    timeline.say(frame.t < 0 ? "finished" : `t = ${frame.t}`);
  }

  tabs.denoising = { kept: () => ({ noise: state.seed, picture: state.picture }), receive: (packet) => view.receive(packet), asked: sent };
  watch("value", () => view.receive(props.value));
  view.receive(props.value);
};
