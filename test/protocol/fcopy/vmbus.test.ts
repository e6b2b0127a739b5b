import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fcopyHvUtils } from '../../../protocol/fcopy/hvutils.ts';
import type { FcopyRequest } from '../../../protocol/fcopy/messages.ts';
import { fcopyProtocol } from '../../../protocol/fcopy/vmbus.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { DecodeError } from '../../../protocol/layout/index.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const V = version(1, 1);
const { ic } = fcopyProtocol;
const START = 1088;
const DATA = 6196;
const NONE = { overwrite: false, createPath: false, unknown: 0 };

const vmbus = {
  name: 'VMBus',
  decode: (bytes: Uint8Array) => ic.decodeRequest(bytes, V),
  encode: (request: FcopyRequest) => ic.encodeRequest(request, V),
};
const device = {
  name: 'the char device',
  decode: fcopyHvUtils.decodeRequest,
  encode: fcopyHvUtils.encodeRequest,
};

/** "ä€😀" */
const NAME_UTF16 = 'e400 ac20 3dd8 00de';
const NAME_UTF8 = 'c3a4 e282ac f09f9880';
/** "/x" */
const PATH_UTF16 = '2f00 7800';
const PATH_UTF8 = '2f78';

for (const { name, decode, encode } of [vmbus, device]) {
  const utf16 = name === 'VMBus';
  describe(`file copy on ${name}`, () => {
    testVectors(decode, encode, [
      {
        name: 'start',
        bytes: message(START, {
          36: utf16 ? NAME_UTF16 : NAME_UTF8,
          556: utf16 ? PATH_UTF16 : PATH_UTF8,
          1076: '03000000',
          1080: '0807060504030201',
        }),
        value: {
          operation: 'start',
          fileName: 'ä€😀',
          path: '/x',
          flags: { overwrite: true, createPath: true, unknown: 0 },
          sizeBytes: 0x0102030405060708n,
        },
      },
      {
        name: 'start with flags nobody knows, and empty names',
        bytes: message(START, { 1076: '04000080' }),
        value: {
          operation: 'start',
          fileName: '',
          path: '',
          flags: { overwrite: false, createPath: false, unknown: 0x8000_0004 },
          sizeBytes: 0n,
        },
      },
      {
        name: 'data',
        bytes: message(DATA, { 0: '01', 40: '0010000000000080', 48: '03000000', 52: 'aabbcc' }),
        value: {
          operation: 'data',
          offset: 0x8000_0000_0000_1000n,
          data: Uint8Array.of(0xaa, 0xbb, 0xcc),
        },
        neededBytes: 55,
      },
      {
        name: 'data that fills its message',
        bytes: message(DATA, { 0: '01', 48: '00180000', 52: 'ab'.repeat(6144) }),
        value: { operation: 'data', offset: 0n, data: new Uint8Array(6144).fill(0xab) },
      },
      {
        name: 'data of no bytes',
        bytes: message(DATA, { 0: '01' }),
        value: { operation: 'data', offset: 0n, data: new Uint8Array(0) },
        neededBytes: 52,
      },
      ...(['complete', 'cancel'] as const).map((operation, i) => ({
        name: operation,
        bytes: message(utf16 ? 36 : 64, { 0: `0${i + 2}` }),
        value: { operation },
        neededBytes: 36,
      })),
      {
        name: 'an operation nobody knows',
        bytes: message(utf16 ? 36 : 64, { 0: '04000100' }),
        value: { operation: 'unknown', operationCode: 0x10004 },
        neededBytes: 36,
      },
    ]);

    test('service ids, padding and what follows a name mean nothing', () => {
      const bytes = message(START, { 4: 'ff'.repeat(32), 36: '61000000 62', 556: '2f000000 ff' });
      const start = decode(bytes);
      assert.deepEqual(start, {
        operation: 'start',
        fileName: 'a',
        path: '/',
        flags: NONE,
        sizeBytes: 0n,
      });
      const data = message(DATA, { 0: '01', 36: 'ffffffff', 48: '01000000', 52: '07ff' });
      assert.deepEqual(decode(data), { operation: 'data', offset: 0n, data: Uint8Array.of(7) });
    });

    test('a fragment longer than one can be, or than its message, is refused', () => {
      const longer = (sizeBytes: number): Uint8Array => {
        const bytes = message(DATA + 8, { 0: '01' });
        new DataView(bytes.buffer).setUint32(48, sizeBytes, true);
        return bytes;
      };
      assert.throws(
        () => decode(longer(6145)),
        failsAs(
          'size',
          'fcopy.data',
          'fcopy.data at offset 52: expected at most 6144 bytes, got 6145',
        ),
      );
      assert.throws(() => decode(longer(0xffff_ffff)), failsAs('size', 'fcopy.data'));
      assert.throws(
        () => decode(longer(6144).subarray(0, DATA - 1)),
        failsAs('truncated', 'fcopy.data'),
      );
      assert.throws(
        () => encode({ operation: 'data', offset: 0n, data: new Uint8Array(6145) }),
        refuses('tooLong', 'fcopy.data'),
      );
    });

    test('names without an end are refused', () => {
      const endless = 'f8ff'.repeat(260);
      for (const [at, field] of [
        [36, 'fileName'],
        [556, 'path'],
      ] as const) {
        const bytes = message(START, { [at]: utf16 ? '6100'.repeat(260) : '61'.repeat(520) });
        assert.throws(() => decode(bytes), failsAs('unterminated', `fcopy.${field}`));
        assert.throws(() => decode(message(START, { [at]: endless })), DecodeError);
      }
    });

    test('any bytes are a request or refused, nothing else', () => {
      const operation = fc.constantFrom(0, 1, 2, 3, 4, 0xff);
      fc.assert(
        fc.property(operation, fc.uint8Array({ maxLength: 1200 }), (code, bytes) => {
          if (bytes.length > 0) bytes[0] = code;
          bytes.fill(0, 1, 4);
          try {
            decode(bytes);
          } catch (error) {
            assert.ok(error instanceof DecodeError, `${error}`);
          }
        }),
      );
    });

    test('any names go there and back', () => {
      // Well-formed, without NUL, and no longer than hv_utils passes on
      const name = fc
        .string({ unit: 'binary', maxLength: 60 })
        .filter((text) => !text.includes('\0'));
      fc.assert(
        fc.property(
          name,
          name,
          fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          (fileName, path, sizeBytes) => {
            const request = { operation: 'start', fileName, path, flags: NONE, sizeBytes } as const;
            assert.deepEqual(decode(encode(request)), request);
          },
        ),
      );
    });
  });
}

