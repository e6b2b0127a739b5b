import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import type { FileSink, Native, PartForm } from '../../native/interface.ts';
import { MemoryNative } from '../../native/memory/index.ts';
import { temporaryFolder, turns } from './pairs.ts';
import {
  ANSWER,
  code,
  FORM,
  type Link,
  MESSAGE_BYTES,
  message,
  openMessages,
  openPackets,
} from './sink_links.ts';

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
