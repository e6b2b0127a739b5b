import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { openFcopy } from '../../simulator/scenes/fcopy.ts';
import { WIRES } from '../../simulator/wire.ts';
import { fuzzFcopy } from './fcopy-fuzz.ts';
import { growthBytes, MAX_GROWTH_BYTES } from './fuzz.ts';

const MAX_LOG_LINES = 3000;
/** Where files cost no disk. */
const shared = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

/**
 * The fuzz test of file copy over both wires; the seed from VMIC_FUZZ_SEED, or a new one, is
 * printed.
 */
export function testFcopyFuzz(totalSequences: number): void {
  const seed = Number(process.env['VMIC_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
  const sequences = Math.ceil(totalSequences / WIRES.length);

  describe(`${totalSequences} random sequences of file copy messages`, () => {
    for (const wire of WIRES) {
      it(`${sequences} over ${wire} (VMIC_FUZZ_SEED=${seed})`, async (t) => {
        const place = { enter: (command: readonly string[]) => command, shared };
        const stage = await openFcopy({ native }, wire, {}, { place });
        try {
          const startedMs = performance.now();
          const result = await fuzzFcopy(stage, sequences, seed);
          const secs = (performance.now() - startedMs) / 1000;
          const growth = growthBytes(result.rssBytes);
          t.diagnostic(
            `${wire}: ${result.messages} messages in ${secs.toFixed(1)} s, ` +
              `${result.wellFormed} of them well-formed and answered as they must be, ` +
              `${result.completed} files completed, all files looked at ${result.looks} ` +
              `times; memory ${(growth / 2 ** 20).toFixed(1)} MiB ` +
              `in the second half, ${((result.rssBytes.at(-1) ?? 0) / 2 ** 20).toFixed(0)} ` +
              `MiB at the end; ${stage.daemon.logs.length} log lines`,
          );
          assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes in the second half`);
          assert.ok(
            stage.daemon.logs.length < MAX_LOG_LINES,
            `${stage.daemon.logs.length} log lines`,
          );
          assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
        } finally {
          await stage.close();
        }
      });
    }
  });
}
