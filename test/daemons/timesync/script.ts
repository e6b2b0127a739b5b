import type { TimesyncPorts } from '../../../daemons/timesync/ports.ts';
import { TimesyncService } from '../../../daemons/timesync/service.ts';
import { systemClock } from '../../../daemons/timesync/system.ts';
import { MemoryNative } from '../../../native/memory/index.ts';
import { levels } from '../../../runtime/log.ts';

type Published = Parameters<TimesyncPorts['publish']>[0];

/** A service on a clock in memory. Messages of one burst end where `drained` is called. */
export function scripted(overrides: Partial<TimesyncPorts> = {}) {
  const memory = new MemoryNative();
  const lines: string[] = [];
  const published: Published[] = [];
  const fed: { realtimeNs: bigint; offsetNs: bigint }[] = [];
  const deferred: (() => void)[] = [];
  let nowMs = 0;
  let closes = 0;
  const service = new TimesyncService({
    clock: systemClock(memory),
    counter: { read: () => undefined },
    choose: () => ({ mode: 'discipline', reason: 'as the test wants it', configured: true }),
    feedChrony: (realtimeNs, offsetNs) => fed.push({ realtimeNs, offsetNs }) > 0,
    publish: (status) => void published.push(status),
    uptimeSecs: () => 1000 + nowMs / 1000,
    defer: (callback) => void deferred.push(callback),
    now: () => nowMs,
    log: levels((severity, message) => lines.push(`${severity}: ${message}`)),
    close: () => {
      closes++;
    },
    ...overrides,
  });
  return {
    service,
    memory,
    lines,
    published,
    fed,
    get status(): Published {
      return published.at(-1)!;
    },
    get closes(): number {
      return closes;
    },
    get waiting(): number {
      return deferred.length;
    },
    drained: () => {
      for (const callback of deferred.splice(0)) callback();
    },
    pass: (ms: number) => {
      nowMs += ms;
      memory.rawNs += BigInt(ms) * 1_000_000n;
    },
    /** The host's clock, `aheadMs` ahead of the guest's, in its own units. */
    hostTime100ns: (aheadMs: number): bigint => {
      const slots = new BigInt64Array(3);
      memory.readClocks(slots);
      return slots[0]! / 100n + BigInt(Math.round(aheadMs * 10_000)) + 116_444_736_000_000_000n;
    },
  };
}

export const SYNC = { sync: true, sample: false, unknown: 0 };
export const SAMPLE = { sync: false, sample: true, unknown: 0 };
export const NEITHER = { sync: false, sample: false, unknown: 0 };
