/**
 * Bytes to values and back: one declaration of a message gives its decoder, encoder, type and size.
 *
 *     const beat = struct('heartbeat')
 *       .field('sequence', u64)
 *       .field('state', openEnum(u32, { healthy: 1 }))
 *       .reserved(4);
 *     beat.decode(body).sequence;
 */
export { Cursor, type Layout } from './cursor.ts';
export { DecodeError, EncodeError, LayoutError, type LayoutErrorCode } from './errors.ts';
export {
  atMost,
  bool8,
  bytes,
  type Flags,
  flags,
  guid,
  mapped,
  openEnum,
  u8,
  u16,
  u32,
  u64,
} from './scalars.ts';
export { array, Struct, struct } from './struct.ts';
export { type TextEncoding, text, utf8, utf16 } from './text.ts';
