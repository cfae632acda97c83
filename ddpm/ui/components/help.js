// The header's menu, and the card of the model that is chosen beside it.
import { makeDialog } from "./dialog.js";
import { button, el } from "./dom.js";
import { tellFolds } from "./folds.js";
import { asMenu } from "./menu.js";
import { moved } from "./tabs.js";
import { choose, NAMES, spoken, whenWorded } from "./wording.js";

const ARXIV = "https://arxiv.org/abs/", SAY = 2000; // ms, that Copied is said

export const help = (element, props, watch, server, { about, keys, papers }) => {
  const root = element.querySelector(".help");
  button(root, "i", showCard, "The model’s card").classList.add("card");
  const opener = button(root, "Help", () => {}, "Help");
  const acts = Object.entries(NAMES).map(([name, text]) => [text, () => { choose(name); moved(); }]);
  const { items } = asMenu(opener, {
    "The model’s card": showCard,
    "Copy link": copyLink,
    "Keyboard": () => show("Keyboard", (body) => terms(body, keys)),
    "Papers": () => show("Papers", list),
    "About": () => show("About", (body) => { for (const text of about) el("p", "", body, text); }),
    ...Object.fromEntries(acts),
  });
  items.slice(-acts.length).forEach((item, i) => { // on a phone, whose header has no room for a choice
    Object.assign(item, { className: "in-language", lang: Object.keys(NAMES)[i], translate: false });
  });
  whenWorded(tellLanguage);
  tellLanguage();

  tellFolds();

  function tellLanguage() {
    for (const item of items) item.hidden = item.lang === spoken();
  }

  function show(title, fill) {
    const dialog = makeDialog(title);
    dialog.classList.add("help-text");
    fill(dialog.body);
    dialog.addEventListener("close", () => { dialog.remove(); opener.focus(); });
    dialog.showModal();
  }

  function terms(body, pairs) {
    const all = el("dl", "", body);
    for (const [what, text] of pairs) {
      el("dt", "", all, what);
      el("dd", "", all, text);
    }
  }

  function list(body) {
    const all = el("ul", "", body);
    for (const [who, title, number] of papers) {
      const link = el("a", "", el("li", "", all, `${who}: `), title);
      Object.assign(link, { href: ARXIV + number, target: "_blank", rel: "noopener noreferrer" });
    }
  }

  async function showCard() {
    const { rows, error } = await server.described({ model: props.value });
    show("The model’s card", (body) => (error ? el("p", "", body, error) : terms(body, rows)));
  }

  function copyLink() {
    document.querySelector("#links .copy").click();
    opener.textContent = "Copied";
    setTimeout(() => { opener.textContent = "Help"; }, SAY);
  }
};
