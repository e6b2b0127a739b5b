/**
 * The shutdown service: the host asks the guest to power off, restart or hibernate. The answer says
 * whether the guest will. Sources: struct shutdown_msg_data in include/linux/hyperv.h,
 * shutdown_onchannelcallback in drivers/hv/hv_util.c, ShutdownMessage in OpenVMM's
 * hyperv_ic_protocol.
 *
 *   0  4     reasonCode   SHTDN_REASON_* of the Windows SDK; 0x80000000: planned
 *   4  4     timeoutSecs  how long the guest may take
 *   8  4     flags        1 force, 2 restart, 4 hibernate; neither of the two: power off
 *  12  2048  message      UTF-16, for people
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { version } from '../ic/version.ts';
import { type Flags, flags, type Layout, struct, text, u32, utf16 } from '../layout/index.ts';
import type { ServiceProtocol } from '../service-protocol.ts';

export const ShutdownFlag = { force: 1, restart: 2, hibernate: 4 } as const;

/** Of a reason: somebody meant it to happen. */
export const REASON_PLANNED = 0x8000_0000;

export interface ShutdownRequest {
  readonly reasonCode: number;
  readonly timeoutSecs: number;
  readonly flags: Flags<typeof ShutdownFlag>;
  readonly message: string;
}

export interface ShutdownReply {
  readonly status: number;
}

const MESSAGE_FIELD_BYTES = 2048;
const anyUtf16 = new TextDecoder('utf-16le', { ignoreBOM: true });
const strictText = text(utf16, MESSAGE_FIELD_BYTES);

/**
 * Text without an end ends with its field, and a lone surrogate becomes U+FFFD: no request is
 * refused for what only people read.
 */
const lenientText: Layout<string> = {
  sizeBytes: MESSAGE_FIELD_BYTES,
  sizeOf: () => MESSAGE_FIELD_BYTES,
  read: (cursor) => {
    const at = cursor.take(MESSAGE_FIELD_BYTES);
    return anyUtf16.decode(cursor.bytes.subarray(at, at + MESSAGE_FIELD_BYTES)).split('\0', 1)[0]!;
  },
  write: (cursor, value) => strictText.write(cursor, value),
};

const shutdown = struct('shutdown')
  .field('reasonCode', u32)
  .field('timeoutSecs', u32)
  .field('flags', flags(u32, ShutdownFlag))
  .field('message', lenientText);

export const shutdownProtocol: ServiceProtocol<ShutdownRequest, ShutdownReply> = {
  name: 'shutdown',
  classId: SERVICE_CLASSES.shutdown,
  messageType: 3,
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: [version(3, 2), version(3, 1), version(3, 0), version(1, 0)],
  optionalVersions: [],
  ic: {
    decodeRequest: (body) => shutdown.decode(body),
    // Everything is in the header's status
    encodeReply: () => {},
    encodeRequest: (request) => shutdown.encode(request),
    decodeReply: (_body, _version, _request, status) => ({ status }),
  },
};
