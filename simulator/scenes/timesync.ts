import assert from 'node:assert/strict';
import path from 'node:path';
import { readStatus, type TimesyncStatus } from '../../daemons/timesync/status.ts';
import { type Native, READING_SLOTS, ReadingSlot } from '../../native/interface.ts';
import { type Version, version } from '../../protocol/ic/version.ts';
import {
  type TimesyncReply,
  type TimesyncRequest,
  timesyncProtocol,
  UNIX_EPOCH_100NS,
} from '../../protocol/timesync/vmbus.ts';
import { VmbusStage, type VmbusStageOptions } from '../stages/vmbus-stage.ts';
import type { ServiceView } from '../wire.ts';
import { mistreat, played, type ServiceScene, type Stagehand } from './scene.ts';

type Stage = VmbusStage<TimesyncRequest, TimesyncReply>;
type Order = 'sync' | 'sample' | 'none';

const flagsOf = (order: Order): TimesyncRequest['flags'] => ({
  sync: order === 'sync',
  sample: order === 'sample',
  unknown: 0,
});

const isoTime = (hostTime100ns: bigint): string => {
  const ms = Number((hostTime100ns - UNIX_EPOCH_100NS) / 10_000n);
  return Math.abs(ms) <= 8.64e15
    ? new Date(ms).toISOString()
    : `${hostTime100ns} x 100 ns since 1601`;
};

export const timesyncView: ServiceView<TimesyncRequest, TimesyncReply> = {
  summarize: ({ flags, hostTime100ns }) => ({
    operation: flags.sync ? 'sync' : flags.sample ? 'sample' : 'time',
    subject: isoTime(hostTime100ns),
  }),
  // A time without an order
  probe: (serial) => ({ hostTime100ns: BigInt(serial), flags: flagsOf('none') }),
};

/** Time passes this much faster where the guest's clock drifts: a minute takes three seconds. */
const SPEED = 20;
/** Hosts send samples this often. */
const SAMPLE_MS = 5000 / SPEED;

/**
 * The machine's clock is left alone on stage: the daemon has a clock of its own, and leaves its
 * status in the stage's folder.
 */
export const openTimesync = (
  hand: Pick<Stagehand, 'native'> & Partial<Stagehand>,
  settings: Readonly<Record<string, string | number | boolean>> = {},
  more: Partial<VmbusStageOptions<TimesyncRequest, TimesyncReply>> = {},
): Promise<Stage> =>
  VmbusStage.open({
    native: hand.native,
    protocol: timesyncProtocol,
    view: timesyncView,
    ...(hand.tap ? { tap: hand.tap } : {}),
    ...(hand.onLog ? { onLog: hand.onLog } : {}),
    ...more,
    settings: ({ folder }) => ({
      ...settings,
      clock: 'simulated',
      reference_counter: '',
      status_file: statusFile(folder),
    }),
  });

const statusFile = (folder: string): string => path.join(folder, 'timesync.json');

/**
 * The reference counter of the simulated partition is an hour ahead of the raw clock. A message
 * from ten minutes ago therefore has a valid counter, also on a machine that booted a minute ago.
 */
const COUNTER_AHEAD_NS = 3_600_000_000_000n;

/**
 * The clocks of a host: its time runs `driftPpm` faster than the partition's reference counter,
 * which runs with the raw clock.
 */
export class HostTime {
  /** What an administrator adds to the host's clock. */
  setByNs = 0n;
  readonly #native: Native;
  readonly #speed: bigint;
  readonly #driftPpm: bigint;
  readonly #slots = new BigInt64Array(READING_SLOTS);
  readonly #startRawNs: bigint;
  readonly #startNs: bigint;

  constructor(native: Native, driftPpm = 0, speed = 1) {
    this.#native = native;
    this.#speed = BigInt(speed);
    this.#driftPpm = BigInt(driftPpm);
    this.#startRawNs = this.#rawNs();
    this.#startNs = this.#slots[ReadingSlot.value]!;
  }

  message(order: Order): TimesyncRequest {
    const rawNs = this.#rawNs();
    const elapsedNs = rawNs - this.#startRawNs;
    const hostNs =
      this.#startNs + elapsedNs + (elapsedNs * this.#driftPpm) / 1_000_000n + this.setByNs;
    return {
      hostTime100ns: hostNs / 100n + UNIX_EPOCH_100NS,
      referenceTime100ns: (rawNs + COUNTER_AHEAD_NS) / 100n,
      flags: flagsOf(order),
    };
  }

  #rawNs(): bigint {
    this.#native.readClocks(this.#slots);
    return this.#slots[ReadingSlot.monotonicRawNs]! * this.#speed;
  }
}

/** Sends one message and gives the guest's status once it has acted on it. */
export async function tell(stage: Stage, request: TimesyncRequest): Promise<TimesyncStatus> {
  const file = statusFile(stage.ground.folder);
  const messages = (): number => readStatus(file)?.counters['messages'] ?? 0;
  const before = messages();
  assert.deepEqual(await stage.request(request), { status: 0 });
  while (messages() === before) await stage.alive(new Promise((resolve) => setTimeout(resolve, 5)));
  return readStatus(file)!;
}

const seconds = (ns: string | undefined): string => `${(Number(ns) / 1e9).toFixed(6)} s`;

