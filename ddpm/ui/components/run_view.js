// The life of a run on the page, the same for every kind: it begins with its first packet, its frames are kept, those
// that were missed are asked for, and its end is told once the animation has arrived there.
import { enable } from "./dom.js";
import { Settings } from "./settings.js";
import { waiting } from "./status.js";

export class Run {
  // packet: its first one.  decode(frame): as it is kept.  frames: those there are already.
  constructor(packet = { run: null }, decode = (frame) => frame, frames = []) {
    Object.assign(this, { id: packet.run, packet, decode, frames, fetching: false });
  }

  // Frames are placed by their index: Gradio may drop packets when the page is slow.
  add(frames) {
    for (const frame of frames) this.frames[frame.index] = this.decode(frame);
  }

  get there() {
    return this.frames.filter(Boolean);
  }

  // Ask the server for the frames that it has sent and that never came.  Returns whether any are here now.
  async fetchMissed(replay) {
    const have = this.there.map((frame) => frame.index);
    if (this.fetching || have.length >= this.packet.kept) return false;
    this.fetching = true;
    try {
      const { frames } = await replay({ run: this.id, have });
      this.add(frames);
      return frames.length > 0;
    } finally {
      this.fetching = false;
    }
  }
}

export class RunView {
  // root: what is marked with the run's id.  timeline, saving: null of a view that has none.  replay: the server's.
  // kind: what differs from one kind of run to another, each of them optional but the first two:
  //   progress(packet): what to say of a run that goes on.    ended(packet): and of one that has ended.
  //   starting: while there is no frame.                      other(packet): what comes that is of no run.
  //   decode(frame): a frame as it is kept.                   belongs(packet): whether to look at a packet at all.
  //   begin(run): another run is shown.                       added(run): there are more frames, or other figures.
  //   grow(run): the timeline's positions.                    finished(run): its end has been told.
  constructor({ root, stage = null, status, timeline = null, saving = null, replay = null }, kind) {
    Object.assign(this, { root, stage, status, timeline, saving, replay, kind });
    this.name = root.closest("[id$=-view]").id.replace(/-view$/, "");
    this.settings = new Settings(this.name, stage);
    this.past = new Set([null]); // runs that were shown before: what still comes of them is late
    this.forget();
    this.goes(false);
    if (timeline) {
      timeline.onarrive = () => this.finish();
      timeline.setCount(2, 0);
    }
  }

  receive(packet) {
    if (!packet) return;
    if (!packet.run) return this.said(packet);
    if (this.past.has(packet.run) || this.kind.belongs?.(packet) === false) return;
    if (packet.run !== this.run.id) this.begin(packet);
    this.run.packet = packet;
    this.add(packet.frames);
    if (packet.done) this.fetchMissed();
    this.goes(!packet.done);
    if (!packet.done) this.status.say(this.progress(packet));
    else if (!this.timeline?.chasing) this.finish();
  }

  // Whether there is something to stop.
  goes(running) {
    enable(`${this.name}-stop`, running, "Nothing is running.");
  }

  said(packet) {
    if (packet.error) {
      this.goes(false);
      this.settings.pressed = null;
      this.status.say(packet.error, true);
    }
    if (packet.notice && !packet.error) this.status.say(packet.notice);
    this.kind.other?.(packet);
  }

  // Nothing is shown any more, or these frames, which are of no run.
  forget(frames = []) {
    if (this.run) this.past.add(this.run.id);
    this.run = new Run(undefined, undefined, frames);
    if (this.saving) this.saving.disabled = true;
    this.timeline?.pause();
    this.settings.forget();
  }

  begin(packet) {
    this.forget();
    this.settings.begin();
    this.run = new Run(packet, this.kind.decode);
    this.root.dataset.run = packet.run;
    if (packet.size) this.stage.shape(packet.n, packet.size, packet.channels);
    if (packet.total) {
      this.timeline.position = 0;
      this.timeline.setCount(packet.total, 0);
    }
    this.kind.begin?.(this.run);
  }

  add(frames) {
    this.run.add(frames);
    this.kind.added?.(this.run);
    if (this.kind.grow) this.kind.grow(this.run);
    else if (this.run.frames.length) this.timeline?.grow(this.run.packet.total, this.run.frames.length);
  }

  async fetchMissed() {
    const { run } = this;
    if ((await run.fetchMissed(this.replay)) && run === this.run) this.add([]);
  }

  progress(packet) {
    if (this.run.frames.length || !this.kind.starting) return this.kind.progress(packet);
    return packet.ahead > 0 ? waiting(packet) : this.kind.starting;
  }

  finish() {
    const { run } = this, { packet } = run;
    if (!packet.done) return;
    this.status.say(packet.error || this.kind.ended(packet), Boolean(packet.error));
    if (this.saving) this.saving.disabled = !run.frames.length;
    this.kind.finished?.(run);
  }
}
