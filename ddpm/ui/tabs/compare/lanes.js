// Lanes side by side from the same noise, as Race and Vary one setting show them.
import { fromBase64 } from "../../components/base64.js";
import { download } from "../../components/download.js";
import { copyPython, pythonItems } from "../../components/python.js";
import { RunView } from "../../components/run_view.js";
import { Stage } from "../../components/stage.js";
import { counted, Status } from "../../components/status.js";
import { Timeline } from "../../components/timeline.js";

export const LANES = [{ colour: "b", dash: [8, 4] }, { colour: "a" }, { colour: "d", dash: [2, 3] }, { colour: "e", dash: [10, 3] }];

const inSeconds = (seconds) => `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;

export class LaneView {
  // name: of the tab.  count: of panes there may be.  idle: to be said at first.  stage: see Stage.
  // race: whether lanes differ in kind, with a legend and words.
  constructor({ element, props, watch, server }, { name, count, stage, idle, race }) {
    const root = element.querySelector(".view");
    this.race = race;
    this.keys = Array.from({ length: count }, (_, i) => `lane${i}`);
    this.stage = new Stage(root, this.keys.map((key) => ({ key, label: "", noisy: true })), stage);
    this.status = new Status(root, idle);
    this.timeline = new Timeline(root, { label: "network evaluations", titles: { x: "network evaluations", y: "noise √(1−ᾱ)" }, words: (place) => this.words(place), onseek: (e) => this.show(e) });
    const file = () => `${name}-${this.view.run.id.slice(0, 6)}.png`;
    const question = () => ({ run: this.view.run.id });
    const saving = this.timeline.addMenu("Save", {
      "PNG, the pictures": async () => download(file(), await this.stage.png(), "image/png"),
      ...pythonItems(server, this.status, question),
      ...Object.fromEntries(this.keys.map((key, lane) => [`Copy ${lane}`, () => copyPython(server, this.status, { ...question(), lane })])),
    });
    this.ofLanes = saving.items.slice(-count);
    this.view = new RunView({ root, stage: this.stage, status: this.status, timeline: this.timeline, saving, replay: server.replay }, {
      decode: (frame) => ({ ...frame, x_t: fromBase64(frame.x_t) }),
      begin: (run) => this.begin(run),
      added: (run) => this.added(run),
      grow: ({ packet, frames }) => frames.length && this.timeline.grow(packet.total, this.reached(packet) + 1),
      starting: "Starting from pure noise…",
      progress: (packet) => this.progress(packet),
      ended: ({ stopped, lanes, about, unit }) => {
        if (stopped && lanes.some((lane) => !lane.finished)) return "Stopped. Drag the playhead to look at how far each came.";
        const least = Math.min(...lanes.map((lane) => lane.seconds)), first = about[lanes.findIndex((lane) => lane.seconds === least)].name;
        return `All finished${unit ? `: ${first} first, after ${inSeconds(least)}` : ""}. Play it again, or drag the playhead.`;
      },
      finished: () => this.show(this.timeline.position),
    });
    watch("value", () => this.view.receive(props.value));
    this.view.receive(props.value);
  }

  // Where something is on the timeline that has used so many evaluations and seconds.
  at({ evaluations, seconds }) {
    const { unit } = this.view.run.packet;
    return unit ? seconds / unit : evaluations;
  }

  reached({ lanes }) {
    return Math.ceil(Math.max(...lanes.map((lane) => this.at(lane))));
  }

  // A position of the timeline in words.
  words(position) {
    const { unit } = this.view.run.packet;
    if (unit) return `${(position * unit).toFixed(Math.max(0, Math.ceil(-Math.log10(unit))))} s`;
    return counted(position, "evaluation");
  }

  progress(packet) {
    const running = packet.lanes.filter((lane) => !lane.finished).length;
    const spent = packet.unit ? this.words(this.reached(packet)) : counted(this.reached(packet), "network evaluation");
    if (running) return `${spent} a lane; ${running} still running`;
    if (packet.reference) return `The lanes are through. Computing the reference of d: DDIM, step ${packet.reference[0]} of ${packet.reference[1]}`;
    return "Classifying the digits…";
  }

  begin({ packet: { about, total, unit } }) {
    this.stage.arrange(this.keys.slice(0, about.length));
    this.ofLanes.forEach((item, i) => {
      item.hidden = i >= about.length;
      this.timeline.rename(item, `Copy ${about[i]?.name} as Python`);
    });
    about.forEach((lane, i) => {
      this.stage.show(this.keys[i], null);
      this.stage.mark(this.keys[i], null);
      this.stage.caption(this.keys[i], this.race ? `${lane.name}  ${unit ? lane.model : lane.how}` : lane.name);
    });
    this.timeline.input.setAttribute("aria-label", unit ? "seconds" : "network evaluations");
    this.timeline.setCount(total, 0);
    this.scale();
    this.timeline.setCurves(about.map((lane, i) => this.curve(i, lane.at, lane.noise)));
  }

  curve(i, x, y) {
    const { name } = this.view.run.packet.about[i];
    return { label: this.race ? name : "", x, y, ...(this.race ? LANES[i] : { colour: "a", width: 1.5 }) };
  }

  // The ends of the timeline, and how fast it is played.
  scale() {
    const { total, unit } = this.view.run.packet;
    this.timeline.titles.x = unit ? "seconds" : "network evaluations";
    this.timeline.ends = unit ? ["0 s", this.words(total - 1)] : ["0", `${total - 1}`];
    this.timeline.frameMs = Math.max(25, Math.min(200, 4000 / (total - 1)));
  }

  // How long a lane takes is known only as it goes, and so are the axis and the curves of a race of seconds.
  added({ packet, there }) {
    packet.lanes.forEach((lane, i) => this.describe(i, lane));
    if (!packet.unit) return;
    this.scale();
    this.timeline.setCurves(packet.about.map((_, i) => {
      const frames = there.filter((frame) => frame.lane === i);
      return this.curve(i, frames.map((frame) => this.at(frame)), frames.map((frame) => frame.noise));
    }));
  }

  // Under a lane: what it has cost, and at the end how it did.
  describe(i, { evaluations, seconds, finished, read, distance }) {
    const { about, unit } = this.view.run.packet, { labels } = about[i], how = [];
    const right = read && labels && labels[0] >= 0 ? read.filter((d, k) => d === labels[k]).length : null;
    if (!this.race) return this.stage.say(this.keys[i], [`${evaluations} evals`, right === null ? "" : `${right}/${read.length} right`]);
    if (right !== null) how.push(`${right} of ${read.length} classified as asked`);
    if (distance !== undefined) how.push(`d = ${distance.toFixed(3)}`);
    else if (finished && !about[i].deterministic) how.push("stochastic");
    const spent = unit ? `${about[i].how}: ${inSeconds(seconds)}` : `${evaluations} of ${about[i].total} evaluations, ${inSeconds(seconds)}`;
    this.stage.say(this.keys[i], [spent, ...how]);
  }

  // The latest frame that each lane had when it had used so much.
  show(position) {
    const { packet, there } = this.view.run;
    packet.lanes?.forEach((lane, i) => {
      const frames = there.filter((frame) => frame.lane === i), frame = frames.findLast((one) => this.at(one) <= position) || frames[0];
      if (!frame) return;
      this.stage.show(this.keys[i], frame.x_t);
      const read = frame.t < 0 ? lane.read : null, { labels, classes } = packet.about[i];
      const marks = read ? read.map((d, k) => ({ text: classes[d], wrong: Boolean(labels) && labels[k] >= 0 && labels[k] !== d })) : null;
      this.stage.mark(this.keys[i], marks);
    });
    this.timeline.say(this.words(position));
  }
}
