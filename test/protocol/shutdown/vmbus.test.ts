import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { type ShutdownRequest, shutdownProtocol } from '../../../protocol/shutdown/vmbus.ts';
import { replay } from '../exchanges.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const { ic } = shutdownProtocol;
const V32 = version(3, 2);
const LENGTH = 2060;
const decode = (bytes: Uint8Array): ShutdownRequest => ic.decodeRequest(bytes, V32);
const none = { force: false, restart: false, hibernate: false, unknown: 0 } as const;

describe('shutdown requests', () => {
  testVectors(decode, (value) => ic.encodeRequest(value, V32), [
    {
      name: 'power off, planned, within two minutes',
      bytes: message(LENGTH, { 0: '00000080 78000000 00000000', 12: '6100 ac20' }),
      value: { reasonCode: 0x8000_0000, timeoutSecs: 120, flags: none, message: 'a€' },
    },
    {
      name: 'restart by force, a message of all there is room for',
      bytes: message(LENGTH, { 0: '00000000 00000000 03000000', 12: '3dd8 00de'.repeat(511) }),
      value: {
        reasonCode: 0,
        timeoutSecs: 0,
        flags: { ...none, force: true, restart: true },
        message: '😀'.repeat(511),
      },
    },
    {
      name: 'hibernate, and flags nobody knows',
      bytes: message(LENGTH, { 0: 'ffffffff ffffffff f4ffffff' }),
      value: {
        reasonCode: 0xffff_ffff,
        timeoutSecs: 0xffff_ffff,
        flags: { ...none, hibernate: true, unknown: 0xffff_fff0 },
        message: '',
      },
    },
  ]);

  test('text without an end, or of lone surrogates, is read as far as it goes', () => {
    const endless = message(LENGTH, { 12: '6100'.repeat(1024) });
    assert.equal(decode(endless).message, 'a'.repeat(1024));
    assert.equal(decode(message(LENGTH, { 12: '00d8 6100' })).message, '\ufffda');
    assert.equal(
      decode(message(LENGTH, { 12: '6100 0000 6200' })).message,
      'a',
      'what follows the NUL is not read',
    );
    assert.equal(
      decode(message(LENGTH, { 12: 'fffe 6100' })).message,
      '\ufeffa',
      'a BOM is a character',
    );
  });

  test('a message that does not fit is refused by the encoder', () => {
    const request = { reasonCode: 0, timeoutSecs: 0, flags: none, message: 'a'.repeat(1024) };
    assert.throws(() => ic.encodeRequest(request, V32), refuses('tooLong', 'shutdown.message'));
  });

  test('a short request says what is missing', () => {
    assert.throws(
      () => decode(new Uint8Array(6)),
      failsAs(
        'truncated',
        'shutdown.timeoutSecs',
        'shutdown.timeoutSecs at offset 4: expected 4 bytes, got 2',
      ),
    );
  });

  test('what is sent is what is read', () => {
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    const plain = { noNullPrototype: true };
    const flagBits = {
      force: fc.boolean(),
      restart: fc.boolean(),
      hibernate: fc.boolean(),
      unknown: u32.map((bits) => (bits & ~7) >>> 0),
    };
    const fields = {
      reasonCode: u32,
      timeoutSecs: u32,
      flags: fc.record(flagBits, plain),
      message: fc
        .string({ unit: 'binary', maxLength: 511 })
        .filter((text) => !/[\0\p{Surrogate}]/u.test(text) && text.length <= 1023),
    };
    fc.assert(
      fc.property(fc.record(fields, plain), (request) => {
        assert.deepEqual(decode(ic.encodeRequest(request, V32)), request);
      }),
    );
  });

  test('any 2,060 bytes are a request', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: LENGTH, maxLength: LENGTH }), (bytes) => {
        assert.equal(typeof decode(bytes).message, 'string');
      }),
    );
  });
});

describe('the recorded answers of hv_utils', () => {
  // The rules of daemons/shutdown: what is neither power-off, restart nor hibernation fails
  const handle = ({ flags }: ShutdownRequest) => ({
    status: (flags.restart && flags.hibernate) || flags.unknown !== 0 ? IcStatus.fail : IcStatus.ok,
  });

  for (const [file, requests] of [
    ['shutdown/flags.trace', 7],
    ['shutdown/hibernate.trace', 1],
    ['shutdown/negotiate.trace', 0],
    ['shutdown/negotiate-1.0.trace', 0],
  ] as const) {
    test(`${file}: ours are the same, byte for byte`, () => {
      const recorded = replay(file, shutdownProtocol, handle);
      assert.equal(recorded.length, requests);
      for (const { note, ours, kernel } of recorded) assert.equal(ours, kernel, note);
    });
  }

  test('the body comes back as it was sent', () => {
    const body = ic.encodeRequest(
      { reasonCode: 1, timeoutSecs: 2, flags: none, message: 'm' },
      V32,
    );
    const before = hex(body);
    ic.encodeReply(body, V32, decode(body), { status: IcStatus.ok });
    assert.equal(hex(body), before);
    assert.deepEqual(ic.decodeReply(body, V32, decode(body), IcStatus.fail), {
      status: IcStatus.fail,
    });
  });
});
