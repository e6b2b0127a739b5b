/** What the tests of sinks share: messages that carry parts of a file, and who sends them. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import type {
  FileSink,
  MessageChannel,
  Native,
  NativeError,
  PartForm,
  RingChannel,
} from '../../native/interface.ts';
import { MemoryNative } from '../../native/memory/index.ts';
import { ADDON, bundle } from './bundle.ts';
import { Inbox, temporaryFolder, turns } from './pairs.ts';
import type { GuestCommand, GuestEvent } from './ring_guest.ts';

export const code = (expected: string) => (error: NativeError) => error.code === expected;

export const GUEST = bundle({ after }, 'ring_guest.ts');

export const INBAND = 6;
/** A made-up message: 4 bytes of head, {offset u64, size u32, 4 bytes more}, 12 bytes of data. */
export const HEAD = Uint8Array.of(0xa1, 0xa2, 0xa3, 0xa4);
export const MESSAGE_BYTES = 32;
export const FORM: PartForm = {
  sample: message(0, []).subarray(0, 20),
  messageBytes: MESSAGE_BYTES,
  offsetAt: 4,
  sizeAt: 12,
  roomBytes: 12,
  answer: Uint8Array.of(0xb1, 0xb2),
  answerBytes: 4,
  limitMs: 0,
};
export const ANSWER = Uint8Array.of(0xb1, 0xb2, 0xa3, 0xa4);

export function message(
  offset: number | bigint,
  part: readonly number[],
  sizeBytes = part.length,
): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_BYTES);
  bytes.set(HEAD);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(4, BigInt(offset), true);
  view.setUint32(12, sizeBytes, true);
  bytes.set(part, 20);
  return bytes;
}

export interface Link {
  /** What came up to us, oldest first. */
  readonly received: Uint8Array[];
  onReceived: () => void;
  send(bytes: Uint8Array): void;
  stream(sink: FileSink, form: PartForm): void;
  /** The next answer that our peer gets. */
  answer(): Promise<Uint8Array>;
  arrived(count: number): Promise<void>;
  pause(): void;
  resume(): void;
  close(): void;
}

export async function openMessages(t: TestContext, on: Native): Promise<Link> {
  const path = join(temporaryFolder(t), 'socket');
  const listener = on.listen(path);
  const accepted = new Promise<number>((resolve, reject) => listener.start(resolve, reject));
  const guest: MessageChannel = on.connectMessageSocket(path);
  const host = on.adoptMessageChannel(await accepted);
  listener.close();
  const close = (): void => {
    guest.close();
    host.close();
  };
  t.after(close);
  const answers = new Inbox(host);
  const buffer = new Uint8Array(64);
  const link: Link = {
    received: [],
    onReceived: () => {},
    send: (bytes) => host.write(bytes),
    stream: (sink, form) => guest.stream(sink, form),
    answer: () => answers.take(),
    arrived: (count) => until(() => link.received.length >= count),
    pause: () => guest.pause(),
    resume: () => guest.resume(),
    close,
  };
  guest.start(
    buffer,
    (bytes) => {
      link.received.push(buffer.slice(0, bytes));
      link.onReceived();
    },
    () => {},
  );
  return link;
}

/**
 * The end under test is a host's, so that the other one, which waits for it, can be in a process of
 * its own.
 */
export async function openPackets(t: TestContext, on: Native): Promise<Link> {
  const path = join(temporaryFolder(t), 'socket');
  const listener = on.listen(path);
  const accepted = new Promise<RingChannel>((resolve, reject) => {
    listener.start((fd) => resolve(on.hostRing(fd, 8192)), reject);
  });
  const answers: Uint8Array[] = [];
  let answered = 0n;
  const onAnswer = (
    type: number,
    flags: number,
    transactionId: bigint,
    payload: Uint8Array,
  ): void => {
    assert.deepEqual([type, flags], [INBAND, 0]);
    assert.ok(
      transactionId > answered,
      'answers carry the transaction ids of their packets, in order',
    );
    answered = transactionId;
    // A ring pads to 8 bytes
    answers.push(payload.slice(0, ANSWER.length));
  };
  const peer =
    on instanceof MemoryNative ? inMemory(on, path, onAnswer) : inProcess(t, path, onAnswer);
  const channel = await accepted;
  listener.close();
  const close = (): void => {
    channel.close();
    peer.close();
  };
  t.after(close);
  let transactionId = 1n;
  const buffer = new Uint8Array(64);
  const link: Link = {
    received: [],
    onReceived: () => {},
    send: (bytes) => peer.write(transactionId++, bytes),
    stream: (sink, form) => channel.stream(INBAND, sink, form),
    answer: async () => {
      await until(() => answers.length > 0);
      return answers.shift()!;
    },
    arrived: (count) => until(() => link.received.length >= count),
    pause: () => channel.pause(),
    resume: () => channel.resume(),
    close,
  };
  channel.start(
    buffer,
    (_type, _flags, _id, bytes) => {
      link.received.push(buffer.slice(0, bytes));
      link.onReceived();
    },
    () => {},
  );
  return link;
}

export interface Peer {
  write(transactionId: bigint, bytes: Uint8Array): void;
  close(): void;
}

export type OnAnswer = (
  type: number,
  flags: number,
  transactionId: bigint,
  payload: Uint8Array,
) => void;

export function inMemory(on: MemoryNative, path: string, onAnswer: OnAnswer): Peer {
  const channel = on.connectRingSocket(path);
  const buffer = new Uint8Array(64);
  channel.start(
    buffer,
    (type, flags, id, bytes) => onAnswer(type, flags, id, buffer.slice(0, bytes)),
    () => {},
  );
  return {
    write: (id, bytes) => void channel.write(INBAND, 1, id, bytes),
    close: () => channel.close(),
  };
}

export function inProcess(t: TestContext, path: string, onAnswer: OnAnswer): Peer {
  const guest = fork(GUEST, ['socket', path, '0', 'report', '64'], {
    execArgv: [],
    serialization: 'advanced',
    env: { ...process.env, VMIC_ADDON: ADDON },
  });
  guest.on('message', (event: GuestEvent) => {
    if (event.event === 'packet')
      onAnswer(event.type, event.flags, event.transactionId, event.payload);
  });
  const exited = new Promise((resolve) => guest.once('exit', resolve));
  t.after(() => {
    guest.kill('SIGKILL');
    return exited;
  });
  return {
    write: (transactionId, payload) =>
      guest.send({ command: 'write', transactionId, payload } satisfies GuestCommand),
    close: () => void guest.kill('SIGKILL'),
  };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
