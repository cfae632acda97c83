// Compare: lanes side by side from the same noise.  A race of samplers, or one knob at several values.
"use strict";

DDPM.LANES = [{ colour: "b", dash: [8, 4] }, { colour: "a" }, { colour: "d", dash: [2, 3] }, { colour: "e", dash: [10, 3] }];

DDPM.LaneView = class {
  // count: of panes there may be.  stage: see DDPM.Stage.  race: whether lanes differ in kind, with a legend and words.
  constructor(root, server, { count, stage, empty, idle, race, file }) {
    Object.assign(this, { server, file, race });
    this.keys = Array.from({ length: count }, (_, i) => `lane${i}`);
    this.stage = new DDPM.Stage(root, this.keys.map((key) => ({ key, label: "" })), { ...stage, empty });
    this.status = new DDPM.Status(root, idle);
    this.timeline = new DDPM.Timeline(root, { label: "network evaluations", ends: ["0 evaluations", ""], onseek: (e) => this.show(e) });
    this.timeline.setCount(2, 0);
    this.timeline.onarrive = () => this.finish();
    this.saving = this.timeline.addButton("Save PNG", async () => DDPM.download(this.file(), await this.stage.png(), "image/png"));
    this.saving.disabled = true;
    this.run = { id: null, lanes: [] };
  }

  receive(packet) {
    if (!packet) return;
    if (packet.error && !packet.run) return this.status.say(packet.error, true);
    if (packet.notice) return this.status.say(packet.notice);
    if (packet.run !== this.run.id) this.begin(packet);
    this.add(packet.frames);
    this.run.packet = packet;
    packet.lanes.forEach((lane, i) => this.describe(i, lane));
    const used = packet.lanes.map((lane) => lane.evaluations);
    const reached = Math.max(...used), running = packet.lanes.filter((lane) => !lane.finished).length;
    this.timeline.grow(this.run.total + 1, this.run.lanes.some((frames) => frames.length) ? reached + 1 : 0);
    if (packet.done) {
      this.fetchMissed();
      if (!this.timeline.chasing) this.finish();
    } else if (!reached) this.status.say(packet.ahead > 0 ? DDPM.waiting(packet) : "Starting from pure noise…");
    else if (running) this.status.say(`${reached} network evaluations a lane; ${running} still running`);
    else if (packet.reference) this.status.say(`Where does the ODE lead? DDIM, step ${packet.reference[0]} of ${packet.reference[1]}`);
    else this.status.say("Classifying the digits…");
  }

  begin(packet) {
    const { about } = packet;
    this.timeline.pause();
    this.timeline.position = 0;
    this.saving.disabled = true;
    this.run = { id: packet.run, lanes: about.map(() => []), about, labels: packet.labels, total: Math.max(...about.map((lane) => lane.total)) };
    this.stage.root.parentElement.dataset.run = packet.run;
    this.stage.shape(packet.n, packet.size, packet.channels);
    this.stage.arrange(this.keys.slice(0, about.length));
    about.forEach((lane, i) => {
      this.stage.show(this.keys[i], null);
      this.stage.mark(this.keys[i], null);
      this.stage.caption(this.keys[i], this.race ? `${lane.name}  ${lane.how}` : lane.name);
    });
    this.timeline.ends = ["0 evaluations, noise √(1−ᾱ) = 1", `${this.run.total}`];
    this.timeline.setCount(this.run.total + 1, 0);
    this.timeline.frameMs = Math.max(25, Math.min(200, 4000 / this.run.total));
    this.timeline.setCurves(about.map((lane, i) => ({
      label: this.race ? lane.name : "", x: lane.at, y: lane.noise, ...(this.race ? DDPM.LANES[i] : { colour: "a", width: 1.5 }),
    })));
  }

  add(frames) {
    for (const frame of frames) this.run.lanes[frame.lane][frame.k] = { ...frame, x: DDPM.bytes(frame.x) };
  }

  // Under a lane: what it has cost, and at the end how it did.
  describe(i, { evaluations, seconds, finished, digits, distance }) {
    const { about, labels } = this.run, how = [];
    const right = digits && labels && labels[0] >= 0 ? digits.filter((d, k) => d === labels[k]).length : null;
    if (!this.race) return this.stage.say(this.keys[i], [`${evaluations} evals`, right === null ? "" : `${right}/${digits.length} right`]);
    if (right !== null) how.push(`${right} of ${digits.length} classified as asked`);
    if (distance !== undefined) how.push(`d = ${distance.toFixed(3)}`);
    else if (finished && !about[i].deterministic) how.push("stochastic");
    this.stage.say(this.keys[i], [`${evaluations} of ${about[i].total} evaluations, ${seconds.toFixed(1)} s`, how.join(", ")]);
  }

  // Only once the animation has arrived, so that nothing is told before it is seen.
  finish() {
    const { packet } = this.run;
    if (!packet || !packet.done) return;
    this.saving.disabled = !this.run.lanes.some((frames) => frames.length);
    if (packet.error) this.status.say(packet.error, true);
    else if (packet.stopped && packet.lanes.some((lane) => !lane.finished)) this.status.say("Stopped. Drag the playhead to look at how far each came.");
    else this.status.say("All finished. Play it again, or drag the playhead.");
    this.show(this.timeline.position);
  }

  async fetchMissed() {
    const { id, lanes, packet } = this.run;
    if (packet.lanes.every((lane, i) => lanes[i].filter(Boolean).length >= lane.frames)) return;
    const answer = await this.server.replay({ run: id });
    if (id !== this.run.id) return;
    this.add(answer.frames);
    this.show(this.timeline.position);
  }

  // The latest frame that each lane had after so many evaluations.
  show(evaluations) {
    const { lanes, packet, labels } = this.run;
    lanes.forEach((frames, i) => {
      const there = frames.filter(Boolean), frame = there.findLast((one) => one.e <= evaluations) || there[0];
      if (!frame) return;
      this.stage.show(this.keys[i], frame.x);
      const digits = frame.t < 0 && packet ? packet.lanes[i].digits : null;
      const marks = digits ? digits.map((d, k) => ({ text: String(d), wrong: Boolean(labels) && labels[k] >= 0 && labels[k] !== d })) : null;
      this.stage.mark(this.keys[i], marks);
    });
    this.timeline.say(`${evaluations} evaluation${evaluations === 1 ? "" : "s"}`);
  }
};

