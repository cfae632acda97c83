// The face of a text of attributes, "hair: long, hat: yes": a choice of each, where "any" is none.
import { el } from "./dom.js";

export const attributes = (element, props, watch, server, { label, none }, trigger) => {
  const root = element.querySelector(".attributes");
  let shown = "";

  function show() {
    const { attributes: known = [], special = [], chosen = none } = props.value || {};
    if (JSON.stringify([known, special]) !== shown) build(known, special);
    const own = special.includes(chosen), told = Object.fromEntries(own ? [] : chosen.split(", ").map((part) => part.split(": ")));
    for (const box of root.querySelectorAll("input")) box.checked = own;
    for (const select of root.querySelectorAll("select")) {
      select.value = told[select.name] || "";
      select.disabled = own;
    }
  }

  function build(known, special) {
    shown = JSON.stringify([known, special]);
    root.replaceChildren();
    const set = el("fieldset", "", root);
    el("legend", "", set, label);
    for (const text of special) {
      const line = el("label", "special", set), box = el("input", "", line);
      box.type = "checkbox";
      line.append(text);
      box.addEventListener("change", () => choose(box.checked ? text : none));
    }
    for (const [name, ...values] of known) {
      const field = el("label", "", set), select = el("select", "", field);
      field.prepend(name);
      select.name = name;
      select.setAttribute("aria-label", name); // the label holds the options, too
      for (const [text, value] of [["any", ""], ...values.map((each) => [each, each])]) Object.assign(el("option", "", select, text), { value });
      select.addEventListener("change", () => {
        const told = Array.from(set.querySelectorAll("select")).filter((each) => each.value).map((each) => `${each.name}: ${each.value}`);
        choose(told.join(", ") || none);
      });
    }
  }

  function choose(chosen) {
    props.value = { ...props.value, chosen };
    trigger("input");
  }

  watch("value", show);
  show();
};
