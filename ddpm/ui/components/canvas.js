// What charts have in common: a canvas in CSS pixels with the page's colours, redrawn when needed, and a legend.
import { el } from "./dom.js";

// What each curve is: [{label, colour, dash}] as keys in `node`.
export const showLegend = (node, curves) => {
  node.replaceChildren();
  for (const { label, colour, dash } of curves.filter((curve) => curve.label)) {
    const item = el("span", `key ${colour}${dash ? (dash[0] < 4 ? " dotted" : " dashed") : ""}`, node);
    el("i", "", item);
    item.append(label);
  }
};

// Call draw whenever the canvas changes its size or the page its colours.
export const redraw = (canvas, draw) => {
  new ResizeObserver(draw).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
};

// A cleared canvas in CSS pixels, with the page's colours; null while it cannot be seen.
export const drawingOn = (canvas) => {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return null;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d"), style = getComputedStyle(canvas);
  c.scale(ratio, ratio);
  c.font = "12px system-ui, sans-serif";
  return { c, width, height, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
};
