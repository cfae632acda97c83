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

// The page's unit of length as a number of CSS pixels: 1 on a laptop, more in a large window (tokens.css).
CSS.registerProperty({ name: "--unit", syntax: "<length>", inherits: true, initialValue: "1px" });
export const unitOf = (node) => parseFloat(getComputedStyle(node).getPropertyValue("--unit"));

// Call draw whenever the canvas changes its size or the page its colours or its unit.
export const redraw = (canvas, draw) => {
  new ResizeObserver(draw).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["class", "data-size"] });
};

// A cleared canvas in units, with the page's colours; null while it cannot be seen.
export const drawingOn = (canvas) => {
  const ratio = window.devicePixelRatio || 1, unit = unitOf(canvas), width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return null;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d"), style = getComputedStyle(canvas);
  c.scale(ratio * unit, ratio * unit);
  c.font = "12px system-ui, sans-serif";
  return { c, width: width / unit, height: height / unit, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
};
