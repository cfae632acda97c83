// Forward, step by step: many draws of one digit, noised in small steps and in one jump, with mean and variance of each.
"use strict";

DDPM.chain = (element, props, watch, server) => {
  const WAYS = ["steps", "jump"], TILES = ["", "", "", "", "mean", "variance"];
  const root = element.querySelector(".view");
  const stage = new DDPM.Stage(root, [{ key: "steps", label: "small steps" }, { key: "jump", label: "one jump" }], { n: TILES.length });
  const status = new DDPM.Status(root, "Nothing noised yet: press Add noise.");
  const timeline = new DDPM.Timeline(root, { label: "t, the noise level", ends: ["x₀, clean", "t = 999, noise"], onseek: show });
  timeline.frameMs = 80;
  timeline.onarrive = () => finish();
  // As the controls begin: other weights may be chosen before this tab is opened.
  let state = { schedule: "cosine" }, run = { id: null, frames: [] }, question = 0, plot = null;

  const receive = DDPM.receiver(status, stream, anew);

  // Another digit, noise or schedule: all draws are still the digit itself, and the run that was shown is not of it.
  function anew(news) {
    state = { ...state, ...news };
    if (!state.x0) return;
    timeline.pause();
    question++;
    const length = state.x0.length, tiles = new Uint8ClampedArray(TILES.length * length);
    for (let i = 0; i < TILES.length - 1; i++) tiles.set(state.x0, i * length);
    run = { id: null, frames: [{ t: -1, theory: [1, 0], steps: { x: tiles, moments: [1, 0] }, jump: { x: tiles, moments: [1, 0] } }] };
    stage.shape(TILES.length, state.size, state.channels);
    for (const key of WAYS) stage.mark(key, TILES.map((text) => ({ text })), "four draws, ");
    timeline.setCount(101, 1);
    curves();
    timeline.seek(0);
    status.say("Nothing noised yet: press Add noise.");
  }

  function stream(packet) {
    if (packet.question !== question) return;
    if (packet.run !== run.id) {
      timeline.pause();
      timeline.position = 0;
      run = { id: packet.run, frames: [], stride: packet.stride, draws: packet.draws };
      root.dataset.run = packet.run;
      timeline.setCount(packet.total, 0);
    }
    add(packet.frames);
    timeline.grow(packet.total, run.frames.length);
    curves();
    run.packet = packet;
    if (packet.done) {
      fetchMissed();
      if (!timeline.chasing) finish();
    } else if (!run.frames.length) status.say(packet.ahead > 0 ? DDPM.waiting(packet) : "Starting…");
    else status.say(`${(run.frames.length - 1) * run.stride} small steps of ${(packet.total - 1) * run.stride}`);
  }

  function finish() {
    const { packet } = run;
    if (!packet || !packet.done) return;
    if (packet.error) status.say(packet.error, true);
    else status.say(`${packet.stopped ? "Stopped" : "The same distribution, both ways"}. Play it again, or drag the playhead.`);
  }

  function add(frames) {
    for (const frame of frames) {
      for (const way of WAYS) frame[way].x = DDPM.bytes(frame[way].x);
      run.frames[frame.k] = frame;
    }
  }

  async function fetchMissed() {
    const { id, frames, packet } = run;
    if (frames.filter(Boolean).length >= packet.kept) return;
    const answer = await server.replay({ run: id });
    if (id !== run.id) return;
    add(answer.frames);
    timeline.grow(packet.total, run.frames.length);
    curves();
    show(timeline.position);
  }

  // What theory says is wide and pale; what was measured lies on it.
  function curves() {
    const { frames } = run, each = (value) => Array.from(frames, (frame) => (frame ? value(frame) : null));
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
    const frame = run.frames[position];
    if (!frame) return;
    const { t } = frame;
    for (const way of WAYS) stage.show(way, frame[way].x);
    stage.caption("steps", t < 0 ? "before the first step" : `${t + 1} small steps, ${run.draws} draws`);
    stage.caption("jump", t < 0 ? "before the jump" : `one jump to t = ${t}, ${run.draws} draws`);
    timeline.say(t < 0 ? "x₀" : `t = ${t}`);
    DDPM.live("chain", "beta", t < 0 ? "·" : frame.beta.toPrecision(2));
    for (const i of [0, 1]) {
      DDPM.live("chain", `theory${i}`, frame.theory[i].toFixed(3));
      for (const way of WAYS) DDPM.live("chain", `${way}${i}`, frame[way].moments[i].toFixed(3));
    }
    spread(frame);
  }

  function spread(frame) {
    const place = document.querySelector("#chain-margin .spread"), LIMIT = 4;
    if (!place) return;
    const normal = { label: "N(0, 1)", colour: "c", width: 7 }, looks = [{ label: "steps", colour: "a" }, { label: "one jump", colour: "e", dash: [2, 4], width: 4 }];
    if (!plot) {
      plot = new DDPM.Plot(place, {
        label: "Densities of the standardised pixels, by small steps, by one jump, and of N(0, 1)",
        x: { min: -LIMIT, max: LIMIT, ticks: [-3, -2, -1, 0, 1, 2, 3] }, y: { min: 0, max: 0.45, ticks: [0, 0.2, 0.4] },
      });
      DDPM.legend(place.nextElementSibling, [normal, ...looks]);
    }
    const density = frame.steps.spread || [], width = (2 * LIMIT) / (density.length || 1), at = density.map((_, i) => -LIMIT + (i + 0.5) * width);
    const grid = Array.from({ length: 81 }, (_, i) => -LIMIT + (i * LIMIT) / 40);
    plot.set([
      { ...normal, x: grid, y: grid.map((v) => Math.exp((-v * v) / 2) / Math.sqrt(2 * Math.PI)) },
      ...WAYS.map((way, i) => ({ ...looks[i], x: at, y: frame[way].spread || [] })),
    ]);
  }

  DDPM.tabs.chain = { receive, asked: () => ({ x0: DDPM.base64(state.x0 || []), seed: state.seed, schedule: state.schedule, weights: state.weights, question }) };
  watch("value", () => receive(props.value));
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root); // the margin may come after the stage
};
