/** The recordings of fixtures/, read. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { parseTrace, type TracePacket } from '../../protocol/trace/trace.ts';

export const FIXTURES = path.join(import.meta.dirname, '../../fixtures');

export interface Exchange {
  readonly request: TracePacket;
  readonly answer: TracePacket;
  readonly notes: readonly string[];
}

/** The files as recorded, by their checksums. */
export const recorded = fs
  .readFileSync(path.join(FIXTURES, 'RECORDED.sha256'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const [sha256, file] = line.split('  ') as [string, string];
    return { sha256, file, text: fs.readFileSync(path.join(FIXTURES, file), 'utf8') };
  });

export function exchanges(text: string): Exchange[] {
  const found: Exchange[] = [];
  let notes: string[] = [];
  let request: TracePacket | undefined;
  for (const entry of parseTrace(text).entries) {
    if (entry.kind === 'note') notes.push(entry.text);
    else if (entry.direction === 'h2g') request = entry;
    else {
      assert.ok(request, 'an answer follows its request');
      found.push({ request, answer: entry, notes });
      notes = [];
      request = undefined;
    }
  }
  assert.equal(request, undefined, 'every request is answered');
  return found;
}
