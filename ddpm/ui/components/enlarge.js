// One picture of a stage, large, in a dialog that follows what the stage shows.
import { makeDialog } from "./dialog.js";
import { Stage } from "./stage.js";

export class Enlarge {
  // keys(): which of the panes to show.
  constructor(stage, panes, keys) {
    Object.assign(this, { stage, keys });
    this.dialog = makeDialog("Enlarged");
    this.big = new Stage(this.dialog.body, panes, { captionWidth: 90 });
    this.i = 0;
    this.onpicture = null; // (i) => ...: another picture is looked at
    stage.onpick = (i) => { this.dialog.showModal(); this.look(i); };
    for (const { canvas } of stage.panes.values()) {
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "button");
      canvas.title = "One digit, large";
      canvas.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !stage.message.hidden) return;
        event.preventDefault(); // it would press the dialog's first button, Close
        stage.onpick(this.i % stage.n);
      });
    }
    this.dialog.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      this.look((this.i + by + stage.n) % stage.n);
    });
  }

  look(i) {
    this.i = i;
    this.update();
    if (this.onpicture) this.onpicture(i);
  }

  update() {
    if (!this.dialog.open) return;
    const { n, size, channels } = this.stage, length = size * size * channels;
    this.dialog.title_.textContent = `Digit ${this.i + 1} of ${n}  (arrow keys: the others)`;
    this.big.shape(1, size, channels);
    const keys = this.keys();
    if (keys.join() !== this.shown) {
      this.shown = keys.join();
      this.dialog.classList.toggle("tall", keys.length > 3);
      this.big.arrange(keys);
    }
    for (const key of keys) {
      const pane = this.stage.panes.get(key);
      this.big.show(key, pane.data && pane.data.slice(this.i * length, (this.i + 1) * length));
      this.big.caption(key, pane.text);
    }
  }
}
