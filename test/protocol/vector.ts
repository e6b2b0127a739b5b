import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeError, EncodeError, type LayoutErrorCode } from '../../protocol/layout/index.ts';

/** Bytes by hand: hex (spaces allowed) at offsets of a message of `length` zero bytes. */
export function message(length: number, parts: Readonly<Record<number, string>>): Uint8Array {
  const bytes = new Uint8Array(length);
  for (const [at, hex] of Object.entries(parts))
    bytes.set(Buffer.from(hex.replaceAll(' ', ''), 'hex'), Number(at));
  return bytes;
}

export interface Vector<T> {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly value: T;
  /** How many of the bytes the message needs; all of them when absent. */
  readonly neededBytes?: number;
}

/**
 * Declared once, run as: decode, encode (byte-exact), mirror, and every shorter prefix fails as
 * truncated.
 */
export function testVectors<T>(
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  vectors: readonly Vector<T>[],
): void {
  for (const { name, bytes, value, neededBytes = bytes.length } of vectors) {
    test(name, () => {
      assert.deepEqual(decode(bytes), value, 'decode');
      assert.deepEqual(hex(encode(value)), hex(bytes), 'encode');
      assert.deepEqual(hex(encode(decode(bytes))), hex(bytes), 'decode, then encode');
      assert.deepEqual(decode(encode(value)), value, 'encode, then decode');
      for (let length = 0; length < neededBytes; length++) {
        assert.throws(
          () => decode(bytes.subarray(0, length)),
          failsAs('truncated'),
          `prefix of ${length} bytes`,
        );
      }
      if (neededBytes < bytes.length)
        assert.deepEqual(decode(bytes.subarray(0, neededBytes)), value, 'needed bytes');
    });
  }
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function failsAs(code: LayoutErrorCode, path?: string, messageText?: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof DecodeError, `a DecodeError, not ${error}`);
    checkError(error, code, path, messageText);
    return true;
  };
}

export function refuses(code: LayoutErrorCode, path?: string, messageText?: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof EncodeError, `an EncodeError, not ${error}`);
    checkError(error, code, path, messageText);
    return true;
  };
}

function checkError(
  error: DecodeError | EncodeError,
  code: LayoutErrorCode,
  path?: string,
  messageText?: string,
): void {
  assert.equal(error.code, code, error.message);
  if (path !== undefined) assert.equal(error.path, path);
  if (messageText !== undefined) assert.equal(error.message, messageText);
}
