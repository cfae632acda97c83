// Elements of the page, made and filled.

export const el = (tag, className, parent, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
};

// A button that says what it does to screen readers too.
export const button = (parent, text, act, label = text) => {
  const node = el("button", "", parent, text);
  node.type = "button";
  node.title = label;
  node.setAttribute("aria-label", label);
  node.addEventListener("click", act);
  return node;
};

// A button of the panel, which can be pressed where that means something; else its title says why not.
export const enable = (id, on, why = "") => {
  const node = document.getElementById(id);
  if (!node) return;
  node.disabled = !on;
  node.title = on ? "" : why;
};

// Whether the lessons' reader is a sheet from below: the breakpoint of reader.css.
export const readerIsSheet = () => window.matchMedia("(max-width: 699px)").matches;

// Present numbers of the margin: every element of #<name>-margin with data-live=<key>, or of a part of it.
export const live = (name, key, text, part = "") => {
  for (const node of document.querySelectorAll(`#${name}-margin ${part} [data-live="${key}"]`)) node.textContent = text;
};
