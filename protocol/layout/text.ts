import { bytesText, type Cursor, type Layout } from './cursor.ts';
import { DecodeError, EncodeError } from './errors.ts';

// A BOM is a character like any other here: without ignoreBOM a decoder would swallow it.
const utf16Decoder = new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true });
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/**
 * Up to here building ASCII text from its codes is cheaper than calling a TextDecoder, and copying
 * it than a TextEncoder (measured, Node 20).
 */
const SHORT = 32;

/** One of the two encodings of text on the wires. Sizes are bytes and count the NUL. */
export interface TextEncoding {
  /** Bytes of the text with its NUL. Only exact for well-formed text. */
  sizeOf(text: string): number;
  /**
   * The text up to the first NUL within `sizeBytes` from `at`, which the caller has checked to
   * exist. Throws DecodeError.
   */
  read(bytes: Uint8Array, at: number, sizeBytes: number): string;
  /**
   * Writes text and NUL into a field of `fieldBytes` at `at`, and nothing after. Throws
   * EncodeError.
   */
  write(bytes: Uint8Array, at: number, fieldBytes: number, text: string): void;
}

/** ASCII text whose characters lie `step` bytes apart. */
function readAscii(bytes: Uint8Array, at: number, length: number, step: number): string {
  let text = '';
  let i = at;
  for (let left = length; left >= 8; left -= 8, i += 8 * step) {
    text += String.fromCharCode(
      bytes[i]!,
      bytes[i + step]!,
      bytes[i + 2 * step]!,
      bytes[i + 3 * step]!,
      bytes[i + 4 * step]!,
      bytes[i + 5 * step]!,
      bytes[i + 6 * step]!,
      bytes[i + 7 * step]!,
    );
  }
  for (const end = at + length * step; i < end; i += step) text += String.fromCharCode(bytes[i]!);
  return text;
}

/**
 * Writes text and NUL where all of it is ASCII; false, with the field's content undefined, where it
 * is not.
 */
function writeAscii(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80 || code === 0) return false;
    bytes[at + i] = code;
  }
  bytes[at + text.length] = 0;
  return true;
}

/** With the u flag a surrogate of a pair is no character of its own: only lone ones match. */
const UNENCODABLE = /[\0\p{Surrogate}]/u;

/** Refuses what neither encoding can carry. */
function checkText(text: string, at: number): void {
  const index = text.search(UNENCODABLE);
  if (index < 0) return;
  if (text[index] === '\0')
    throw new EncodeError('text', at, 'text without NUL', `a NUL at index ${index}`);
  throw new EncodeError('text', at, 'well-formed text', `a lone surrogate at index ${index}`);
}

function checkFits(sizeBytes: number, fieldBytes: number, at: number): void {
  if (sizeBytes > fieldBytes) {
    throw new EncodeError(
      'tooLong',
      at,
      `text of at most ${bytesText(fieldBytes)} with its NUL`,
      sizeBytes,
    );
  }
}

const unterminated = (at: number, sizeBytes: number): DecodeError =>
  new DecodeError('unterminated', at, `a NUL within ${bytesText(sizeBytes)}`, 'none');

export const utf16: TextEncoding = {
  sizeOf: (text) => 2 * (text.length + 1),

  read(bytes, at, sizeBytes) {
    if (sizeBytes % 2 !== 0)
      throw new DecodeError('size', at, 'an even size of UTF-16 text', sizeBytes);
    const units = sizeBytes >> 1;
    let n = 0;
    let all = 0;
    for (; n < units; n++) {
      const unit = bytes[at + 2 * n]! | (bytes[at + 2 * n + 1]! << 8);
      if (unit === 0) break;
      all |= unit;
    }
    if (n === units) throw unterminated(at, sizeBytes);
    if (n <= SHORT && all < 0x80) return readAscii(bytes, at, n, 2);
    try {
      return utf16Decoder.decode(bytes.subarray(at, at + 2 * n));
    } catch {
      throw new DecodeError('text', at, 'valid UTF-16', 'a lone surrogate');
    }
  },

  write(bytes, at, fieldBytes, text) {
    checkText(text, at);
    checkFits(2 * (text.length + 1), fieldBytes, at);
    let to = at;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      bytes[to++] = code;
      bytes[to++] = code >>> 8;
    }
    bytes[to++] = 0;
    bytes[to] = 0;
  },
};

export const utf8: TextEncoding = {
  sizeOf(text) {
    let size = text.length + 1;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      // A surrogate pair is two units and four bytes: one more byte for each half
      if (code >= 0x80) size += code < 0x800 || (code >= 0xd800 && code <= 0xdfff) ? 1 : 2;
    }
    return size;
  },

  read(bytes, at, sizeBytes) {
    let n = 0;
    let all = 0;
    for (; n < sizeBytes; n++) {
      const byte = bytes[at + n]!;
      if (byte === 0) break;
      all |= byte;
    }
    if (n === sizeBytes) throw unterminated(at, sizeBytes);
    if (n <= SHORT && all < 0x80) return readAscii(bytes, at, n, 1);
    try {
      return utf8Decoder.decode(bytes.subarray(at, at + n));
    } catch {
      throw new DecodeError('text', at, 'valid UTF-8', 'something else');
    }
  },

  write(bytes, at, fieldBytes, text) {
    const { length } = text;
    if (length <= SHORT && length < fieldBytes && writeAscii(bytes, at, text)) return;
    checkText(text, at);
    checkFits(length + 1, fieldBytes, at);
    const { read, written } = utf8Encoder.encodeInto(text, bytes.subarray(at, at + fieldBytes - 1));
    if (read < length) checkFits(utf8.sizeOf(text), fieldBytes, at);
    bytes[at + written] = 0;
  },
};

// A class, not an object of closures: where a text's size comes with the message, one is made for
// every message.
class TextField implements Layout<string> {
  readonly sizeBytes: number;
  readonly #encoding: TextEncoding;
  readonly #textBytes: number;

  constructor(encoding: TextEncoding, fieldBytes: number, textBytes: number) {
    this.sizeBytes = fieldBytes;
    this.#encoding = encoding;
    this.#textBytes = textBytes;
  }

  sizeOf(): number {
    return this.sizeBytes;
  }

  read(cursor: Cursor): string {
    const at = cursor.take(this.sizeBytes);
    if (this.#textBytes > this.sizeBytes) {
      throw new DecodeError('size', at, `a size of at most ${this.sizeBytes}`, this.#textBytes);
    }
    return this.#encoding.read(cursor.bytes, at, this.#textBytes);
  }

  write(cursor: Cursor, value: string): void {
    this.#encoding.write(cursor.bytes, cursor.make(this.sizeBytes), this.sizeBytes, value);
  }
}

/**
 * NUL-terminated text in a field of `fieldBytes`. `sizeBytes` is what the message itself says of
 * the text's size, NUL included, and is checked: it must fit the field, and hold a NUL. What
 * follows the first NUL is neither read nor written.
 */
export const text = (
  encoding: TextEncoding,
  fieldBytes: number,
  sizeBytes = fieldBytes,
): Layout<string> => new TextField(encoding, fieldBytes, sizeBytes);
