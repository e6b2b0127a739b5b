/**
 * The copyright file of a package, in Debian's machine-readable format: ours, of all that the
 * bundles contain, and of Node.js.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, root } from '../scripts/support.mjs';
import { BUNDLED_NODE, PROGRAMS } from './contents.mjs';

/** As a field's further lines: one space in front, a dot for an empty line. */
const indent = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');

/** {name, version, licence, text} of an npm package. */
function readPackage(folder) {
  const { name, version, license } = JSON.parse(
    readFileSync(join(root, folder, 'package.json'), 'utf8'),
  );
  const file = readdirSync(join(root, folder)).find((entry) =>
    /^(licen[sc]e|copying)/i.test(entry),
  );
  if (typeof license !== 'string' || file === undefined)
    throw new Failure(`${folder} does not say what its licence is`);
  return { name, version, licence: license, text: readFileSync(join(root, folder, file), 'utf8') };
}

const holdersOf = (text) => {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter(
    (line) => /^(©|copyright)\b.*/i.test(line) && !/copyright (notice|holder)/i.test(line),
  );
};

/**
 * @param {{ files: string, comment?: string, holders: string[], licence: string, text: string }} of
 */
function paragraph({ files, comment, holders, licence, text }) {
  const names = holders.map((line) => line.replace(/^copyright:? ?/i, ''));
  return [
    `Files: ${files}`,
    `Copyright: ${names.join('\n           ')}`,
    `License: ${licence}`,
    indent(text),
    ...(comment === undefined ? [] : [`Comment: ${comment}`]),
  ].join('\n');
}

/** All of these licences in one expression, as RPM wants it. */
export function licencesOf({ node }) {
  const bundled = JSON.parse(readFileSync(join(root, 'bin/.bundled.json'), 'utf8'));
  const folders = PROGRAMS.flatMap((program) => bundled[program]);
  const own = folders.map((folder) => readPackage(folder).licence);
  // Node.js contains OpenSSL (Apache-2.0), V8 (BSD), ICU (Unicode-3.0), zlib and more: its LICENSE
  // names them all.
  const more = node
    ? ['Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'Unicode-3.0', 'Zlib', 'Artistic-2.0']
    : [];
  return [...new Set(['MIT', ...own, ...more])].join(' AND ');
}

/** @param nodeLicence text of Node.js's licence, for the flavour that brings it */
export function copyrightFile(nodeLicence) {
  const bundled = JSON.parse(readFileSync(join(root, 'bin/.bundled.json'), 'utf8'));
  const programsOf = new Map();
  for (const program of PROGRAMS) {
    for (const folder of bundled[program])
      programsOf.set(folder, [...(programsOf.get(folder) ?? []), program]);
  }
  const own = readFileSync(join(root, 'LICENSE'), 'utf8').split('\n\nThe kernel module')[0];
  const paragraphs = [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n' +
      'Upstream-Name: vmic',
    paragraph({
      files: '*',
      holders: holdersOf(own),
      licence: 'Expat',
      text: own.split('\n\n').slice(2).join('\n\n'),
    }),
  ];
  for (const [folder, programs] of [...programsOf].sort()) {
    const { name, version, licence, text } = readPackage(folder);
    paragraphs.push(
      paragraph({
        files: programs.map((program) => `usr/lib/vmic/${program}`).join(' '),
        holders: holdersOf(text),
        licence: `${licence}-${name.replace(/[@/]+/g, '-').replace(/^-/, '')}`,
        text,
        comment: `contains ${name} ${version}, whose licence this is`,
      }),
    );
  }
  const api = readPackage('node_modules/node-addon-api');
  paragraphs.push(
    paragraph({
      files: 'usr/lib/vmic/vmic.node',
      holders: ['(c) 2017 Node.js API collaborators'],
      licence: 'MIT-node-addon-api',
      text: api.text,
      comment: `contains ${api.name} ${api.version}, whose licence this is`,
    }),
  );
  if (nodeLicence !== undefined) {
    paragraphs.push(
      paragraph({
        files: 'usr/lib/vmic/node',
        holders: ['Node.js contributors, and those named below'],
        licence: 'Node.js',
        text: nodeLicence,
        comment:
          `Node.js ${BUNDLED_NODE.version}, as built by its project; the licences of all that ` +
          'it contains are part of this text',
      }),
    );
  }
  return `${paragraphs.join('\n\n')}\n`;
}