describe('file copy over VMBus', () => {
  test('lone surrogates are refused on both ways', () => {
    for (const lone of ['00d8', '00dc', '00dc 00d8', '3dd8 6100']) {
      assert.throws(
        () => vmbus.decode(message(START, { 36: lone, 556: PATH_UTF16 })),
        failsAs(
          'text',
          'fcopy.fileName',
          'fcopy.fileName at offset 36: expected valid UTF-16, got a lone surrogate',
        ),
      );
      assert.throws(
        () => vmbus.decode(message(START, { 36: '6100', 556: lone })),
        failsAs('text', 'fcopy.path'),
      );
    }
    const lone = {
      operation: 'start',
      fileName: '\ud800',
      path: '/',
      flags: NONE,
      sizeBytes: 0n,
    } as const;
    assert.throws(() => vmbus.encode(lone), refuses('text', 'fcopy.fileName'));
  });

  test('names as long as their fields are taken', () => {
    const bytes = message(START, { 36: '6100'.repeat(259), 556: '2f00'.repeat(259) });
    const { fileName, path } = vmbus.decode(bytes) as Extract<FcopyRequest, { operation: 'start' }>;
    assert.deepEqual([fileName, path], ['a'.repeat(259), '/'.repeat(259)]);
  });

  test('an answer is the request; all is in the header', () => {
    const body = message(DATA, { 0: '01', 48: '01000000', 52: '07' });
    const before = hex(body);
    const request = vmbus.decode(body);
    ic.encodeReply(body, V, request, { status: IcStatus.ok });
    assert.equal(hex(body), before);
    assert.deepEqual(ic.decodeReply(body, V, request, IcStatus.diskFull), {
      status: IcStatus.diskFull,
    });
  });
});

describe('file copy on the char device', () => {
  test('the daemon registers by its version, and the kernel answers by its own', () => {
    assert.equal(hex(fcopyHvUtils.encodeRegistration()), '01000000');
    assert.equal(fcopyHvUtils.decodeRegistration(message(4, { 0: '01000000' })), '1');
    assert.equal(hex(fcopyHvUtils.encodeRegistrationAnswer('1')), '01000000');
    assert.equal(fcopyHvUtils.decodeRegistration(message(START, {})), undefined);
    assert.equal(fcopyHvUtils.decodeRegistration(message(36, { 0: '03' })), undefined);
  });

  test("a cancel by the kernel itself is shorter than one of the host's", () => {
    assert.deepEqual(device.decode(message(36, { 0: '03' })), { operation: 'cancel' });
  });

  test('a reply is a status over the start of the request', () => {
    const bytes = message(DATA, { 0: '01', 48: '01000000', 52: '07' });
    fcopyHvUtils.encodeReply(bytes, device.decode(bytes), { status: IcStatus.diskFull });
    assert.equal(hex(bytes.subarray(0, fcopyHvUtils.replyBytes)), '70000780');
    assert.equal(
      hex(bytes.subarray(4)),
      hex(message(DATA, { 48: '01000000', 52: '07' }).subarray(4)),
    );
    assert.deepEqual(
      fcopyHvUtils.decodeReply(message(4, { 0: '50000780' }), { operation: 'complete' }),
      {
        status: IcStatus.alreadyExists,
      },
    );
  });

  test('bytes that are no UTF-8 are refused', () => {
    for (const bad of ['ff', 'c3', 'eda080', 'c080']) {
      assert.throws(
        () => device.decode(message(START, { 36: bad, 556: PATH_UTF8 })),
        failsAs(
          'text',
          'fcopy.fileName',
          'fcopy.fileName at offset 36: expected valid UTF-8, got something else',
        ),
      );
    }
  });

  test('a name which hv_utils may have cut is refused: it would be that of another file', () => {
    const named = (bytes: number): Uint8Array =>
      message(START, { 36: '61', 556: '2f'.repeat(bytes) });
    assert.equal((device.decode(named(255)) as { path: string }).path.length, 255);
    for (const bytes of [256, 259]) {
      assert.throws(
        () => device.decode(named(bytes)),
        failsAs(
          'size',
          'fcopy.path',
          'fcopy.path at offset 556: expected at most the 255 bytes that hv_utils is sure to ' +
            `pass on whole, got ${bytes}`,
        ),
      );
    }
    const long = {
      operation: 'start',
      fileName: 'é'.repeat(128),
      path: '/',
      flags: NONE,
      sizeBytes: 0n,
    } as const;
    assert.throws(() => device.encode(long), refuses('tooLong', 'fcopy.fileName'));
  });
});
