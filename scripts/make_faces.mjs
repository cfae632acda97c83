// Draws the pixel faces for make_faces.py, which runs it: one JSON line of attributes, then one a face.
import { createHash } from 'node:crypto';
import { createAvatar } from '@dicebear/core';
import * as pixelArt from '@dicebear/pixel-art';
import { Resvg } from '@resvg/resvg-js';

const FACES = 10_000;
const SKIN = { light: 'ffdfc0', medium: 'd09a68', dark: '8a5430' };
const HAIR = { black: '17171c', brown: '6e3a16', blond: 'f2cb45', ginger: 'e0561b', blue: '2a6fd8' };

// As many variants of one value as of another, so that each is as frequent; those that can be told from each other with
// any others above them: some hair is left below every hat.
const numbered = (name, numbers) => numbers.map((n) => name + String(n).padStart(2, '0'));
const OPTIONS = {
  hair: [...numbered('long', [1, 2, 3, 7, 9, 12, 17, 20]), ...numbered('short', [1, 2, 13, 14, 15, 17, 18, 22])],
  hairColor: Object.values(HAIR),
  glasses: [...numbered('dark', [1, 2, 3, 5, 6, 7]), ...numbered('light', [1, 2, 3, 5, 6, 7])],
  glassesColor: ['191919', '43677d', 'a04b5d'],
  glassesProbability: 50,
  hat: numbered('variant', [2, 3, 5, 6, 7, 8]),
  hatColor: ['3d8a6b', 'cc6192', '614f8a', '989789'],
  hatProbability: 50,
  beard: numbered('variant', [1, 3, 5, 6, 7, 8]),
  beardProbability: 50,
  skinColor: Object.values(SKIN),
  mouth: [...numbered('happy', [6, 7, 8, 9]), ...numbered('sad', [1, 2, 8, 9])],
  mouthColor: ['f01840'],
  eyes: numbered('variant', [1, 6, 7, 8, 9, 11]),
  clothing: numbered('variant', [1, 2, 4, 7, 11, 13, 17, 19]),
  accessoriesProbability: 0,
  backgroundColor: ['b6e3f4', 'c0aede', 'cde8c4'],
};

const named = (colours, value) => Object.values(colours).indexOf(value.slice(1)); // '#17171c'
const ATTRIBUTES = [
  ['hair', ['short', 'long'], (face) => Number(face.hair.startsWith('long'))],
  ['hair colour', Object.keys(HAIR), (face) => named(HAIR, face.hairColor)],
  ['glasses', ['no', 'yes'], (face) => Number('glasses' in face)],
  ['hat', ['no', 'yes'], (face) => Number('hat' in face)],
  ['beard', ['no', 'yes'], (face) => Number('beard' in face)],
  ['skin', Object.keys(SKIN), (face) => named(SKIN, face.skinColor)],
  ['mouth', ['happy', 'sad'], (face) => Number(face.mouth.startsWith('sad'))],
];

// The design makes a beard as opaque as the hair is light, and then lighter: dark ones would not be seen.
const bearded = (svg) =>
  svg
    .replace(/(<mask id="beard.*?<path .*?fill=")#\w+/, '$1#fff')
    .replace('<path fill="#fff" fill-opacity=".3" d="M0 0h16v16H0z"/>', '');
const hashed = (number) => createHash('sha256').update(String(number)).digest('hex'); // its generator mixes seeds little

console.log(JSON.stringify(ATTRIBUTES.map(([name, values]) => [name, values])));
const seen = new Set();
for (let seed = 0; seen.size < FACES; seed++) {
  const avatar = createAvatar(pixelArt, { ...OPTIONS, seed: hashed(seed) });
  const pixels = new Resvg(bearded(avatar.toString())).render().pixels.toString('base64'); // 16 x 16, RGBA
  if (seen.has(pixels)) continue; // so that no face held out is one trained on
  seen.add(pixels);
  const face = JSON.parse(JSON.stringify(avatar.toJson().extra)); // without what a face has not
  console.log(JSON.stringify({ pixels, labels: ATTRIBUTES.map(([, , label]) => label(face)) }));
}
