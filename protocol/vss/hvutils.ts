/**
 * VSS on the char device /dev/vmbus/hv_vss: what hv_utils passes on to a daemon, and takes back.
 * Sources: include/uapi/linux/hyperv.h (struct hv_vss_msg), drivers/hv/hv_snapshot.c. Every message
 * has 12 bytes, but for the kernel's answer to the registration, which is its own registration
 * number as 4.
 *
 * Request                                    Reply
 *   0  1  operation, 129 registration          0  4  status
 *   1  7  reserved
 *   8  4  flags, always 0 from the kernel
 *
 * Quirks. Only checkHotBackup, freeze and thaw are passed on; hv_utils answers the rest by itself,
 * with success. It looks for the operation in a reply where that has its status: so the host always
 * gets flags 0 for checkHotBackup, and a status whose lowest byte is 128 or 129 would be taken for
 * a registration. No IcStatus has one.
 */
import { bytesText } from '../layout/cursor.ts';
import { DecodeError, struct, u8, u32 } from '../layout/index.ts';
import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../service-protocol.ts';
import { operationCode, operationOf, type VssReply, type VssRequest } from './types.ts';

const MESSAGE_BYTES = 12;
const ANSWER_BYTES = 4;
/** VSS_OP_REGISTER1. (128, VSS_OP_REGISTER, is not answered.) */
const REGISTER = 129;

const message = struct('vss').field('operation', u8).reserved(7).field('flags', u32);
const registrationAnswer = struct('vss').field('version', u32);
const reply = struct('vss').field('status', u32);

function checkLength(bytes: Uint8Array): void {
  if (bytes.length === MESSAGE_BYTES) return;
  const code = bytes.length < MESSAGE_BYTES ? 'truncated' : 'size';
  throw new DecodeError(
    code,
    Math.min(bytes.length, MESSAGE_BYTES),
    bytesText(MESSAGE_BYTES),
    bytes.length,
  ).within('vss');
}

export const vssHvUtils: HvUtilsCodec<VssRequest, VssReply> = {
  messageBytes: MESSAGE_BYTES,
  registrationAnswerBytes: ANSWER_BYTES,

  // VSS_FREEZE_TIMEOUT in drivers/hv/hv_snapshot.c
  timeoutSecs: ({ operation }) => (operation === 'freeze' ? 15 * 60 : HV_UTIL_TIMEOUT_SECS),

  encodeRegistration: () => message.encode({ operation: REGISTER, flags: 0 }),

  decodeRegistration: (bytes) =>
    bytes.length === ANSWER_BYTES ? String(registrationAnswer.decode(bytes).version) : undefined,

  decodeRequest(bytes) {
    checkLength(bytes);
    const { operation: code, flags } = message.decode(bytes);
    const operation = operationOf(code);
    if (operation === undefined) return { operation: 'unknown', operationCode: code, flags };
    return operation === 'freeze' || operation === 'autoRecover'
      ? { operation, backupType: flags }
      : { operation, flags };
  },

  encodeReply(bytes, _request, { status }) {
    reply.encodeInto({ status }, bytes);
  },

  encodeRequest: (request) =>
    message.encode({
      operation: operationCode(request),
      flags: 'backupType' in request ? request.backupType : request.flags,
    }),

  decodeReply(bytes) {
    checkLength(bytes);
    return reply.decode(bytes);
  },

  encodeRegistrationAnswer: (versionText) =>
    registrationAnswer.encode({ version: Number(versionText) }),
};
