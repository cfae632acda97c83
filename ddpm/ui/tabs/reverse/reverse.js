// The Reverse tab: shows the frames of a run as they come, keeps them, and plays them again without the server.
import { fromBase64 } from "../../components/base64.js";
import { sheets } from "../../components/channels.js";
import { enable, live } from "../../components/dom.js";
import { saveRun } from "../../components/download.js";
import { Enlarge } from "../../components/enlarge.js";
import { T } from "../../components/constants.js";
import { Neighbours } from "../../components/neighbours.js";
import { copyPython, pythonItems, saveNotebook } from "../../components/python.js";
import { Run, RunView } from "../../components/run_view.js";
import { COEFFICIENTS, levels } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { costOf, counted, Status } from "../../components/status.js";
import { tabs } from "../../components/tabs.js";
import { Timeline } from "../../components/timeline.js";
import { Life } from "./life.js";
import { switchNotation } from "./notation.js";

// The pane that has the channels of what another pane has decoded.
const CHANNELS = { x: "z", h: "zh", eps: "zeps", b: "bz", bh: "bzh", beps: "bzeps" };

const SOON = 700; // ms after the tab is opened

export const reverse = (element, props, watch, server) => {
  const root = element.querySelector(".view");
  const panes = [
    { key: "x", label: "xₜ  the sample", noisy: true }, { key: "h", label: "x̂₀  predicted x₀" }, { key: "eps", label: "ε̂  predicted noise" },
    { key: "b", label: "the branch" }, { key: "bh", label: "x̂₀  the branch's" }, { key: "beps", label: "ε̂  the branch's noise" },
    ...Object.values(CHANNELS).map((key) => ({ key, label: "channels" })),
  ];
  const stage = new Stage(root, panes, {
    n: 16, empty: "Press Generate: 16 digits will come out of noise, step by step.",
  });
  const status = new Status(root, "Nothing generated yet.");
  const timeline = new Timeline(root, { label: "step of the reverse process", titles: COEFFICIENTS, onseek: show });
  const enlarged = new Enlarge(stage, panes, () => {
    const narrow = window.innerWidth < 600;
    if (isOfLatents()) return withChannels(!branch ? ["x", "h", "eps"] : narrow ? ["x", "b"] : ["x", "h", "b", "bh"], narrow);
    if (!branch) return ["x", "h", "eps"];
    return narrow ? ["x", "b", "h", "bh", "eps", "beps"] : ["x", "h", "eps", "b", "bh", "beps"];
  });
  const life = new Life(enlarged.dialog.body, timeline, server);
  enlarged.onpicture = showLife;
  const eps = timeline.addToggle("ε̂", arrange, "Show ε̂, the predicted noise");
  const channels = timeline.addToggle("z", arrange, "Show z itself, the channels that these pictures are decoded from");
  const saving = timeline.addMenu("Save", {
    "PNG, the digits": () => save("png"), "GIF, the animation": () => save("gif"), "Trajectory, to go on from": () => save("trajectory"),
    ...pythonItems(server, status, () => ({ run: view.run.id })),
    "Trajectory of the branch": () => save("trajectory", branch),
    "Copy the branch as Python": () => copyPython(server, status, { run: branch.id }),
    "Notebook of the branch": () => saveNotebook(server, status, { run: branch.id }),
  });
  const neighbours = new Neighbours(server);
  const copies = timeline.addButton("Copies?", () => neighbours.open(view.run.id));
  let branch = null;
  const view = new RunView({ root, stage, status, timeline, saving, replay: server.replay }, {
    decode,
    begin,
    starting: "Starting from pure noise…",
    progress: (packet) => `Step ${packet.step} of ${packet.num_steps}: ${costOf(packet)}`,
    ended: endOf,
    finished: () => {
      showLife();
      canCompare();
    },
  });
  switchNotation(root);
  axis({ times: [T - 1, -1], signal: [0, 1] });
  arrange();

  function arrange() {
    const seen = branch ? ["x", "b"] : ["x", "h"];
    if (eps.ariaPressed === "true") seen.push(...(branch ? ["eps", "beps"] : ["eps"]));
    channels.hidden = !isOfLatents();
    stage.arrange(isOfLatents() && channels.ariaPressed === "true" ? seen.map((key) => CHANNELS[key]) : seen);
    for (const item of saving.items.slice(-3)) item.hidden = !branch?.packet.done;
  }

  function isOfLatents() {
    return Boolean(view.run.packet.latent);
  }

  // These panes, and with each the one of its channels: under it, or on a phone at its right.
  function withChannels(keys, narrow) {
    return narrow ? keys.flatMap((key) => [key, CHANNELS[key]]) : [...keys, ...keys.map((key) => CHANNELS[key])];
  }

  function receive(packet) {
    if (packet?.parent) receiveBranch(packet);
    else view.receive(packet);
    canBranch();
    canCompare();
  }

  function canCompare() {
    const { frames, packet } = view.run;
    copies.disabled = !packet.done || !(frames.at(-1)?.t < 0);
    copies.title = copies.disabled ? "Copying or creating? Press Generate first, and let it finish." : "Copying or creating? The nearest training pictures";
  }

  function canBranch() {
    const { done, opened } = view.run.packet, why = view.run.id && !done ? "Let the run finish, or stop it." : "Press Generate first: a branch starts from a moment of a run.";
    enable("reverse-branch", Boolean(done || opened) && view.run.frames.length > 0, why);
  }

  function endOf(packet) {
    if (packet.opened) return packet.opened;
    const end = packet.stopped ? `Stopped at step ${packet.step} of ${packet.num_steps}` : counted(packet.num_steps, "step");
    return `${end}: ${costOf(packet)}. Play it, drag the playhead, or branch.`;
  }

  // Another future of the run that is shown: the two run side by side from where they part.
  async function receiveBranch(packet) {
    const { run } = view;
    if (packet.parent !== run.id) return;
    if (branch?.id !== packet.run) {
      branch = new Run(packet, decode, run.frames.slice(0, packet.from));
      view.settings.begin();
      timeline.pause();
      for (const key of ["b", "bh", "beps"]) showAlso(key, null);
      axis(packet);
      arrange();
    }
    branch.packet = packet;
    timeline.fork = packet.from - 1;
    branch.add(packet.frames);
    view.goes(!packet.done);
    if (packet.done) arrange();
    timeline.setCount(packet.total, Math.max(run.frames.length, branch.frames.length));
    if (packet.frames.length) timeline.seek(branch.frames.length - 1);
    if (packet.error) status.say(packet.error, true);
    else if (packet.done) {
      status.say(`${packet.stopped ? "Branch stopped" : "Two futures"}: ${costOf(packet)}. Drag the playhead to see where they part.`);
      await branch.fetchMissed(server.replay);
      showLife();
    } else status.say(`Branch: step ${packet.step} of ${packet.num_steps}, ${costOf(packet)}`);
  }

  function decode({ x_t, x0_hat, eps_hat, latents, ...frame }) {
    const numbers = Object.fromEntries(Object.entries(latents || {}).map(([name, text]) => [name, fromBase64(text)]));
    return { ...frame, x_t: fromBase64(x_t), x0_hat: fromBase64(x0_hat), eps_hat: eps_hat && fromBase64(eps_hat), latents: numbers };
  }

  function begin({ packet }) {
    branch = timeline.fork = null;
    arrange();
    axis(packet);
    timeline.frameMs = Math.max(40, Math.min(200, 3000 / packet.total));
    chosen(packet.sampler);
  }

  // The margin has the equation of the chosen sampler: in numbers, if a step of that one is shown.
  function chosen(sampler) {
    for (const block of document.querySelectorAll("#reverse-margin [data-sampler]")) {
      block.hidden = block.dataset.sampler !== sampler;
      if (!block.hidden) continue;
      for (const node of block.querySelectorAll("[data-live]")) node.textContent = node.dataset.live === "last" ? "" : "·";
    }
    show(timeline.position);
  }

  // t under the curves, and over them how much of x_t is noise.
  function axis({ times, signal }) {
    const noise = signal.map((a) => Math.sqrt(1 - a * a)), last = times.length - 1;
    const at = [...new Set([0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => Math.round(share * last)))];
    timeline.words = (k) => (times[k] < 0 ? "clean" : `t = ${times[k]}`);
    timeline.setCurves(levels(signal));
    timeline.setAxis({
      bottom: { label: "t", ticks: at.map((k) => ({ at: k, text: times[k] < 0 ? "clean" : String(times[k]) })) },
      top: { label: "noise", colour: "curve-b", ticks: at.map((k) => ({ at: k, text: noise[k].toFixed(2) })) },
    });
  }

  function show(position) {
    const { run } = view;
    const last = run.frames.length - 1, over = position > last; // a run that was stopped ends before its branch does
    const frame = run.frames[over ? last : position], other = branch?.frames[position], now = over ? other : frame;
    if (!frame || !now) return;
    const clean = frame.t < 0, shared = branch && position < branch.packet.from;
    const latent = isOfLatents(), symbol = latent ? "zₜ decoded" : "xₜ";
    showAll(frame, "x", "h", "eps");
    stage.caption("x", clean ? "x₀  the finished sample" : over ? `${symbol}  stopped at t = ${frame.t}` : `${symbol}  at t = ${frame.t}`);
    stage.caption("eps", clean ? "ε̂  none: it is finished" : latent ? "ε̂  the noise, decoded" : "ε̂  predicted noise");
    stage.caption("h", clean && !over ? "x̂₀  the same at the last step" : "x̂₀  predicted x₀");
    if (latent) captionChannels(clean);
    if (branch) {
      showAll(other, "b", "bh", "beps");
      stage.caption("b", shared ? "branch: the same past" : `branch: ${branch.packet.what}`);
    }
    timeline.say(now.t < 0 ? "finished" : `t = ${now.t}`);
    enlarged.update();
    life.mark(position);
    const step = now.t < 0 ? (over ? branch : run).frames[position - 1] : now; // a finished sample shows the step that finished it
    if (!step) return;
    const say = (key, text) => live("reverse", key, text, `[data-sampler="${now === other ? branch.packet.sampler : run.packet.sampler}"]`);
    say("s", step.s < 0 ? "clean" : step.s);
    say("last", step.s < 0 ? " The last step: clean data has no noise, so all of it is x̂₀." : "");
    step.coefficients.forEach((value, i) => say(`c${i}`, value.toFixed(3).replace("-", "−")));
    for (const i of [0, 1, 2]) say(`e${i}`, step.in_eps ? step.in_eps[i].toFixed(3) : "·");
  }

  // A frame's x_t, x̂₀ and ε̂ in these panes, or nothing.
  function showAll(frame, x, h, eps) {
    showAlso(x, frame?.x_t, frame?.latents.x_t);
    showAlso(h, frame?.x0_hat, frame?.latents.x0_hat);
    showAlso(eps, frame?.eps_hat, frame?.latents.eps_hat);
  }

  // Pictures in a pane, and in that of their channels the latents that they are decoded from.
  function showAlso(key, pictures, latents) {
    const { n, size, channels, latent } = view.run.packet;
    stage.show(key, pictures || null);
    stage.show(CHANNELS[key], latents && latent ? sheets(latents, n, latent, size, channels) : null);
  }

  function captionChannels(clean) {
    const count = `${view.run.packet.latent.channels} channels`;
    for (const [[x, h, eps], whose] of [[["x", "h", "eps"], count], [["b", "bh", "beps"], "the branch's"]]) {
      stage.caption(CHANNELS[x], `${clean ? "z₀" : "zₜ"}  ${whose}`);
      stage.caption(CHANNELS[h], `ẑ₀  ${whose}`);
      stage.caption(CHANNELS[eps], clean ? "ε̂  none: it is finished" : `ε̂  ${whose}`);
    }
  }

  function showLife() {
    if (enlarged.dialog.open) life.show(enlarged.i, stage, branch ? [view.run, branch] : [view.run]);
  }

  function save(kind, of = view.run) {
    return saveRun(server, status, of.id, kind, `Drop it here to get ${kind === "trajectory" ? "it" : "its settings"} back.`);
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

  tabs.reverse = { receive, chosen, at: () => ({ run: view.run.id, index: Math.min(timeline.position, view.run.frames.length - 1) }) };
  watch("value", () => receive(props.value));
  receive(props.value);
  canCompare();
  const soon = setTimeout(begins, SOON);
  for (const act of ["pointerdown", "keydown", "input"]) document.addEventListener(act, () => clearTimeout(soon), { once: true, capture: true });

  // Whoever opens the tab and only looks sees digits come out of noise, unless a state was asked for, or less motion.
  function begins() {
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (calm || view.run.id || /[?]/.test(location.hash) || document.querySelector("[data-reading]")) return;
    document.getElementById("reverse-generate").click();
  }
};
