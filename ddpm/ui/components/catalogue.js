// A catalogue of a language: English texts with {} for what varies in them, {#} where that is a number, and what they are
// in that language.  tests/helpers/wording.py reads catalogues in the same way.
const HOLE = /\{#?\}/;
const SPECIAL = /[.*+?^${}()|[\]\\]/g;
// Where a text that is not in the catalogue is taken apart: between sentences, then between the parts of one.
const SEAMS = [/((?<=[.!?…]) )/, /(; )/, /(, )/, /(: )/];
const THOUSANDS = /(?<=\d),(?=\d{3}(?!\d))/g; // which a reader of another language may take for a decimal comma
const MOST = 5000; // texts that are remembered

export const isWords = (text) => /[a-z]{2}/i.test(text);

const pattern = (english) => {
  const parts = english.split(/(\{#?\})/), part = { "{}": "(.+?)", "{#}": "([−+-]?\\d[\\d.,]*)" };
  return new RegExp(`^${parts.map((each) => part[each] || each.replace(SPECIAL, "\\$&")).join("")}$`);
};

// Of a catalogue's entries, what reads a text, white space in it being one space: null if it has nothing for it.
export const reading = (entries) => {
  const between = entries["1,000"]?.replace(/\d/g, "") ?? ","; // thousands
  const exact = new Map(), byFirst = new Map(), known = new Map(); // the patterns by the character they begin with
  const patterns = Object.entries(entries).filter(([english, other]) => HOLE.test(english) || !exact.set(english, other));
  patterns.sort(([one], [other]) => other.length - one.length); // the most exact first
  for (const [english, other] of patterns) {
    const first = english.startsWith("{") ? "" : english[0];
    byFirst.set(first, [...(byFirst.get(first) || []), { test: pattern(english), other }]);
  }

  const find = (text) => {
    if (!isWords(text)) return null;
    if (!known.has(text)) {
      if (known.size > MOST) known.clear();
      known.set(text, exact.get(text) ?? fill(text) ?? apart(text));
    }
    return known.get(text);
  };

  // {} takes what varies in its order, {2} the second of it.
  const fill = (text) => {
    for (const { test, other } of [...(byFirst.get(text[0]) || []), ...(byFirst.get("") || [])]) {
      const found = text.match(test);
      if (!found) continue;
      let next = 1;
      return other.replace(/\{(\d*)\}/g, (_, number) => {
        const varied = found[number || next++];
        return find(varied) ?? varied.replace(THOUSANDS, between);
      });
    }
    return null;
  };

  const apart = (text) => {
    for (const seam of SEAMS) {
      const parts = text.split(seam);
      if (parts.length === 1) continue;
      const told = parts.map((part, i) => (i % 2 ? null : find(part)));
      if (told.some((each) => each !== null)) return told.map((each, i) => each ?? parts[i]).join("");
    }
    return null;
  };
  return find;
};
