// What each tab lets Gradio's controls do, by its name.  The page's one global: Gradio's `js=` sees no module.

export const tabs = {};
window.DDPM = { tabs };

// A view's script says that what it keeps of the page's state may have changed: see links.js.
export const moved = () => tabs.links?.moved();

// Show a tab, as a press of its button does; resolves to its entry above once it has been built.
export const openTab = async (title) => {
  const name = title.toLowerCase();
  document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${name}"]`)?.click();
  for (let tries = 0; !tabs[name] && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
  return tabs[name];
};
