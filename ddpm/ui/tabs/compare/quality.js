// Compare: quality against network evaluations, from a file that the benchmark wrote, and points measured live.
"use strict";

DDPM.quality = (element, props, watch) => {
  const SHAPES = ["square", "circle", "triangle", "down"];
  const VARIANT = { dash: [3, 3], shape: "diamond" }; // of a sampler, another setting: "ddim, eta 0.7"
  const root = element.querySelector(".view");
  const charts = DDPM.el("div", "charts", root), legend = DDPM.el("p", "legend", root);
  const evaluations = { min: 4, max: 300, log: true, ticks: [5, 10, 20, 50, 100, 250] };
  const chart = (title, y) => {
    const part = DDPM.el("section", "", charts);
    DDPM.el("h2", "", part, title);
    return new DDPM.Plot(part, { label: `${title} against network evaluations a digit`, x: evaluations, y });
  };
  const fid = chart("FID, as a multiple of real digits'", { min: 0.6, max: 100, log: true, ticks: [1, 2, 5, 10, 20, 50, 100] });
  const read = chart("Class accuracy, %", { min: 80, max: 100, ticks: [80, 85, 90, 95, 100] });
  DDPM.el("p", "axis", charts, "network evaluations a digit, a guided pair counting two");
  const source = DDPM.el("p", "hint source", root);
  const status = new DDPM.Status(root, "Choose a sampler and press Measure this: a point of your own on this chart.");
  const live = new Map(), table = DDPM.el("table", "points", DDPM.el("div", "scroll", root));
  let curve = { points: [], labels: {} };

  function receive(packet) {
    if (!packet) return;
    if (packet.points) return showCurve(packet);
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.notice) return status.say(packet.notice);
    if (packet.point) live.set(packet.run, packet.point);
    if (packet.error) status.say(packet.error, true);
    else if (packet.stopped && !packet.point) status.say("Stopped: no point.");
    else if (packet.done) status.say(`Measured with ${packet.point.n} samples; the bars are 95 % intervals.`);
    else if (packet.ahead > 0 && !packet.drawn) status.say(DDPM.waiting(packet));
    else if (packet.drawn < packet.n) status.say(`Drawing: ${packet.drawn} of ${packet.n}`);
    else status.say("Classifying the digits…");
    draw();
  }

  // Another curve is of other weights: its points do not belong beside those of the last.
  function showCurve(packet) {
    if (packet.weights !== curve.weights) live.clear();
    curve = packet;
    source.textContent = packet.notice || "";
    if (!packet.notice) source.append("The lines: ", DDPM.el("code", "", null, packet.file), ", written by ", DDPM.el("code", "", null, packet.command));
    draw();
  }

  // How a sampler is drawn: by its place in the table of samplers.
  function look(sampler) {
    const i = Object.keys(curve.labels).indexOf(sampler);
    return { shape: SHAPES[i % SHAPES.length], ...DDPM.LANES[i % DDPM.LANES.length] };
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
    const points = [...live.values()];
    fid.set(lines.map(line((p) => p.fid_over_real, (p) => (2 * p.fid_error) / p.fid_real)), points.map((p) => ({
      ...point(p), y: p.fid_over_real, low: p.fid_over_real - p.fid_error, high: p.fid_over_real + p.fid_error,
    })));
    read.set(lines.map(line((p) => p.accuracy === null ? null : 100 * p.accuracy)), points.filter((p) => p.accuracy !== null).map((p) => ({
      ...point(p), y: 100 * p.accuracy, low: 100 * p.accuracy_between[0], high: 100 * p.accuracy_between[1],
    })));
    DDPM.legend(legend, lines);
    tabulate(points);
  }

  function tabulate(points) {
    table.replaceChildren();
    table.hidden = !points.length;
    const row = (cells, tag) => { const tr = DDPM.el("tr", "", table); for (const cell of cells) DDPM.el(tag, "", tr, cell); };
    row(["Measured here", "evaluations", "samples", "FID / real-data FID", "classified as asked"], "th");
    for (const p of points) {
      const share = (v) => `${(100 * v).toFixed(1)} %`;
      row([p.label, p.evaluations, p.n, `${p.fid_over_real.toFixed(2)} ± ${p.fid_error.toFixed(2)}`,
        p.accuracy === null ? "no class asked" : `${share(p.accuracy)} (${share(p.accuracy_between[0])} to ${share(p.accuracy_between[1])})`], "td");
    }
  }

  watch("value", () => receive(props.value));
  receive(props.value);
};
