// Compare: quality against network evaluations, from a file that the benchmark wrote, and points measured live.
import { showLegend } from "../../components/canvas.js";
import { button, el } from "../../components/dom.js";
import { asMenu } from "../../components/menu.js";
import { Plot } from "../../components/plot.js";
import { pythonItems } from "../../components/python.js";
import { RunView } from "../../components/run_view.js";
import { Status, waiting } from "../../components/status.js";
import { LANES } from "./lanes.js";

export const quality = (element, props, watch, server) => {
  const SHAPES = ["square", "circle", "triangle", "down"];
  const ACCURACY = {
    near: { title: "accuracy, %", min: 80, max: 100, ticks: [80, 85, 90, 95, 100] },
    far: { title: "accuracy, %", min: 0, max: 100, ticks: [0, 20, 40, 60, 80, 100] }, // one of the shares is below 80 %
  };
  const VARIANT = { dash: [3, 3], shape: "diamond" }; // of a sampler, another setting: "ddim, eta 0.7"
  const root = element.querySelector(".view");
  const charts = el("div", "charts", root), legend = el("p", "legend", root);
  const evaluations = { min: 4, max: 300, log: true, ticks: [5, 10, 20, 50, 100, 250], title: "NFE per sample" };
  const chart = (title, y) => {
    const part = el("section", "", charts);
    el("h2", "", part, title);
    return new Plot(part, { label: `${title} against network evaluations a digit`, x: evaluations, y });
  };
  const fid = chart("FID, as a multiple of real digits'", { title: "FID / real-data FID", min: 0.6, max: 100, log: true, ticks: [1, 2, 5, 10, 20, 50, 100] });
  const read = chart("Class accuracy", ACCURACY.near);
  el("p", "axis", charts, "NFE: network evaluations; a guided step counts 2");
  const judges = el("p", "axis judges", charts, "Thick: by the classifier that tuned the recipes; thin: by a second, where it has measured.");
  const source = el("p", "hint source", root);
  const status = new Status(root, "Choose a sampler and press Measure FID: a point of your own on this chart.");
  const points = new Map(), table = el("table", "points", el("div", "scroll", root));
  let curve = { points: [], labels: {} };

  const view = new RunView({ root, status }, {
    added: ({ id, packet }) => { if (packet.point) points.set(id, packet.point); draw(); },
    progress: (packet) => {
      if (packet.ahead > 0 && !packet.drawn) return waiting(packet);
      return packet.drawn < packet.n ? `Drawing: ${packet.drawn} of ${packet.n}` : "Classifying the digits…";
    },
    ended: ({ point }) => (point ? `Measured with ${point.n} samples; the bars are 95 % intervals.` : "Stopped: no point."),
  });

  function receive(packet) {
    if (packet?.points) showCurve(packet);
    else view.receive(packet);
  }

  // Another curve is of other weights: its points do not belong beside those of the last.
  function showCurve(packet) {
    if (packet.weights !== curve.weights) points.clear();
    curve = packet;
    source.textContent = packet.notice || "";
    if (!packet.notice) source.append("The lines: ", el("code", "", null, packet.file), ", written by ", el("code", "", null, packet.command));
    draw();
  }

  // How a sampler is drawn: by its place in the table of samplers.
  function look(sampler) {
    const i = Object.keys(curve.labels).indexOf(sampler);
    return { shape: SHAPES[i % SHAPES.length], ...LANES[i % LANES.length] };
  }

  function point({ sampler, evaluations }) {
    const { colour, shape } = look(sampler);
    return { x: evaluations, colour, shape };
  }

  function draw() {
    const names = [...new Set(curve.points.map((p) => p.sampler))];
    const lines = names.map((name) => {
      const [sampler, ...setting] = name.split(", "), label = [curve.labels[sampler], ...setting].join(", ");
      return { ...look(sampler), ...(setting.length ? VARIANT : {}), label, points: curve.points.filter((p) => p.sampler === name) };
    });
    const line = (value, error = () => 0) => (one) => {
      const known = one.points.filter((p) => value(p) !== null);
      return { ...one, x: known.map((p) => p.evaluations), y: known.map(value), error: known.map(error) };
    };
    const measured = [...points.values()], thin = lines.map(line((p) => p.second)).filter((one) => one.x.length);
    judges.hidden = !thin.length;
    const thick = lines.map(line((p) => p.fid_over_real, (p) => (2 * p.fid_error) / p.fid_real));
    fid.set([...thin.map((one) => ({ ...one, label: "", width: 1, shape: null, error: [] })), ...thick], measured.map((p) => ({
      ...point(p), y: p.fid_over_real, low: p.fid_over_real - p.fid_error, high: p.fid_over_real + p.fid_error,
    })));
    const shares = [...curve.points, ...measured].map((p) => p.accuracy).filter((v) => v !== null);
    read.y = shares.some((v) => v < 0.8) ? ACCURACY.far : ACCURACY.near;
    read.set(lines.map(line((p) => p.accuracy === null ? null : 100 * p.accuracy)), measured.filter((p) => p.accuracy !== null).map((p) => ({
      ...point(p), y: 100 * p.accuracy, low: 100 * p.accuracy_between[0], high: 100 * p.accuracy_between[1],
    })));
    showLegend(legend, lines);
    tabulate();
  }

  function tabulate() {
    table.replaceChildren();
    table.hidden = !points.size;
    const row = (cells, tag) => { const tr = el("tr", "", table); for (const cell of cells) el(tag, "", tr, cell); return tr; };
    row(["Measured here", "evaluations", "samples", "FID / real-data FID", "classified as asked", ""], "th");
    for (const [id, p] of points) {
      const share = (v) => `${(100 * v).toFixed(1)} %`;
      const tr = row([p.label, p.evaluations, p.n, p.fid_error < p.fid_over_real ? `${p.fid_over_real.toFixed(2)} ± ${p.fid_error.toFixed(2)}` : "too few samples to say",
        p.accuracy === null ? "no class asked" : `${share(p.accuracy)} (${share(p.accuracy_between[0])} to ${share(p.accuracy_between[1])})`], "td");
      asMenu(button(el("td", "", tr), "Save ▾", () => {}, "Save"), pythonItems(server, status, () => ({ run: id })));
    }
  }

  watch("value", () => receive(props.value));
  receive(props.value);
};
