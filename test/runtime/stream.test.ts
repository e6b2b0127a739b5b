/**
 * A session hands what follows a part of a file to its channel: the host must not see a difference.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { FileSink } from '../../native/interface.ts';
import { MemoryNative } from '../../native/memory/index.ts';
import type { FcopyReply, FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { encodeIcMessage, IC_NEGOTIATE, IcFlag } from '../../protocol/ic/packet.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { version } from '../../protocol/ic/version.ts';
import { levels } from '../../runtime/log.ts';
import type { Service } from '../../runtime/service.ts';
import { createHvUtilsSession } from '../../runtime/sessions/hvutils.ts';
import type { Serving } from '../../runtime/sessions/session.ts';
import { createVmbusSession } from '../../runtime/sessions/vmbus.ts';

const serving = (taking: Service<FcopyRequest, FcopyReply>): Serving<FcopyRequest, FcopyReply> => ({
  service: taking,
  hostLog: levels(() => {}),
  events: { connected: () => {}, traffic: () => {}, ended: () => assert.fail('ended') },
  now: () => 0,
});
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};
const part = (offset: number, ...bytes: number[]): FcopyRequest => ({
  operation: 'data',
  offset: BigInt(offset),
  data: Uint8Array.from(bytes),
});

/**
 * A service that takes parts, with or without handing over a stream; it notes those that came to
 * it.
 */
function service(t: TestContext, native: MemoryNative, streams: boolean) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-stream-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'file');
  const sink: FileSink = native.openSink(fs.openSync(file, 'wx'), 100);
  t.after(() => sink.close());
  const seen: string[] = [];
  const taking: Service<FcopyRequest, FcopyReply> = {
    handle: (request) => {
      seen.push(request.operation === 'data' ? `data ${request.offset}` : request.operation);
      if (request.operation !== 'data') return { status: IcStatus.fail };
      if (request.offset !== BigInt(sink.positionBytes))
        return { status: IcStatus.invalidArgument };
      sink.write(request.data);
      return streams ? { status: IcStatus.ok, stream: sink } : { status: IcStatus.ok };
    },
    connected: () => {},
    close: () => {},
  };
  return { taking, seen, content: () => [...fs.readFileSync(file)], sink };
}

const REQUESTS: readonly FcopyRequest[] = [
  part(0, 1, 2),
  part(2, 3),
  part(3, 4, 5, 6),
  part(3, 9),
  part(90, 9),
  { operation: 'cancel' },
  part(6, 7),
];
const CONTENT = [1, 2, 3, 4, 5, 6, 7];
/** Those that can't go past the service: the first one, and all that are not the next part. */
const SEEN = ['data 0', 'data 3', 'data 90', 'cancel'];

