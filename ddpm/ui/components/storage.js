// What the browser keeps for the page, an object under a name.  A browser may refuse to: then nothing is kept.

// where: localStorage, the browser's, or sessionStorage, one window's.
export const recall = (name, where = "localStorage") => {
  try {
    return JSON.parse(window[where].getItem(name)) || {};
  } catch {
    return {};
  }
};

export const remember = (name, what, where = "localStorage") => {
  try {
    window[where].setItem(name, JSON.stringify(what));
  } catch {} // see above
};
