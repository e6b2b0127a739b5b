import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { mustServe } from '../host/behaviours/behaviour.ts';
import { Stage } from '../host/stage.ts';
import { WIRES } from '../host/wire.ts';
import { fuzz, growthBytes, MAX_GROWTH_BYTES } from './fuzz.ts';

/** What 10 kinds of lines may say at a burst of 5 and one in 10 s each, in the minutes this takes. */
const MAX_LOG_LINES = 2000;

/** The fuzz test of both wires; the seed from VMIC_FUZZ_SEED, or a new one, is printed. */
export function testFuzz(totalMessages: number): void {
  const seed = Number(process.env['VMIC_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
  const messages = Math.ceil(totalMessages / WIRES.length);

  describe(`${totalMessages} random and mutated messages`, () => {
    for (const wire of WIRES) {
      it(`${messages} over ${wire} (VMIC_FUZZ_SEED=${seed})`, async (t) => {
        const stage = await Stage.open(wire, { native });
        try {
          const startedMs = performance.now();
          const result = await fuzz(stage, messages, seed);
          const secs = (performance.now() - startedMs) / 1000;
          const growth = growthBytes(result.rssBytes);
          t.diagnostic(
            `${wire}: ${result.sent} messages in ${secs.toFixed(1)} s, ${result.wellFormed} well-formed and all answered, ` +
              `${result.malformedAnswered} of the others answered; memory ${(growth / 2 ** 20).toFixed(1)} MiB in the second half, ` +
              `${((result.rssBytes.at(-1) ?? 0) / 2 ** 20).toFixed(0)} MiB at the end; ${stage.daemon.logs.length} log lines`,
          );
          assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes in the second half`);
          assert.ok(stage.daemon.logs.length < MAX_LOG_LINES, `${stage.daemon.logs.length} log lines`);
          await mustServe(stage.host);
          assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
        } finally {
          await stage.close();
        }
      });
    }
  });
}
