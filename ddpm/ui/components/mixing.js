// The forward process in the page, Ho et al. 2020, Eq. 4: x_t = sqrt(alphas_bar) x0 + sqrt(1 - alphas_bar) eps.
import { floats, fromBase64, toBase64 } from "./base64.js";
import { noise, signal } from "./schedules.js";

const { fround } = Math; // each operation as torch does it, in float32: the same pixels as in Python

// x_t as floats, not clamped.
export const mix = ({ x0, eps }, t, kind) => {
  const a = fround(signal(kind)[t]), b = fround(noise(kind)[t]);
  return Float32Array.from(x0, (v, i) => fround(a * fround(fround(v / 127.5) - 1)) + fround(b * eps[i]));
};

export const toPixels = (x) => Uint8ClampedArray.from(x, (v) => fround(127.5 * fround(v + 1))); // rounds and clamps

// What the server sent, with the picture as bytes and the noise as floats.
export const unpack = (packet) => {
  const { x0, eps, ...rest } = packet;
  if (x0) Object.assign(rest, { x0: fromBase64(x0), picture: packet.picture ?? null, drawn: packet.drawn ?? false }); // null: of no data set
  if (eps) rest.eps = floats(eps);
  return rest;
};

// What stands under x0.  drawn: whether the model has drawn it, for want of pictures.  own: what it is called else.
export const x0Words = ({ label, drawn }, own) => {
  if (drawn) return label ? `x₀  drawn: ${label}` : "x₀  drawn";
  return label ? `x₀  the digit: ${label}` : own;
};

// Whether a state of a tab has a digit and noise that belong together: not so half-way through a change of weights.
export const isWhole = ({ x0, eps }) => Boolean(x0) && x0.length === eps?.length;

// Whether a packet that restores a state brings the digit, noise and weights that are there: then what came of them stays.
export const isThere = (state, { restored, ...news }) => restored !== undefined && ["picture", "seed", "weights"].every((key) => news[key] === state[key]);

// Ask the server one question at a time, {x0: bytes, ...}, numbered; of those that come up meanwhile, only the last.
// answered(answer, question): for an answer that is no error, and that comes before that of a later question.
// Returns ask(question).  ask.hurry(): the question that waits is asked at once, beside the one before it, which the
// server may then leave unanswered.
export const asker = (ask, status, answered) => {
  let asking = 0, wanted = null, count = 0, latest = 0;
  const go = async () => {
    asking += 1;
    while (wanted) {
      const asked = wanted, { x0 } = asked, number = ++count;
      wanted = null;
      try {
        const answer = await ask({ ...asked, ...(x0 && { x0: toBase64(x0) }), number });
        if (number < latest) continue;
        latest = number;
        if (answer.error) status.say(answer.error, true);
        else answered(answer, asked);
      } catch {
        status.say("The server does not answer. Is it still running? Then reload this page.", true);
      }
    }
    asking -= 1;
  };
  const put = async (question) => {
    wanted = question;
    if (!asking) await go();
  };
  return Object.assign(put, { hurry: go });
};
