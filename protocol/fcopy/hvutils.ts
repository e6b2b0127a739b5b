/**
 * File copy on the char device /dev/vmbus/hv_fcopy, which kernels before 6.10 have: what hv_utils
 * passes on to a daemon, and takes back. Sources: drivers/hv/hv_fcopy.c, hv_utils_transport.c;
 * utf16s_to_utf8s in fs/nls/nls_base.c.
 *
 * Messages have the layout they have over VMBus (protocol/fcopy/vmbus.ts), with UTF-8 in the fields
 * of the names. Their lengths differ: start 1,088, data 6,196, complete and cancel 64 (36 of them
 * the message; 36 in all where the kernel itself cancels before a suspension).
 *
 * Registration  0  4  version of the daemon, 1       Answer to it  0  4  version of the kernel
 * Reply         0  4  status
 *
 * Quirk. The kernel gives a name 259 bytes; a character that does not fit any more is left out, and
 * so is a lone surrogate. A text of 256 bytes or more may thus have lost something, and would name
 * another file than the host meant.
 */
import { bytesText } from '../layout/cursor.ts';
import { DecodeError, EncodeError, type Layout, struct, text, u32, utf8 } from '../layout/index.ts';
import type { HvUtilsCodec } from '../service-protocol.ts';
import {
  DATA_MESSAGE_BYTES,
  decodeFcopy,
  encodeFcopy,
  type FcopyReply,
  type FcopyRequest,
  fcopyHeader,
  fcopyPart,
  fcopyStart,
  NAME_FIELD_BYTES,
} from './messages.ts';

/** FCOPY_CURRENT_VERSION. */
const VERSION = 1;
const VERSION_BYTES = 4;
/**
 * As long as four more bytes, a character's longest form, have room in the kernel's 259, nothing
 * was left out.
 */
const MAX_WHOLE_NAME_BYTES = 255;

const field = text(utf8, NAME_FIELD_BYTES);
const WHOLE_BYTES = bytesText(MAX_WHOLE_NAME_BYTES);
const WHOLE = `at most the ${WHOLE_BYTES} that hv_utils is sure to pass on whole`;
const wholeName: Layout<string> = {
  sizeBytes: NAME_FIELD_BYTES,
  sizeOf: () => NAME_FIELD_BYTES,
  read: (cursor) => {
    const at = cursor.offset;
    const name = field.read(cursor);
    const sizeBytes = utf8.sizeOf(name) - 1;
    if (sizeBytes > MAX_WHOLE_NAME_BYTES) throw new DecodeError('size', at, WHOLE, sizeBytes);
    return name;
  },
  write: (cursor, name) => {
    const sizeBytes = utf8.sizeOf(name) - 1;
    if (sizeBytes > MAX_WHOLE_NAME_BYTES)
      throw new EncodeError('tooLong', cursor.offset, WHOLE, sizeBytes);
    field.write(cursor, name);
  },
};

const start = fcopyStart(wholeName, wholeName);
const version = struct('fcopy').field('version', u32);
const reply = struct('fcopy').field('status', u32);

/**
 * What follows the message in a complete or cancel: hv_utils sends as many bytes as the whole
 * packet had.
 */
const TRAILING_BYTES = 28;

export const fcopyHvUtils: HvUtilsCodec<FcopyRequest, FcopyReply> = {
  messageBytes: DATA_MESSAGE_BYTES,
  leastBytes: VERSION_BYTES,
  replyBytes: 4,
  part: fcopyPart,

  encodeRegistration: () => version.encode({ version: VERSION }),

  decodeRegistration: (message) =>
    message.length === VERSION_BYTES ? String(version.decode(message).version) : undefined,

  decodeRequest: (message) => decodeFcopy(message, start),

  encodeReply: (message, _request, { status }) => {
    reply.encodeInto({ status }, message);
  },

  encodeRequest(request) {
    const message = encodeFcopy(request, start);
    if (message.length > fcopyHeader.sizeBytes!) return message;
    const longer = new Uint8Array(message.length + TRAILING_BYTES);
    longer.set(message);
    return longer;
  },

  decodeReply: (message) => reply.decode(message),

  encodeRegistrationAnswer: (versionText) => version.encode({ version: Number(versionText) }),
};
