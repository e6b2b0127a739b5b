import { bytesText, type Cursor, type Layout } from './cursor.ts';
import { DecodeError, EncodeError } from './errors.ts';

// 64-bit values go through eight bytes of our own: a DataView per message costs more than the copy.
const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

const fixed = <T>(
  sizeBytes: number,
  read: (bytes: Uint8Array, at: number) => T,
  write: (bytes: Uint8Array, at: number, value: T) => void,
): Layout<T> => ({
  sizeBytes,
  sizeOf: () => sizeBytes,
  read: (cursor) => read(cursor.bytes, cursor.take(sizeBytes)),
  write: (cursor, value) => write(cursor.bytes, cursor.make(sizeBytes), value),
});

function checkUnsigned(value: number, max: number, at: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new EncodeError('value', at, `a whole number from 0 to ${max}`, value);
  }
}

export const u8: Layout<number> = fixed(
  1,
  (b, at) => b[at]!,
  (b, at, value) => {
    checkUnsigned(value, 0xff, at);
    b[at] = value;
  },
);

export const u16: Layout<number> = fixed(
  2,
  (b, at) => b[at]! | (b[at + 1]! << 8),
  (b, at, value) => {
    checkUnsigned(value, 0xffff, at);
    b[at] = value;
    b[at + 1] = value >>> 8;
  },
);

export const u32: Layout<number> = fixed(
  4,
  (b, at) => (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0,
  (b, at, value) => {
    checkUnsigned(value, 0xffff_ffff, at);
    b[at] = value;
    b[at + 1] = value >>> 8;
    b[at + 2] = value >>> 16;
    b[at + 3] = value >>> 24;
  },
);

export const u64: Layout<bigint> = fixed(
  8,
  (b, at) => {
    for (let i = 0; i < 8; i++) scratch[i] = b[at + i]!;
    return scratchView.getBigUint64(0, true);
  },
  (b, at, value) => {
    if (BigInt.asUintN(64, value) !== value) {
      throw new EncodeError('value', at, 'a whole number from 0 to 2^64-1', `${value}`);
    }
    scratchView.setBigUint64(0, value, true);
    b.set(scratch, at);
  },
);

/** One byte: 0 is false, anything else true (written as 1). */
export const bool8: Layout<boolean> = fixed(
  1,
  (b, at) => b[at] !== 0,
  (b, at, value) => {
    b[at] = value ? 1 : 0;
  },
);

/** A count of things: one beyond `max` is an error (`count`) before anything is done with it. */
export const atMost = (layout: Layout<number>, max: number): Layout<number> => ({
  ...layout,
  read: (cursor) => {
    const at = cursor.offset;
    const count = layout.read(cursor);
    if (count > max) throw new DecodeError('count', at, `at most ${max}`, count);
    return count;
  },
  write: (cursor, count) => {
    if (count > max) throw new EncodeError('count', cursor.offset, `at most ${max}`, count);
    layout.write(cursor, count);
  },
});

/** Bytes as they are, copied. */
export const bytes = (sizeBytes: number): Layout<Uint8Array> =>
  fixed(
    sizeBytes,
    (b, at) => b.slice(at, at + sizeBytes),
    (b, at, value) => {
      if (value.length !== sizeBytes)
        throw new EncodeError('size', at, bytesText(sizeBytes), value.length);
      b.set(value, at);
    },
  );

const GUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/**
 * Byte n of the text's digits lies at GUID_ORDER[n]: the first three groups are little-endian
 * integers.
 */
const GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/** A GUID as lower-case text without braces. */
export const guid: Layout<string> = fixed(
  16,
  (b, at) => {
    const hex = GUID_ORDER.map((i) => b[at + i]!.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  },
  (b, at, value) => {
    if (!GUID_TEXT.test(value))
      throw new EncodeError('value', at, 'a GUID in lower case without braces', value);
    const hex = value.replaceAll('-', '');
    GUID_ORDER.forEach((i, n) => {
      b[at + i] = Number.parseInt(hex.slice(2 * n, 2 * n + 2), 16);
    });
  },
);

/** A value mapped to a friendlier one that has the same bytes. */
export const mapped = <Wire, T>(
  layout: Layout<Wire>,
  fromWire: (wire: Wire) => T,
  toWire: (value: T) => Wire,
): Layout<T> => ({
  sizeBytes: layout.sizeBytes,
  sizeOf: (value) => layout.sizeOf(toWire(value)),
  read: (cursor) => fromWire(layout.read(cursor)),
  write: (cursor: Cursor, value) => layout.write(cursor, toWire(value)),
});

/**
 * A number with names for the values we know; a value we don't know stays a number, and survives.
 */
export function openEnum<const N extends Readonly<Record<string, number>>>(
  layout: Layout<number>,
  names: N,
): Layout<(keyof N & string) | number> {
  const byNumber = new Map(
    Object.entries(names).map(([name, number]) => [number, name as keyof N & string]),
  );
  return mapped(
    layout,
    (wire) => byNumber.get(wire) ?? wire,
    (value) => (typeof value === 'number' ? value : names[value]!),
  );
}

/** Named bits, true or false each; the bits without a name stay in `unknown`, and survive. */
export type Flags<N> = { readonly [K in keyof N]: boolean } & { readonly unknown: number };

export function flags<const N extends Readonly<Record<string, number>>>(
  layout: Layout<number>,
  bits: N,
): Layout<Flags<N>> {
  const entries = Object.entries(bits);
  const known = entries.reduce((all, [, bit]) => all | bit, 0);
  return mapped(
    layout,
    (wire) => {
      const value: Record<string, boolean | number> = {};
      for (const [name, bit] of entries) value[name] = (wire & bit) !== 0;
      value['unknown'] = (wire & ~known) >>> 0;
      return value as Flags<N>;
    },
    (value) => {
      let wire = value.unknown;
      for (const [name, bit] of entries) if (value[name as keyof N]) wire |= bit;
      return wire >>> 0;
    },
  );
}
