// What charts have in common: a canvas in CSS pixels with the page's colours, redrawn when needed, and a legend.
import { el } from "./dom.js";
import { say, whenWorded } from "./wording.js";

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

// Values between low and high, about `most` of them: multiples of 1, 2 or 5 times a power of ten; on a logarithmic
// axis powers of ten, with 2 and 5 times them where there are few, and as on a linear one where there are none.
export const roundTicks = (low, high, log = false, most = 3) => {
  const power = (v) => 10 ** Math.floor(Math.log10(v)), from = log ? power(low) : low, ticks = [];
  if (log) {
    for (let ten = from; ten <= high * 1.001; ten *= 10) ticks.push(ten, 2 * ten, 5 * ten);
    const inside = ticks.filter((v) => v >= low * 0.999 && v <= high * 1.001), tens = inside.filter((v) => Math.abs(v / power(v * 1.001) - 1) < 0.01);
    if (inside.length < 2) return roundTicks(low, high, false, most);
    return (tens.length > 1 ? tens : inside).map((v) => Number(v.toPrecision(3)));
  }
  const least = (high - low) / most || 1, step = [1, 2, 5, 10].map((times) => times * power(least)).find((v) => v >= least * 0.999);
  for (let v = Math.ceil(low / step - 1e-6) * step; v <= high + step * 1e-6; v += step) ticks.push(Number(v.toPrecision(6)));
  return ticks;
};

// A number as charts write it: at most three digits that count.
export const numeral = (v) => String(Number(v.toPrecision(3))).replace("-", "−");

// The name of an axis of values, along it: x is its middle, and it reads upward.
export const titleAlong = (c, text, x, y) => {
  c.save();
  c.translate(x, y);
  c.rotate(-Math.PI / 2);
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillText(say(text), 0, 0);
  c.restore();
};

// The values at the pointer, in a box beside it.  at(x in units): [head, [[label, colour, value], ...]] or null.
export const showValues = (canvas, over, at) => {
  const tip = el("div", "values", canvas.parentElement);
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // pointed at only; the text beside the chart says what it shows
  const hide = () => { tip.hidden = true; };
  over.addEventListener("pointerleave", hide);
  over.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, found = event.pointerType === "touch" ? null : at(x / unitOf(canvas));
    if (!found) return hide();
    tip.replaceChildren();
    if (found[0]) el("b", "", tip, found[0]);
    for (const [label, colour, value] of found[1]) {
      const line = el("span", `key ${colour}`, tip);
      el("i", "", line);
      line.append(`${label} ${value}`);
    }
    tip.hidden = false;
    const left = canvas.offsetLeft + x;
    tip.style.left = `${x + tip.offsetWidth + 12 > box.width ? left - tip.offsetWidth - 12 : left + 12}px`;
    tip.style.top = `${canvas.offsetTop}px`;
  });
};

// Call draw whenever the canvas changes its size or the page its colours, its unit or its words.
export const redraw = (canvas, draw) => {
  new ResizeObserver(draw).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["class", "data-size"] });
  whenWorded(draw);
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
