import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  array,
  atMost,
  bool8,
  bytes,
  flags,
  guid,
  openEnum,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  utf8,
  utf16,
} from '../../../protocol/layout/index.ts';
import { failsAs, message, refuses, testVectors } from '../vector.ts';

const codec = <T>(layout: { decode(bytes: Uint8Array): T; encode(value: T): Uint8Array }) =>
  [(b: Uint8Array) => layout.decode(b), (value: T) => layout.encode(value)] as const;

describe('integers, flags, enums and GUIDs', () => {
  const everything = struct('m')
    .field('a', u8)
    .field('b', u16)
    .field('c', u32)
    .field('d', u64)
    .field('on', bool8)
    .reserved(1)
    .field('raw', bytes(2));
  testVectors(...codec(everything), [
    {
      name: 'are little-endian and packed',
      bytes: message(19, { 0: '01 0302 07060504 0f0e0d0c0b0a0908 01 00 aabb' }),
      value: {
        a: 1,
        b: 0x0203,
        c: 0x04050607,
        d: 0x08090a0b0c0d0e0fn,
        on: true,
        raw: Uint8Array.of(0xaa, 0xbb),
      },
    },
    {
      name: 'reach their largest values',
      bytes: message(19, { 0: 'ff ffff ffffffff ffffffffffffffff 00 00 ffff' }),
      value: {
        a: 0xff,
        b: 0xffff,
        c: 0xffff_ffff,
        d: 2n ** 64n - 1n,
        on: false,
        raw: Uint8Array.of(255, 255),
      },
    },
  ]);

  test('know their size and places', () => {
    assert.equal(everything.sizeBytes, 19);
    assert.deepEqual([...everything.offsets.values()], [0, 1, 3, 7, 15, 17]);
    assert.equal(everything.offsetOf('raw'), 17);
  });

  test('refuse what does not fit', () => {
    for (const [layout, value] of [
      [u8, 256],
      [u8, -1],
      [u16, 65536],
      [u32, 2 ** 32],
      [u32, 1.5],
      [u32, Number.NaN],
    ] as const) {
      assert.throws(
        () => struct('m').field('x', layout).encode({ x: value }),
        refuses('value', 'm.x'),
      );
    }
    for (const value of [-1n, 2n ** 64n]) {
      assert.throws(
        () => struct('m').field('x', u64).encode({ x: value }),
        refuses('value', 'm.x'),
      );
    }
    assert.throws(
      () =>
        struct('m')
          .field('x', bytes(2))
          .encode({ x: new Uint8Array(3) }),
      refuses('size', 'm.x', 'm.x at offset 0: expected 2 bytes, got 3'),
    );
  });

  testVectors(
    ...codec(struct('m').field('f', flags(u32, { force: 1, restart: 2, top: 0x8000_0000 }))),
    [
      {
        name: 'bits without a name survive',
        bytes: message(4, { 0: '090000c0' }),
        value: { f: { force: true, restart: false, top: true, unknown: 0x4000_0008 } },
      },
    ],
  );

  testVectors(...codec(struct('m').field('e', openEnum(u16, { healthy: 1, critical: 2 }))), [
    {
      name: 'a known enum value has its name',
      bytes: message(2, { 0: '0200' }),
      value: { e: 'critical' },
    },
    {
      name: 'an unknown enum value survives',
      bytes: message(2, { 0: '3412' }),
      value: { e: 0x1234 },
    },
  ]);

  testVectors(...codec(struct('m').field('id', guid)), [
    {
      name: 'the first three groups of a GUID are little-endian',
      // a9a0f4e7-... as it stands in drivers/hv's tables: GUID_INIT(0xa9a0f4e7, 0x5a45, 0x4d96,
      // 0xb8, 0x27, ...)
      bytes: message(16, { 0: 'e7f4a0a9 455a 964d b827 8a841e8c03e6' }),
      value: { id: 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6' },
    },
  ]);
  test('a malformed GUID is refused', () => {
    for (const id of [
      '{a9a0f4e7-5a45-4d96-b827-8a841e8c03e6}',
      'A9A0F4E7-5A45-4D96-B827-8A841E8C03E6',
      '',
    ]) {
      assert.throws(() => struct('m').field('id', guid).encode({ id }), refuses('value', 'm.id'));
    }
  });
});

describe('text', () => {
  const wide = struct('m').field('t', text(utf16, 8));
  const narrow = struct('m').field('t', text(utf8, 8));
  testVectors(...codec(wide), [
    { name: 'UTF-16: ASCII', bytes: message(8, { 0: '61006200' }), value: { t: 'ab' } },
    { name: 'UTF-16: empty', bytes: message(8, {}), value: { t: '' } },
    {
      name: 'UTF-16: fills its field up to the NUL',
      bytes: message(8, { 0: '6100e9006601' }),
      value: { t: 'aéŦ' },
    },
    { name: 'UTF-16: a surrogate pair', bytes: message(8, { 0: '3dd800de' }), value: { t: '😀' } },
    {
      name: 'UTF-16: a byte order mark is a character',
      bytes: message(8, { 0: 'fffe6100' }),
      value: { t: '\ufeffa' },
    },
  ]);
  testVectors(...codec(narrow), [
    { name: 'UTF-8: ASCII', bytes: message(8, { 0: '6162' }), value: { t: 'ab' } },
    {
      name: 'UTF-8: fills its field up to the NUL',
      bytes: message(8, { 0: '61c3a9f09f9880' }),
      value: { t: 'aé😀' },
    },
    {
      name: 'UTF-8: a byte order mark is a character',
      bytes: message(8, { 0: 'efbbbf61' }),
      value: { t: '\ufeffa' },
    },
  ]);
  const long = 'x'.repeat(99);
  testVectors(...codec(struct('m').field('w', text(utf16, 200)).field('n', text(utf8, 100))), [
    {
      name: 'longer than the short way for ASCII',
      bytes: message(300, { 0: '7800'.repeat(99), 200: '78'.repeat(99) }),
      value: { w: long, n: long },
    },
  ]);

  test('what follows the NUL is not read, and not written', () => {
    const bytes = message(8, { 0: '6100 0000 00d8 ffff' });
    assert.equal(wide.decode(bytes).t, 'a');
    wide.encodeInto({ t: 'b' }, bytes);
    assert.deepEqual(bytes, message(8, { 0: '6200 0000 00d8 ffff' }));
  });

  test('text that is none is refused', () => {
    const cases: [typeof wide, string, Parameters<typeof failsAs>][] = [
      [
        wide,
        '6100610061006100',
        ['unterminated', 'm.t', 'm.t at offset 0: expected a NUL within 8 bytes, got none'],
      ],
      [narrow, '6161616161616161', ['unterminated', 'm.t']],
      [
        wide,
        '00d8610000000000',
        ['text', 'm.t', 'm.t at offset 0: expected valid UTF-16, got a lone surrogate'],
      ],
      [wide, '00dc000000000000', ['text', 'm.t']],
      [wide, '6100 00d8 0000 0000', ['text', 'm.t']],
      [narrow, 'ff00000000000000', ['text', 'm.t']],
      [narrow, 'c000000000000000', ['text', 'm.t']],
      [narrow, 'eda080 0000000000', ['text', 'm.t']],
    ];
    for (const [layout, bytes, expected] of cases) {
      assert.throws(() => layout.decode(message(8, { 0: bytes })), failsAs(...expected), bytes);
    }
    // A decoder that has failed works on
    assert.equal(wide.decode(message(8, { 0: 'e900' })).t, 'é');
  });

  test('a size of its own must fit, be even and cover the NUL', () => {
    const sized = (encoding: typeof utf8) =>
      struct('m')
        .derived('size', u32, (m: { t: string }) => encoding.sizeOf(m.t))
        .dependent('t', (m) => text(encoding, 8, m.size), 8);
    const wideSized = sized(utf16);
    assert.deepEqual(wideSized.encode({ t: 'é' }), message(12, { 0: '04000000 e900' }));
    assert.deepEqual(sized(utf8).encode({ t: 'é' }), message(12, { 0: '03000000 c3a9' }));
    const decode = (size: string) => () =>
      wideSized.decode(message(12, { 0: size, 4: '61006200' }));
    assert.equal(decode('06000000')().t, 'ab');
    assert.equal(decode('08000000')().t, 'ab');
    assert.throws(
      decode('05000000'),
      failsAs('size', 'm.t', 'm.t at offset 4: expected an even size of UTF-16 text, got 5'),
    );
    assert.throws(
      decode('0a000000'),
      failsAs('size', 'm.t', 'm.t at offset 4: expected a size of at most 8, got 10'),
    );
    assert.throws(decode('ffffffff'), failsAs('size', 'm.t'));
    assert.throws(decode('04000000'), failsAs('unterminated', 'm.t'));
    assert.throws(decode('00000000'), failsAs('unterminated', 'm.t'));
  });

  test('is never cut to fit', () => {
    assert.throws(
      () => wide.encode({ t: 'abcd' }),
      refuses(
        'tooLong',
        'm.t',
        'm.t at offset 0: expected text of at most 8 bytes with its NUL, got 10',
      ),
    );
    assert.throws(() => narrow.encode({ t: '12345678' }), refuses('tooLong', 'm.t'));
    // Fits by its units, not by its bytes
    assert.throws(
      () => narrow.encode({ t: 'éééé' }),
      refuses(
        'tooLong',
        'm.t',
        'm.t at offset 0: expected text of at most 8 bytes with its NUL, got 9',
      ),
    );
    for (const layout of [wide, narrow]) {
      assert.throws(() => layout.encode({ t: 'a\0b' }), refuses('text', 'm.t'));
      assert.throws(() => layout.encode({ t: '\ud800a' }), refuses('text', 'm.t'));
      assert.throws(() => layout.encode({ t: 'a\udc00' }), refuses('text', 'm.t'));
    }
  });
});

describe('struct', () => {
  const inner = struct('inner').field('x', u16).field('y', u16);
  const counted = struct('m')
    .derived('count', atMost(u16, 3), (m: { items: readonly unknown[] }) => m.items.length)
    .reserved(2)
    .dependent('items', (m) => array(inner, m.count))
    .field('end', u8);
  testVectors(...codec(counted), [
    { name: 'an empty list', bytes: message(5, { 4: '07' }), value: { items: [], end: 7 } },
    {
      name: 'a list whose count comes before it',
      bytes: message(13, { 0: '0200 0000 0100 0200 0300 0400 ff' }),
      value: {
        items: [
          { x: 1, y: 2 },
          { x: 3, y: 4 },
        ],
        end: 255,
      },
    },
  ]);

  test('the derived count is no part of the value, and the size follows from it', () => {
    assert.deepEqual(Object.keys(counted.decode(message(9, { 0: '0100' }))), ['items', 'end']);
    assert.equal(counted.sizeBytes, undefined);
    assert.equal(counted.sizeOf({ items: [{ x: 1, y: 1 }], end: 0 }), 9);
  });

  test('errors name the way to the field', () => {
    assert.throws(
      () => counted.decode(message(11, { 0: '0200' })),
      failsAs('truncated', 'm.items[1].y', 'm.items[1].y at offset 10: expected 2 bytes, got 1'),
    );
    assert.throws(
      () => counted.decode(message(4, { 0: '0400' })),
      failsAs('count', 'm.count', 'm.count at offset 0: expected at most 3, got 4'),
    );
    const four = { items: new Array(4).fill({ x: 0, y: 0 }), end: 0 };
    assert.throws(() => counted.encode(four), refuses('count', 'm.count'));
    assert.throws(
      () => counted.encode({ items: [{ x: 0, y: 70000 }], end: 0 }),
      refuses('value', 'm.items[0].y'),
    );
  });

  test('the message of an error reads as documented', () => {
    const shutdown = struct('shutdown').field('reason', u32).field('timeoutSecs', u32);
    assert.throws(
      () => shutdown.decode(new Uint8Array(6)),
      failsAs(
        'truncated',
        'shutdown.timeoutSecs',
        'shutdown.timeoutSecs at offset 4: expected 4 bytes, got 2',
      ),
    );
  });

  test('offsets count from the bytes handed in', () => {
    assert.throws(
      () => inner.decode(new Uint8Array(7), 4),
      failsAs('truncated', 'inner.y', 'inner.y at offset 6: expected 2 bytes, got 1'),
    );
    assert.throws(
      () => inner.decode(new Uint8Array(2), 9),
      failsAs('truncated', 'inner.x', 'inner.x at offset 9: expected 2 bytes, got 0'),
    );
    assert.deepEqual(inner.decode(message(7, { 3: '0100 0200' }), 3), { x: 1, y: 2 });
  });

  test('encodeInto writes its fields and nothing else, and not past the end', () => {
    const bytes = new Uint8Array(8).fill(0xee);
    assert.equal(
      struct('m').field('a', u8).reserved(1).field('b', u16).encodeInto({ a: 1, b: 2 }, bytes, 2),
      6,
    );
    assert.deepEqual(bytes, message(8, { 0: 'eeee 01 ee 0200 eeee' }));
    assert.throws(
      () => inner.encodeInto({ x: 1, y: 2 }, bytes, 5),
      refuses('tooLong', 'inner.y', 'inner.y at offset 7: expected room for 2 bytes, got 1'),
    );
  });

  test('an array in a fixed room skips what it does not use', () => {
    const room = struct('m')
      .derived('count', atMost(u8, 3), (m: { items: readonly number[] }) => m.items.length)
      .dependent('items', (m) => array(u16, m.count, 3), 6)
      .field('end', u8);
    assert.equal(room.sizeBytes, 8);
    assert.deepEqual(
      room.encode({ items: [0x0102], end: 9 }),
      message(8, { 0: '01 0201 0000 0000 09' }),
    );
    assert.deepEqual(room.decode(message(8, { 0: '01 0201 ffff ffff 09' })), {
      items: [0x0102],
      end: 9,
    });
    assert.throws(() => room.decode(message(7, { 0: '01 0201' })), failsAs('truncated', 'm.end'));
  });

  test('a decoded value keeps no reference to the bytes', () => {
    const source = message(2, { 0: 'aabb' });
    const { raw } = struct('m').field('raw', bytes(2)).decode(source);
    source.fill(0);
    assert.deepEqual(raw, Uint8Array.of(0xaa, 0xbb));
  });

  test('a field of varying size leaves later ones without a fixed place', () => {
    assert.throws(() => counted.offsetOf('end'), RangeError);
  });
});
