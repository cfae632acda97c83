// The inner tab Latent space: a digit, its latent, what comes back of it, and noise in either space at the same t.
import { fromBase64, toBase64 } from "../../components/base64.js";
import { sheets } from "../../components/channels.js";
import { el, live } from "../../components/dom.js";
import { asker, isWhole, mix, toPixels, unpack, x0Words } from "../../components/mixing.js";
import { paint } from "../../components/pixels.js";
import { pythonItems } from "../../components/python.js";
import { atT, levels, noiseTimeline, signal } from "../../components/schedules.js";
import { Stage } from "../../components/stage.js";
import { counted, Status } from "../../components/status.js";
import { moved, tabs } from "../../components/tabs.js";

export const latent = (element, props, watch, server, { t: first, ...start }) => {
  const root = element.querySelector(".view");
  const stage = new Stage(root, [
    { key: "x0", label: "x₀  the digit" }, { key: "channels", label: "z  its 8 channels" },
    { key: "decoded", label: "x̃  decoded" }, { key: "components", label: "k components" },
    { key: "xt", label: "xₜ in pixels" }, { key: "z_t", label: "zₜ decoded" },
  ], { captionWidth: 110 });
  const strips = Object.assign(el("div", "walks", root), { id: "latent-walks" }), rows = { walk: strip("through latent space"), fade: strip("through pixels") };
  const status = new Status(root, "");
  const timeline = noiseTimeline(root, show);
  timeline.addMenu("Save", pythonItems(server, status, () => {
    const { picture, other_picture, seed, k, schedule, weights } = state;
    return { picture, other_picture, seed, t: timeline.position, k, schedule, weights };
  }));
  const ask = asker((question) => server.latent_of({ ...question, other: toBase64(question.other) }), status, answered);
  let state = { ...start };

  function strip(label) {
    const row = el("figure", "walk", strips);
    el("figcaption", "", row, label);
    return el("div", "", row);
  }

  function receive(packet) {
    if (!packet) return;
    if (packet.error) status.say(packet.error, true);
    const { other, ...rest } = packet;
    state = { ...state, ...unpack(rest), ...(other ? { other: fromBase64(other) } : {}) };
    moved();
    if (!isWhole(state) || state.other?.length !== state.x0.length) return;
    stage.shape(1, state.size, state.channels);
    stage.show("x0", state.x0);
    stage.caption("x0", x0Words(state, "x₀  the digit"));
    stage.caption("components", counted(state.k, "component"));
    timeline.setCurves(levels(signal(state.schedule)));
    show(timeline.position);
  }

  function show(t) {
    if (!isWhole(state) || !state.other) return;
    const { x0, other, seed, k, schedule, weights } = state;
    stage.show("xt", toPixels(mix(state, t, schedule)));
    stage.caption("xt", `xₜ in pixels, t = ${t}`);
    stage.caption("z_t", `zₜ decoded, t = ${t}`);
    timeline.say(`t = ${t}`);
    ask({ x0, other, seed, t, k, schedule, weights });
  }

  function answered(answer, question) {
    if (question.x0.length !== state.x0.length) return;
    for (const key of ["decoded", "components", "z_t"]) stage.show(key, fromBase64(answer[key]));
    stage.show("channels", sheets(fromBase64(answer.latents), 1, answer.latent, state.size, state.channels));
    for (const [key, row] of Object.entries(rows)) {
      while (row.children.length < answer[key].length) el("canvas", "", row);
      answer[key].forEach((picture, i) => paint(row.children[i], fromBase64(picture), state.size, state.size, state.channels));
    }
    live("latent", "error", answer.square_error);
    live("latent", "pca_error", answer.components_error);
    live("latent", "kl", answer.kl);
    live("latent", "k", question.k);
    status.say("");
  }

  tabs.latent = { receive, ...atT(timeline, () => state) };
  watch("value", () => receive(props.value));
  timeline.seek(first);
  receive(props.value);
  new ResizeObserver(() => show(timeline.position)).observe(root);
};
