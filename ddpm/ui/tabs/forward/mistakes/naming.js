// Name the mistake: a round of digits drawn with a mistake of sampling or none, the choices, and what it was.
import { fromBase64 } from "../../../components/base64.js";
import { button, el } from "../../../components/dom.js";
import { RunView } from "../../../components/run_view.js";
import { Stage } from "../../../components/stage.js";
import { Status, waiting } from "../../../components/status.js";
import { moved, tabs } from "../../../components/tabs.js";
import { Timeline } from "../../../components/timeline.js";

export const naming = (element, props, watch, server, { choices, nothing }) => {
  const root = element.querySelector(".view");
  const stage = new Stage(root, [{ key: "x", label: "0 to 9, as they come out" }], { n: 10, columns: 5, empty: "Press Draw a round, and look for what is wrong." });
  const answers = el("div", "naming", root), score = { right: 0, rounds: 0 };
  answers.setAttribute("role", "group");
  answers.setAttribute("aria-label", "Which mistake was it?");
  const buttons = Object.entries(choices).map(([name, title]) => ({ name, node: button(answers, title, () => say(name)) }));
  const told = el("output", "score", answers);
  const status = new Status(root, "Nothing drawn yet.");
  const timeline = new Timeline(root, { label: "step of the reverse process", ends: ["noise", "finished"], onseek: show, frameMs: 120 });
  let answered = true, asking = false;
  const view = new RunView({ root, stage, status, timeline, replay: server.replay }, {
    decode: (frame) => ({ ...frame, pictures: fromBase64(frame.pictures) }),
    begin,
    starting: "Starting from noise…",
    progress: (packet) => (packet.ahead > 0 ? waiting(packet) : `Step ${packet.step} of ${packet.total - 1}`),
    ended: ({ stopped }) => (stopped ? "Stopped early; say which it was, or draw another round." : "Which mistake was it, if any?"),
    finished: () => open(!answered),
  });
  open(false);
  tell();

  function begin() {
    answered = asking = false;
    open(false);
    for (const { node } of buttons) node.classList.remove("right", "wrong");
    reveal(null);
    stage.caption("x", "0 to 9, as they come out");
  }

  function open(can) {
    for (const { node } of buttons) node.disabled = !can;
  }

  async function say(name) {
    const { run } = view;
    if (answered || asking) return;
    asking = true;
    const { error, slip } = await server.answer({ run: run.id });
    asking = false;
    if (run !== view.run) return;
    if (error) return status.say(error, true);
    answered = true;
    open(false);
    score.rounds += 1;
    if (name === slip) score.right += 1;
    for (const each of buttons) {
      if (each.name === slip) each.node.classList.add("right");
      else if (each.name === name) each.node.classList.add("wrong");
    }
    status.say(name === slip ? `Right: ${choices[slip]}.` : slip === nothing ? "There was no mistake in this round." : `It was: ${choices[slip]}.`);
    stage.caption("x", choices[slip]);
    reveal(slip);
    tell();
    moved();
  }

  // In the margin, which may come after the stage, the mistake of that name; null for none yet.
  function reveal(slip) {
    for (const each of document.querySelectorAll("#naming-margin .slip")) each.hidden = each.dataset.slip !== slip;
  }

  function tell() {
    told.textContent = score.rounds ? `${score.right} of ${score.rounds} right` : "";
  }

  function show(k) {
    const frame = view.run.frames[k];
    if (!frame) return;
    stage.show("x", frame.pictures);
    timeline.say(frame.t < 0 ? "finished" : `t = ${frame.t}`);
  }

  tabs.naming = {
    kept: () => ({ ...score }),
    restore(kept) {
      Object.assign(score, kept);
      tell();
    },
  };
  watch("value", () => view.receive(props.value));
  view.receive(props.value);
};
