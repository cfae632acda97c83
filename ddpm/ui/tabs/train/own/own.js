// Pictures of one's own: what was brought, in a line, and all of it on a press.
import { fromBase64, toBase64 } from "../../../components/base64.js";
import { makeDialog } from "../../../components/dialog.js";
import { button, el } from "../../../components/dom.js";
import { download } from "../../../components/download.js";
import { Pad } from "../../../components/pad.js";
import { frameButton, paint } from "../../../components/pixels.js";
import { Stage } from "../../../components/stage.js";
import { tabs } from "../../../components/tabs.js";

export const own = (element, props, watch, server, { own: OWN, label: LABEL, mb, pictures: most, size: SIZE, drawings: MOST }, trigger) => {
  const root = element.querySelector(".own"), line = el("p", "hint", root);
  const EMPTY = `A zip of at most ${mb} MB and ${most.toLocaleString("en")} pictures (PNG, JPEG, GIF, WebP, BMP, TIFF); folders in it are classes. Or some twenty drawings of each class.`;
  line.setAttribute("role", "status");
  const drawings = []; // [class, bytes], as they were drawn
  let view = null, pad = null, brought = null; // brought: the latest that was in order, which a fault leaves there

  function show() {
    const packet = props.value || {};
    if (packet.drawings) return; // on their way to the server
    line.classList.toggle("error", Boolean(packet.error));
    if (packet.pictures) look(brought = packet);
    line.textContent = packet.error || packet.brief || EMPTY;
    if (!brought) return;
    line.append(packet.error ? ` Still here: ${brought.brief} ` : " ");
    button(line, "Look at them", () => look(brought));
  }

  // The first pictures, a row for each class.
  function look({ pictures, n, columns, size, channels, classes, told }) {
    view ||= makeView();
    const { dialog, stage } = view;
    if (!dialog.open) dialog.showModal();
    stage.columns = columns;
    stage.shape(n, size, channels);
    stage.show("own", fromBase64(pictures));
    stage.mark("own", classes.length ? Array.from({ length: n }, (_, i) => ({ text: i % columns ? "" : short(classes[i / columns]) })) : null, "classes: ");
    dialog.told.textContent = `${told} They are in this server's memory, for this window alone, and gone once it is closed or reloaded.`;
    stage.layout();
  }

  const short = (name) => (name.length > 10 ? `${name.slice(0, 9)}…` : name);

  function makeView() {
    const dialog = makeDialog("Your own pictures");
    dialog.classList.add("brought");
    const stage = new Stage(dialog.body, [{ key: "own", label: "What the network will see" }], { columns: 10, captionWidth: 90 });
    dialog.told = el("p", "hint", dialog.body);
    return { dialog, stage };
  }

  // The pad stays open: what is added takes its place among its class's, and a press takes it away again.
  function draw() {
    pad ||= makePad();
    list();
    pad.open(SIZE, 1);
  }

  function makePad() {
    const made = new Pad(add, { title: "Draw your own pictures", use: "Add it", closes: false });
    const side = el("div", "drawn", made.dialog.body), label = el("label", "knob", side, "Class");
    made.name = el("input", "", label);
    Object.assign(made.name, { type: "text", maxLength: 40, value: "a" });
    made.rows = el("div", "rows", side);
    const shifts = el("label", "knob", side);
    made.shifted = el("input", "", shifts);
    made.shifted.type = "checkbox";
    shifts.append("Each also a pixel to every side (9 of each)");
    const row = el("div", "row", side);
    made.train = button(row, "Use these", () => send(made));
    made.train.classList.add("primary");
    made.save = button(row, "Save as zip", () => save(made));
    return made;
  }

  function add(bytes) {
    if (drawings.length >= MOST) return pad.say(`At most ${MOST} drawings, please.`, true);
    drawings.push([pad.name.value.trim(), bytes]);
    pad.clear();
    list();
  }

  function list() {
    const { rows, train, save: keep } = pad;
    rows.replaceChildren();
    for (const name of new Set(drawings.map(([each]) => each))) {
      const of = drawings.filter(([each]) => each === name), row = el("div", "row", rows);
      el("b", "", row, `${name || "no class"} (${of.length})`);
      of.forEach((drawing, i) => {
        const remove = () => { drawings.splice(drawings.indexOf(drawing), 1); list(); };
        paint(frameButton(row, `Take away drawing ${i + 1} of ${name || "no class"}`, remove).canvas, drawing[1], SIZE, SIZE, 1);
      });
    }
    train.disabled = keep.disabled = !drawings.length;
  }

  const packed = () => drawings.map(([name, bytes]) => [name, toBase64(bytes)]);

  function send({ dialog, shifted }) {
    dialog.close();
    props.value = { drawings: packed(), shifted: shifted.checked };
    trigger("input");
  }

  // As they were drawn: a zip of the shifted ones, too, would hold more pictures than one may.
  async function save(made) {
    const { error, name, data } = await server.pack({ drawings: packed() });
    if (error) return made.say(error, true);
    download(name, fromBase64(data), "application/zip");
    made.say(`Saved ${name}. Choose a zip brings the drawings back.`);
  }

  // Which data are chosen: what belongs to one's own is seen with these alone, in place of the general hint.
  function choose(name) {
    const mine = name === OWN;
    root.hidden = !mine;
    document.getElementById("train-own").toggleAttribute("data-mine", mine);
    document.getElementById("train-hint").hidden = mine;
  }

  tabs.own = { choose, draw };
  choose(document.querySelector("#train-data input")?.value === LABEL ? OWN : null); // an address may have chosen before
  watch("value", show);
  show();
};
