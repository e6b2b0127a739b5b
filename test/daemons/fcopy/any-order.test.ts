import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { cancel, complete, data, Script, start } from './script.ts';

const { ok, fail, invalidArgument, diskFull, notSupported } = IcStatus;
const VMBUS = { via: 'vmbus', framework: version(3, 0), message: version(1, 1) } as const;

/** What may come in any order. Offsets are relative to the right one. */
type Step =
  | { readonly kind: 'start'; readonly size: number; readonly bad: boolean }
  | { readonly kind: 'data'; readonly shift: number; readonly length: number }
  | {
      readonly kind:
        | 'complete'
        | 'cancel'
        | 'unknown'
        | 'registration'
        | 'negotiation'
        | 'gone'
        | 'writeFails';
    }
  | { readonly kind: 'time'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('start' as const),
      size: fc.nat(6),
      bad: fc.boolean(),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('data' as const),
      shift: fc.constantFrom(0, 0, 0, 0, 1, -1, 3),
      length: fc.nat(4),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'complete',
        'complete',
        'cancel',
        'unknown',
        'registration',
        'negotiation',
        'gone',
        'writeFails',
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(12_000) }) },
);

test(
  'in any order: one file at most is open, what appears is whole, and every request is ' +
    'answered',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const script = new Script({ silenceSecs: 10 });
        /** The copy as it ought to be; undefined: none is open. */
        let model: { size: number; bytes: number[] } | undefined;
        const expected = new Map<string, Uint8Array>();
        let serial = 0;
        let quietMs = 0;
        for (const one of steps) {
          switch (one.kind) {
            case 'start': {
              serial++;
              const request = start(one.size, { fileName: one.bad ? '..' : `file ${serial}` });
              assert.equal(await script.ask(request), one.bad ? invalidArgument : ok);
              model = one.bad ? undefined : { size: one.size, bytes: [] };
              quietMs = 0;
              break;
            }
            case 'data': {
              const at = Math.max(0, (model?.bytes.length ?? 0) + one.shift);
              const bytes = Array.from({ length: one.length }, (_, i) => (at + i) % 256);
              const status = await script.ask(data(at, ...bytes));
              if (!model) assert.equal(status, fail);
              else if (at !== model.bytes.length || at + one.length > model.size)
                assert.equal(status, invalidArgument);
              else {
                assert.equal(status, ok);
                model.bytes.push(...bytes);
                if (one.length > 0) quietMs = 0;
              }
              break;
            }
            case 'complete': {
              const whole = model && model.bytes.length === model.size;
              assert.equal(await script.ask(complete), whole ? ok : fail);
              if (model && whole) expected.set(`/tmp/file ${serial}`, Uint8Array.from(model.bytes));
              model = undefined;
              break;
            }
            case 'cancel':
              assert.equal(await script.ask(cancel), ok);
              model = undefined;
              break;
            case 'unknown':
              assert.equal(
                await script.ask({ operation: 'unknown', operationCode: 9 }),
                notSupported,
              );
              break;
            case 'registration':
              script.service.connected({ via: 'hv_utils', versionText: '1' });
              model = undefined;
              break;
            case 'negotiation':
              script.service.connected(VMBUS);
              break;
            case 'gone':
              script.service.disconnected();
              model = undefined;
              break;
            case 'writeFails': {
              script.writeError = 'ENOSPC';
              const at = model?.bytes.length ?? 0;
              const room = model === undefined || at < model.size;
              assert.equal(
                await script.ask(data(at, 1)),
                !model ? fail : room ? diskFull : invalidArgument,
              );
              if (room) model = undefined;
              script.writeError = undefined;
              break;
            }
            case 'time':
              script.pass(one.ms);
              quietMs += one.ms;
              // Seen once a second: a copy ends up to two looks late
              if (quietMs >= 12_000) model = undefined;
              else if (quietMs >= 10_000 && !script.service.busy) model = undefined;
          }
          assert.equal(script.open.length, model ? 1 : 0);
          assert.equal(script.service.busy, model !== undefined);
          assert.deepEqual(script.files, expected);
        }
        script.service.close();
        assert.deepEqual([script.open, script.timers], [[], 0]);
        assert.deepEqual(script.files, expected);
      }),
      { numRuns: 2000 },
    );
  },
);
