/** Random and mutated messages for a real daemon, from a seed. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { native } from '../../native/index.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { KVP_POOL_COUNT, KvpPool, type KvpRequest } from '../../protocol/kvp/types.ts';
import type { VssRequest } from '../../protocol/vss/types.ts';
import type { VmbusHost } from '../../simulator/hosts/vmbus-host.ts';
import { Ask, type VssStage } from '../../simulator/hosts/vss-host.ts';
import type { DaemonProcess, Ground } from '../../simulator/stages/daemon.ts';
import type { Stage } from '../../simulator/stages/stage.ts';
import type { ServiceHost } from '../../simulator/wire.ts';

export interface FuzzResult {
  readonly sent: number;
  readonly wellFormed: number;
  /**
   * Malformed ones that were answered, with a failure or (when the change happened to make another
   * valid request) success.
   */
  readonly malformedAnswered: number;
  readonly rssBytes: readonly number[];
}

/** Deterministic numbers from a seed (xorshift32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Template {
  readonly bytes: Uint8Array;
  /** Whether a reply to the unchanged message may have this status. */
  mayAnswer(status: number): boolean;
}

/** A daemon, how it is reached, and what it understands. */
export interface FuzzSubject {
  readonly daemon: DaemonProcess;
  readonly link: ServiceHost<never, { readonly status: number }>;
  /** Over VMBus. */
  readonly ring:
    | Pick<VmbusHost<never, { readonly status: number }>, 'encodeNegotiation'>
    | undefined;
  readonly templates: readonly Template[];
  /** Length of every message on the char device. */
  readonly messageBytes: number;
  /** Called every TIDY_EVERY messages. */
  tidy?(): Promise<void>;
}

const ok = (status: number): boolean => status === IcStatus.ok;
const okOrNothing = (status: number): boolean =>
  status === IcStatus.ok || status === IcStatus.noMoreItems;
const refused = (status: number): boolean => status !== IcStatus.ok;

export function kvpSubject({ host: { link, ring }, daemon, ground }: Stage): FuzzSubject {
  const templates: Template[] = [];
  const add = (request: KvpRequest, mayAnswer: (status: number) => boolean): void => {
    templates.push({ bytes: link.encode(request).slice(), mayAnswer });
  };
  for (let pool = 0; pool < KVP_POOL_COUNT; pool++) {
    const writable = pool !== KvpPool.auto;
    for (let i = 0; i < 10; i++) {
      add({ operation: 'enumerate', pool, index: i }, writable ? okOrNothing : ok);
      if (!writable) continue;
      const key = `fuzz ${i} ${'ké'.repeat(i)}`;
      add({ operation: 'get', pool, key }, okOrNothing);
      add(
        { operation: 'set', pool, key, value: { type: 'string', text: 'v世'.repeat(i * i) } },
        ok,
      );
      add({ operation: 'delete', pool, key }, okOrNothing);
    }
  }
  add({ operation: 'set', pool: 0, key: 'fuzz u32', value: { type: 'u32', value: 7 } }, ok);
  for (const operationCode of [6, 99, 255])
    add({ operation: 'unknown', pool: 0, operationCode }, refused);
  for (const pool of [5, 255]) {
    add({ operation: 'enumerate', pool, index: 0 }, refused);
    add({ operation: 'get', pool, key: 'fuzz 1' }, refused);
  }
  add(
    { operation: 'getIpInfo', pool: 0, adapterId: '00:15:5D:00:00:01', addressFamily: 3 },
    refused,
  );
  return { daemon, link, ring, templates, messageBytes: 7432, tidy: () => emptyPools(ground) };
}

/** Freezes are few: each is a process of its own. */
export function vssSubject(stage: VssStage): FuzzSubject {
  const { host, daemon } = stage;
  const template = (request: VssRequest, mayAnswer: (status: number) => boolean): Template => ({
    bytes: host.encode(request).slice(),
    mayAnswer,
  });
  const either = (): boolean => true;
  const templates = [Ask.checkHotBackup, Ask.getDmInfo, Ask.backupComplete].flatMap((request) =>
    new Array<Template>(20).fill(template(request, ok)),
  );
  templates.push(
    template(Ask.freeze, either),
    template(Ask.thaw, either),
    template(Ask.autoRecover, ok),
  );
  for (const operationCode of [9, 77, 255]) {
    templates.push(template({ operation: 'unknown', operationCode, flags: 0 }, refused));
  }
  const ring = host.wire === 'unix-ring' ? stage.ring : undefined;
  return { daemon, link: host, ring, templates, messageBytes: 12 };
}

