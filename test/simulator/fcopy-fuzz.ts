/**
 * Random sequences of messages for a real file copy daemon, from a seed: starts of good and bad
 * names, parts in and out of order, ends, and messages with bits changed. What a well-formed one
 * has to be answered with is known from a model of the files; now and then all files are looked at.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { FcopyStage } from '../../simulator/hosts/fcopy-host.ts';
import { filesIn, guestFolder, openFiles } from '../../simulator/scenes/fcopy.ts';
import { randomFrom } from './fuzz.ts';

export interface FcopyFuzzResult {
  readonly messages: number;
  readonly wellFormed: number;
  /** Copies that the host was told are complete. */
  readonly completed: number;
  /** Looks at all files. */
  readonly looks: number;
  readonly rssBytes: readonly number[];
}

const { ok, fail, invalidArgument, alreadyExists, notSupported, diskFull } = IcStatus;
const SIZES = [
  0,
  1,
  100,
  MAX_FRAGMENT_BYTES,
  MAX_FRAGMENT_BYTES + 1,
  2 * MAX_FRAGMENT_BYTES,
  15_000,
];
const MAX_BYTES = Math.max(...SIZES);
/** Every byte tells where in its file it belongs. */
const CONTENT = Uint8Array.from(
  { length: MAX_BYTES + MAX_FRAGMENT_BYTES },
  (_, i) => (i * 31 + (i >>> 8)) & 0xff,
);
const BAD_NAMES = ['', '.', '..', '../escaped', 'a/b', 'a\\b'];
/** Mutations reach no further than headers, names and sizes: content says where it belongs. */
const MUTABLE_BODY_BYTES = { start: 1088, data: 52, other: 36 };

/** hv_utils knows one transaction at a time; as many as this fit a socket's buffer both ways. */
const UNIX_WINDOW = 8;
const RING_WINDOW = 64;
const LOOK_EVERY = 20_000;
const SAMPLES = 200;
const SILENT_MS = 300_000;

/** What the daemon must be doing; undefined after a message that may have meant anything. */
type Copy =
  | { readonly key: string; readonly sizeBytes: number; position: number }
  | 'none'
  | undefined;

/** Which answers a message may have; undefined: any, or none. */
type Allowed = readonly number[] | undefined;

class Model {
  #copy: Copy = 'none';
  /** Last known key, when it is unknown what is under way. */
  #lastKey: string | undefined;
  readonly #there = new Map<string, boolean | undefined>();
  completed = 0;

  forgetFiles(): void {
    this.#there.clear();
    this.#copy = 'none';
  }

