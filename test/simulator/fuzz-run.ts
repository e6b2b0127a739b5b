import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { mustServe } from '../../simulator/behaviours/behaviour.ts';
import { Ask, PRETENCE, VssStage, vssSettings } from '../../simulator/hosts/vss-host.ts';
import { Stage } from '../../simulator/stages/stage.ts';
import { WIRES } from '../../simulator/wire.ts';
import {
  type FuzzSubject,
  fuzz,
  growthBytes,
  kvpSubject,
  MAX_GROWTH_BYTES,
  vssSubject,
} from './fuzz.ts';

/**
 * What 10 kinds of lines may say at a burst of 5 and one in 10 s each, in the minutes this takes.
 */
const MAX_LOG_LINES = 2000;

const seed = Number(process.env['VMIC_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);

/** The fuzz test of KVP over both wires; the seed from VMIC_FUZZ_SEED, or a new one, is printed. */
export function testFuzz(totalMessages: number): void {
  const messages = Math.ceil(totalMessages / WIRES.length);
  describe(`${totalMessages} random and mutated messages`, () => {
    for (const wire of WIRES) {
      it(`${messages} over ${wire} (VMIC_FUZZ_SEED=${seed})`, async (t) => {
        const stage = await Stage.open(wire, { native });
        try {
          await endure(t, kvpSubject(stage), messages);
          await mustServe(stage.host);
          assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
        } finally {
          await stage.close();
        }
      });
    }
  });
}

/** The same with VSS, pretended: nothing is frozen. */
export function testVssFuzz(totalMessages: number): void {
  const messages = Math.ceil(totalMessages / WIRES.length);
  describe(`${totalMessages} random and mutated messages to the VSS service`, () => {
    for (const wire of WIRES) {
      it(`${messages} over ${wire} (VMIC_FUZZ_SEED=${seed})`, async (t) => {
        const stage = await VssStage.open(wire, {
          native,
          place: PRETENCE,
          settings: (ground) => vssSettings(ground, true),
        });
        try {
          await endure(t, vssSubject(stage), messages);
          // Whatever state that left behind
          await stage.ask(Ask.thaw);
          for (const request of [Ask.checkHotBackup, Ask.freeze, Ask.thaw]) {
            const { status } = await stage.ask(request);
            assert.equal(
              status,
              IcStatus.ok,
              `${request.operation}; the daemon said:\n${stage.daemon.transcript()}`,
            );
          }
          assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
        } finally {
          await stage.close();
        }
      });
    }
  });
}

async function endure(t: TestContext, subject: FuzzSubject, messages: number): Promise<void> {
  const { daemon, link } = subject;
  const startedMs = performance.now();
  const result = await fuzz(subject, messages, seed);
  const secs = (performance.now() - startedMs) / 1000;
  const growth = growthBytes(result.rssBytes);
  t.diagnostic(
    `${link.wire}: ${result.sent} messages in ${secs.toFixed(1)} s, ${result.wellFormed} ` +
      'well-formed and all answered, ' +
      `${result.malformedAnswered} of the others answered; memory ` +
      `${(growth / 2 ** 20).toFixed(1)} MiB in the second half, ` +
      `${((result.rssBytes.at(-1) ?? 0) / 2 ** 20).toFixed(0)} MiB at the end; ` +
      `${daemon.logs.length} log lines`,
  );
  assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes in the second half`);
  assert.ok(daemon.logs.length < MAX_LOG_LINES, `${daemon.logs.length} log lines`);
}
