// A button that opens a list of others.
import { button, el } from "./dom.js";

// opener: the button, whose `items` the others become.  acts: {text: act}.
export const asMenu = (opener, acts) => {
  const menu = el("div", "menu");
  menu.popover = "auto"; // the browser's own: Escape and a click elsewhere close it, and the focus comes back
  opener.popoverTargetElement = menu;
  opener.after(menu);
  opener.items = Object.entries(acts).map(([name, act]) => button(menu, name, () => { menu.hidePopover(); act(); }));
  opener.items[0].autofocus = true;
  menu.addEventListener("beforetoggle", () => {
    const box = opener.getBoundingClientRect(), page = document.documentElement;
    menu.style.top = `${box.bottom + window.scrollY + 4}px`;
    menu.style.right = `${page.clientWidth - box.right}px`;
  });
  menu.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const shown = opener.items.filter((item) => item.checkVisibility());
    shown[(shown.indexOf(event.target) + by + shown.length) % shown.length].focus();
  });
  return opener;
};
