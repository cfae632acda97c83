// The Reverse tab: shows the frames of a run as they come, keeps them, and plays them again without the server.
"use strict";

DDPM.reverse = (element, props, watch, server) => {
  const root = element.querySelector(".view");
  const panes = [
    { key: "x", label: "xₜ  the sample" }, { key: "h", label: "x̂₀  predicted x₀" }, { key: "eps", label: "ε̂  the noise it sees" },
    { key: "b", label: "the branch" }, { key: "bh", label: "x̂₀  predicted by the branch" }, { key: "beps", label: "ε̂  the branch's noise" },
  ];
  const stage = new DDPM.Stage(root, panes, {
    n: 16, empty: "Press Generate: 16 digits will come out of noise, step by step.",
  });
  const status = new DDPM.Status(root, "Nothing generated yet.");
  const timeline = new DDPM.Timeline(root, { label: "step of the reverse process", onseek: show });
  timeline.setCount(2, 0);
  axis({ times: [999, -1], signal: [0, 1] });
  timeline.onarrive = () => run.finish && run.finish();
  const enlarged = new DDPM.Enlarge(stage, panes, () => {
    if (!branch) return ["x", "h", "eps"];
    return window.innerWidth < 600 ? ["x", "b", "h", "bh", "eps", "beps"] : ["x", "h", "eps", "b", "bh", "beps"];
  });
  const life = new DDPM.Life(enlarged.dialog.body, timeline, server);
  enlarged.onpicture = showLife;
  const eps = timeline.addToggle("ε̂", arrange, "Show ε̂, the noise that the network sees");
  const saving = timeline.addMenu("Save", {
    "PNG, the digits": () => save("png"), "GIF, the animation": () => save("gif"), "Trajectory, to go on from": () => save("trajectory"),
    "Trajectory of the branch": () => save("trajectory", branch),
  });
  saving.disabled = true;
  const past = new Set(); // runs that were shown before: what still comes of them is late
  let run = { id: null, frames: [] }, branch = null;
  arrange();

  function arrange() {
    const seen = branch ? ["x", "b"] : ["x", "h"];
    if (eps.ariaPressed === "true") seen.push(...(branch ? ["eps", "beps"] : ["eps"]));
    stage.arrange(seen);
    saving.items.at(-1).hidden = !branch?.done;
  }

  function receive(packet) {
    if (!packet) return;
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.notice) return status.say(packet.notice);
    if (packet.parent) return receiveBranch(packet);
    if (past.has(packet.run)) return;
    if (packet.run !== run.id) begin(packet);
    add(packet.frames);
    if (packet.done) {
      run.finish = () => {
        status.say(endOf(packet), Boolean(packet.error));
        saving.disabled = !run.frames.length;
        showLife();
      };
      if (!timeline.chasing) run.finish();
      fetchMissed(run);
    } else if (!run.frames.length) {
      status.say(packet.ahead > 0 ? DDPM.waiting(packet) : "Starting from pure noise…");
    } else {
      status.say(`Step ${packet.step} of ${packet.num_steps}: ${costOf(packet)}`);
    }
  }

  function endOf(packet) {
    if (packet.error || packet.opened) return packet.error || packet.opened;
    const end = packet.stopped ? `Stopped at step ${packet.step} of ${packet.num_steps}` : `${packet.num_steps} steps`;
    return `${end}: ${costOf(packet)}. Play it, drag the playhead, or branch.`;
  }

  // Another future of the run that is shown: the two run side by side from where they part.
  function receiveBranch(packet) {
    if (packet.parent !== run.id) return;
    if (branch?.id !== packet.run) {
      branch = { id: packet.run, from: packet.from, frames: run.frames.slice(0, packet.from), what: packet.what };
      timeline.pause();
      for (const key of ["b", "bh", "beps"]) stage.show(key, null);
      arrange();
      axis(packet);
    }
    for (const frame of packet.frames) branch.frames[frame.k] = decode(frame);
    timeline.setCount(packet.total, Math.max(run.frames.length, branch.frames.length));
    if (packet.frames.length) timeline.seek(branch.frames.length - 1);
    if (packet.error) status.say(packet.error, true);
    else if (packet.done) {
      status.say(`${packet.stopped ? "Branch stopped" : "Two futures"}: ${costOf(packet)}. Drag the playhead to see where they part.`);
      fetchMissed(branch);
      showLife();
      branch.done = true;
      arrange();
    } else status.say(`Branch: step ${packet.step} of ${packet.num_steps}, ${costOf(packet)}`);
  }

  const costOf = (packet) => `${packet.evaluations} network evaluations, ${packet.seconds.toFixed(1)} s`;

  const decode = (frame) => ({ ...frame, x: DDPM.bytes(frame.x), h: DDPM.bytes(frame.h), eps: frame.eps && DDPM.bytes(frame.eps) });

  function begin(packet) {
    past.add(run.id);
    branch = null;
    arrange();
    timeline.pause();
    timeline.position = 0;
    saving.disabled = true;
    root.dataset.run = packet.run;
    run = { id: packet.run, frames: [], total: packet.total };
    stage.shape(packet.n, packet.size, packet.channels);
    timeline.setCount(packet.total, 0);
    axis(packet);
    timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.total));
    for (const node of document.querySelectorAll("#reverse-margin [data-sampler]")) node.hidden = node.dataset.sampler !== packet.sampler;
  }

  // t under the curves, and over them how much of x_t is noise.
  function axis({ times, signal }) {
    const noise = signal.map((a) => Math.sqrt(1 - a * a)), last = times.length - 1;
    const at = [...new Set([0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => Math.round(share * last)))];
    timeline.setCurves(DDPM.SCHEDULES.levels(signal));
    timeline.setAxis({
      bottom: { label: "t", ticks: at.map((k) => ({ at: k, text: times[k] < 0 ? "clean" : String(times[k]) })) },
      top: { label: "noise", colour: "curve-b", ticks: at.map((k) => ({ at: k, text: noise[k].toFixed(2) })) },
    });
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
    const last = run.frames.length - 1, over = position > last; // a run that was stopped ends before its branch does
    const frame = run.frames[over ? last : position], other = branch?.frames[position], now = over ? other : frame;
    if (!frame || !now) return;
    const clean = frame.t < 0, shared = branch && position < branch.from;
    stage.show("x", frame.x);
    stage.show("h", frame.h);
    stage.show("eps", frame.eps);
    stage.caption("x", clean ? "x₀  the finished sample" : over ? `xₜ  stopped at t = ${frame.t}` : `xₜ  at t = ${frame.t}`);
    stage.caption("eps", clean ? "ε̂  none: it is finished" : "ε̂  the noise it sees");
    if (branch) {
      stage.show("b", other?.x || null);
      stage.show("bh", other?.h || null);
      stage.show("beps", other?.eps || null);
      stage.caption("b", shared ? "branch: the same past" : `branch: ${branch.what}`);
    }
    timeline.say(now.t < 0 ? "finished" : `t = ${now.t}`);
    enlarged.update();
    life.mark(position);
    const step = now.t < 0 ? (over ? branch : run).frames[position - 1] : now; // a finished sample shows the step that finished it
    if (!step) return;
    DDPM.live("reverse", "s", step.s < 0 ? "clean" : step.s);
    for (const i of [0, 1, 2]) DDPM.live("reverse", `c${i}`, step.c[i].toFixed(3).replace("-", "−"));
  }

  function showLife() {
    if (enlarged.dialog.open) life.show(enlarged.i, stage, branch ? [run, branch] : [run]);
  }

  async function save(kind, of = run) {
    status.say("Making the file…");
    const { error, name, data, note } = await server.file({ run: of.id, kind });
    if (error) return status.say(error, true);
    DDPM.download(name, DDPM.bytes(data), kind === "trajectory" ? "application/octet-stream" : `image/${kind}`);
    status.say(note || `Saved ${name}. Drop it here to get ${kind === "trajectory" ? "it" : "its settings"} back.`);
  }

  // A file that is dropped goes the way of one that is chosen: through the upload button's own input.
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    const { files } = event.dataTransfer, input = document.querySelector("#reverse-open").previousElementSibling;
    if (!files.length) return;
    if (!input.accept.split(", ").some((ending) => files[0].name.toLowerCase().endsWith(ending))) {
      return status.say("That is neither a picture nor a trajectory that was saved on this page.", true);
    }
    input.files = files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  DDPM.tabs.reverse = { at: () => ({ run: run.id, k: Math.min(timeline.position, run.frames.length - 1) }) };
  watch("value", () => receive(props.value));
};

