// The Train tab: the loss as it falls, and what the same noise becomes at every moment of the run.
"use strict";

DDPM.train = (element, props, watch, server) => {
  const root = element.querySelector(".view");
  const panes = [{ key: "x", label: "Samples from the averaged weights" }, { key: "live", label: "live weights" }, { key: "other", label: "earlier run" }];
  const stage = new DDPM.Stage(root, panes, {
    n: 20, empty: "Press Start: a network that knows nothing yet will learn to draw digits while you watch.",
  });
  stage.arrange(["x"]);
  const status = new DDPM.Status(root, "Nothing trained yet.");
  const timeline = new DDPM.Timeline(root, { label: "moment of the training", ends: ["start", "end"], onseek: show, frameMs: 100 });
  const POSITIONS = 1000; // of the axis, over the whole budget
  timeline.setCount(2, 0);
  const levels = new DDPM.Levels("#train-margin .levels", (level) => server.level({ run: run.id, level }));
  let run = { id: null, previews: [] }, other = null, log = true;
  const beside = DDPM.el("select", "");
  beside.setAttribute("aria-label", "Held beside the averaged weights");
  timeline.readout.before(beside);
  beside.addEventListener("change", holdBeside);
  offer([]);
  const axis = timeline.addButton("Linear", () => {
    log = !log;
    timeline.rename(axis, log ? "Linear" : "Log");
    timeline.setCurves(timeline.curves, { log });
  });
  const zip = timeline.addButton("Save zip", save);
  zip.textContent = "Save";
  zip.disabled = true;

  function receive(packet) {
    if (!packet) return;
    if (packet.notice) return status.say(packet.notice);
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.run !== run.id) begin(packet);
    offer(packet.mine);
    run.packet = packet;
    add(packet.previews);
    curves();
    fetchMissed(packet.num_previews);
    timeline.setCount(POSITIONS, run.previews.length ? at(packet[unit()] || 0) + 1 : 0);
    if (run.following && run.previews.length) {
      timeline.seek(timeline.available - 1);
      run.following = true;
    }
    zip.disabled = !packet.step;
    DDPM.live("train", "target", packet.prediction === "eps" ? "ε" : packet.prediction);
    if (packet.loss !== undefined) {
      DDPM.live("train", "loss", packet.loss.toFixed(4));
      DDPM.live("train", "norm", packet.grad_norm);
      DDPM.live("train", "clipped", `${Math.round(100 * packet.clipped)} %`);
      DDPM.live("train", "lr", packet.lr && packet.lr < 1e-4 ? packet.lr.toExponential(1) : packet.lr.toPrecision(2));
    }
    const seen = `step ${packet.step || 0}, ${(packet.images_seen || 0).toLocaleString("en")} digits seen`;
    const so_far = `${seen}, ${packet.images_per_second || 0} a second`;
    if (packet.error) status.say(packet.error, true);
    else if (packet.active && packet.step === undefined) status.say("Waiting for a turn…");
    else if (packet.evaluating) status.say(evaluating(packet.evaluating));
    else if (packet.waiting) status.say(`Nobody was watching: ${so_far}. It goes on when another training run on this server ends.`);
    else if (packet.paused) status.say(`Paused: ${so_far}. Press Pause again to go on.`);
    else if (packet.active) status.say(`${Math.ceil(packet.seconds_left)} s left: ${so_far}, loss ${packet.loss}`);
    else {
      const { evaluation } = packet;
      const end = evaluation ? `${seen}. ${distance(evaluation)}` : `${so_far}, loss ${packet.loss}`;
      status.say(`${packet.stopped ? "Stopped" : "Done"} after ${packet.seconds} s: ${end}`);
    }
  }

  function evaluating({ n, drawn, seconds_left: left }) {
    const far = drawn < n ? `drawing ${drawn} of ${n} new digits${left === null ? "" : `, ${left} s`}` : `comparing ${n} new digits with real ones`;
    return `Trained. Evaluation: ${far}. Stop leaves it out.`;
  }

  // A distance far from that of real digits says only that: its figure means nothing.
  function distance({ fid_over_real: first, second }) {
    const times = (ratio) => (ratio > 20 ? "over 20" : ratio.toFixed(1));
    return `FID ${times(second)} times that of real digits (by the classifier that the recipe was tuned with: ${times(first)})`;
  }

  // Of the axis: what a run's budget is counted in, its end, and where a value of it lies.
  const unit = () => (run.packet.kind === "seconds" ? "seconds" : "step");
  const end = () => {
    const { active, budget } = run.packet, done = run.packet[unit()] || 0;
    return active ? Math.max(budget, done) : Math.max(done, 1e-9);
  };
  const at = (value) => Math.round(Math.min(POSITIONS - 1, (value / end()) * (POSITIONS - 1)));
  const isInside = (value) => value <= end() + 1e-6;

  function curves() {
    const spent = Math.round(end()), of = ({ curve }, column) => {
      const x = curve[unit() === "seconds" ? 1 : 0], inside = x.filter(isInside).length;
      return { x: x.slice(0, inside).map(at), y: curve[column].slice(0, inside) };
    };
    timeline.ends = ["start", unit() === "seconds" ? `${spent} s of training` : `step ${spent}`];
    const drawn = run.packet.curve.length ? [
      { label: "batch", ...of(run.packet, 2), colour: "c", width: 1 },
      { label: "loss", ...of(run.packet, 3), colour: "b", dash: [8, 3] },
    ] : [];
    if (other?.packet.curve.length) drawn.push({ label: "other run", ...of(other.packet, 3), colour: "e", dash: [2, 3] });
    timeline.setCurves(drawn, { log });
  }

  // What can be held beside the averaged weights: nothing, the live ones, or an earlier run of this browser.
  function offer(mine) {
    const earlier = (mine || []).filter((each) => each.run !== run.id).map((each) => [each.run, each.label]);
    const options = [["", "beside: nothing"], ["live", "live weights"], ...earlier.reverse()];
    if (beside.options.length === options.length && options.every(([value], i) => beside.options[i].value === value)) return;
    const chosen = beside.value;
    beside.replaceChildren();
    for (const [value, text] of options) DDPM.el("option", "", beside, text).value = value;
    beside.value = options.some(([value]) => value === chosen) ? chosen : "";
    if (beside.value !== chosen) holdBeside();
  }

  async function holdBeside() {
    const chosen = beside.value;
    other = null;
    if (chosen && chosen !== "live") {
      const packet = await server.another({ run: chosen });
      if (packet.error) return status.say(packet.error, true);
      if (beside.value !== chosen) return;
      other = { packet, previews: packet.previews.map(decode) };
    }
    stage.arrange(["x", ...(chosen === "live" ? ["live"] : other ? ["other"] : [])]);
    if (run.packet) curves();
    show(timeline.position);
  }

  function begin(packet) {
    timeline.pause();
    run = { id: packet.run, previews: [], following: true };
    root.dataset.run = packet.run;
    stage.shape(packet.n, packet.size, packet.channels);
    for (const key of ["x", "live"]) {
      stage.show(key, null);
      stage.mark(key, null);
    }
    timeline.setCurves([]);
  }

  const decode = (preview) => ({ ...preview, x: DDPM.bytes(preview.x), live: DDPM.bytes(preview.live) });

  function add(previews) {
    for (const preview of previews) run.previews[preview.k] = decode(preview);
    if (run.previews[0]) levels.begin(run.id, run.previews[0].inputs, run.packet);
  }

  // Gradio may drop packets when the page is slow, and a page that was reloaded has missed the beginning.
  async function fetchMissed(total) {
    const have = run.previews.filter(Boolean).map((preview) => preview.k);
    if (have.length === total || run.fetching) return;
    const mine = run;
    mine.fetching = true;
    try {
      const { previews } = await server.missed({ run: mine.id, have });
      if (mine === run) add(previews);
    } finally {
      mine.fetching = false;
    }
  }

  // The latest preview of a run at or before the playhead.
  function latest(previews, position) {
    const there = previews.filter(Boolean);
    return there.findLast(({ [unit()]: value }) => isInside(value) && at(value) <= position) || there[0];
  }

  function show(position) {
    run.following = position >= timeline.available - 1;
    const preview = latest(run.previews, position);
    if (!preview) return;
    const { labels } = run.packet;
    picture("x", preview.x, preview.x_digits, labels, `After ${preview.seconds} s`);
    picture("live", preview.live, preview.live_digits, labels, "Live weights");
    const held = other && latest(other.previews, position);
    if (held) picture("other", held.x, held.x_digits, other.packet.labels, other.packet.label);
    levels.show(preview.levels);
    DDPM.live("train", "about", preview.about);
    timeline.say(`${preview.seconds} s`);
  }

  // Twenty pictures, how they are classified, and how many as asked.
  function picture(key, bytes, digits, labels, caption) {
    stage.show(key, bytes);
    const right = digits && labels ? digits.filter((d, i) => d === labels[i]).length : null;
    stage.mark(key, digits ? digits.map((d, i) => ({ text: String(d), wrong: Boolean(labels) && d !== labels[i] })) : null);
    stage.caption(key, right === null ? caption : `${caption}: ${right}/${digits.length} classified as asked`);
  }

  async function save() {
    status.say("Packing the checkpoint…");
    const { error, name, data } = await server.download({ run: run.id });
    if (error) return status.say(error, true);
    DDPM.download(name, DDPM.bytes(data), "application/zip");
    status.say(`Saved ${name}. Open it again here, or with: python -m ddpm sample --checkpoint FOLDER`);
  }

  timeline.stride = 25;
  watch("value", () => receive(props.value));
  if (props.value) receive(props.value);
};
