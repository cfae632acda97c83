// A view's settings: whether they are still those of the result that it shows.
import { el } from "./dom.js";
import { tabs } from "./tabs.js";

const NAMED = 3; // of what has changed
const views = new Map(); // name: its Settings
const told = {}; // name: {label: the value, as text}, which may come before the view

export class Settings {
  // name: of the view.  stage: what bears the mark; null of a view that keeps all its results.
  constructor(name, stage) {
    Object.assign(this, { now: (told[name] ||= {}), pressed: null, shown: null, mark: stage && el("p", "changed", stage.field) });
    this.mark?.setAttribute("role", "status");
    views.set(name, this);
    this.show();
  }

  // A result is shown: the one that was asked for, or one from elsewhere, with which nothing here is compared.
  begin() {
    this.shown = this.pressed;
    this.pressed = null;
    this.show();
  }

  forget() {
    this.shown = null;
    this.show();
  }

  get changed() {
    return this.shown ? Object.keys(this.shown).filter((label) => this.shown[label] !== this.now[label]) : [];
  }

  show() {
    if (!this.mark) return;
    const { changed } = this, more = changed.length - NAMED;
    this.mark.textContent = `Changed since this result: ${changed.slice(0, NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
    this.mark.hidden = !changed.length;
  }
}

tabs.settings = {
  // labels, values: of some of a view's settings.  pressed: whether a result has just been asked for with them.
  tell(name, labels, values, pressed) {
    const now = (told[name] ||= {}), view = views.get(name);
    labels.forEach((label, i) => { now[label] = JSON.stringify(values[i]); });
    if (pressed && view) view.pressed = { ...now };
    view?.show();
  },
};
