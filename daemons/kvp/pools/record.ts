import { isUtf8 } from 'node:buffer';
import {
  KEY_FIELD_BYTES as KEY_BYTES,
  VALUE_FIELD_BYTES as VALUE_BYTES,
} from '../../../protocol/kvp/sizes.ts';
import { PoolError } from './types.ts';

/**
 * One record of a pool file (source: tools/hv/hv_kvp_daemon.c, struct kvp_record;
 * include/uapi/linux/hyperv.h):
 *
 *     0  512  key     UTF-8, NUL padded
 *   512 2048  value   UTF-8, NUL padded
 */
export const RECORD_BYTES = KEY_BYTES + VALUE_BYTES;
export { KEY_BYTES, VALUE_BYTES };

/** Longest key and value in bytes: one byte of each field is its NUL. */
export const MAX_KEY_BYTES = KEY_BYTES - 1;
export const MAX_VALUE_BYTES = VALUE_BYTES - 1;

/**
 * A key's bytes as a string of one character each: what the index maps, equal exactly when the
 * bytes are.
 */
export type RawKey = string;

export function rawKey(key: string): RawKey {
  const bytes = Buffer.byteLength(key);
  if (bytes === 0 || bytes > MAX_KEY_BYTES || key.includes('\0')) {
    throw new PoolError(
      'invalid',
      '',
      bytes > MAX_KEY_BYTES
        ? `the key has ${bytes} bytes of UTF-8; a record holds up to ${MAX_KEY_BYTES}`
        : bytes === 0
          ? 'the key is empty'
          : 'the key contains NUL, which ends a key',
    );
  }
  return bytes === key.length ? key : Buffer.from(key).toString('latin1');
}

export function checkValue(value: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes > MAX_VALUE_BYTES) {
    throw new PoolError(
      'invalid',
      '',
      `the value has ${bytes} bytes of UTF-8; a record holds up to ${MAX_VALUE_BYTES}`,
    );
  }
  if (value.includes('\0'))
    throw new PoolError('invalid', '', 'the value contains NUL, which ends a value');
}

/** What can be wrong inside a record. */
export type Damage = 'unterminated' | 'invalidText';

/** The end of the text in a field: its first NUL, or the field's end when there is none. */
export function textEnd(bytes: Buffer, start: number, fieldBytes: number): number {
  // Most texts are short, and a loop beats a native call for those
  const near = Math.min(start + 32, start + fieldBytes);
  for (let i = start; i < near; i++) if (bytes[i] === 0) return i;
  const end = bytes.indexOf(0, near);
  return end < 0 || end > start + fieldBytes ? start + fieldBytes : end;
}

export function decodeText(
  bytes: Buffer,
  start: number,
  fieldBytes: number,
  onDamage: (damage: Damage) => void,
): string {
  const end = textEnd(bytes, start, fieldBytes);
  if (end === start + fieldBytes) onDamage('unterminated');
  const text = bytes.toString('utf8', start, end);
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) onDamage('invalidText');
  return text;
}

/** Fills `record` with key and value, every other byte 0. */
export function encodeRecord(record: Buffer, key: RawKey, value: string): void {
  record.fill(0);
  record.write(key, 0, 'latin1');
  record.write(value, KEY_BYTES, 'utf8');
}
