import { bytesText, type Layout } from './cursor.ts';
import { DecodeError, EncodeError } from './errors.ts';

// A BOM is a character like any other here: without ignoreBOM a decoder would swallow it.
const utf16Decoder = new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true });
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/** Up to here building ASCII text from its codes is cheaper than calling a TextDecoder (measured, Node 20). */
const SHORT = 16;
const codes: number[] = [];

/** One of the two encodings of text on the wires. Sizes are bytes and count the NUL. */
export interface TextEncoding {
  /** Bytes of the text with its NUL. Only exact for well-formed text. */
  sizeOf(text: string): number;
  /** The text up to the first NUL within `sizeBytes` from `at`, which the caller has checked to exist. Throws DecodeError. */
  read(bytes: Uint8Array, at: number, sizeBytes: number): string;
  /** Writes text and NUL into a field of `fieldBytes` at `at`, and nothing after. Throws EncodeError. */
  write(bytes: Uint8Array, at: number, fieldBytes: number, text: string): void;
}

function readShort(length: number): string {
  codes.length = length;
  return String.fromCharCode.apply(null, codes);
}

/** Checks what both encodings refuse; true when the text is ASCII. */
function checkText(text: string, at: number): boolean {
  let all = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    all |= code;
    if (code === 0) throw new EncodeError('text', at, 'text without NUL', `a NUL at index ${i}`);
    if (code >= 0xd800 && code <= 0xdfff) {
      const next = i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
      if (code > 0xdbff || next < 0xdc00 || next > 0xdfff) {
        throw new EncodeError('text', at, 'well-formed text', `a lone surrogate at index ${i}`);
      }
      i++;
    }
  }
  return all < 0x80;
}

function checkFits(sizeBytes: number, fieldBytes: number, at: number): void {
  if (sizeBytes > fieldBytes) {
    throw new EncodeError('tooLong', at, `text of at most ${bytesText(fieldBytes)} with its NUL`, sizeBytes);
  }
}

const unterminated = (at: number, sizeBytes: number): DecodeError =>
  new DecodeError('unterminated', at, `a NUL within ${bytesText(sizeBytes)}`, 'none');

export const utf16: TextEncoding = {
  sizeOf: (text) => 2 * (text.length + 1),

  read(bytes, at, sizeBytes) {
    if (sizeBytes % 2 !== 0) throw new DecodeError('size', at, 'an even size of UTF-16 text', sizeBytes);
    const units = sizeBytes >> 1;
    let n = 0;
    let all = 0;
    for (; n < units; n++) {
      const unit = bytes[at + 2 * n]! | (bytes[at + 2 * n + 1]! << 8);
      if (unit === 0) break;
      all |= unit;
      if (n < SHORT) codes[n] = unit;
    }
    if (n === units) throw unterminated(at, sizeBytes);
    if (n <= SHORT && all < 0x80) return readShort(n);
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
      if (n < SHORT) codes[n] = byte;
    }
    if (n === sizeBytes) throw unterminated(at, sizeBytes);
    if (n <= SHORT && all < 0x80) return readShort(n);
    try {
      return utf8Decoder.decode(bytes.subarray(at, at + n));
    } catch {
      throw new DecodeError('text', at, 'valid UTF-8', 'something else');
    }
  },

  write(bytes, at, fieldBytes, text) {
    const ascii = checkText(text, at);
    const sizeBytes = ascii ? text.length + 1 : utf8.sizeOf(text);
    checkFits(sizeBytes, fieldBytes, at);
    if (ascii) for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    else utf8Encoder.encodeInto(text, bytes.subarray(at, at + sizeBytes));
    bytes[at + sizeBytes - 1] = 0;
  },
};

/**
 * NUL-terminated text in a field of `fieldBytes`. `sizeBytes` is what the message itself says of the text's size, NUL included,
 * and is checked: it must fit the field, and hold a NUL. What follows the first NUL is neither read nor written.
 */
export const text = (encoding: TextEncoding, fieldBytes: number, sizeBytes = fieldBytes): Layout<string> => ({
  sizeBytes: fieldBytes,
  sizeOf: () => fieldBytes,
  read: (cursor) => {
    const at = cursor.take(fieldBytes);
    if (sizeBytes > fieldBytes) throw new DecodeError('size', at, `a size of at most ${fieldBytes}`, sizeBytes);
    return encoding.read(cursor.bytes, at, sizeBytes);
  },
  write: (cursor, value) => encoding.write(cursor.bytes, cursor.make(fieldBytes), fieldBytes, value),
});
