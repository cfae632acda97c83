// One knob at several values, from the same noise.
import { LaneView } from "./lanes.js";

export const knob = (element, props, watch, server) => {
  new LaneView({ element, props, watch, server }, {
    name: "knob", count: 6, race: false, idle: "The six columns, and what each costs, will appear here.",
    stage: { n: 5, columns: 1, foot: 40, captionWidth: 60, tall: 2.5, empty: "Choose a knob and press Vary: the same noise, with the knob at six values." },
  });
};
