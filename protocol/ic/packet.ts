/**
 * What carries an IC message in a VMBus ring: packet descriptor, pipe header, IC header. Sources:
 * include/linux/hyperv.h (struct vmpacket_descriptor, vmbuspipe_hdr, icmsg_hdr), OpenVMM
 * hyperv_ic_protocol.
 *
 * Packet descriptor, in front of every packet:
 *   0  2  type                6 inband data, 11 completion
 *   2  2  dataOffset8         start of the payload, 8-byte units
 *   4  2  totalLength8        descriptor and payload, 8-byte units
 *   6  2  flags               1: an answer is wanted
 *   8  8  transactionId       echoed by the answer
 *
 * Payload:
 *   0  4  pipe type           1 data
 *   4  4  messageSizeBytes    IC header and body, at least
 *   8  2+2  frameworkVersion  major, minor
 *  12  2  messageType         0 negotiation, else the service's
 *  14  2+2  messageVersion    major, minor
 *  18  2  bodySizeBytes
 *  20  4  status              an IcStatus
 *  24  1  transactionId       (not the packet's)
 *  25  1  flags               1 transaction, 2 request, 4 response
 *  26  2  reserved
 *  28     body
 */
import { DecodeError, EncodeError, struct, u8, u16, u32, u64 } from '../layout/index.ts';
import type { Version } from './version.ts';

export const PacketType = { inband: 6, completion: 11 } as const;

export const packetDescriptor = struct('packet')
  .field('type', u16)
  .field('dataOffset8', u16)
  .field('totalLength8', u16)
  .field('flags', u16)
  .field('transactionId', u64);

/** {major u16, minor u16}. */
export const versionLayout = struct('version').field('major', u16).field('minor', u16);

export const PIPE_TYPE_DATA = 1;
export const pipeHeader = struct('pipe').field('type', u32).field('messageSizeBytes', u32);

/** `icmsgtype` numbers: 0, and one a service. */
export const IC_NEGOTIATE = 0;

export const IcFlag = { transaction: 1, request: 2, response: 4 } as const;

/** Unknown bits of `flags` and the reserved bytes survive a round trip. */
export const icHeader = struct('ic')
  .field('frameworkVersion', versionLayout)
  .field('messageType', u16)
  .field('messageVersion', versionLayout)
  .field('bodySizeBytes', u16)
  .field('status', u32)
  .field('transactionId', u8)
  .field('flags', u8)
  .field('reserved', u16);

export type IcHeader = ReturnType<typeof icHeader.decode>;

export const IC_HEADER_OFFSET = 8;
export const IC_BODY_OFFSET = 28;
/** The longest message either side sends (OpenVMM MAX_MESSAGE_SIZE). */
export const IC_MAX_MESSAGE_BYTES = 13_312;

const IC_HEADER_BYTES = IC_BODY_OFFSET - IC_HEADER_OFFSET;
const BODY_SIZE_AT = IC_HEADER_OFFSET + icHeader.offsetOf('bodySizeBytes');
const STATUS_AT = IC_HEADER_OFFSET + icHeader.offsetOf('status');
const FLAGS_AT = IC_HEADER_OFFSET + icHeader.offsetOf('flags');
const statusLayout = struct('ic').field('status', u32);

/**
 * Reads both headers of a payload and checks them against its length; the body is a view of the
 * payload. Throws DecodeError.
 */
export function decodeIcMessage(payload: Uint8Array): {
  readonly header: IcHeader;
  readonly body: Uint8Array;
} {
  const pipe = pipeHeader.decode(payload);
  if (pipe.type !== PIPE_TYPE_DATA) {
    throw new DecodeError('value', 0, `${PIPE_TYPE_DATA} (data)`, pipe.type).within('pipe.type');
  }
  const present = payload.length - IC_HEADER_OFFSET;
  if (pipe.messageSizeBytes > present) {
    throw new DecodeError(
      'truncated',
      4,
      `at most the ${present} bytes present`,
      pipe.messageSizeBytes,
    ).within('pipe.messageSizeBytes');
  }
  if (pipe.messageSizeBytes < IC_HEADER_BYTES) {
    throw new DecodeError(
      'truncated',
      4,
      `at least ${IC_HEADER_BYTES} bytes`,
      pipe.messageSizeBytes,
    ).within('pipe.messageSizeBytes');
  }
  const header = icHeader.decode(payload, IC_HEADER_OFFSET);
  const room = pipe.messageSizeBytes - IC_HEADER_BYTES;
  if (header.bodySizeBytes > room) {
    throw new DecodeError(
      'truncated',
      BODY_SIZE_AT,
      `at most the message's ${room} bytes`,
      header.bodySizeBytes,
    ).within('ic.bodySizeBytes');
  }
  return { header, body: payload.subarray(IC_BODY_OFFSET, IC_BODY_OFFSET + header.bodySizeBytes) };
}

/**
 * Turns a request's headers into its answer's in place: status, flags (transaction and response, as
 * hv_utils sets them), and the body's size where the answer's differs. Everything else, the
 * transaction id too, is echoed.
 */
export function markIcReply(payload: Uint8Array, status: number, bodySizeBytes?: number): void {
  statusLayout.encodeInto({ status }, payload, STATUS_AT);
  payload[FLAGS_AT] = IcFlag.transaction | IcFlag.response;
  if (bodySizeBytes !== undefined) {
    payload[BODY_SIZE_AT] = bodySizeBytes;
    payload[BODY_SIZE_AT + 1] = bodySizeBytes >>> 8;
  }
}

/** What a sender of a message decides; the rest of its headers follows. */
export interface IcMessageInit {
  readonly frameworkVersion: Version;
  readonly messageVersion: Version;
  readonly messageType: number;
  readonly status?: number;
  /** The IC header's own, 0 from every host we know. */
  readonly transactionId?: number;
  readonly flags: number;
}

/**
 * A whole payload: pipe header, IC header, body. Throws EncodeError when the body is longer than a
 * message can be.
 */
export function encodeIcMessage(init: IcMessageInit, body: Uint8Array): Uint8Array {
  const size = IC_BODY_OFFSET + body.length;
  if (size > IC_MAX_MESSAGE_BYTES) {
    throw new EncodeError(
      'tooLong',
      IC_BODY_OFFSET,
      `at most ${IC_MAX_MESSAGE_BYTES - IC_BODY_OFFSET} bytes`,
      body.length,
    );
  }
  const payload = new Uint8Array(size);
  pipeHeader.encodeInto(
    { type: PIPE_TYPE_DATA, messageSizeBytes: IC_HEADER_BYTES + body.length },
    payload,
  );
  icHeader.encodeInto(
    {
      frameworkVersion: init.frameworkVersion,
      messageType: init.messageType,
      messageVersion: init.messageVersion,
      bodySizeBytes: body.length,
      status: init.status ?? 0,
      transactionId: init.transactionId ?? 0,
      flags: init.flags,
      reserved: 0,
    },
    payload,
    IC_HEADER_OFFSET,
  );
  payload.set(body, IC_BODY_OFFSET);
  return payload;
}
