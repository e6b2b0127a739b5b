/**
 * The simulated host of a char device whose replies are a status and nothing else, against guests
 * of a few lines.
 */
import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import { native } from '../../native/index.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { fcopyView } from '../../simulator/hosts/fcopy-host.ts';
import { HvUtilsHost } from '../../simulator/hosts/hvutils-host.ts';
import { Ground } from '../../simulator/stages/daemon.ts';
import { HostError } from '../../simulator/wire.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

/** Registers with these bytes, then answers each message as told, or not at all. */
function open(
  answer: (operation: number, lengthBytes: number) => Uint8Array | undefined,
  registration = u32(1),
) {
  const ground = new Ground();
  cleanups.push(() => ground.dispose());
  const host = new HvUtilsHost({
    native,
    protocol: fcopyProtocol,
    view: fcopyView,
    socketPath: ground.socketPath,
    versionText: '1',
  });
  cleanups.push(() => host.close());
  const guest = native.connectMessageSocket(ground.socketPath);
  cleanups.push(() => guest.close());
  const buffer = new Uint8Array(8192);
  const versions: number[] = [];
  const ended = new Promise<void>((resolve) => {
    guest.start(
      buffer,
      (length) => {
        const operation = new DataView(buffer.buffer).getUint32(0, true);
        if (versions.length === 0) {
          assert.equal(length, 4);
          versions.push(operation);
          return;
        }
        const reply = answer(operation, length);
        if (reply) guest.write(reply);
      },
      () => resolve(),
    );
  });
  guest.write(registration);
  return { host, versions, ended };
}

const dutiful = (operation: number): Uint8Array =>
  u32(
    operation > 3
      ? IcStatus.notSupported
      : operation === 0
        ? IcStatus.invalidArgument
        : IcStatus.ok,
  );

it('registers a guest by versions, and reads the status of its replies', async () => {
  const { host, versions } = open((operation, length) => {
    // struct hv_fcopy_hdr and what hv_utils adds to it
    if (operation === 3) assert.equal(length, 64);
    return dutiful(operation);
  });
  assert.equal(await host.ready(), '1');
  assert.deepEqual(await host.request({ operation: 'cancel' }), { status: IcStatus.ok });
  assert.deepEqual(versions, [1]);
  assert.deepEqual(host.violations, []);
});

it('knows whether a message was answered, whatever the answer', async () => {
  const odd = Uint8Array.of(77, 0, 0, 0, 0);
  for (const answer of [undefined, IcStatus.ok, IcStatus.notSupported, IcStatus.invalidArgument]) {
    const { host } = open((operation, length) => {
      if (length !== odd.length) return dutiful(operation);
      return answer === undefined ? undefined : u32(answer);
    });
    const got = await host.exchange(odd);
    assert.equal(got && host.statusOf(got), answer);
    // And again, with nothing left over
    assert.deepEqual(await host.request({ operation: 'cancel' }), { status: IcStatus.ok });
    assert.deepEqual(host.violations, []);
  }
});

it('turns away a guest that registers with anything but a version', async () => {
  for (const registration of [u32(2), new Uint8Array(8), new Uint8Array(6196)]) {
    const { host, ended } = open(dutiful, registration);
    await ended;
    assert.match(host.violations.join(), /registration|message length: expected 4 bytes/);
  }
});

it('turns away a guest whose reply is no status', async () => {
  const { host, ended } = open(() => new Uint8Array(36));
  await assert.rejects(
    host.request({ operation: 'cancel' }),
    (error) => error instanceof HostError && error.code === 'broken',
  );
  await ended;
  assert.deepEqual(host.violations, ['message length: expected 4 bytes, got 36']);
});
