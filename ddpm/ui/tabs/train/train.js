// The Train tab: the loss as it falls, and what the same noise becomes at every moment of the run.
import { fromBase64 } from "../../components/base64.js";
import { el, live } from "../../components/dom.js";
import { download } from "../../components/download.js";
import { Neighbours } from "../../components/neighbours.js";
import { pythonItems } from "../../components/python.js";
import { Run, RunView } from "../../components/run_view.js";
import { Stage } from "../../components/stage.js";
import { Status } from "../../components/status.js";
import { tabs } from "../../components/tabs.js";
import { Timeline } from "../../components/timeline.js";
import { speaksOfDigits } from "../../components/wording.js";
import { offerActions } from "./actions.js";
import { Levels } from "./loss_levels.js";

// digits: of the data sets of digits, by their names, what they are called.
export const train = (element, props, watch, server, { digits }) => {
  const root = element.querySelector(".view"), tab = element.closest(".tab-row");
  const panes = [{ key: "averaged", label: "Samples from the averaged weights", noisy: true }, { key: "live", label: "live weights" }, { key: "other", label: "earlier run" }];
  const stage = new Stage(root, panes, {
    n: 20, empty: "Press Start: a network that knows nothing yet will learn to draw digits while you watch. Or Train both: one in pixels, one in latent space.",
  });
  stage.arrange(["averaged"]);
  const status = new Status(root, "Nothing trained yet.");
  const timeline = new Timeline(root, { label: "step of the training", titles: { y: "loss (MSE)", share: "as asked" }, onseek: show, frameMs: 100 });
  const POSITIONS = 1000; // of the axis, over the whole budget
  const levels = new Levels("#train-margin .levels", (level) => server.level({ run: view.run.id, level }));
  let other = null, twin = null, log = true, following = true; // twin: of two runs that train together, the second
  let ofDigits = Object.values(digits).includes(document.querySelector("#train-data input")?.value); // the data that are chosen
  const beside = el("select", "");
  beside.setAttribute("aria-label", "Held beside the averaged weights");
  timeline.readout.before(beside);
  beside.addEventListener("change", holdBeside);
  offer([]);
  const axis = timeline.addButton("Scale: log", () => {
    log = !log;
    timeline.rename(axis, log ? "Scale: log" : "Scale: linear");
    timeline.setCurves(timeline.curves, { log, shares: true });
  });
  const neighbours = new Neighbours(server);
  const zip = timeline.addMenu("Save", {
    "Zip, the weights": save, ...pythonItems(server, status, () => ({ run: view.run.id })),
    "Copying or creating?": () => neighbours.open(view.run.id, view.run.packet.kept),
  });

  const view = new RunView({ root, stage, status, timeline, saving: zip, replay: server.replay }, {
    decode,
    begin: () => {
      word();
      following = true;
      twin = null;
      for (const key of ["averaged", "live"]) {
        stage.show(key, null);
        stage.mark(key, null);
      }
      timeline.setCurves([], { log, shares: true });
    },
    added,
    grow,
    progress: (packet) => {
      const { beside, seconds_left: left } = packet;
      const encoding = packet.encoding || beside?.encoding;
      if (encoding) return `Encoding the pictures: ${encoding.encoded.toLocaleString("en")} of ${encoding.n.toLocaleString("en")}, before the seconds begin…`;
      if (packet.step === undefined) return "Waiting for a turn…";
      if (packet.evaluating || beside?.evaluating) return evaluating(packet.evaluating || beside.evaluating);
      if (packet.waiting) return `Nobody was watching: ${each(speedOf, countOf)}. It goes on when another training run on this server ends.`;
      if (packet.paused) return `Paused: ${each(speedOf, countOf)}. Press Resume to go on.`;
      const seconds = Math.ceil(beside ? Math.max(left, beside.seconds_left ?? left) : left);
      return `${seconds} s left${beside ? " for each" : ""}: ${each(lossOf, (of) => `${countOf(of)}, loss ${of.loss ?? "none yet"}`)}`;
    },
    ended: ({ seconds, stopped, beside }) => {
      const how = each(
        (of) => (of.evaluation ? `${seenBy(of)}. ${distance(of.evaluation)}` : lossOf(of)),
        (of) => of.error || `${countOf(of)}, ${of.evaluation ? `FID ${times(of.evaluation.second)} times that of real ones` : `loss ${of.loss}`}`,
      );
      return `${stopped ? "Stopped" : "Done"} after ${seconds} s${beside ? " each" : ""}: ${how}`;
    },
  });
  const seenBy = ({ step = 0, images_seen: seen = 0 }) => `step ${step}, ${seen.toLocaleString("en")} digits seen`;
  const speedOf = (packet) => `${seenBy(packet)}, ${packet.images_per_second || 0} a second`;
  const lossOf = (packet) => `${speedOf(packet)}, loss ${packet.loss}`;
  const countOf = ({ images_seen: seen = 0 }) => `${seen.toLocaleString("en")} digits seen`;
  // What is to be said of the run that is shown, or shorter, of each of two.
  const each = (tell, shorter) => {
    const { packet } = view.run;
    return packet.beside ? `in pixels ${shorter(packet)}; in latent space ${shorter(packet.beside)}` : tell(packet);
  };

  // What came with a packet, which may be the first after a reload: then all previews before it are still to come.
  function added({ id, packet, frames }) {
    offer(packet.mine);
    offerActions(packet);
    if (packet.beside) follow(packet.beside);
    if (frames[0]) levels.begin(id, frames[0].inputs, packet);
    curves();
    view.fetchMissed();
    live("train", "target", packet.prediction === "eps" ? "ε" : packet.prediction);
    if (packet.loss === undefined) return;
    live("train", "loss", packet.loss.toFixed(4));
    live("train", "norm", packet.grad_norm);
    live("train", "clipped", `${Math.round(100 * packet.clipped)} %`);
    live("train", "lr", packet.lr && packet.lr < 1e-4 ? packet.lr.toExponential(1) : packet.lr.toPrecision(2));
  }

  // The second of two runs that train together: it is held beside the first, until somebody chooses otherwise.
  async function follow(packet) {
    if (twin?.id !== packet.run) {
      twin = new Run(packet, decode);
      beside.value = packet.run;
      holdBeside();
    }
    twin.packet = packet;
    twin.add(packet.frames);
    if (await twin.fetchMissed(server.replay)) show(timeline.position);
  }

  function grow({ packet, frames }) {
    timeline.setCount(POSITIONS, frames.length ? at(packet[unit()] || 0) + 1 : 0);
    zip.disabled = !packet.step;
    if (!following || !frames.length) return;
    timeline.seek(timeline.available - 1);
    following = true;
  }

  function evaluating({ n, drawn, seconds_left: left }) {
    const far = drawn < n ? `drawing ${drawn} of ${n} new digits${left === null ? "" : `, ${left} s`}` : `comparing ${n} new digits with real ones`;
    return `Trained. Evaluation: ${far}. Stop leaves it out.`;
  }

  // A distance far from that of real digits says only that: its figure means nothing.
  function times(ratio) {
    return ratio > 20 ? "over 20" : ratio.toFixed(1);
  }

  function distance({ fid_over_real: first, second }) {
    return `FID ${times(second)} times that of real digits (by the classifier that the recipe was tuned with: ${times(first)})`;
  }

  // Of the axis: what a run's budget is counted in, its end, and where a value of it lies.
  const unit = () => (view.run.packet.kind === "seconds" ? "seconds" : "step");
  const end = () => {
    const { done: over, budget } = view.run.packet;
    const done = Math.max(view.run.packet[unit()] || 0, twin?.packet[unit()] || 0);
    return !over ? Math.max(budget, done) : Math.max(done, 1e-9);
  };
  const at = (value) => Math.round(Math.min(POSITIONS - 1, (value / end()) * (POSITIONS - 1)));
  const isInside = (value) => value <= end() + 1e-6;

  function curves() {
    const spent = Math.round(end()), of = ({ curve }, column) => {
      const x = curve[unit() === "seconds" ? 1 : 0], inside = x.filter(isInside).length;
      return { x: x.slice(0, inside).map(at), y: curve[column].slice(0, inside) };
    };
    timeline.titles.x = unit() === "seconds" ? "seconds of training" : "steps of training";
    timeline.ends = ["0", spent < 10 ? end().toFixed(unit() === "seconds" ? 1 : 0) : String(spent)];
    timeline.words = (place) => `${((place / (POSITIONS - 1)) * end()).toFixed(unit() === "seconds" ? 1 : 0)} ${unit() === "seconds" ? "s" : "steps"}`;
    const { packet } = view.run, paired = twin !== null && other === twin, drawn = [];
    const add = (run, name, colour) => {
      if (run.packet.curve.length) drawn.push({ label: name ? `loss${name}` : "smoothed loss", ...of(run.packet, 3), colour, dash: [8, 3] });
      const read = run.there.filter((preview) => isInside(preview[unit()]) && preview.averaged_digits && run.packet.labels);
      const y = read.map((preview) => asAsked(preview.averaged_digits, run.packet.labels) / read[0].averaged_digits.length);
      if (y.length) drawn.push({ label: `as asked${name}`, x: read.map((preview) => at(preview[unit()])), y, colour, share: true });
    };
    if (packet.curve.length && !paired) drawn.push({ label: "batch loss", ...of(packet, 2), colour: "c", width: 1 });
    add(view.run, paired ? ", pixels" : "", "b");
    if (other) add(other, paired ? ", latents" : ", other run", "e");
    timeline.setCurves(drawn, { log, shares: true });
  }

  // What can be held beside the averaged weights: nothing, the live ones, or an earlier run of this browser.
  function offer(mine) {
    const earlier = (mine || []).filter((each) => each.run !== view.run.id).map((each) => [each.run, each.label]);
    const options = [["", "Compare with: none"], ["live", "live weights"], ...earlier.reverse()];
    if (beside.options.length === options.length && options.every(([value], i) => beside.options[i].value === value)) return;
    const chosen = beside.value;
    beside.replaceChildren();
    for (const [value, text] of options) el("option", "", beside, text).value = value;
    beside.value = options.some(([value]) => value === chosen) ? chosen : "";
    if (beside.value !== chosen) holdBeside();
  }

  async function holdBeside() {
    const chosen = beside.value;
    other = null;
    if (chosen && chosen === twin?.id) other = twin;
    else if (chosen && chosen !== "live") {
      const packet = await server.another({ run: chosen });
      if (packet.error) return status.say(packet.error, true);
      if (beside.value !== chosen) return;
      other = new Run(packet, decode);
      other.add(packet.frames);
    }
    stage.arrange(["averaged", ...(chosen === "live" ? ["live"] : other ? ["other"] : [])]);
    if (view.run.id) curves();
    show(timeline.position);
  }

  function decode(preview) {
    const decoded = { ...preview };
    for (const key of ["averaged", "live"]) {
      decoded[key] = fromBase64(preview[key]);
      decoded[`${key}_digits`] = readable(decoded[key], preview[`${key}_digits`]);
    }
    return decoded;
  }

  // The digits as they are classified, null where a picture is noise: the classifier is sure to see an 8 in that.
  // Noise has two fifths of its pixels within 0.5 of 0, real digits 8 %.
  function readable(bytes, digits) {
    const length = bytes.length / (digits?.length || 1);
    const isNoise = (i) => bytes.subarray(i * length, (i + 1) * length).filter((v) => v > 63 && v < 192).length > 0.25 * length;
    return digits?.map((digit, i) => (isNoise(i) ? null : digit));
  }

  // The latest preview of a run at or before the playhead.
  function latest({ there }, position) {
    return there.findLast(({ [unit()]: value }) => isInside(value) && at(value) <= position) || there[0];
  }

  function show(position) {
    following = position >= timeline.available - 1;
    const preview = latest(view.run, position);
    if (!preview) return;
    const { labels, beside } = view.run.packet;
    picture("averaged", preview.averaged, preview.averaged_digits, labels, beside ? "In pixels" : `After ${preview.seconds} s`);
    picture("live", preview.live, preview.live_digits, labels, "Live weights");
    const held = other && latest(other, position);
    if (held) picture("other", held.averaged, held.averaged_digits, other.packet.labels, other === twin ? "In latent space" : other.packet.label);
    levels.show(preview.levels);
    live("train", "about", preview.about);
    timeline.say(`${held && other === twin ? Math.max(preview.seconds, held.seconds) : preview.seconds} s`);
  }

  const asAsked = (digits, labels) => digits.filter((d, i) => d === labels[i]).length;

  // Twenty pictures, how they are classified, and how many as asked.
  function picture(key, bytes, digits, labels, caption) {
    stage.show(key, bytes);
    const right = digits && labels ? asAsked(digits, labels) : null;
    stage.mark(key, digits ? digits.map((d, i) => ({ text: d === null ? "" : String(d), wrong: Boolean(labels) && d !== labels[i] })) : null);
    if (right === null) stage.caption(key, caption);
    else if (twin) stage.caption(key, `${caption}: ${right}/${digits.length} as asked`); // two captions stand side by side
    else stage.caption(key, `${caption}: ${right}/${digits.length} classified as asked`);
  }

  async function save() {
    status.say("Packing the checkpoint…");
    const run = twin && other === twin ? twin : view.run; // of two that train together the one held beside; one file a press
    const { error, name, data } = await server.download({ run: run.id });
    if (error) return status.say(error, true);
    download(name, fromBase64(data), "application/zip");
    const another = run === twin ? " Hold nothing beside to save the one in pixels." : "";
    status.say(`Saved ${name}.${another} Open it again here, or with: python -m ddpm sample --checkpoint FOLDER`);
  }

  // The controls speak of the data that are chosen, the rest of those of the run that is shown, once there is one.
  function word() {
    speaksOfDigits(tab, view.run.id ? view.run.packet.digits : ofDigits);
    speaksOfDigits(tab.querySelector(".controls"), ofDigits);
  }

  function choose(name) {
    ofDigits = name in digits;
    word();
  }

  tabs.train = { choose };
  word();
  speaksOfDigits(document.getElementById("train-data"), true); // data are called what they are
  timeline.stride = 25;
  timeline.setCurves([], { log, shares: true });
  offerActions();
  watch("value", () => view.receive(props.value));
  view.receive(props.value);
};
