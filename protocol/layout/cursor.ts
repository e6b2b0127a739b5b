import { DecodeError, EncodeError } from './errors.ts';

/**
 * How a value lies in bytes, little-endian and packed. Made of smaller ones; `struct` gives
 * messages.
 */
export interface Layout<T> {
  /** Bytes of every value; undefined when they depend on the value. */
  readonly sizeBytes: number | undefined;
  /** Bytes of this value. */
  sizeOf(value: T): number;
  /** Throws DecodeError. The value keeps no reference to the bytes. */
  read(cursor: Cursor): T;
  /**
   * Throws EncodeError. Writes only what the value needs: the rest of a field keeps what it held.
   */
  write(cursor: Cursor, value: T): void;
}

/** A place in a buffer that moves forward, and the one place where bounds are checked. */
export class Cursor {
  readonly bytes: Uint8Array;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.offset = offset;
  }

  /** Steps over `sizeBytes` that are about to be read, and gives where they start. */
  take(sizeBytes: number): number {
    const at = this.offset;
    const left = this.bytes.length - at;
    if (sizeBytes > left)
      throw new DecodeError('truncated', at, bytesText(sizeBytes), Math.max(left, 0));
    this.offset = at + sizeBytes;
    return at;
  }

  /** Steps over `sizeBytes` that are about to be written, and gives where they start. */
  make(sizeBytes: number): number {
    const at = this.offset;
    const left = this.bytes.length - at;
    if (sizeBytes > left)
      throw new EncodeError('tooLong', at, `room for ${bytesText(sizeBytes)}`, Math.max(left, 0));
    this.offset = at + sizeBytes;
    return at;
  }
}

export const bytesText = (count: number): string => `${count} ${count === 1 ? 'byte' : 'bytes'}`;
