// What the inner tabs of Edit share: a run's x_t and x̂₀ over a timeline, its files, and its way into other tabs.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { live } from "../../components/dom.js";
import { saveRun } from "../../components/download.js";
import { pythonItems } from "../../components/python.js";
import { RunView } from "../../components/run_view.js";
import { COEFFICIENTS, levels } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { costOf, counted, Status } from "../../components/status.js";
import { openTab, tabs } from "../../components/tabs.js";
import { Timeline } from "../../components/timeline.js";

const PANES = ["x", "h"];

export class Result {
  // element, server: as the tab's script is mounted with.  name: the tab's.  before, after: panes around that of x_t;
  // seen(): the keys of those that are to be seen, if not all.  stage: its options.  idle: what to do first.
  // noisy: whether pictures begin as noise, and not as one that is given.
  // shown(frame, run): after a frame's x_t and x̂₀ are shown.  begin(run): another run.  other(packet): what is of none.
  // above(root), under(root): what stands over the stage, and between it and the status.
  constructor({ element, server }, { name, before = [], after = [], seen, stage, idle, noisy = false, shown = () => {}, begin = () => {}, other = () => {}, above = () => {}, under = () => {} }) {
    const all = [...before.map(({ key }) => key), "x", ...after.map(({ key }) => key)];
    Object.assign(this, { name, server, shown, chosen: 0, seen: seen || (() => all) });
    this.root = element.querySelector(".view");
    above(this.root);
    this.stage = new Stage(this.root, [...before, { key: "x", label: "xₜ", noisy }, { key: "h", label: "x̂₀  predicted x₀" }, ...after], stage);
    under(this.root);
    this.status = new Status(this.root, idle);
    this.timeline = new Timeline(this.root, { label: "step of the reverse process", titles: COEFFICIENTS, onseek: (position) => this.show(position) });
    const saving = this.timeline.addMenu("Save", {
      "PNG, the result": () => this.save("png"), "GIF, the animation": () => this.save("gif"), "Trajectory, for Reverse": () => this.save("trajectory"),
      ...pythonItems(server, this.status, () => ({ run: this.view.run.id })),
    });
    this.hat = this.timeline.addToggle("x̂₀", () => this.arrange(), "Show x̂₀, predicted x₀, too");
    this.sending = this.timeline.addMenu("Show in", {
      "Reverse: what happens on its way?": () => this.inReverse(), "Forward: the first, or the one pressed": () => this.inForward(),
    });
    this.view = new RunView({ root: this.root, stage: this.stage, status: this.status, timeline: this.timeline, saving, replay: server.replay }, {
      decode: ({ x_t, x0_hat, ...frame }) => ({ ...frame, x_t: fromBase64(x_t), x0_hat: fromBase64(x0_hat) }),
      starting: "Starting…",
      progress: (packet) => `Step ${packet.step} of ${packet.num_steps}: ${costOf(packet)}`,
      ended: (packet) => `${packet.stopped ? `Stopped at step ${packet.step} of ${packet.num_steps}` : counted(packet.num_steps, "step")}: ${costOf(packet)}.`,
      begin: (run) => { this.begin(run); begin(run); },
      added: () => this.show(this.timeline.position),
      finished: () => { this.sending.disabled = !this.view.run.frames.length; this.show(this.timeline.position); },
      other,
    });
    this.sending.disabled = true;
    this.stage.onpick = (i, pixel, key) => { if (PANES.includes(key)) this.choose(i); };
    this.axis([999, -1], [0, 1]);
    this.arrange();
  }

  arrange() {
    this.stage.arrange([...this.seen(), ...(this.hat.ariaPressed === "true" ? ["h"] : [])]);
  }

  receive(packet) {
    this.view.receive(packet);
  }

  get isStreaming() {
    const { id, packet } = this.view.run;
    return id !== null && !packet.done;
  }

  // Nothing is shown of a run any more: what was asked for has changed.
  forget() {
    this.view.forget();
    this.sending.disabled = true;
    this.timeline.places = null;
    this.timeline.setCount(2, 0);
    this.timeline.say("");
  }

  begin({ packet }) {
    this.sending.disabled = true;
    this.timeline.places = packet.places;
    this.timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.places.length));
    this.axis(packet.times, packet.signal);
    this.choose(0, false);
  }

  // t under the curves, and how much is noise over them.
  axis(times, signal) {
    const last = times.length - 1, noise = signal.map((a) => Math.sqrt(1 - a * a));
    const at = [...new Set([0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => Math.round(share * last)))];
    this.timeline.words = (k) => (times[k] < 0 ? "clean" : `t = ${times[k]}`);
    this.timeline.setCurves(levels(signal));
    this.timeline.setAxis({
      bottom: { label: "t", ticks: at.map((k) => ({ at: k, text: times[k] < 0 ? "clean" : String(times[k]) })) },
      top: { label: "noise", colour: "curve-b", ticks: at.map((k) => ({ at: k, text: noise[k].toFixed(2) })) },
    });
  }

  show(position) {
    const { run } = this.view, frame = run.frames[position];
    if (!frame) return;
    const clean = frame.t < 0, { packet } = run;
    this.stage.show("x", frame.x_t);
    this.stage.show("h", frame.x0_hat);
    this.stage.caption("x", clean ? "x₀  finished" : `${packet.latent ? "zₜ decoded" : "xₜ"}  at t = ${frame.t}`);
    this.timeline.say(clean ? "clean" : `t = ${frame.t}`);
    const signal = (t) => (t < 0 ? 1 : packet.signal[packet.times.indexOf(t)] ?? 0);
    live(this.name, "t", clean ? "clean" : frame.t);
    live(this.name, "s", frame.s === null ? "·" : frame.s < 0 ? "clean" : frame.s);
    live(this.name, "a", signal(frame.s ?? frame.t).toFixed(3));
    this.shown(frame, run);
  }

  // The picture that Forward would get.
  choose(i, framed = true) {
    this.chosen = i;
    for (const key of PANES) this.stage.frame(key, framed ? i : null);
  }

  get last() {
    return this.view.run.there.at(-1);
  }

  save(kind) {
    return saveRun(this.server, this.status, this.view.run.id, kind, kind === "trajectory" ? "Reverse opens it." : "Opened here, it makes the same again.");
  }

  async inReverse() {
    const packet = await this.server.in_reverse({ run: this.view.run.id });
    if (packet.error) return this.status.say(packet.error, true);
    (await openTab("Reverse")).receive(packet);
  }

  async inForward() {
    const { stage, chosen } = this, length = stage.size * stage.size * stage.channels;
    const x0 = this.last.x_t.slice(chosen * length, (chosen + 1) * length);
    await openTab("Forward");
    tabs.forward.receive({ x0: toBase64(x0), label: "" });
  }
}


// What a page calls itself towards the server, for whose questions one takes the place of the one before.
export const pen = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (v) => v.toString(16)).join("");
