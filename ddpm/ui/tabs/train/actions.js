// The Train tab's buttons, as the state of the run allows them.
import { enable } from "../../components/dom.js";

// packet: the latest of the run that is shown; none before there is one.  Start gives its place to Pause, which is
// called Resume while the run is paused; what means nothing now cannot be pressed.
export const offerActions = ({ run, done, paused, waiting, step } = {}) => {
  const goes = Boolean(run) && !done, going = "A training is going on: stop it first.", none = "There are no weights yet: press Start.";
  const [start, pause] = ["train-start", "train-pause"].map((id) => document.getElementById(id));
  if (!start) return;
  const [shown, other] = goes ? [pause, start] : [start, pause], focused = document.activeElement === other;
  shown.hidden = false;
  if (focused) shown.focus();
  other.hidden = true;
  pause.textContent = paused && !waiting ? "Resume" : "Pause";
  enable("train-both", !goes, going);
  enable("train-use", Boolean(step), none);
  enable("train-continue", !goes && Boolean(step), goes ? going : none);
};
