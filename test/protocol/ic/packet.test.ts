import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  decodeIcMessage,
  encodeIcMessage,
  IC_MAX_MESSAGE_BYTES,
  IcFlag,
  icHeader,
  markIcReply,
  packetDescriptor,
  pipeHeader,
} from '../../../protocol/ic/packet.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

describe('headers', () => {
  testVectors(
    (bytes) => packetDescriptor.decode(bytes),
    (value) => packetDescriptor.encode(value),
    [
      {
        name: 'packet descriptor',
        bytes: message(16, { 0: '0600 0200 0900 0100 8877665544332211' }),
        value: {
          type: 6,
          dataOffset8: 2,
          totalLength8: 9,
          flags: 1,
          transactionId: 0x1122334455667788n,
        },
      },
    ],
  );
  testVectors(
    (bytes) => pipeHeader.decode(bytes),
    (value) => pipeHeader.encode(value),
    [
      {
        name: 'pipe header',
        bytes: message(8, { 0: '01000000 1c1d0000' }),
        value: { type: 1, messageSizeBytes: 7452 },
      },
    ],
  );
  testVectors(
    (bytes) => icHeader.decode(bytes),
    (value) => icHeader.encode(value),
    [
      {
        name: 'IC header, unknown flags and reserved bytes included',
        bytes: message(20, { 0: '0300 0000 0200 0400 0100 081d 03010780 2a 85 cdab' }),
        value: {
          frameworkVersion: { major: 3, minor: 0 },
          messageType: 2,
          messageVersion: { major: 4, minor: 1 },
          bodySizeBytes: 7432,
          status: IcStatus.noMoreItems,
          transactionId: 42,
          flags: 0x85,
          reserved: 0xabcd,
        },
      },
    ],
  );
});

/** A heartbeat-like message: 16 bytes of body, then padding of the ring. */
const good = (): Uint8Array =>
  message(48, {
    0: '01000000 24000000',
    8: '0300 0000 0100 0300 0000 1000 00000000 07 03 0000',
    28: '000102030405060708090a0b0c0d0e0f',
  });

describe('IC message', () => {
  test('gives header and body, a view of the payload', () => {
    const payload = good();
    const { header, body } = decodeIcMessage(payload);
    assert.equal(header.messageType, 1);
    assert.equal(hex(body), '000102030405060708090a0b0c0d0e0f');
    body[0] = 0xff;
    assert.equal(payload[28], 0xff);
  });

  test('a body may be shorter than the pipe message, as in the answer to a negotiation', () => {
    const payload = good();
    payload[18] = 4;
    assert.equal(decodeIcMessage(payload).body.length, 4);
  });

  test('every length that cannot be is refused', () => {
    const broken = (parts: Record<number, string>): Uint8Array => {
      const payload = good();
      for (const [at, bytes] of Object.entries(parts))
        payload.set(Buffer.from(bytes, 'hex'), Number(at));
      return payload;
    };
    const cases: [Uint8Array, Parameters<typeof failsAs>][] = [
      [
        broken({ 0: '02' }),
        ['value', 'pipe.type', 'pipe.type at offset 0: expected 1 (data), got 2'],
      ],
      [broken({ 4: '29' }), ['truncated', 'pipe.messageSizeBytes']],
      [broken({ 4: 'ffffffff' }), ['truncated', 'pipe.messageSizeBytes']],
      [broken({ 4: '13' }), ['truncated', 'pipe.messageSizeBytes']],
      [
        broken({ 18: '11' }),
        [
          'truncated',
          'ic.bodySizeBytes',
          "ic.bodySizeBytes at offset 18: expected at most the message's 16 bytes, got 17",
        ],
      ],
    ];
    for (const [payload, expected] of cases)
      assert.throws(() => decodeIcMessage(payload), failsAs(...expected));
    // The padding is no part of it: 44 bytes are enough
    assert.ok(decodeIcMessage(good().subarray(0, 44)));
    for (let length = 0; length < 44; length++) {
      assert.throws(
        () => decodeIcMessage(good().subarray(0, length)),
        failsAs('truncated'),
        `prefix of ${length} bytes`,
      );
    }
  });

  test('encodeIcMessage gives the bytes a host sends', () => {
    const body = Uint8Array.from({ length: 16 }, (_, i) => i);
    const init = {
      frameworkVersion: version(3, 0),
      messageVersion: version(3, 0),
      messageType: 1,
      flags: 3,
    };
    const expected = good().subarray(0, 44);
    expected[24] = 0;
    assert.equal(hex(encodeIcMessage(init, body)), hex(expected));
    assert.throws(
      () => encodeIcMessage(init, new Uint8Array(IC_MAX_MESSAGE_BYTES - 27)),
      refuses('tooLong'),
    );
    assert.equal(
      encodeIcMessage(init, new Uint8Array(IC_MAX_MESSAGE_BYTES - 28)).length,
      IC_MAX_MESSAGE_BYTES,
    );
  });

  test('a reply changes status, flags and, when told, the body size; the rest is echoed', () => {
    const payload = good();
    markIcReply(payload, IcStatus.noMoreItems);
    assert.equal(
      hex(payload),
      hex(good()).replace('1000'.concat('00000000', '07', '03'), '1000030107800705'),
    );
    assert.equal(payload[25], IcFlag.transaction | IcFlag.response);
    markIcReply(payload, IcStatus.ok, 0x0102);
    assert.equal(hex(payload.subarray(18, 26)), '0201000000000705');
  });
});