describe('parts of a file', () => {
  /** What a host gets for all requests, over VMBus. */
  async function overVmbus(t: TestContext, streams: boolean) {
    const native = new MemoryNative();
    const { taking, seen, content } = service(t, native, streams);
    const answers: string[] = [];
    native.addUio('/dev/uio0', (host) => {
      const buffer = new Uint8Array(16_384);
      host.start(
        buffer,
        (type, flags, id, bytes) =>
          answers.push(
            `${type} ${flags} ${id} ${Buffer.from(buffer.subarray(0, bytes)).toString('hex')}`,
          ),
        () => {},
      );
      const send = (messageType: number, id: bigint, body: Uint8Array): void => {
        const init = {
          frameworkVersion: version(3, 0),
          messageVersion: version(1, 1),
          messageType,
          flags: IcFlag.transaction | IcFlag.request,
        };
        host.write(6, 1, id, encodeIcMessage(init, body));
      };
      send(IC_NEGOTIATE, 1n, Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 1, 0));
      REQUESTS.forEach((request, i) => {
        send(7, BigInt(i + 2), fcopyProtocol.ic.encodeRequest(request, version(1, 1)));
      });
    });
    const channel = native.openUio('/dev/uio0', 4 << 20);
    t.after(() => channel.close());
    createVmbusSession(
      channel,
      { protocol: fcopyProtocol, extraVersions: [] },
      serving(taking),
    ).start();
    await settled();
    assert.deepEqual(content(), CONTENT);
    assert.equal(answers.length, REQUESTS.length + 1);
    return { answers, seen };
  }

  it('get the same answers over VMBus, byte for byte, whoever takes them', async (t) => {
    const plain = await overVmbus(t, false);
    const streamed = await overVmbus(t, true);
    assert.equal(plain.seen.length, REQUESTS.length);
    assert.deepEqual(streamed.seen, SEEN);
    assert.deepEqual(streamed.answers, plain.answers);
  });

  async function overDevice(t: TestContext, streams: boolean) {
    const native = new MemoryNative();
    const { taking, seen, content } = service(t, native, streams);
    const codec = fcopyProtocol.hvUtils!;
    const answers: string[] = [];
    native.addMessageDevice('/dev/vmbus/hv_fcopy', (kernel) => {
      const buffer = new Uint8Array(16_384);
      const waiting = [...REQUESTS];
      kernel.start(
        buffer,
        (bytes) => {
          const message = Buffer.from(buffer.subarray(0, bytes)).toString('hex');
          if (
            waiting.length === REQUESTS.length &&
            message === '01000000' &&
            answers.length === 0
          ) {
            kernel.write(codec.encodeRegistrationAnswer('1'));
            answers.push('registered');
          } else answers.push(message);
          const next = waiting.shift();
          if (next) kernel.write(codec.encodeRequest(next));
        },
        () => {},
      );
    });
    const channel = native.openMessageDevice('/dev/vmbus/hv_fcopy');
    t.after(() => channel.close());
    createHvUtilsSession(channel, { codec }, serving(taking)).start();
    for (let i = 0; i < 10; i++) await settled();
    assert.deepEqual(content(), CONTENT);
    return { answers, seen };
  }

  it('get the same answers on the char device, whoever takes them', async (t) => {
    const plain = await overDevice(t, false);
    const streamed = await overDevice(t, true);
    assert.equal(plain.seen.length, REQUESTS.length);
    assert.deepEqual(streamed.seen, SEEN);
    const [ok, invalid, failed] = ['00000000', '57000780', '05400080'];
    assert.deepEqual(streamed.answers, ['registered', ok, ok, ok, invalid, invalid, failed, ok]);
    assert.deepEqual(streamed.answers, plain.answers);
  });

  it('are no longer than the first message has room for', async (t) => {
    const native = new MemoryNative();
    const { taking, seen, sink } = service(t, native, true);
    const body = fcopyProtocol.ic.encodeRequest(part(0, 1), version(1, 1)).subarray(0, 60);
    native.addUio('/dev/uio0', (host) => {
      host.start(
        new Uint8Array(16_384),
        () => {},
        () => {},
      );
      const init = {
        frameworkVersion: version(3, 0),
        messageVersion: version(1, 1),
        messageType: 7,
        flags: IcFlag.transaction | IcFlag.request,
      };
      const negotiation = Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 1, 0);
      host.write(6, 1, 1n, encodeIcMessage({ ...init, messageType: IC_NEGOTIATE }, negotiation));
      host.write(6, 1, 2n, encodeIcMessage(init, body));
      // The same 8 bytes of room, and a size that says more; then one that fits
      for (const [offset, size] of [
        [1, 9],
        [1, 8],
      ] as const) {
        const next = body.slice();
        new DataView(next.buffer).setBigUint64(40, BigInt(offset), true);
        new DataView(next.buffer).setUint32(48, size, true);
        host.write(6, 1, 3n, encodeIcMessage(init, next));
      }
    });
    const channel = native.openUio('/dev/uio0', 4 << 20);
    t.after(() => channel.close());
    createVmbusSession(
      channel,
      { protocol: fcopyProtocol, extraVersions: [] },
      serving(taking),
    ).start();
    await settled();
    // The one beyond its message came up, and was refused before the service saw it
    assert.deepEqual([seen, sink.positionBytes], [['data 0'], 9]);
  });
});
