// The inner tab Denoise: from one x_t a blur, x̂₀ in one step, and whole denoisings, with their distances to x0.
"use strict";

DDPM.denoising = (element, props, watch, server) => {
  const FUTURES = ["f0", "f1", "f2", "mean"];
  const root = element.querySelector(".view");
  const stage = new DDPM.Stage(root, [
    { key: "x0", label: "x₀  the digit" }, { key: "xt", label: "xₜ" }, { key: "blur", label: "the best blur" }, { key: "x0_hat", label: "x̂₀ in one step" },
    ...FUTURES.map((key, i) => ({ key, label: i < 3 ? `all steps, ${"ABC"[i]}` : "mean of all" })),
  ], { foot: 40, captionWidth: 110, tall: 2.5 });
  const status = new DDPM.Status(root, "");
  const timeline = new DDPM.Timeline(root, { label: "steps from x_t to a digit", ends: ["xₜ", "clean"], onseek: show });
  timeline.onarrive = () => finish();
  const ask = DDPM.asker(server.look, status, answered);
  const IDLE = "Press Denoise fully: digits that this xₜ could have come from, one noise each.";
  // As the controls begin: other weights may be chosen before this tab is opened.
  let state = { t: 849 }, run = { id: null, frames: [] }, question = 0;

  const receive = DDPM.receiver(status, stream, anew);

  // Another x_t: what was drawn from the last one is not of it.
  function anew(news) {
    state = { ...state, ...news };
    if (!state.x0 || state.x0.length !== state.eps?.length) return;
    question++;
    run = { id: null, frames: [] };
    timeline.pause();
    timeline.setCount(2, 0);
    timeline.setCurves([]);
    timeline.say("");
    stage.shape(1, state.size, state.channels);
    for (const key of FUTURES) {
      stage.show(key, null);
      stage.say(key, []);
    }
    stage.show("x0", state.x0);
    stage.caption("x0", state.label ? `x₀  the digit: ${state.label}` : "x₀  the digit");
    status.say(IDLE);
    ask(asked());
  }

  const asked = () => ({ x0: state.x0, seed: state.seed, t: state.t, weights: state.weights, question });
  const percent = (share) => `${Math.round(100 * share)} %`;
  const words = ({ d, grey, digit, certainty }) => [
    `d = ${d < 100 ? d.toFixed(2) : Math.round(d)}, grey ${percent(grey)}`, digit === undefined ? "" : `classified as ${digit}, ${percent(certainty)}`,
  ];

  function answered(answer, { question: of }) {
    if (of !== question) return;
    stage.show("xt", DDPM.bytes(answer.xt));
    stage.caption("xt", `xₜ at t = ${answer.t}`);
    for (const [key, picture] of Object.entries(answer.pictures)) {
      if (key !== "x0") stage.show(key, DDPM.bytes(picture));
      stage.say(key, words(answer.measured[key]));
    }
    stage.say("xt", [`√ᾱ = ${answer.a.toFixed(3)}`, `√(1−ᾱ) = ${answer.b.toFixed(3)}`]);
    DDPM.live("denoising", "a", answer.a.toFixed(3));
    DDPM.live("denoising", "b", answer.b.toFixed(3));
    DDPM.live("denoising", "width", answer.width.toFixed(1));
  }

  function stream(packet) {
    if (packet.question !== question) return;
    if (packet.run !== run.id) {
      run = { id: packet.run, frames: [] };
      root.dataset.run = packet.run;
      timeline.pause();
      timeline.position = 0;
      timeline.ends = [`xₜ, t = ${packet.t}`, "clean"];
      timeline.setCount(packet.total, 0);
      timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.total));
      stage.caption("mean", `mean of ${packet.futures}`);
    }
    run.packet = packet;
    add(packet.frames);
    if (packet.done) {
      fetchMissed();
      if (!timeline.chasing) finish();
    } else if (!run.frames.length) status.say(packet.ahead > 0 ? DDPM.waiting(packet) : "Starting from xₜ…");
    else status.say(`Step ${run.frames.length - 1} of ${packet.total - 1}`);
  }

  function add(frames) {
    if (!frames.length) return;
    for (const frame of frames) run.frames[frame.k] = { ...frame, x: DDPM.bytes(frame.x) };
    const each = (i) => Array.from(run.frames, (frame) => (frame ? frame.of_x0_hat[i] : null));
    timeline.setCurves([
      { label: "d of x̂₀", y: each(0), colour: "b", mark: true },
      { label: "their grey", y: each(1), colour: "a", dash: [6, 4], mark: true },
    ]);
    timeline.grow(run.packet.total, run.frames.length);
  }

  async function fetchMissed() {
    const { id, frames, packet } = run;
    if (frames.filter(Boolean).length >= packet.kept) return;
    const answer = await server.replay({ run: id });
    if (id === run.id) add(answer.frames);
  }

  function finish() {
    const { packet } = run;
    if (!packet || !packet.done) return;
    if (packet.error) status.say(packet.error, true);
    else if (packet.stopped) status.say("Stopped. Drag the playhead to look at how far they came.");
    else status.say(`${packet.total - 1} network evaluations a digit; x̂₀ took one. Play it again, or drag the playhead.`);
    show(timeline.position);
  }

  function show(position) {
    const frame = run.frames[position];
    if (!frame) return;
    const length = stage.size * stage.size * stage.channels;
    FUTURES.forEach((key, i) => {
      stage.show(key, frame.x.slice(i * length, (i + 1) * length));
      stage.say(key, words(frame.measured[i]));
    });
    timeline.say(frame.t < 0 ? "finished" : `t = ${frame.t}`);
  }

  DDPM.tabs.denoising = { receive, asked: () => ({ ...asked(), x0: DDPM.base64(state.x0 || []) }) };
  watch("value", () => receive(props.value));
  receive(props.value);
};
