// Common mistakes: the same digits by a network as it should be and by a broken one, at several moments of their training.
"use strict";

DDPM.mistakes = (element, props, watch, server) => {
  const LANES = [{ key: "right", label: "As it should be", colour: "a" }, { key: "broken", label: "Broken", colour: "b", dash: [8, 4] }];
  const root = element.querySelector(".view");
  const stage = new DDPM.Stage(root, LANES, {
    n: 10, columns: 5, beside: false, captionWidth: 60,
    empty: "Choose mistakes and press Train both: two networks learn from the same weights and digits, one of them with the mistakes.",
  });
  const status = new DDPM.Status(root, "Nothing trained yet.");
  const timeline = new DDPM.Timeline(root, { label: "moment of the training", ends: ["step 0", ""], onseek: show, frameMs: 600 });
  timeline.setCount(2, 0);
  timeline.onarrive = finish;
  const saving = timeline.addButton("Save PNG", async () => DDPM.download(`${["broken", ...run.packet.broken].join("-")}.png`, await stage.png(), "image/png"));
  saving.disabled = true;
  let run = { id: null, lanes: [[], []] }, chosen = [], evidence = null;

  // The margin, which may come after the stage.
  function inMargin(act) {
    const margin = document.querySelector("#mistakes-margin .margin");
    if (margin) act(margin);
    else requestAnimationFrame(() => inMargin(act));
  }

  // Of the mistakes that are switched on the margin tells, and opens the latest.
  function choose(names) {
    const latest = names.find((name) => !chosen.includes(name)) || (names.includes(opened()) ? opened() : names[0]);
    chosen = names;
    inMargin((margin) => {
      for (const block of margin.querySelectorAll("details.break")) {
        block.hidden = !names.includes(block.dataset.break);
        block.open = block.dataset.break === latest;
      }
    });
  }

  const opened = () => document.querySelector("#mistakes-margin details.break[open]:not([hidden])")?.dataset.break;

  function receive(packet) {
    if (!packet) return;
    if (packet.error && !packet.run) return status.say(packet.error, true);
    if (packet.notice) return status.say(packet.notice);
    if (packet.run !== run.id) begin(packet);
    run.packet = packet;
    add(packet.frames);
    const { step, num_steps: steps, seconds_left: left, curves } = packet;
    const both = curves.length === 1;
    timeline.setCurves(curves.map(([at, loss], i) => ({
      label: both ? "loss of both" : i ? "broken" : "loss, right",
      x: at.map((each) => (each / steps) * packet.moments), y: loss, colour: LANES[i].colour, dash: LANES[i].dash,
    })), { log: true });
    timeline.grow(packet.moments + 1, there());
    if (packet.done) {
      fetchMissed();
      if (!timeline.chasing) finish();
    } else if (packet.ahead > 0) status.say(DDPM.waiting(packet));
    else status.say(`Step ${step} of ${steps}${left === null ? "" : `; about ${left} s of computing left`}`);
  }

  function begin(packet) {
    timeline.pause();
    timeline.position = 0;
    saving.disabled = true;
    run = { id: packet.run, lanes: [[], []] };
    root.dataset.run = packet.run;
    stage.shape(packet.n, packet.size, packet.channels);
    for (const { key, label } of LANES) {
      stage.show(key, null);
      stage.mark(key, null);
      stage.caption(key, label);
    }
    for (const cell of document.querySelectorAll("#mistakes-margin td[data-live]")) cell.textContent = "·";
    timeline.ends = ["step 0", `step ${packet.num_steps}`];
    timeline.setCount(packet.moments + 1, 0);
  }

  function add(frames) {
    for (const frame of frames) run.lanes[frame.lane][frame.k] = { ...frame, x: DDPM.bytes(frame.x), given: frame.given && DDPM.bytes(frame.given) };
  }

  // How many moments both lanes have.
  function there() {
    let k = 0;
    while (run.lanes[0][k] && run.lanes[1][k]) k++;
    return k;
  }

  async function fetchMissed() {
    const mine = run;
    if (mine.lanes.flat().filter(Boolean).length >= mine.packet.total) return;
    const { frames } = await server.replay({ run: mine.id });
    if (mine !== run) return;
    add(frames);
    timeline.grow(mine.packet.moments + 1, there());
  }

  const read = (frame) => frame.digits.filter((digit, i) => digit === i).length;

  // Only once the animation has arrived, so that nothing is told before it is seen.
  function finish() {
    const { packet, lanes } = run, last = there() - 1;
    if (!packet || !packet.done) return;
    saving.disabled = last < 0;
    if (packet.error) status.say(packet.error, true);
    else if (last < packet.moments) status.say(`Stopped at step ${packet.step}.${last < 0 ? "" : " Drag the playhead to look at how far both came."}`);
    else status.say(`Done: ${read(lanes[0][last])} of 10 are classified as asked, broken ${read(lanes[1][last])} of 10. Play it, or drag the playhead.`);
  }

  function show(k) {
    const frames = run.lanes.map((lane) => lane[k]);
    if (!frames.every(Boolean)) return;
    frames.forEach((frame, i) => {
      const { key, label } = LANES[i];
      stage.show(key, frame.x);
      stage.mark(key, frame.digits.map((digit, j) => ({ text: String(digit), wrong: digit !== j })));
      stage.caption(key, `${label}: ${read(frame)} of ${frame.digits.length} classified as asked`);
      measured(frame, i);
    });
    inMargin((margin) => draw(margin, frames));
    timeline.say(`step ${frames[0].step}`);
  }

  const short = (v, digits = 2) => {
    if (v === null) return "–";
    return (Math.abs(v) >= 1e4 ? v.toExponential(1).replace("e+", "e") : v.toFixed(Math.abs(v) >= 100 ? 0 : digits)).replace("-", "−");
  };

  function measured(frame, i) {
    const say = (row, text) => DDPM.live("mistakes", `${row}-${i}`, text);
    say("loss", short(frame.loss, 3));
    say("read", `${read(frame)} of ${frame.digits.length}`);
    say("edge", short(frame.edge));
    say("range", `${short(frame.low, 1)} … ${short(frame.high, 1)}`);
    say("std", short(Math.max(...frame.stds)));
    say("change", short(frame.change));
  }

  // What the networks were given, and how wide x_t was along the way.
  function draw(margin, frames) {
    evidence = evidence || prepare(margin);
    for (const rows of evidence.given) {
      rows.forEach((canvases, i) => canvases.forEach((canvas, j) => {
        const { size, channels } = stage, { given } = frames[i], length = size * size * channels;
        DDPM.thumbnail(canvas, given ? given.subarray(j * length, (j + 1) * length) : new Uint8Array(length), size, channels);
      }));
    }
    evidence.stds.set(frames.map(({ stds }, i) => ({ y: stds, colour: LANES[i].colour, dash: LANES[i].dash })));
  }

  function prepare(margin) {
    const given = [...margin.querySelectorAll(".given")].map((place) => LANES.map((lane, i) => {
      const row = DDPM.el("figure", "", place);
      DDPM.el("figcaption", "", row, i ? "xₜ broken" : "xₜ right");
      return Array.from({ length: 5 }, () => DDPM.el("canvas", "", row));
    }));
    const place = margin.querySelector(".stds");
    const stds = new DDPM.Plot(place, {
      label: "Standard deviation of x_t at each step of the drawing", x: { min: 0, max: 25, ticks: [0, 25] },
      y: { min: 0.1, max: 1e8, log: true, ticks: [1, 100, 10000] },
    });
    DDPM.legend(DDPM.el("p", "legend", place), [{ ...LANES[0], label: "std of xₜ, right" }, { ...LANES[1], label: "broken" }]);
    return { given, stds };
  }

  DDPM.tabs.mistakes = { choose };
  choose(["pixels"]);
  watch("value", () => receive(props.value));
};
