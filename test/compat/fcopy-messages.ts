/**
 * The messages of file copy, laid out by hand from include/uapi/linux/hyperv.h, so that what both
 * daemons are asked does not depend on our own codecs.
 */

/** Which way the host reaches the daemon. */
export type Link = 'device' | 'ring';

const NAME_FIELD_BYTES = 520;
const FRAGMENT_BYTES = 6144;
export const HEADER_BYTES = 36;
export const IC_BYTES = 28;
const FCOPY = 7;
const NEGOTIATE = 0;

export const OVERWRITE = 1;
export const CREATE_PATH = 2;

/**
 * One message, as either link carries it: names in UTF-16 over the ring, in UTF-8 on the device.
 */
export type Message = (link: Link) => Buffer;

/**
 * As utf16s_to_utf8s of the kernel (fs/nls/nls_base.c) does: surrogates without a partner are left
 * out, and what exceeds 259 bytes.
 */
function utf8AsTheKernelDoes(text: string): Buffer {
  const bytes = Buffer.alloc(NAME_FIELD_BYTES);
  let at = 0;
  for (const character of text) {
    if (/^[\ud800-\udfff]$/.test(character)) continue;
    const encoded = Buffer.from(character);
    if (at + encoded.length > 259) continue;
    at += encoded.copy(bytes, at);
  }
  return bytes;
}

function name(text: string, link: Link): Buffer {
  if (link === 'device') return utf8AsTheKernelDoes(text);
  const bytes = Buffer.alloc(NAME_FIELD_BYTES);
  bytes.write(text, 'utf16le');
  return bytes;
}

const header = (operation: number): Buffer => {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(operation);
  return bytes;
};

export const start =
  (folder: string, file: string, sizeBytes: number | bigint, flags = 0): Message =>
  (link) => {
    const end = Buffer.alloc(12);
    end.writeUInt32LE(flags);
    end.writeBigUInt64LE(BigInt(sizeBytes), 4);
    return Buffer.concat([header(0), name(file, link), name(folder, link), end]);
  };

/** `sizeBytes` is what the message says of its fragment. */
export const data =
  (
    offset: number | bigint,
    fragment: string | Uint8Array,
    sizeBytes = Buffer.from(fragment as string).length,
  ): Message =>
  () => {
    const fields = Buffer.alloc(16);
    fields.writeBigUInt64LE(BigInt(offset), 4);
    fields.writeUInt32LE(sizeBytes, 12);
    const padded = Buffer.alloc(FRAGMENT_BYTES);
    Buffer.from(fragment as string).copy(padded);
    return Buffer.concat([header(1), fields, padded]);
  };

export const complete: Message = () => header(2);
export const cancel: Message = () => header(3);
export const operation =
  (code: number): Message =>
  () =>
    header(code);

/** The packet of a body: pipe header, IC header, body. */
export function packet(body: Buffer, type = FCOPY): Buffer {
  const head = Buffer.alloc(IC_BYTES);
  head.writeUInt32LE(1);
  head.writeUInt32LE(IC_BYTES - 8 + body.length, 4);
  head.writeUInt16LE(3, 8);
  head.writeUInt16LE(type, 12);
  head.writeUInt16LE(1, 14);
  head.writeUInt16LE(1, 16);
  head.writeUInt16LE(body.length, 18);
  head[25] = 3;
  return Buffer.concat([head, body]);
}

export const negotiation = (): Buffer => {
  const body = Buffer.alloc(16);
  for (const [at, value] of [1, 1, 0, 0, 3, 0, 1, 1].entries()) body.writeUInt16LE(value, at * 2);
  return packet(body, NEGOTIATE);
};
