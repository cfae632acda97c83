// Gradio's accordions do not say whether they are open: what opens one is told to, now and whenever it changes.

export const tellFolds = () => {
  const tell = () => {
    for (const node of document.querySelectorAll("#tabs .label-wrap")) node.setAttribute("aria-expanded", node.classList.contains("open"));
  };
  // The body, as the tabs may not be there yet.
  new MutationObserver(tell).observe(document.body, { subtree: true, childList: true, attributeFilter: ["class"] });
  tell();
};
