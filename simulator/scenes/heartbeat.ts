import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {
  type ApplicationState,
  type HeartbeatReply,
  type HeartbeatRequest,
  heartbeatProtocol,
} from '../../protocol/heartbeat/vmbus.ts';
import { version } from '../../protocol/ic/version.ts';
import { VmbusStage, type VmbusStageOptions } from '../stages/vmbus-stage.ts';
import type { ServiceView } from '../wire.ts';
import { mistreat, played, type ServiceScene, type Stagehand, script } from './scene.ts';

/** A simulated host and vmic-heartbeat. */
export type Heartbeat = VmbusStage<HeartbeatRequest, HeartbeatReply>;
type Stage = Heartbeat;

export const heartbeatView: ServiceView<HeartbeatRequest, HeartbeatReply> = {
  summarize: ({ sequence }, reply) => ({
    operation: 'beat',
    subject: String(reply?.sequence ?? sequence),
    ...(reply?.applicationState === undefined ? {} : { value: String(reply.applicationState) }),
  }),
  probe: (serial) => ({ sequence: BigInt(serial) }),
};

/** Hosts beat this often. */
const BEAT_MS = 2000;

export const openHeartbeat = (
  hand: Pick<Stagehand, 'native'> & Partial<Stagehand>,
  more: Partial<VmbusStageOptions<HeartbeatRequest, HeartbeatReply>> = {},
): Promise<Stage> =>
  VmbusStage.open({
    native: hand.native,
    protocol: heartbeatProtocol,
    view: heartbeatView,
    ...(hand.tap ? { tap: hand.tap } : {}),
    ...(hand.onLog ? { onLog: hand.onLog } : {}),
    // Not what this machine's administrator watches
    settings: ({ folder }) => ({
      checks_directory: path.join(folder, 'health.d'),
      check_interval_secs: 1,
      interval_secs: 1,
    }),
    ...more,
  });

/** One beat; gives the state. */
export async function beat(
  stage: Stage,
  sequence: bigint,
): Promise<ApplicationState | number | undefined> {
  const reply = await stage.request({ sequence });
  assert.equal(reply.status, 0);
  assert.equal(reply.sequence, BigInt.asUintN(64, sequence + 1n), 'the answer is one higher');
  return reply.applicationState;
}

/** Beats until the guest says this. */
async function beatUntil(
  stage: Stage,
  hand: Stagehand,
  fits: (state: unknown) => boolean,
  from: bigint,
): Promise<bigint> {
  for (let sequence = from, tries = 0; ; sequence += 2n) {
    const state = await beat(stage, sequence);
    if (fits(state)) return sequence + 2n;
    assert.ok(++tries < 300, `the state stays ${state}`);
    await hand.pause(BEAT_MS);
  }
}

export const heartbeatScenes: readonly ServiceScene[] = [
  {
    name: 'heartbeat-state',
    service: 'heartbeat',
    wires: ['unix-ring'],
    live: true,
    description: 'heartbeats, while a check fails and then succeeds again',
    run: (hand) =>
      played(openHeartbeat(hand), async (stage) => {
        const broken = path.join(stage.ground.folder, 'broken');
        const notCritical = (state: unknown): boolean => state !== 'critical';
        let next = await beatUntil(stage, hand, notCritical, 1n);
        hand.say('An application breaks: its check in health.d fails');
        fs.writeFileSync(broken, '');
        script(
          path.join(stage.ground.folder, 'health.d'),
          'application',
          `test ! -e ${broken} || { echo it broke; exit 1; }`,
        );
        next = await beatUntil(stage, hand, (state) => state === 'critical', next);
        const said = await stage.daemon.log((line) => line['state'] === 'critical');
        assert.deepEqual(said['reasons'], ['application: exit status 1: it broke']);
        hand.say('It is repaired');
        fs.rmSync(broken);
        await beatUntil(stage, hand, notCritical, next);
      }),
  },
  {
    name: 'heartbeat-versions',
    service: 'heartbeat',
    wires: ['unix-ring'],
    description:
      'heartbeats of older hosts, which know no state, and of one that counts to the end',
    run: (hand) =>
      played(openHeartbeat(hand), async (stage) => {
        assert.equal(await beat(stage, 0xffff_ffff_ffff_ffffn), 'unknown');
        const old = { framework: [version(1, 0)], message: [version(1, 0)] };
        await stage.alive(stage.host.negotiate(old));
        assert.equal(await beat(stage, 7n), undefined, 'no state in version 1.0');
      }),
  },
  {
    name: 'heartbeat-malformed',
    service: 'heartbeat',
    wires: ['unix-ring'],
    description: 'what a correct host never sends to the heartbeat service',
    run: (hand) =>
      played(openHeartbeat(hand), async (stage) => {
        await mistreat(
          { host: stage.host, alive: (work) => stage.alive(work) },
          stage.host.encode({ sequence: 1n }),
          8,
        );
        // Eight bytes are a whole beat
        await beat(stage, 3n);
      }),
  },
];