// One digit along its run, and along its branch: x̂₀ at each step, and how it is classified. When does it become a 7?
DDPM.Life = class {
  constructor(parent, timeline, server) {
    Object.assign(this, { timeline, server, root: DDPM.el("div", "life", parent), marks: [] });
  }

  // runs: [{id, frames}], the second of which is a branch.
  show(i, stage, runs) {
    this.root.replaceChildren();
    this.marks = [];
    this.now = {};
    runs.forEach((run, j) => this.one(i, stage, run, j ? "The branch's" : "Its", this.now));
    this.mark(this.timeline.position);
  }

  async one(i, { size, channels }, { id, frames }, whose, now) {
    const recording = DDPM.el("div", "recording", this.root), reading = DDPM.el("p", "hint", this.root, "Classifying…");
    reading.setAttribute("role", "status");
    const there = frames.map((frame, k) => k).filter((k) => frames[k]), length = size * size * channels;
    const count = Math.min(10, there.length, Math.floor(this.root.clientWidth / 54));
    const shown = Array.from({ length: count }, (_, j) => there[Math.round((j * (there.length - 1)) / Math.max(1, count - 1))]);
    const texts = new Map(shown.map((k) => {
      const { t, h } = frames[k], go = () => { this.timeline.pause(); this.timeline.seek(k); };
      const { button, canvas, text } = DDPM.frameButton(recording, t < 0 ? "finished" : `t = ${t}`, go);
      DDPM.thumbnail(canvas, h.slice(i * length, (i + 1) * length), size, channels);
      this.marks.push({ button, k });
      return [k, { button, text }];
    }));
    const answer = await this.server.readings({ run: id, i });
    if (now !== this.now) return; // something else is looked at by now
    if (answer.error) return void (reading.textContent = answer.error);
    const { digits, confidence } = answer, percent = (k) => `${Math.round(100 * confidence[k])}\u202f%`;
    for (const [k, { button, text }] of texts) {
      text.textContent = `${digits[k]} ${percent(k)}`;
      button.title = `${button.title}: classified as ${digits[k]}, ${percent(k)} certain`;
      button.setAttribute("aria-label", button.title);
    }
    const end = digits.length - 1, since = digits.findLastIndex((digit) => digit !== digits[end]) + 1, t = frames[since]?.t;
    const from = since === 0 ? "from the first on" : t < 0 ? "only when it is finished" : `from t = ${t} on`;
    reading.textContent = `${whose} x̂₀ is classified as ${digits[end]} ${from}; the classifier is ${percent(end)} certain at the end.`;
  }

  // The frame of each recording that the playhead has come to.
  mark(position) {
    for (const { button, k } of this.marks) {
      const next = this.marks.filter((other) => other.button.parentElement === button.parentElement && other.k > k).at(0);
      button.classList.toggle("now", k <= position && !(next && next.k <= position));
    }
  }
};
