import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
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

const code = (expected: string) => (error: NativeError) => error.code === expected;

const GUEST = bundle({ after }, 'ring_guest.ts');

const INBAND = 6;
/** A made-up message: 4 bytes of head, {offset u64, size u32, 4 bytes more}, 12 bytes of data. */
const HEAD = Uint8Array.of(0xa1, 0xa2, 0xa3, 0xa4);
const MESSAGE_BYTES = 32;
const FORM: PartForm = {
  sample: message(0, []).subarray(0, 20),
  messageBytes: MESSAGE_BYTES,
  offsetAt: 4,
  sizeAt: 12,
  roomBytes: 12,
  answer: Uint8Array.of(0xb1, 0xb2),
  answerBytes: 4,
  limitMs: 0,
};
const ANSWER = Uint8Array.of(0xb1, 0xb2, 0xa3, 0xa4);

function message(
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

function openSink(
  t: TestContext,
  on: Native,
  sizeBytes: number,
): { sink: FileSink; content: () => number[] } {
  const path = join(temporaryFolder(t), 'file');
  const sink = on.openSink(openSync(path, 'wx+'), sizeBytes);
  t.after(() => sink.close());
  return { sink, content: () => [...readFileSync(path)] };
}

const both: [name: string, make: () => Native][] = [
  ['the addon', () => native],
  ['memory', () => new MemoryNative()],
];

for (const [name, make] of both) {
  describe(`a sink of ${name}`, () => {
    it('is written from its start to its end, and no further', (t) => {
      const { sink, content } = openSink(t, make(), 5);
      sink.write(Uint8Array.of(1, 2, 3));
      assert.equal(sink.positionBytes, 3);
      assert.throws(() => sink.write(Uint8Array.of(4, 5, 6)), code('EFBIG'));
      assert.equal(sink.positionBytes, 3);
      sink.write(Uint8Array.of(4, 5));
      sink.write(new Uint8Array(0));
      assert.deepEqual([sink.positionBytes, content()], [5, [1, 2, 3, 4, 5]]);
    });

    it('owns its descriptor, and closes it once', (t) => {
      const { sink } = openSink(t, make(), 5);
      const { fd } = sink;
      assert.ok(readlinkSync(`/proc/self/fd/${fd}`).endsWith('/file'));
      sink.close();
      sink.close();
      assert.equal(sink.fd, -1);
      assert.throws(() => readlinkSync(`/proc/self/fd/${fd}`));
      assert.throws(() => sink.write(Uint8Array.of(1)), code('EBADF'));
    });
  });

  /**
   * Both kinds of channels, made alike: what the peer sends, what comes up here, what the peer gets
   * back.
   */
  const links: [name: string, open: (t: TestContext, on: Native) => Promise<Link>][] = [
    ['messages', openMessages],
    ['packets', openPackets],
  ];
  for (const [kind, open] of links) {
    describe(`parts of a file in ${kind}, on ${name}`, () => {
      it('are written and answered without a callback, in order', async (t) => {
        const on = make();
        const link = await open(t, on);
        const { sink, content } = openSink(t, on, 15);
        link.stream(sink, FORM);
        for (const [offset, part] of [
          [0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
          [12, [13]],
          [13, [14, 15]],
        ] as const) {
          link.send(message(offset, part));
          assert.deepEqual(await link.answer(), ANSWER);
        }
        assert.deepEqual(content(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert.deepEqual(link.received, []);
      });

      it(
        'come up when they are not the next one, or not alike; the next one is still ' + 'taken',
        async (t) => {
          const on = make();
          const link = await open(t, on);
          const { sink, content } = openSink(t, on, 3);
          link.stream(sink, FORM);
          link.send(message(0, [1]));
          assert.deepEqual(await link.answer(), ANSWER);
          const other = message(1, [2]);
          other[19] = 1;
          const longer = new Uint8Array(MESSAGE_BYTES + 8);
          longer.set(message(1, [2]));
          const strange = [
            message(0, [1]),
            message(2, [3]),
            message(2n ** 63n + 1n, [2]),
            message(1, []),
            message(1, [2, 3, 4]),
            message(1, [2], 13),
            message(1, [2], 0xffff_ffff),
            message(1, [2]).subarray(0, 24),
            other,
            longer,
          ];
          for (const one of strange) link.send(one);
          await link.arrived(strange.length);
          assert.deepEqual(link.received, strange);
          assert.deepEqual([sink.positionBytes, content()], [1, [1]]);
          link.send(message(1, [2, 3]));
          assert.deepEqual(await link.answer(), ANSWER);
          assert.deepEqual(content(), [1, 2, 3]);
        },
      );

      it('come up when they can not be written, as if nothing had been tried', async (t) => {
        const on = make();
        const link = await open(t, on);
        const sink = on.openSink(openSync('/dev/full', 'w'), 100);
        t.after(() => sink.close());
        link.stream(sink, FORM);
        link.send(message(0, [1]));
        await link.arrived(1);
        assert.deepEqual([sink.positionBytes, link.received], [0, [message(0, [1])]]);
        assert.throws(() => sink.write(Uint8Array.of(1)), code('ENOSPC'));
      });

      it('come up once the sink is closed, and go to the one given last', async (t) => {
        const on = make();
        const link = await open(t, on);
        const first = openSink(t, on, 9);
        const second = openSink(t, on, 9);
        link.stream(first.sink, FORM);
        first.sink.close();
        link.send(message(0, [1]));
        await link.arrived(1);
        link.stream(second.sink, FORM);
        link.send(message(0, [2]));
        assert.deepEqual(await link.answer(), ANSWER);
        assert.deepEqual([first.content(), second.content(), link.received.length], [[], [2], 1]);
      });

      it('are mixed with others as they come: nothing overtakes', async (t) => {
        const on = make();
        const link = await open(t, on);
        const { sink, content } = openSink(t, on, 200);
        link.stream(sink, FORM);
        const positions: number[] = [];
        link.onReceived = () => positions.push(sink.positionBytes);
        let at = 0;
        for (let round = 0; round < 8; round++) {
          for (let i = 0; i < 3; i++) link.send(message(at++, [at]));
          link.send(message(500, [round]));
        }
        await link.arrived(8);
        for (let i = 0; i < 24; i++) assert.deepEqual(await link.answer(), ANSWER);
        assert.deepEqual(positions, [3, 6, 9, 12, 15, 18, 21, 24]);
        assert.deepEqual(
          content(),
          Array.from({ length: 24 }, (_, i) => i + 1),
        );
      });

      it('are not taken while the channel is paused', async (t) => {
        const on = make();
        const link = await open(t, on);
        const { sink } = openSink(t, on, 2);
        link.stream(sink, FORM);
        link.pause();
        link.send(message(0, [1]));
        await turns(10);
        assert.equal(sink.positionBytes, 0);
        link.resume();
        assert.deepEqual(await link.answer(), ANSWER);
      });
    });
  }
}

describe('a stream', () => {
  it('is refused with a form that contradicts itself, or something that is no sink', async (t) => {
    const link = await openMessages(t, native);
    const { sink } = openSink(t, native, 1);
    for (const wrong of [
      { messageBytes: 16 },
      { roomBytes: 13 },
      { offsetAt: 13 },
      { sizeAt: 17 },
      { offsetAt: 10, sizeAt: 12 },
      { sizeAt: 4 },
      { answerBytes: 33 },
      { answerBytes: 1 },
      { answerBytes: -1 },
      { limitMs: 0.5 },
      { sample: 'text' as unknown as Uint8Array },
      { messageBytes: 2 ** 40 },
    ]) {
      assert.throws(
        () => link.stream(sink, { ...FORM, ...wrong }),
        TypeError,
        JSON.stringify(wrong),
      );
    }
    assert.throws(() => link.stream({} as FileSink, FORM), TypeError);
    assert.throws(() => link.stream(sink, undefined as unknown as PartForm), TypeError);
  });

  it('keeps nothing open after the channel and the sink are closed', async (t) => {
    const before = readdirSync('/proc/self/fd').length;
    const link = await openMessages(t, native);
    const { sink } = openSink(t, native, 2);
    link.stream(sink, FORM);
    link.send(message(0, [1]));
    await link.answer();
    link.close();
    sink.close();
    await turns(10);
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });

  it('takes over only a descriptor that is one', () => {
    const fd = openSync('/dev/null', 'w');
    closeSync(fd);
    assert.throws(() => native.openSink(fd, 1), code('EBADF'));
    assert.throws(() => native.openSink(-1, 1), TypeError);
    assert.throws(() => native.openSink(0, -1), TypeError);
    assert.throws(() => native.openSink(0, 2 ** 53), TypeError);
  });
});

interface Link {
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

async function openMessages(t: TestContext, on: Native): Promise<Link> {
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
async function openPackets(t: TestContext, on: Native): Promise<Link> {
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

interface Peer {
  write(transactionId: bigint, bytes: Uint8Array): void;
  close(): void;
}

type OnAnswer = (type: number, flags: number, transactionId: bigint, payload: Uint8Array) => void;

function inMemory(on: MemoryNative, path: string, onAnswer: OnAnswer): Peer {
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

function inProcess(t: TestContext, path: string, onAnswer: OnAnswer): Peer {
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

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}