  /** A message that may have been anything. */
  disturb(): void {
    if (this.#copy !== 'none' && this.#copy !== undefined) this.#lastKey = this.#copy.key;
    this.#copy = undefined;
    if (this.#lastKey !== undefined) this.#there.set(this.#lastKey, undefined);
  }

  get copy(): Copy {
    return this.#copy;
  }

  /**
   * The statuses that a well-formed request may have. `refusal`: a start's that is none at all,
   * whatever is there.
   */
  expect(request: FcopyRequest, key: string, refusal: number | undefined): Allowed {
    switch (request.operation) {
      case 'start': {
        this.#copy = 'none';
        this.#lastKey = undefined;
        if (refusal !== undefined) return [refusal];
        const there = this.#there.has(key) ? this.#there.get(key) : false;
        const begin = (): void => {
          this.#copy = { key, sizeBytes: Number(request.sizeBytes), position: 0 };
        };
        if (request.flags.overwrite || there === false) {
          begin();
          return [ok];
        }
        if (there) return [alreadyExists];
        this.#lastKey = key;
        this.#copy = undefined;
        return [ok, alreadyExists];
      }
      case 'data': {
        const copy = this.#copy;
        if (copy === undefined) return [ok, fail, invalidArgument];
        if (copy === 'none') return [fail];
        const fits =
          request.offset === BigInt(copy.position) &&
          copy.position + request.data.length <= copy.sizeBytes;
        if (!fits) return [invalidArgument];
        copy.position += request.data.length;
        return [ok];
      }
      case 'complete': {
        const copy = this.#copy;
        this.#copy = 'none';
        if (copy === undefined) {
          if (this.#lastKey !== undefined) this.#there.set(this.#lastKey, undefined);
          this.#lastKey = undefined;
          return [ok, fail, alreadyExists];
        }
        if (copy === 'none' || copy.position !== copy.sizeBytes) return [fail];
        this.#there.set(copy.key, true);
        this.completed++;
        return [ok];
      }
      case 'cancel':
        this.#copy = 'none';
        return [ok];
      case 'unknown':
        return [notSupported];
    }
  }
}

/** Sends `count` sequences and checks every answer. Rejects on the first thing that is wrong. */
export async function fuzzFcopy(
  stage: FcopyStage,
  count: number,
  seed: number,
): Promise<FcopyFuzzResult> {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const { host, daemon } = stage;
  const ring = host.wire === 'unix-ring';
  const guest = guestFolder(stage);
  const model = new Model();
  const scratch = new Uint8Array(8192);
  const negotiation = ring ? stage.ring.encodeNegotiation() : undefined;

  const outside = path.join(stage.ground.folder, 'outside');
  const prepare = (): void => {
    fs.mkdirSync(path.join(guest, 'sub'), { recursive: true });
    fs.mkdirSync(outside, { recursive: true });
    fs.symlinkSync('../outside', path.join(guest, 'out'));
  };
  prepare();

  /** Folders, and what a start for each has to be refused with. */
  const folders: readonly (readonly [string, number | undefined, boolean])[] = [
    [`${guest}/`, undefined, false],
    [`${guest}/sub/`, undefined, false],
    [`${guest}/sub`, undefined, false],
    [`${guest.replaceAll('/', '\\')}\\sub\\`, undefined, false],
    [`${guest}//./sub/`, undefined, false],
    [`${guest}/made/deep/`, undefined, true],
    [`${guest}/out/`, fail, false],
    [`${guest}/sub/../`, invalidArgument, false],
    [`${outside}/`, fail, false],
    [`${stage.ground.folder}/`, fail, false],
    ['/var/tmp/', fail, false],
    ['C:\\Windows\\', invalidArgument, false],
    ['relative/', invalidArgument, false],
  ];

  let mutated = 0;
  const owed = new Map<bigint, { readonly allowed: Allowed; readonly what: string }>();
  let lastAnswerMs = performance.now();
  let wrong: Error | undefined;
  let wellFormed = 0;
  let messages = 0;

  const onAnswer = (answer: Uint8Array, transactionId: bigint): void => {
    lastAnswerMs = performance.now();
    const id = ring ? transactionId : (owed.keys().next().value ?? -1n);
    const one = owed.get(id);
    if (one === undefined) {
      wrong ??= new Error(`an answer to message ${id}, which is not pending`);
      return;
    }
    owed.delete(id);
    if (one.allowed) {
      const status = answer.length < (ring ? 28 : 4) ? -1 : host.statusOf(answer);
      if (!one.allowed.includes(status)) {
        const expected = one.allowed.map((value) => value.toString(16)).join(' or ');
        wrong ??= new Error(
          `message ${id}: ${one.what}: expected ${expected}, got ${status.toString(16)}`,
        );
      }
    }
    if (!ring || !one.allowed) return;
    // Answers come in order: what is still owed from before will never come. Nobody owes an answer
    // to a broken header.
    for (const [older, { allowed, what }] of owed) {
      if (older > id) break;
      if (allowed) wrong ??= new Error(`message ${older}: ${what}: passed over`);
      owed.delete(older);
    }
  };

  const encodedBytes = (request: FcopyRequest): Uint8Array => host.encode(request);

  /** One message, changed or not. */
  async function send(request: FcopyRequest, key = '', refusal?: number): Promise<void> {
    if (random(40) !== 0) {
      wellFormed++;
      await post(encodedBytes(request), model.expect(request, key, refusal), request.operation);
      return;
    }
    mutated++;
    // A name of its own, so that files of the model stay what they are
    const victim =
      request.operation === 'start' && refusal === undefined
        ? { ...request, fileName: `m${mutated}` }
        : request;
    const bytes = encodedBytes(victim);
    scratch.set(bytes);
    const mutable =
      host.bodyOffset +
      (MUTABLE_BODY_BYTES[victim.operation as 'start' | 'data'] ?? MUTABLE_BODY_BYTES.other);
    for (let changes = 1 + random(3); changes > 0; changes--)
      scratch[random(mutable)]! ^= 1 << random(8);
    const length = random(4) === 0 ? 4 + random(bytes.length - 4) : bytes.length;
    model.disturb();
    // A copy of its own: it may have to wait
    const message = scratch.slice(0, length);
    await post(message, undefined, 'changed');
    // What became a negotiation may have ended in "nothing in common", and rightly so
    if (negotiation && message[12] === 0 && message[13] === 0)
      await post(negotiation, [ok], 'negotiation');
  }

  async function post(bytes: Uint8Array, allowed: Allowed, what: string): Promise<void> {
    const id = BigInt(++messages);
    for (;;) {
      if (owed.size < (ring ? RING_WINDOW : UNIX_WINDOW) && host.trySend(bytes, id)) break;
      await turn();
    }
    owed.set(id, { allowed, what });
  }

  async function turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (wrong) throw wrong;
    if (daemon.exit)
      throw new Error(`the daemon ended after ${messages} messages:\n${daemon.transcript()}`);
    if (performance.now() - lastAnswerMs > SILENT_MS) {
      throw new Error(`${owed.size} messages unanswered after ${messages}`);
    }
  }

  /** All is answered; whatever was begun is given up. */
  async function settle(): Promise<void> {
    wellFormed++;
    await post(
      encodedBytes({ operation: 'cancel' }),
      model.expect({ operation: 'cancel' }, '', undefined),
      'cancel',
    );
    const awaited = [...owed.values()].at(-1)!;
    while ([...owed.values()].includes(awaited)) await turn();
    assert.deepEqual(host.violations, []);
  }

  async function sequence(): Promise<void> {
    const sizeBytes = pick(SIZES);
    const badName = random(10) === 0;
    const fileName = badName
      ? pick(BAD_NAMES)
      : `${sizeBytes}-${pick(['é', 'į', '日本', '🚀', 'plain', ' '])}${random(4)}`;
    const [folder, badFolder, missing] = random(3) === 0 ? pick(folders) : folders[0]!;
    const overwrite = random(2) === 0;
    // Folders are made with the file that needs them, which may have been any since they were first
    // asked for
    const createPath = random(2) === 0 || (missing && asked);
    const huge = random(50) === 0;
    const start: FcopyRequest = {
      operation: 'start',
      fileName,
      path: folder,
      flags: { overwrite, createPath, unknown: 0 },
      sizeBytes: huge ? 0xffff_ffff_ffff_ffffn : BigInt(sizeBytes),
    };
    const name = badName || badFolder === invalidArgument ? invalidArgument : undefined;
    const key = `${path.normalize(folder.replaceAll('\\', '/')).replace(/\/+$/, '')}/${fileName}`;
    const refusal =
      name ?? (huge ? diskFull : (badFolder ?? (missing && !createPath ? fail : undefined)));
    asked ||= missing && createPath;
    if (random(12) !== 0) await send(start, key, refusal);
    for (let parts = 1 + random(3), offset = 0; parts > 0 && offset <= sizeBytes; parts--) {
      const bytes = Math.min(
        random(8) === 0 ? 1 + random(MAX_FRAGMENT_BYTES) : MAX_FRAGMENT_BYTES,
        sizeBytes - offset,
      );
      if (bytes === 0) break;
      const at = random(12) === 0 ? random(MAX_BYTES) : offset;
      await send({ operation: 'data', offset: BigInt(at), data: CONTENT.subarray(at, at + bytes) });
      offset += bytes;
    }
    const end = random(16);
    if (end < 11) await send({ operation: 'complete' });
    else if (end < 13) await send({ operation: 'cancel' });
    else if (end === 13) await send({ operation: 'unknown', operationCode: 4 + random(1000) });
  }

  /** A start has asked for the folders of `made/deep`. */
  let asked = false;

  /**
   * Files are whole, what they should be, and where they may be; nothing is open. Then all goes.
   */
  function look(): void {
    assert.deepEqual(fs.readdirSync(outside), [], 'a file outside of the root');
    assert.deepEqual(openFiles(stage), [], 'a file left open');
    for (const file of filesIn(stage)) {
      if (file === 'out') continue;
      const content = fs.readFileSync(path.join(guest, file));
      const belongs = content.equals(CONTENT.subarray(0, content.length));
      assert.ok(belongs, `${file} holds what was never sent for its place`);
      const sizeBytes = /(?:^|\/)(\d+)-[^/]*$/.exec(file)?.[1];
      if (sizeBytes !== undefined)
        assert.equal(content.length, Number(sizeBytes), `${file} is not whole`);
    }
    for (const entry of fs.readdirSync(guest))
      fs.rmSync(path.join(guest, entry), { recursive: true });
    prepare();
    model.forgetFiles();
    asked = false;
  }

  const rssBytes: number[] = [];
  let looks = 0;
  const open = (): number => fs.readdirSync(`/proc/${daemon.pid}/fd`).length;
  const beside = fs.readdirSync(stage.ground.folder).sort();
  let release = host.takeOver(onAnswer);
  try {
    await settle();
    const before = open();
    for (let sequences = 1; sequences <= count; sequences++) {
      await sequence();
      if (sequences % LOOK_EVERY === 0 || sequences === count) {
        await settle();
        look();
        looks++;
      }
      if (sequences % Math.ceil(count / SAMPLES) === 0) rssBytes.push(daemon.rssBytes());
    }
    assert.ok(open() <= before, `${open()} descriptors, ${before} at the beginning`);
    assert.deepEqual(fs.readdirSync(stage.ground.folder).sort(), beside, 'nothing beside the root');
    return { messages, wellFormed, completed: model.completed, looks, rssBytes };
  } finally {
    release();
    release = () => {};
  }
}
