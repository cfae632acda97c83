// DDPM's equation in the general form or in the tutorial's: a switch in the margin, which may come after the stage.
export const switchNotation = (root) => {
  const row = root.closest(".tab-row");
  row.addEventListener("click", ({ target }) => {
    const chosen = target.closest("[data-notation]")?.dataset.notation;
    if (!chosen) return;
    for (const button of row.querySelectorAll("[data-notation]")) button.setAttribute("aria-pressed", button.dataset.notation === chosen);
    for (const form of row.querySelectorAll("[data-form]")) form.hidden = form.dataset.form !== chosen;
  });
};
