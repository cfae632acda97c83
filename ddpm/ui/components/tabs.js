// What each tab lets Gradio's controls do, by its name.  The page's one global: Gradio's `js=` sees no module.

export const tabs = {};
window.DDPM = { tabs };