DDPM.race = (element, props, watch, server) => {
  const view = new DDPM.LaneView(element.querySelector(".view"), server, {
    count: 4, race: true, stage: { n: 6, foot: 40, captionWidth: 195, tall: 2.5 }, idle: "Nothing raced yet.",
    empty: "Press Race: each lane turns the same noise into digits, in its own way.",
    file: () => `race-${view.run.id.slice(0, 6)}.png`,
  });
  view.stage.arrange(view.keys.slice(0, 3));
  watch("value", () => view.receive(props.value));
};

DDPM.knob = (element, props, watch, server) => {
  const view = new DDPM.LaneView(element.querySelector(".view"), server, {
    count: 6, race: false, stage: { n: 5, columns: 1, foot: 40, captionWidth: 60, tall: 2.5 }, idle: "Nothing turned yet.",
    empty: "Choose a knob and press Vary: the same noise, with the knob at six values.",
    file: () => `knob-${view.run.id.slice(0, 6)}.png`,
  });
  watch("value", () => view.receive(props.value));
};

// The lanes of a race, each with its own controls.
DDPM.laneEditor = (root, { samplers, spacings, suited, with_eta, lanes: start, fewest }) => {
  const lanes = [];

  function choice(parent, options, value, label) {
    const select = DDPM.el("select", "", parent);
    for (const [name, text] of Object.entries(options)) DDPM.el("option", "", select, text).value = name;
    select.value = value;
    select.setAttribute("aria-label", label);
    return select;
  }

  function number(parent, text, value, step, label) {
    const wrap = DDPM.el("label", "", parent, text), input = DDPM.el("input", "", wrap);
    Object.assign(input, { type: "number", value, step, min: 0 });
    input.setAttribute("aria-label", label);
    return input;
  }

  start.forEach((lane, i) => {
    const letter = "ABCD"[i], card = DDPM.el("fieldset", `lane ${DDPM.LANES[i].colour}`, root), row = DDPM.el("div", "row", card);
    DDPM.el("b", "", row, letter);
    const sampler = choice(row, samplers, lane.sampler, `Lane ${letter}: sampler`);
    const steps = number(row, "steps", lane.steps, 1, `Lane ${letter}: steps`);
    const rest = DDPM.el("details", "", card), summary = DDPM.el("summary", "", rest), second = DDPM.el("div", "row", rest);
    const guidance = number(second, "guidance", lane.guidance, 0.1, `Lane ${letter}: guidance`);
    const eta = number(second, "eta", lane.eta, 0.1, `Lane ${letter}: eta`);
    const spacing = choice(second, spacings, lane.spacing, `Lane ${letter}: spacing`);
    const say = () => {
      const has = with_eta.includes(sampler.value);
      eta.parentElement.hidden = !has;
      const noise = has ? `, η ${eta.value}` : "";
      summary.textContent = `guidance ${guidance.value}${noise}, ${spacings[spacing.value]}`;
    };
    sampler.addEventListener("change", () => { spacing.value = suited[sampler.value]; });
    card.addEventListener("input", say);
    card.addEventListener("change", say);
    say();
    const value = (input) => (input.value === "" ? null : Number(input.value));
    lanes.push({ card, read: () => ({ sampler: sampler.value, steps: value(steps), eta: value(eta), guidance: value(guidance), spacing: spacing.value }) });
  });

  const row = DDPM.el("div", "row", root);
  let count = 3;
  const button = (text, by) => {
    const node = DDPM.el("button", "", row, text);
    node.type = "button";
    node.addEventListener("click", () => { count += by; arrange(); });
    return node;
  };
  const fewer = button("− lane", -1), another = button("+ lane", 1);
  function arrange() {
    lanes.forEach(({ card }, i) => { card.hidden = i >= count; });
    fewer.disabled = count <= fewest;
    another.disabled = count >= lanes.length;
  }
  arrange();
  DDPM.tabs.race = { lanes: () => lanes.slice(0, count).map((lane) => lane.read()) };
};