const EXTREMES = [
  0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 511, 512, 513, 2047, 2048, 2049, 0x7fff, 0xffff, 0x7fff_ffff,
  0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

/** Bytes at the start of a message where headers, sizes and indices are. */
const FIELDS_BYTES = 64;

/**
 * Changes a copy of a template in `scratch`; gives the message's length. Never 0: on a socket that
 * would be the end.
 */
function mutate(
  scratch: Uint8Array,
  length: number,
  maxLength: number,
  random: (below: number) => number,
): number {
  const view = new DataView(scratch.buffer, scratch.byteOffset);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    switch (random(7)) {
      case 0:
        scratch[random(FIELDS_BYTES)] = random(256);
        break;
      case 1:
        view.setUint32(random(FIELDS_BYTES / 4) * 4, EXTREMES[random(EXTREMES.length)]!, true);
        break;
      case 2:
        scratch[random(length)]! ^= 1 << random(8);
        break;
      case 3: {
        const start = random(length);
        scratch.fill(random(256), start, Math.min(length, start + random(600)));
        break;
      }
      case 4: {
        const start = random(length);
        for (let i = start; i < Math.min(length, start + random(100)); i++)
          scratch[i] = random(256);
        break;
      }
      case 5:
        length = 1 + random(random(2) === 0 ? Math.min(FIELDS_BYTES, maxLength) : maxLength);
        break;
      default:
        view.setUint16(
          random(FIELDS_BYTES / 2) * 2,
          EXTREMES[random(EXTREMES.length)]! & 0xffff,
          true,
        );
    }
  }
  return length;
}

/** hv_utils knows one transaction at a time; as many as this fit a socket's buffer both ways. */
const UNIX_WINDOW = 8;
const RING_WINDOW = 256;
/** Mutated requests add things without end, so somebody else tidies up from time to time. */
const TIDY_EVERY = 10_000;
const SAMPLES = 200;
/** With nothing in this time the daemon owes an answer for good. */
const SILENT_MS = 300_000;