export const timesyncScenes: readonly ServiceScene[] = [
  {
    name: 'timesync-drift',
    service: 'timesync',
    wires: ['unix-ring'],
    live: true,
    description:
      'a clock that is 90 s wrong is set by order of the host, then kept right while it ' +
      'drifts by 300 ppm',
    run: (hand) =>
      played(
        openTimesync(hand, { simulated_error_ms: 90_000, simulated_speed: SPEED }),
        async (stage) => {
          const clock = new HostTime(hand.native, 300, SPEED);
          const set = await tell(stage, clock.message('sync'));
          assert.equal(set.clock, 'simulated');
          assert.equal(set.lastStep?.because, 'sync');
          hand.say(`The clock inside the guest was set by ${seconds(set.lastStep.byNs)}`);
          for (let sample = 1; sample <= 14; sample++) {
            // Not shortened: it is this time in which the clocks drift apart
            await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
            const { last } = await tell(stage, clock.message('sample'));
            const { frequencyPpm } = last!;
            const pace =
              frequencyPpm === undefined
                ? ''
                : `, the host runs ${frequencyPpm.toFixed(1)} ppm faster`;
            hand.say(
              `${sample * 5} s later: the host is ahead by ${seconds(last!.offsetNs)}${pace}`,
            );
          }
          const { counters, last } = await tell(stage, clock.message('sample'));
          assert.ok(Math.abs(last!.frequencyPpm! - 300) < 1, `${last!.frequencyPpm} ppm`);
          assert.ok(counters['slews']! >= 10, JSON.stringify(counters));
        },
      ),
  },
  {
    name: 'timesync-resume',
    service: 'timesync',
    wires: ['unix-ring'],
    description:
      'a host that says nothing of having suspended the guest for a minute, and one whose ' +
      'clock was set back',
    run: (hand) =>
      played(openTimesync(hand), async (stage) => {
        const clock = new HostTime(hand.native);
        await tell(stage, clock.message('sync'));
        await tell(stage, clock.message('sample'));
        clock.setByNs = 60_000_000_000n;
        const { lastStep } = await tell(stage, clock.message('sample'));
        assert.equal(lastStep?.because, 'resume');
        assert.ok(Math.abs(Number(lastStep.byNs) / 1e9 - 60) < 5, lastStep.byNs);
        hand.say(`Noticed: the clock inside the guest was set by ${seconds(lastStep.byNs)}`);
        clock.setByNs = 0n;
        assert.equal((await tell(stage, clock.message('sample'))).counters['backwards'], 1);
        for (let i = 0; i < 3; i++) {
          const { counters } = await tell(stage, clock.message('sample'));
          assert.equal(counters['steps'], 2, 'never back without order');
        }
        const { lastStep: back } = await tell(stage, clock.message('sync'));
        assert.ok(Math.abs(Number(back!.byNs) / 1e9 + 60) < 5, back!.byNs);
        hand.say(`By order it goes back, too: by ${seconds(back!.byNs)}`);
      }),
  },
  {
    name: 'timesync-refusals',
    service: 'timesync',
    wires: ['unix-ring'],
    description:
      'times that no guest takes over: 1601, the far future, from ten minutes ago, from ' +
      'before the last one',
    run: (hand) =>
      played(openTimesync(hand), async (stage) => {
        const clock = new HostTime(hand.native);
        await tell(stage, clock.message('sync'));
        const minute100ns = 600_000_000n;
        const { hostTime100ns, referenceTime100ns, flags } = clock.message('sample');
        for (const time of [
          0n,
          1n,
          UNIX_EPOCH_100NS,
          hostTime100ns + 200n * 365n * 1440n * minute100ns,
          2n ** 64n - 1n,
        ]) {
          await tell(stage, {
            hostTime100ns: time,
            referenceTime100ns: referenceTime100ns!,
            flags: flagsOf('sync'),
          });
        }
        await tell(stage, {
          hostTime100ns,
          referenceTime100ns: referenceTime100ns! - 11n * minute100ns,
          flags,
        });
        const before = clock.message('sample');
        await tell(stage, clock.message('sample'));
        const { counters } = await tell(stage, before);
        assert.deepEqual(
          [counters['absurd'], counters['stale'], counters['backwards'], counters['steps']],
          [5, 1, 1, 1],
          'refused, counted, and nothing done',
        );
      }),
  },
  {
    name: 'timesync-versions',
    service: 'timesync',
    wires: ['unix-ring'],
    description: 'the clock set by older hosts, which do not tell the reference time',
    run: (hand) =>
      played(openTimesync(hand, { simulated_error_ms: -5000 }), async (stage) => {
        for (const [framework, message] of [
          [version(3, 0), version(3, 0)],
          [version(1, 0), version(1, 0)],
        ] satisfies [Version, Version][]) {
          await stage.alive(stage.host.negotiate({ framework: [framework], message: [message] }));
          const clock = new HostTime(hand.native);
          const { version: agreed, last, lastStep } = await tell(stage, clock.message('sync'));
          assert.deepEqual(
            [agreed, last?.kind, lastStep?.because],
            [`${message.major}.0`, 'plain', 'sync'],
          );
        }
      }),
  },
  {
    name: 'timesync-malformed',
    service: 'timesync',
    wires: ['unix-ring'],
    description: 'what a correct host never sends to the time synchronization service',
    run: (hand) =>
      played(openTimesync(hand), async (stage) => {
        const clock = new HostTime(hand.native);
        const valid = stage.host.encode(clock.message('sync'));
        await mistreat({ host: stage.host, alive: (work) => stage.alive(work) }, valid, 19);
        const { counters } = await tell(stage, clock.message('sample'));
        assert.deepEqual([counters['syncs'], counters['steps']], [0, 0], 'nothing of it is obeyed');
      }),
  },
];
