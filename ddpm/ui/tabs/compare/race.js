// A race of samplers, and the controls of its lanes.
import { button, el } from "../../components/dom.js";
import { tabs } from "../../components/tabs.js";
import { LANES, LaneView } from "./lanes.js";

export const race = (element, props, watch, server) => {
  const { stage, keys } = new LaneView({ element, props, watch, server }, {
    name: "race", count: LANES.length, race: true, idle: "The lanes, what each costs and which is first will appear here.",
    stage: { n: 6, foot: 56, captionWidth: 195, tall: 2.5, empty: "Press Race: each lane turns the same noise into digits, in its own way." },
  });
  if (!props.value) stage.arrange(keys.slice(0, 3));
};

// The lanes of a race, each with its own controls.
export const lanes = (element, props, watch) => {
  const { samplers, spacings, suited, with_eta, lanes: start, fewest } = props.value;
  const root = element.querySelector(".lanes"), cards = [];

  function offer(select, options, value) {
    select.replaceChildren();
    for (const [name, text] of Object.entries(options)) el("option", "", select, text).value = name;
    select.value = value in options ? value : Object.keys(options)[0];
  }

  function choice(parent, options, value, label) {
    const select = el("select", "", parent);
    offer(select, options, value);
    select.setAttribute("aria-label", label);
    return select;
  }

  function number(parent, text, value, step, label) {
    const wrap = el("label", "", parent, text), input = el("input", "", wrap);
    Object.assign(input, { type: "number", value, step, min: 0 });
    input.setAttribute("aria-label", label);
    return input;
  }

  start.forEach((lane, i) => {
    const letter = "ABCD"[i], card = el("fieldset", `lane ${LANES[i].colour}`, root), row = el("div", "row", card);
    el("b", "", row, letter);
    const sampler = choice(row, samplers, lane.sampler, `Lane ${letter}: sampler`);
    const steps = number(row, "steps", lane.steps, 1, `Lane ${letter}: steps`);
    const rest = el("details", "", card), summary = el("summary", "", rest);
    const first = el("div", "row", rest), model = choice(first, props.value.models, "", `Lane ${letter}: model`);
    const second = el("div", "row", rest);
    const guidance = number(second, "guidance", lane.guidance, 0.1, `Lane ${letter}: guidance`);
    const eta = number(second, "eta", lane.eta, 0.1, `Lane ${letter}: eta`);
    const spacing = choice(second, spacings, lane.spacing, `Lane ${letter}: spacing`);
    const say = () => {
      const has = with_eta.includes(sampler.value);
      eta.parentElement.hidden = !has;
      const noise = has ? `, η ${eta.value}` : "";
      const own = model.value ? `${model.selectedOptions[0].text}, ` : "";
      summary.textContent = `${own}guidance ${guidance.value}${noise}, ${spacings[spacing.value]}`;
    };
    sampler.addEventListener("change", () => { spacing.value = suited[sampler.value]; });
    card.addEventListener("input", say);
    card.addEventListener("change", say);
    say();
    const value = (input) => (input.value === "" ? null : Number(input.value));
    const read = () => ({ sampler: sampler.value, steps: value(steps), eta: value(eta), guidance: value(guidance), spacing: spacing.value, model: model.value });
    cards.push({ card, read, offer: (models) => { offer(model, models, model.value); say(); } });
  });

  const row = el("div", "row", root);
  let count = 3;
  const change = (by) => { count += by; arrange(); };
  const fewer = button(row, "− lane", () => change(-1)), another = button(row, "+ lane", () => change(1));
  function arrange() {
    cards.forEach(({ card }, i) => { card.hidden = i >= count; });
    fewer.disabled = count <= fewest;
    another.disabled = count >= cards.length;
    lanes();
  }
  // As they are now, of which the race's view hears too.
  function lanes() {
    const read = cards.slice(0, count).map((lane) => lane.read());
    tabs.settings.tell("race", ["Lanes"], [read], false);
    return read;
  }
  for (const type of ["input", "change"]) root.addEventListener(type, lanes);
  arrange();
  watch("value", () => cards.forEach((card) => card.offer(props.value.models)));
  tabs.race = { lanes };
};
