// Lanes side by side from the same noise, as Race and Vary one setting show them.
import { fromBase64 } from "../../components/base64.js";
import { download } from "../../components/download.js";
import { RunView } from "../../components/run_view.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { Timeline } from "../../components/timeline.js";

export const LANES = [{ colour: "b", dash: [8, 4] }, { colour: "a" }, { colour: "d", dash: [2, 3] }, { colour: "e", dash: [10, 3] }];

export class LaneView {
  // name: of the tab.  count: of panes there may be.  idle: to be said at first.  stage: see Stage.
  // race: whether lanes differ in kind, with a legend and words.
  constructor({ element, props, watch, server }, { name, count, stage, idle, race }) {
    const root = element.querySelector(".view");
    this.race = race;
    this.keys = Array.from({ length: count }, (_, i) => `lane${i}`);
    this.stage = new Stage(root, this.keys.map((key) => ({ key, label: "" })), stage);
    this.status = new Status(root, idle);
    this.timeline = new Timeline(root, { label: "network evaluations", ends: ["0 evaluations", ""], onseek: (e) => this.show(e) });
    const file = () => `${name}-${this.view.run.id.slice(0, 6)}.png`;
    const saving = this.timeline.addButton("Save PNG", async () => download(file(), await this.stage.png(), "image/png"));
    this.view = new RunView({ root, stage: this.stage, status: this.status, timeline: this.timeline, saving, replay: server.replay }, {
      decode: (frame) => ({ ...frame, x_t: fromBase64(frame.x_t) }),
      begin: (run) => this.begin(run),
      added: ({ packet }) => packet.lanes.forEach((lane, i) => this.describe(i, lane)),
      grow: ({ packet, frames }) => frames.length && this.timeline.grow(packet.total, this.reached(packet) + 1),
      starting: "Starting from pure noise…",
      progress: (packet) => this.progress(packet),
      ended: ({ stopped, lanes }) => {
        const early = stopped && lanes.some((lane) => !lane.finished);
        return early ? "Stopped. Drag the playhead to look at how far each came." : "All finished. Play it again, or drag the playhead.";
      },
      finished: () => this.show(this.timeline.position),
    });
    watch("value", () => this.view.receive(props.value));
    this.view.receive(props.value);
  }

  reached({ lanes }) {
    return Math.max(...lanes.map((lane) => lane.evaluations));
  }

  progress(packet) {
    const running = packet.lanes.filter((lane) => !lane.finished).length;
    if (running) return `${this.reached(packet)} network evaluations a lane; ${running} still running`;
    if (packet.reference) return `Where does the ODE lead? DDIM, step ${packet.reference[0]} of ${packet.reference[1]}`;
    return "Classifying the digits…";
  }

  begin({ packet: { about, total } }) {
    this.stage.arrange(this.keys.slice(0, about.length));
    about.forEach((lane, i) => {
      this.stage.show(this.keys[i], null);
      this.stage.mark(this.keys[i], null);
      this.stage.caption(this.keys[i], this.race ? `${lane.name}  ${lane.how}` : lane.name);
    });
    this.timeline.ends = ["0 evaluations, noise √(1−ᾱ) = 1", `${total - 1}`];
    this.timeline.setCount(total, 0);
    this.timeline.frameMs = Math.max(25, Math.min(200, 4000 / (total - 1)));
    this.timeline.setCurves(about.map((lane, i) => ({
      label: this.race ? lane.name : "", x: lane.at, y: lane.noise, ...(this.race ? LANES[i] : { colour: "a", width: 1.5 }),
    })));
  }

  // Under a lane: what it has cost, and at the end how it did.
  describe(i, { evaluations, seconds, finished, digits, distance }) {
    const { about, labels } = this.view.run.packet, how = [];
    const right = digits && labels && labels[0] >= 0 ? digits.filter((d, k) => d === labels[k]).length : null;
    if (!this.race) return this.stage.say(this.keys[i], [`${evaluations} evals`, right === null ? "" : `${right}/${digits.length} right`]);
    if (right !== null) how.push(`${right} of ${digits.length} classified as asked`);
    if (distance !== undefined) how.push(`d = ${distance.toFixed(3)}`);
    else if (finished && !about[i].deterministic) how.push("stochastic");
    this.stage.say(this.keys[i], [`${evaluations} of ${about[i].total} evaluations, ${seconds.toFixed(1)} s`, how.join(", ")]);
  }

  // The latest frame that each lane had after so many evaluations.
  show(evaluations) {
    const { packet, there } = this.view.run;
    packet.lanes?.forEach((lane, i) => {
      const frames = there.filter((frame) => frame.lane === i), frame = frames.findLast((one) => one.evaluations <= evaluations) || frames[0];
      if (!frame) return;
      this.stage.show(this.keys[i], frame.x_t);
      const digits = frame.t < 0 ? lane.digits : null, { labels } = packet;
      const marks = digits ? digits.map((d, k) => ({ text: String(d), wrong: Boolean(labels) && labels[k] >= 0 && labels[k] !== d })) : null;
      this.stage.mark(this.keys[i], marks);
    });
    this.timeline.say(`${evaluations} evaluation${evaluations === 1 ? "" : "s"}`);
  }
}
