/**
 * Measures which lines of the sources the fast tests run. Prints a table by room and one figure.
 * Bundles in bin/ that the tests start do not count: remapped to their sources, they show lines as
 * run that are not. So the figure is a lower bound.
 *
 * usage: npm run coverage -- [--html] [FILE...]     default: the fast suite, without the checks
 *   --html   also writes coverage/index.html, which shows the lines
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import { parseArguments, root, runMain, say } from './support.mjs';

const ROOMS = ['protocol', 'native', 'runtime', 'daemons', 'cli', 'simulator'];
const OUT = 'coverage';

/** "daemons/kvp" for a file of a daemon, or the top folder. */
const roomOf = (path) =>
  path
    .split('/')
    .slice(0, path.startsWith('daemons/') ? 2 : 1)
    .join('/');

const percent = ({ covered, total }) => (total === 0 ? 100 : (100 * covered) / total).toFixed(1);

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, { html: { type: 'boolean' } });
  rmSync(OUT, { recursive: true, force: true });
  const reporters = ['json-summary', ...(values.html ? ['html'] : [])];
  const args = [
    ...['node_modules/c8/bin/c8.js', '--all', '--exclude-after-remap', '--reports-dir', OUT],
    ...ROOMS.flatMap((room) => ['--include', `${room}/**/*.ts`, '--src', room]),
    ...reporters.flatMap((name) => ['--reporter', name]),
    ...[process.execPath, 'scripts/test.mjs', '--unchecked', ...positionals],
  ];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const { total, ...files } = JSON.parse(readFileSync(`${OUT}/coverage-summary.json`, 'utf8'));
  const rooms = new Map();
  for (const [path, { lines }] of Object.entries(files)) {
    const room = roomOf(relative(root, path));
    const sum = rooms.get(room) ?? { covered: 0, total: 0 };
    rooms.set(room, { covered: sum.covered + lines.covered, total: sum.total + lines.total });
  }
  say('\nLines that the tests run');
  for (const [room, lines] of [...rooms].sort())
    say(`${room.padEnd(20)} ${percent(lines).padStart(5)} %   ${lines.covered} of ${lines.total}`);
  say(`${'all'.padEnd(20)} ${percent(total.lines).padStart(5)} %`);
  return status ?? 1;
});
