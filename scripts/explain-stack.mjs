/**
 * Translates a stack of a bundled program (a log line, a crash) to files and lines of the sources.
 * The maps have to be of the same version: bin/*.map of a build, or the release's file
 * vmic-VERSION.maps.tgz, unpacked.
 *
 * usage: npm run explain-stack -- [--maps FOLDER] [FILE]     default: bin/, standard input
 */

import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { basename, join } from 'node:path';
import { Failure, parseArguments, root, runMain, say, UsageError } from './support.mjs';

/** A position as V8 writes it: a path or file URL, line and column, both counted from 1. */
const POSITION = /((?:file:\/\/)?\/[^\s()"']+?|[\w.-]+):(\d+):(\d+)/g;

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    maps: { type: 'string', default: join(root, 'bin') },
  });
  if (positionals.length > 1) throw new UsageError('one file at a time');
  /** @type {Map<string, SourceMap | undefined>} */
  const maps = new Map();
  const mapOf = (program) => {
    if (!maps.has(program)) {
      const file = join(values.maps, `${program}.map`);
      const found = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
      maps.set(program, found && new SourceMap(found));
    }
    return maps.get(program);
  };
  let explained = 0;
  const explain = (position, path, line, column) => {
    const entry = mapOf(basename(path))?.findEntry(Number(line) - 1, Number(column) - 1);
    if (entry === undefined || !('originalSource' in entry)) return position;
    explained++;
    const source = entry.originalSource.replace(/^(\.\.\/)+/, '');
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  };
  const [file = 0] = positionals;
  if (file !== 0 && !existsSync(file)) throw new Failure(`${file}: there is no such file`);
  // A log line in JSON has the stack in one line.
  const text = readFileSync(file, 'utf8').replaceAll('\\n', '\n');
  process.stdout.write(text.replaceAll(POSITION, explain));
  if (explained > 0) return 0;
  say(`No position in it belongs to a program with a map in ${values.maps}`);
  return 1;
});