/** Sends `count` messages and checks every answer. Rejects on the first thing that is wrong. */
export async function fuzz(subject: FuzzSubject, count: number, seed: number): Promise<FuzzResult> {
  const { link, daemon, templates, messageBytes } = subject;
  const random = randomFrom(seed);
  const ring = subject.ring !== undefined;
  // A longer one ends the channel, which is right for a broken transport, and tested elsewhere
  const maxLength = ring ? 13_312 : messageBytes + 1;
  const scratch = new Uint8Array(13_312);
  const negotiation = subject.ring && { bytes: subject.ring.encodeNegotiation(), mayAnswer: ok };
  let negotiateNext = false;

  /**
   * What is owed, by transaction id, oldest first: the template of a well-formed request, undefined
   * for a mutated one.
   */
  const owed = new Map<bigint, Template | undefined>();
  let wellFormed = 0;
  let wellFormedOwed = 0;
  let malformedAnswered = 0;
  let lastAnswerMs = performance.now();
  let wrong: Error | undefined;

  const onAnswer = (answer: Uint8Array, transactionId: bigint): void => {
    lastAnswerMs = performance.now();
    const id = ring ? transactionId : (owed.keys().next().value ?? -1n);
    if (!owed.has(id)) {
      wrong ??= new Error(`an answer to transaction ${id}, which is not pending`);
      return;
    }
    const template = owed.get(id);
    owed.delete(id);
    const status = answer.length < (ring ? 28 : 4) ? undefined : link.statusOf(answer);
    if (template === undefined) malformedAnswered++;
    else {
      wellFormedOwed--;
      if (status === undefined || !template.mayAnswer(status)) {
        wrong ??= new Error(
          `message ${id}: a well-formed request was answered with status ${status?.toString(16)}`,
        );
      }
    }
    if (!ring || template === undefined) return;
    // Answers come in order: what is still owed from before will never come. Nobody owes an answer
    // to a broken header.
    for (const [older, what] of owed) {
      if (older > id) break;
      if (what) wrong ??= new Error(`message ${older}: a well-formed request was passed over`);
      owed.delete(older);
    }
  };

  const rssBytes: number[] = [];
  const release = link.takeOver(onAnswer);
  try {
    let sent = 0;
    let pending: { bytes: Uint8Array; template: Template | undefined } | undefined;
    while (sent < count || wellFormedOwed > 0) {
      while (sent < count && owed.size < (ring ? RING_WINDOW : UNIX_WINDOW)) {
        // The last of a window is well-formed, or one that ends in silence would never be over
        const mustBeGood = sent >= count - 2 || owed.size === RING_WINDOW - 1;
        pending ??= next(mustBeGood);
        const id = BigInt(sent + 1);
        if (!link.trySend(pending.bytes, id)) break;
        // On the char device a message of the right length is always answered, one of a wrong
        // length never
        if (ring || pending.bytes.length === messageBytes) owed.set(id, pending.template);
        if (pending.template) {
          wellFormed++;
          wellFormedOwed++;
        }
        pending = undefined;
        if (++sent % TIDY_EVERY === 0) await subject.tidy?.();
        if (sent % Math.ceil(count / SAMPLES) === 0) rssBytes.push(daemon.rssBytes());
      }
      await new Promise((resolve) => setImmediate(resolve));
      if (wrong) throw wrong;
      if (daemon.exit)
        throw new Error(`the daemon ended after ${sent} messages:\n${daemon.transcript()}`);
      if (performance.now() - lastAnswerMs > SILENT_MS) {
        throw new Error(`${wellFormedOwed} well-formed requests unanswered after ${sent} messages`);
      }
    }
    assert.deepEqual(link.violations, []);
    return { sent, wellFormed, malformedAnswered, rssBytes };
  } finally {
    release();
  }

  function next(mustBeGood: boolean) {
    if (negotiateNext) {
      negotiateNext = false;
      return { bytes: negotiation!.bytes, template: negotiation };
    }
    const made = make(mustBeGood);
    // What a change turned into a negotiation may end in "nothing in common", and rightly so
    negotiateNext = ring && made.bytes[12] === 0 && made.bytes[13] === 0;
    return made;
  }

  function make(mustBeGood: boolean): { bytes: Uint8Array; template: Template | undefined } {
    if (!mustBeGood && random(20) === 0) {
      const length = 1 + random(maxLength);
      for (let i = 0; i < Math.min(length, 256); i++) scratch[i] = random(256);
      return { bytes: scratch.subarray(0, length), template: undefined };
    }
    const template = templates[random(templates.length)]!;
    if (mustBeGood || random(3) === 0) return { bytes: template.bytes, template };
    scratch.set(template.bytes);
    const length = mutate(scratch, template.bytes.length, maxLength, random);
    return { bytes: scratch.subarray(0, length), template: undefined };
  }
}

/** As another program would: under both locks. */
async function emptyPools(ground: Ground): Promise<void> {
  for (let pool = 0; pool < KVP_POOL_COUNT; pool++) {
    const fd = fs.openSync(ground.poolFile(pool), 'r+');
    try {
      while (!native.tryLock(fd, 'exclusive'))
        await new Promise((resolve) => setImmediate(resolve));
      fs.ftruncateSync(fd, 0);
      native.unlock(fd);
    } finally {
      fs.closeSync(fd);
    }
  }
}

/**
 * How much memory may grow over the second half. V8 collects when it likes, and the kernel counts
 * what it once touched: a dozen MiB up and down are noise. A leak of 100 bytes a message is 25 MiB
 * in half of 500,000, one of a whole message 37 MiB in 5,000.
 */
export const MAX_GROWTH_BYTES = 16 << 20;

/** Growth between the middle and the end, each the median of a tenth of the samples. */
export function growthBytes(samples: readonly number[]): number {
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  const median = (part: readonly number[]): number =>
    [...part].sort((a, b) => a - b)[part.length >> 1] ?? 0;
  const middle = Math.floor(samples.length / 2);
  return median(samples.slice(-tenth)) - median(samples.slice(middle, middle + tenth));
}
