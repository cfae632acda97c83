// The network: its blocks as boxes along the U, and of the one that is chosen what it makes of the present digit and t.
import { fromBase64 } from "../../../components/base64.js";
import { T } from "../../../components/constants.js";
import { button, el } from "../../../components/dom.js";
import { asker, isWhole, unpack } from "../../../components/mixing.js";
import { paint } from "../../../components/pixels.js";
import { atT, COEFFICIENTS, KINDS, levels, noiseTimeline, signal } from "../../../components/schedules.js";
import { Status } from "../../../components/status.js";
import { moved, tabs } from "../../../components/tabs.js";

export const network = (element, props, watch, server, { t: first }) => {
  const root = element.querySelector(".view"), frame = el("div", "panes network", root);
  const note = el("p", "hint", frame), chart = el("div", "unet", frame), seen = el("div", "seen", frame);
  const x_t = pane("xₜ"), hat = pane("x̂₀"), inside = pane("");
  const tiles = el("div", "tiles", inside.figure), waves = el("canvas", "waves", inside.figure);
  inside.canvas.remove();
  const status = new Status(root, "");
  const timeline = noiseTimeline(root, show);
  const ask = asker(server.activations, status, answered);
  let state = {}, block = null, drawn = "";

  function pane(label) {
    const figure = el("figure", "", seen), caption = el("figcaption", "", figure, label), canvas = el("canvas", "", figure);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    return { figure, caption, canvas };
  }

  function receive(packet) {
    if (!packet) return;
    if (packet.error) status.say(packet.error, true);
    state = { ...state, ...unpack(packet) };
    moved();
    if (isWhole(state)) show(timeline.position);
  }

  function show(t) {
    timeline.say(`t = ${t}`);
    if (!isWhole(state)) return;
    const { x0, seed, weights } = state;
    ask({ x0, seed, t, weights, block });
  }

  function answered(answer) {
    draw(answer);
    if (KINDS.includes(answer.kind)) timeline.setCurves(levels(signal(answer.kind)), { titles: COEFFICIENTS });
    const { size, channels } = state, { count, height, width, pixels } = answer.activations, bytes = fromBase64(pixels);
    for (const [pane, picture] of [[x_t, answer.x_t], [hat, answer.x0_hat]]) paint(pane.canvas, fromBase64(picture), size, size, channels);
    x_t.caption.textContent = `xₜ, t = ${answer.t}`;
    while (tiles.children.length > count) tiles.lastChild.remove();
    while (tiles.children.length < count) el("canvas", "", tiles);
    tiles.classList.toggle("one", count === 1);
    Array.from(tiles.children, (canvas, i) => paint(canvas, bytes.subarray(i * height * width, (i + 1) * height * width), width, height, 1));
    const shape = answer.blocks.find(({ name }) => name === answer.block).shape;
    inside.caption.textContent = shape.length === 1 ? `${answer.block}: ${answer.of} numbers` : `${answer.block}: ${count} of ${answer.of} channels`;
    sinusoids(answer);
    status.say("");
  }

  // The waves of the time embedding, with a line at the present t.
  function sinusoids({ sinusoids: shown, t }) {
    waves.hidden = !shown;
    if (!shown) return;
    paint(waves, fromBase64(shown.pixels), shown.width, shown.height, 1);
    waves.title = "sin and cos of t, a row for each frequency, a column for each t";
    const c = waves.getContext("2d");
    c.fillStyle = getComputedStyle(root).getPropertyValue("--accent");
    c.fillRect(Math.round((t / (T - 1)) * (shown.width - 1)) - 1, 0, 2, shown.height);
  }

  // The boxes, once for a network: rows by height, the way down at the left, the way up at the right.
  function draw({ blocks, is_unet: isUnet, block: chosen }) {
    const key = JSON.stringify([blocks, isUnet]);
    if (key !== drawn) {
      drawn = key;
      chart.replaceChildren();
      note.hidden = isUnet;
      note.textContent = isUnet ? "" : "This model works on latents of 128 numbers: it has no UNet, no skips and no convolutions, only these blocks one after the other.";
      if (isUnet) rows(blocks);
      else boxes(el("div", "row", chart), blocks);
    }
    for (const node of chart.querySelectorAll("button")) node.setAttribute("aria-pressed", node.dataset.block === chosen);
    const kind = blocks.find(({ name }) => name === chosen).kind;
    for (const each of document.querySelectorAll("#network-margin [data-kind]")) each.hidden = each.dataset.kind !== kind;
  }

  function rows(blocks) {
    boxes(el("div", "row time", chart), blocks.filter(({ side }) => side === "time"));
    const inPictures = blocks.filter(({ shape }) => shape.length === 3), heights = [...new Set(inPictures.map(({ shape }) => shape[1]))].sort((a, b) => b - a);
    for (const height of heights) {
      const row = el("div", "row", chart), here = inPictures.filter(({ shape }) => shape[1] === height);
      boxes(el("div", "side", row), here.filter(({ side }) => side === "down"));
      const middle = el("div", "middle", row), mid = here.filter(({ side }) => side === "mid"), skips = here.filter((each) => each.skip);
      if (mid.length) boxes(middle, mid);
      else if (skips.length) box(middle, skips.at(-1), `${skips.length > 1 ? `${skips.length} skips` : "skip"} → ${skips.at(-1).shape.join(" × ")}`).classList.add("skip");
      boxes(el("div", "side", row), here.filter(({ side }) => side === "up"));
    }
  }

  const boxes = (parent, blocks) => blocks.forEach((each) => box(parent, each));

  function box(parent, { name, kind, shape }, text = "") {
    const node = button(parent, text, () => choose(name), `${name}, ${kind}, ${shape.join(" × ")}${text ? ", handed across" : ""}`);
    node.dataset.block = name;
    if (!text) {
      el("b", "", node, name);
      el("span", "", node, `${kind} ${shape.join(" × ")}`);
    }
    return node;
  }

  function choose(name) {
    block = name;
    show(timeline.position);
  }

  tabs.network = { receive, ...atT(timeline, () => state) };
  watch("value", () => receive(props.value));
  timeline.seek(first);
  receive(props.value);
};
