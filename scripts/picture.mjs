/**
 * Draws what a terminal shows as an SVG, for documents.
 *
 * usage: node scripts/picture.mjs TITLE <TEXT >FILE.svg
 *
 * test/docs/picture.test.ts makes the pictures of docs/pictures, and compares them with what is
 * committed.
 */

import { readFileSync } from 'node:fs';
import { Failure, runMain } from './support.mjs';

const COLUMN = 8.43;
const LINE = 20;
const MARGIN = 18;
const BAR = 34;
const FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace";

/**
 * Colours of words that say how something is. The first one that fits counts.
 * @type {[RegExp, string][]}
 */
const COLOURS = [
  [/^\$ .*/, '#e6edf3'],
  [/^[A-Z]+( [A-Z]+)*( {2,}[A-Z]+( [A-Z]+)*)+$/, '#8b949e'],
  [/\bOK( \(applications healthy\))?$/, '#3fb950'],
  [/\bNo Contact$/, '#f85149'],
];

const escaped = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** One line of text; a part of it may be coloured. */
function drawLine(line) {
  for (const [pattern, colour] of COLOURS) {
    const found = pattern.exec(line);
    if (found === null) continue;
    const [before, after] = [line.slice(0, found.index), line.slice(found.index + found[0].length)];
    // Lines end within tags, so that none is long and no text gets a space.
    const coloured = `<tspan fill="${colour}"\n>${escaped(found[0])}</tspan\n>`;
    return `${escaped(before)}${coloured}${escaped(after)}`;
  }
  return escaped(line);
}

/** The picture of `text`, which has no control characters, in a window called `title`. */
export function drawTerminal(title, text) {
  const lines = text.replace(/\n$/, '').split('\n');
  const columns = Math.max(...lines.map((line) => line.length));
  const width = Math.ceil(columns * COLUMN + 2 * MARGIN);
  const height = BAR + lines.length * LINE + MARGIN;
  const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
    (colour, at) => `<circle cx="${MARGIN + at * 18}" cy="17" r="5.5" fill="${colour}"/>`,
  );
  const rows = lines.map((line, at) => {
    const y = BAR + (at + 1) * LINE - 4;
    return `<text x="${MARGIN}" y="${y}"\n>${drawLine(line)}</text\n>`;
  });
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return `\
<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">
<title>${escaped(title)}</title>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
${dots.join('\n')}
<g fill="#8b949e" font-family="sans-serif" font-size="12">
<text x="${width / 2}" y="21" text-anchor="middle">${escaped(title)}</text>
</g>
<g fill="#c9d1d9" font-size="14" xml:space="preserve"
 font-family="${FONTS}">
${rows.join('\n')}
</g>
</svg>
`;
}

if (process.argv[1] === import.meta.filename) {
  await runMain(() => {
    const [title, ...rest] = process.argv.slice(2);
    if (title === undefined || title.startsWith('-') || rest.length > 0)
      throw new Failure('usage: node scripts/picture.mjs TITLE <TEXT >FILE.svg');
    process.stdout.write(drawTerminal(title, readFileSync(0, 'utf8')));
  });
}
