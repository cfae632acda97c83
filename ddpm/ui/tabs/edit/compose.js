// Compose: the formula with its present classes and weights, and the result as one is to look at it.
import { tabs } from "../../components/tabs.js";
import { Result } from "./result.js";

export const compose = (element, props, watch, server, now) => {
  const state = { ...now };
  const result = new Result({ element, server }, {
    name: "compose", after: [{ key: "t", label: "upside down" }, { key: "f", label: "from far" }], stage: { n: 9 }, noisy: true,
    seen: () => ({ illusion: ["x", "t"], hybrid: ["x", "f"] })[state.kind] || ["x"],
    idle: "Press Compose: nine pictures of this sum.",
    begin: ({ packet }) => { Object.assign(state, packet.told); arrange(); },
    shown: (frame, { packet }) => {
      const { size, channels } = packet, { kind, a, b } = state, names = (read, right) => read?.map((text) => ({ text, wrong: right !== null && text !== right }));
      if (kind === "illusion") result.stage.show("t", turned(frame.x_t, packet.n, size, channels));
      if (kind === "hybrid") result.stage.show("f", far(frame.x_t, packet.n, size, channels));
      result.stage.mark("x", names(frame.read, kind === "illusion" ? a : null) || null);
      result.stage.mark("t", names(frame.turned, b) || null);
    },
  });
  arrange();

  function arrange() {
    result.arrange();
    formula();
  }

  function formula() {
    for (const node of document.querySelectorAll("#compose-margin [data-sum]")) node.hidden = node.dataset.sum !== state.kind;
    for (const node of document.querySelectorAll("#compose-margin [data-of]")) node.textContent = state[node.dataset.of];
  }

  function receive(packet) {
    Object.assign(state, packet);
    if (result.view.run.id && !("run" in packet)) {
      result.forget();
      for (const key of ["x", "h", "t", "f"]) { result.stage.show(key, null); result.stage.mark(key, null); }
      result.status.say("Settings changed: press Compose.");
    }
    arrange();
  }

  tabs.compose = { receive, asked: () => ({}) };
  watch("value", () => result.receive(props.value));
  new ResizeObserver(formula).observe(result.root); // the margin may come after the stage
};

// Each picture turned by 180 degrees.
const turned = (bytes, n, size, channels) => {
  const length = size * size, out = new Uint8Array(bytes.length);
  for (let i = 0; i < n; i++) {
    for (let p = 0; p < length; p++) {
      for (let k = 0; k < channels; k++) out[(i * length + p) * channels + k] = bytes[(i * length + length - 1 - p) * channels + k];
    }
  }
  return out;
};

// Each picture as its low frequencies: the mean of the pixels around, about as ddpm.compose.low has it.
const far = (bytes, n, size, channels, reach = 3) => {
  const out = new Uint8Array(bytes.length), at = (i, y, x, k) => bytes[((i * size + y) * size + x) * channels + k];
  for (let i = 0; i < n; i++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        for (let k = 0; k < channels; k++) {
          let sum = 0, count = 0;
          for (let v = Math.max(0, y - reach); v <= Math.min(size - 1, y + reach); v++) {
            for (let u = Math.max(0, x - reach); u <= Math.min(size - 1, x + reach); u++) { sum += at(i, v, u, k); count++; }
          }
          out[((i * size + y) * size + x) * channels + k] = sum / count;
        }
      }
    }
  }
  return out;
};
