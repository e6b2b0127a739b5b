import assert from 'node:assert/strict';
import type { KvpRequest } from '../../protocol/kvp/types.ts';
import type { HvUtilsHost } from '../hosts/hvutils-host.ts';
import { AUTO_KEYS, formatStatus, type KvpHost } from '../hosts/kvp-host.ts';
import type { VmbusHost } from '../hosts/vmbus-host.ts';
import type { Wire } from '../wire.ts';

/** What a behaviour plays on. */
export interface BehaviourContext {
  readonly host: KvpHost;
  /** Tells the audience what comes next. */
  say(text: string): void;
  /** Waits; less long, or not at all, where nobody watches. Rejects when the scene is over. */
  pause(ms: number): Promise<void>;
  /** The scene is over: leave. */
  readonly signal: AbortSignal;
}

/** One thing a host does, good or bad. Throws when the guest's answer is not what it has to be. */
export interface Behaviour {
  readonly name: string;
  readonly description: string;
  readonly manner: 'good' | 'bad';
  readonly wires: readonly Wire[];
  /**
   * What it leaves behind: a guest that still answers, or one that rightly ended because its ring
   * is corrupt.
   */
  readonly leaves: 'serving' | 'ended';
  run(scene: BehaviourContext): Promise<void>;
}

export const BOTH: readonly Wire[] = ['unix', 'unix-ring'];
export const UTILS_ONLY: readonly Wire[] = ['unix'];
export const RING_ONLY: readonly Wire[] = ['unix-ring'];

type Run = (scene: BehaviourContext) => Promise<void>;
type Extra = Partial<Pick<Behaviour, 'wires' | 'leaves'>>;

export const good = (
  name: string,
  description: string,
  run: Run,
  extra: Extra = {},
): Behaviour => ({
  name,
  description,
  manner: 'good',
  wires: BOTH,
  leaves: 'serving',
  ...extra,
  run,
});
export const bad = (name: string, description: string, run: Run, extra: Extra = {}): Behaviour => ({
  ...good(name, description, run, extra),
  manner: 'bad',
});

export function ringOf(
  scene: BehaviourContext,
): VmbusHost<KvpRequest, unknown & { readonly status: number }> {
  assert.ok(scene.host.ring, 'this behaviour needs the ring');
  return scene.host.ring;
}

export function utilsOf(
  scene: BehaviourContext,
): HvUtilsHost<KvpRequest, { readonly status: number }> {
  assert.ok(scene.host.utils, 'this behaviour needs the char device');
  return scene.host.utils;
}

/**
 * The request's bytes with something changed. `body` views the service's body: operation at 0, pool
 * at 1, fields from 4.
 */
export function edited(
  host: KvpHost,
  request: KvpRequest,
  change: (body: DataView, message: Uint8Array) => void,
) {
  const message = host.link.encode(request).slice();
  const offset = host.link.bodyOffset;
  change(new DataView(message.buffer, offset), message);
  return message;
}

/**
 * Sends what no guest can accept: it has to be refused or ignored, and the guest has to go on
 * answering.
 */
export async function mustNotAccept(
  host: KvpHost,
  message: Uint8Array,
  what: string,
): Promise<void> {
  const answer = await host.link.exchange(message);
  if (answer === undefined) return;
  const status = host.link.statusOf(answer);
  assert.notEqual(status, 0, `${what} was answered with success`);
}

/** Sends what is well formed, yet has to be answered with a failure. Gives the status. */
export async function mustRefuse(
  host: KvpHost,
  message: Uint8Array,
  what: string,
): Promise<number> {
  const answer = await host.link.exchange(message);
  assert.ok(answer, `${what} was not answered`);
  const status = host.link.statusOf(answer);
  assert.notEqual(status, 0, `${what} was answered with success`);
  return status;
}

/** That the guest serves as if nothing had been: reads its own data, and keeps ours. */
export async function mustServe(host: KvpHost): Promise<void> {
  const item = await host.at(2, 0);
  assert.equal(item?.key, AUTO_KEYS[0], 'the auto pool begins with the host name');
  const value = `alive ${Date.now()}`;
  await host.set(0, 'vmic-check', value);
  assert.deepEqual(await host.get(0, 'vmic-check'), { type: 'string', text: value });
  assert.equal(await host.delete(0, 'vmic-check'), true);
  assert.deepEqual(host.link.violations, [], 'the guest kept to the protocol');
}

export const sayStatus = (scene: BehaviourContext, what: string, status: number): void =>
  scene.say(`${what}: refused with "${formatStatus(status)}"`);

/** The earlier name of what a behaviour is given, for tests of others. */
export type { BehaviourContext as Scene };
