// Where the model draws no digits, the texts that say "digit" say "picture": as they stand, and as they change.
const NOUN = /\b(d)igit(s?)\b/gi;
const SPOKEN = ["title", "aria-label"]; // attributes that are read
const PLACES = "#tabs, dialog.pad, dialog.enlarge";

export const picturesFor = (text) => text.replace(NOUN, (_, d, s) => `${d === "D" ? "P" : "p"}icture${s}`);

export const nouns = (element, props, watch) => {
  const before = new WeakMap(); // of a text node or an element's attribute: what it said, and what it says instead
  let digits = true;

  function each(root, act) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = root; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) act(node, "data", node.data, (text) => { node.data = text; });
      else for (const name of SPOKEN) if (node.hasAttribute?.(name)) act(node, name, node.getAttribute(name), (text) => node.setAttribute(name, text));
    }
  }

  const known = (node) => before.get(node) || before.set(node, {}).get(node);

  function toPictures(node, name, text, set) {
    const said = picturesFor(text);
    if (said === text || node.parentElement?.closest("script, style, code, pre")) return;
    known(node)[name] = { text, said };
    set(said);
  }

  function toDigits(node, name, text, set) {
    const was = known(node)[name];
    if (was?.said === text) set(was.text);
  }

  const observer = new MutationObserver((changes) => {
    for (const { target, type, addedNodes } of changes) for (const root of type === "childList" ? addedNodes : [target]) each(root, toPictures);
  });
  const places = () => document.querySelectorAll(PLACES);

  function show() {
    if ((props.value ?? true) === digits) return;
    digits = props.value ?? true;
    observer.disconnect();
    for (const place of places()) each(place, digits ? toDigits : toPictures);
    if (digits) return;
    observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SPOKEN });
  }

  watch("value", show);
  show();
};
