// The Train tab: the loss as it falls, and what the same noise becomes at every moment of the run.
"use strict";

DDPM.train = (element, props, watch, server) => {
  const root = element.querySelector(".view");
  const stage = new DDPM.Stage(root, [{ key: "x", label: "Samples from the averaged weights" }], {
    n: 20, empty: "Press Start: a network that knows nothing yet will learn to draw digits while you watch.",
  });
  const status = new DDPM.Status(root, "Nothing trained yet.");
  const timeline = new DDPM.Timeline(root, { label: "moment of the training", ends: ["start", "end"], onseek: show, frameMs: 100 });
  const POSITIONS = 1000; // of the axis, over the whole budget
  timeline.setCount(2, 0);
  let run = { id: null, previews: [] }, log = true;
  const axis = timeline.addButton("Linear axis", () => {
    log = !log;
    timeline.rename(axis, log ? "Linear axis" : "Log axis");
    timeline.setCurves(timeline.curves, { log });
  });
  const zip = timeline.addButton("Save zip", save);
  zip.disabled = true;

  function receive(packet) {
    if (!packet) return;
    if (packet.notice) return status.say(packet.notice);
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.run !== run.id) begin(packet);
    const byTime = packet.kind === "seconds";
    const unit = byTime ? "seconds" : "step", done = packet[unit] || 0;
    const end = packet.active ? Math.max(packet.budget, done) : Math.max(done, 1e-9);
    const at = (v) => Math.min(POSITIONS - 1, (v / end) * (POSITIONS - 1));
    run.at = (preview) => Math.round(at(preview[unit]));
    timeline.ends = ["start", byTime ? `${Math.round(end)} s of training` : `step ${Math.round(end)}`];
    if (packet.curve.length) {
      const [steps, seconds, loss, smooth] = packet.curve;
      const x = (byTime ? seconds : steps).map(at);
      timeline.setCurves([
        { label: "loss, batch", x, y: loss, colour: "c", width: 1 },
        { label: "smooth", x, y: smooth, colour: "b", dash: [8, 3] },
      ], { log });
    }
    add(packet.previews);
    fetchMissed(packet.num_previews);
    timeline.setCount(POSITIONS, run.previews.length ? Math.round(at(done)) + 1 : 0);
    if (run.following && run.previews.length) {
      timeline.seek(timeline.available - 1);
      run.following = true;
    }
    zip.disabled = !packet.step;
    DDPM.live("train", "target", packet.prediction === "eps" ? "ε" : packet.prediction);
    if (packet.loss !== undefined) DDPM.live("train", "loss", packet.loss.toFixed(4));
    const so_far = `step ${packet.step || 0}, ${(packet.images_seen || 0).toLocaleString("en")} digits seen, ${packet.images_per_second || 0} a second`;
    if (packet.error) status.say(packet.error, true);
    else if (packet.active && packet.step === undefined) status.say("Waiting for a turn…");
    else if (packet.paused && packet.active) status.say(`Paused: ${so_far}. Press Pause again to go on.`);
    else if (packet.active) status.say(`${Math.ceil(packet.seconds_left)} s left: ${so_far}, loss ${packet.loss}`);
    else {
      status.say(`${packet.stopped ? "Stopped" : "Done"} after ${packet.seconds} s: ${so_far}, loss ${packet.loss}`);
    }
  }

  function begin(packet) {
    timeline.pause();
    run = { id: packet.run, previews: [], following: true };
    stage.shape(packet.n, packet.size, packet.channels);
    stage.show("x", null);
    timeline.setCurves([]);
  }

  function add(previews) {
    for (const preview of previews) run.previews[preview.k] = { ...preview, x: DDPM.bytes(preview.x) };
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

  // The latest preview at or before the playhead.
  function show(position) {
    run.following = position >= timeline.available - 1;
    const past = run.previews.filter((preview) => preview && run.at(preview) <= position);
    const preview = past[past.length - 1] || run.previews.find(Boolean);
    if (!preview) return;
    stage.show("x", preview.x);
    stage.caption("x", `After ${preview.seconds} s, step ${preview.step}: the same noise`);
    timeline.say(`${preview.seconds} s`);
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
