// The Reverse tab: shows the frames of a run as they come, keeps them, and plays them again without the server.
"use strict";

DDPM.reverse = (element, props, watch, server, trigger) => {
  const root = element.querySelector(".view");
  const panes = [{ key: "x", label: "xₜ  the sample" }, { key: "h", label: "x̂₀  the network's guess" }];
  const stage = new DDPM.Stage(root, panes, {
    n: 16, empty: "Press Generate: 16 digits will come out of noise, step by step.",
  });
  const status = new DDPM.Status(root, "Nothing generated yet.");
  const timeline = new DDPM.Timeline(root, {
    label: "step of the reverse process", ends: ["t = 999, noise", "clean"], onseek: show,
  });
  timeline.setCount(2, 0);
  timeline.onarrive = () => run.finish && run.finish();
  const enlarged = new DDPM.Enlarge(stage, panes);
  const saving = ["png", "gif"].map((kind) => timeline.addButton(`Save ${kind.toUpperCase()}`, () => save(kind)));
  for (const button of saving) button.disabled = true;
  let run = { id: null, frames: [] };

  function receive(packet) {
    if (!packet) return;
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.notice) return status.say(packet.notice);
    if (packet.run !== run.id) begin(packet);
    add(packet.frames);
    const cost = `${packet.evaluations} network evaluations, ${packet.seconds.toFixed(1)} s`;
    if (packet.done) {
      const end = packet.error || (packet.stopped ? `Stopped at step ${packet.step} of ${packet.num_steps}` : `${packet.num_steps} steps`);
      run.finish = () => {
        status.say(packet.error ? end : `${end}: ${cost}. Play it again, or drag the playhead.`, Boolean(packet.error));
        for (const button of saving) button.disabled = !run.frames.length;
      };
      if (!timeline.chasing) run.finish();
      fetchMissed();
    } else if (!run.frames.length) {
      status.say(packet.ahead > 0 ? `Waiting for a turn: ${packet.ahead} ahead.` : "Starting from pure noise…");
    } else {
      status.say(`Step ${packet.step} of ${packet.num_steps}: ${cost}`);
    }
  }

  function begin(packet) {
    timeline.pause();
    timeline.position = 0;
    for (const button of saving) button.disabled = true;
    root.dataset.run = packet.run;
    run = { id: packet.run, frames: [], total: packet.total, sampler: packet.sampler };
    stage.shape(packet.n, packet.size, packet.channels);
    timeline.ends = [`t = ${packet.times[0]}, noise`, "clean"];
    timeline.setCount(packet.total, 0);
    timeline.setCurves([
      { label: "√ᾱ", y: packet.signal, colour: "a", mark: true },
      { label: "√(1−ᾱ)", y: packet.signal.map((a) => Math.sqrt(1 - a * a)), colour: "b", mark: true, dash: [6, 4] },
    ]);
    timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.total));
    for (const node of document.querySelectorAll("#reverse-margin [data-sampler]")) node.hidden = node.dataset.sampler !== packet.sampler;
  }

  // Frames are placed by their k: Gradio may drop packets when the page is slow.
  function add(frames) {
    if (!frames.length) return;
    for (const frame of frames) run.frames[frame.k] = { ...frame, x: DDPM.bytes(frame.x), h: DDPM.bytes(frame.h) };
    timeline.grow(Math.max(run.total, run.frames.length), run.frames.length);
  }

  async function fetchMissed() {
    const have = run.frames.filter(Boolean).map((frame) => frame.k);
    if (have.length === run.frames.length) return;
    const id = run.id, answer = await server.replay({ run: id, have });
    if (id === run.id) add(answer.frames);
  }

  function show(position) {
    const frame = run.frames[position];
    if (!frame) return;
    stage.show("x", frame.x);
    stage.show("h", frame.h);
    const clean = frame.t < 0;
    stage.caption("x", clean ? "x₀  the finished sample" : `xₜ  at t = ${frame.t}`);
    timeline.say(clean ? "finished" : `t = ${frame.t}`);
    enlarged.update();
    const step = clean ? run.frames[position - 1] : frame; // a finished sample shows the step that finished it
    if (!step) return;
    DDPM.live("reverse", "s", step.s < 0 ? "clean" : step.s);
    for (const i of [0, 1, 2]) DDPM.live("reverse", `c${i}`, step.c[i].toFixed(3).replace("-", "−"));
  }

  async function save(kind) {
    status.say(`Making the ${kind.toUpperCase()}…`);
    const { error, name, data } = await server.picture({ run: run.id, kind });
    if (error) return status.say(error, true);
    DDPM.download(name, DDPM.bytes(data), `image/${kind}`);
    status.say(`Saved ${name}. Its recipe is in it: drop it on this page to restore the settings.`);
  }

  // A dropped PNG or GIF that was saved here: its first bytes hold the recipe, which the server reads and checks.
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", async (event) => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (!file) return;
    const head = new Uint8Array(await file.slice(0, 65536).arrayBuffer());
    trigger("submit", { head: DDPM.base64(head) });
  });

  watch("value", () => receive(props.value));
};
