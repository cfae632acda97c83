// The Reverse tab: shows the frames of a run as they come, keeps them, and plays them again without the server.
"use strict";

DDPM.reverse = (element, props, watch, server, trigger) => {
  const root = element.querySelector(".view");
  const panes = [{ key: "x", label: "xₜ  the sample" }, { key: "h", label: "x̂₀  the network's guess" }, { key: "b", label: "the branch" }];
  const stage = new DDPM.Stage(root, panes, {
    n: 16, empty: "Press Generate: 16 digits will come out of noise, step by step.",
  });
  stage.arrange(["x", "h"]);
  const status = new DDPM.Status(root, "Nothing generated yet.");
  const timeline = new DDPM.Timeline(root, {
    label: "step of the reverse process", ends: ["t = 999, noise", "clean"], onseek: show,
  });
  timeline.setCount(2, 0);
  timeline.onarrive = () => run.finish && run.finish();
  const enlarged = new DDPM.Enlarge(stage, panes);
  const life = DDPM.el("div", "life", enlarged.dialog.body), film = DDPM.el("div", "film", life), reading = DDPM.el("p", "hint", life);
  reading.setAttribute("role", "status");
  enlarged.onpicture = (i) => showLife(i);
  const saving = ["png", "gif"].map((kind) => timeline.addButton(`Save ${kind.toUpperCase()}`, () => save(kind)));
  for (const button of saving) button.disabled = true;
  let run = { id: null, frames: [] }, branch = null;

  function receive(packet) {
    if (!packet) return;
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.notice) return status.say(packet.notice);
    if (packet.parent) return receiveBranch(packet);
    if (packet.run !== run.id) begin(packet);
    add(packet.frames);
    const cost = costOf(packet);
    if (packet.done) {
      const end = packet.error || (packet.stopped ? `Stopped at step ${packet.step} of ${packet.num_steps}` : `${packet.num_steps} steps`);
      run.finish = () => {
        status.say(packet.error ? end : `${end}: ${cost}. Play it again, or drag the playhead.`, Boolean(packet.error));
        for (const button of saving) button.disabled = !run.frames.length;
      };
      if (!timeline.chasing) run.finish();
      fetchMissed(run);
    } else if (!run.frames.length) {
      status.say(packet.ahead > 0 ? `Waiting for a turn: ${packet.ahead} ahead.` : "Starting from pure noise…");
    } else {
      status.say(`Step ${packet.step} of ${packet.num_steps}: ${cost}`);
    }
  }

  // Another future of the run that is shown: the two run side by side from where they part.
  function receiveBranch(packet) {
    if (packet.parent !== run.id) return;
    if (branch?.id !== packet.run) {
      branch = { id: packet.run, from: packet.from, frames: run.frames.slice(0, packet.from), what: packet.what };
      timeline.pause();
      stage.show("b", null);
      stage.arrange(["x", "b"]);
    }
    for (const frame of packet.frames) branch.frames[frame.k] = decode(frame);
    if (packet.frames.length) timeline.seek(branch.frames.length - 1);
    const cost = costOf(packet);
    if (packet.error) status.say(packet.error, true);
    else if (packet.done) {
      status.say(`${packet.stopped ? "Branch stopped" : "Two futures"}: ${cost}. Drag the playhead to see where they part.`);
      fetchMissed(branch);
    } else status.say(`Branch: step ${packet.step} of ${packet.num_steps}, ${cost}`);
  }

  const costOf = (packet) => `${packet.evaluations} network evaluations, ${packet.seconds.toFixed(1)} s`;

  const decode = (frame) => ({ ...frame, x: DDPM.bytes(frame.x), h: DDPM.bytes(frame.h) });

  function begin(packet) {
    branch = null;
    stage.arrange(["x", "h"]);
    timeline.pause();
    timeline.position = 0;
    for (const button of saving) button.disabled = true;
    root.dataset.run = packet.run;
    run = { id: packet.run, frames: [], total: packet.total };
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
    for (const frame of frames) run.frames[frame.k] = decode(frame);
    timeline.grow(Math.max(run.total, run.frames.length), run.frames.length);
  }

  async function fetchMissed(of) {
    const have = of.frames.filter(Boolean).map((frame) => frame.k);
    if (have.length === of.frames.length) return;
    const answer = await server.replay({ run: of.id, have });
    if (of === run) add(answer.frames);
    else for (const frame of answer.frames) of.frames[frame.k] = decode(frame);
  }

  function show(position) {
    const frame = run.frames[position];
    if (!frame) return;
    stage.show("x", frame.x);
    stage.show("h", frame.h);
    const clean = frame.t < 0;
    if (branch) stage.show("b", branch.frames[position]?.x || null);
    if (branch) stage.caption("b", position < branch.from ? "the branch: the same past" : `the branch: ${branch.what}`);
    stage.caption("x", clean ? "x₀  the finished sample" : `xₜ  at t = ${frame.t}`);
    timeline.say(clean ? "finished" : `t = ${frame.t}`);
    enlarged.update();
    const step = clean ? run.frames[position - 1] : frame; // a finished sample shows the step that finished it
    if (!step) return;
    DDPM.live("reverse", "s", step.s < 0 ? "clean" : step.s);
    for (const i of [0, 1, 2]) DDPM.live("reverse", `c${i}`, step.c[i].toFixed(3).replace("-", "−"));
  }

  // The guesses for one digit along its run, and what the judge reads in each: when does it become what it is?
  async function showLife(i) {
    const { id, frames } = run, there = frames.map((frame, k) => k).filter((k) => frames[k]), length = stage.size * stage.size * stage.channels;
    const count = Math.min(10, there.length);
    const shown = Array.from({ length: count }, (_, j) => there[Math.round((j * (there.length - 1)) / Math.max(1, count - 1))]);
    film.replaceChildren();
    reading.textContent = "The judge reads…";
    const texts = new Map(shown.map((k) => {
      const { t, h } = frames[k];
      const { canvas, text } = DDPM.filmFrame(film, t < 0 ? "finished" : `t = ${t}`, () => { timeline.pause(); timeline.seek(k); });
      DDPM.thumbnail(canvas, h.slice(i * length, (i + 1) * length), stage.size, stage.channels);
      return [k, text];
    }));
    const answer = await server.readings({ run: id, i });
    if (id !== run.id || i !== enlarged.i) return;
    if (answer.error) return void (reading.textContent = answer.error);
    for (const [k, text] of texts) text.textContent = answer.digits[k];
    const last = answer.digits.at(-1), since = answer.digits.findLastIndex((digit) => digit !== last) + 1, t = frames[since]?.t;
    const certain = Math.round(100 * answer.confidence.at(-1));
    reading.textContent = since === 0 ? `Read as ${last} from the first guess on; ${certain} % certain at the end.`
      : `Its guess x̂₀ is read as ${last} from ${t < 0 ? "the finish" : `t = ${t}`} on; ${certain} % certain at the end.`;
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

  DDPM.tabs.reverse = { at: () => ({ run: run.id, k: run.frames[timeline.position]?.k ?? null }) };
  watch("value", () => receive(props.value));
};
