/**
 * Volume shadow copies (VSS): the host asks the guest to write out and freeze its file systems
 * while it takes a snapshot. Sources: struct hv_vss_msg in include/uapi/linux/hyperv.h,
 * drivers/hv/hv_snapshot.c, OpenVMM hyperv_ic_protocol/src/vss.rs (disks, 6.0).
 *
 *   0  1  operation   as in VSS_OPERATIONS
 *   1  7  reserved
 *   8  4  flags       of what was asked; of an answer to checkHotBackup and getDmInfo: as in those
 *
 * Freeze and auto recover, 6,260 and 12,500 bytes from the hosts we know of; hv_utils needs the
 * first 12 only:
 *   8  4  backupType
 *  12  4  flags
 *  16  4  lunCount    at most 260
 *  20  n  luns        24 bytes each, room for 260; auto recover: again as many, the snapshots' own
 *
 * Create and delete name a snapshot set, a cluster query has the guest fill in its cluster: nothing
 * a Linux guest takes part in.
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { IcStatus } from '../ic/status.ts';
import { version } from '../ic/version.ts';
import {
  atMost,
  bytes,
  Cursor,
  DecodeError,
  EncodeError,
  type Layout,
  struct,
  u8,
  u32,
} from '../layout/index.ts';
import type { IcCodec, ServiceProtocol } from '../service-protocol.ts';
import { vssHvUtils } from './hvutils.ts';
import {
  operationCode,
  operationOf,
  VSS_OPTIONAL_VERSIONS,
  type VssDisks,
  type VssReply,
  type VssRequest,
} from './types.ts';

const MAX_LUNS = 260;
const LUN_BYTES = 24;
/** Length of struct hv_vss_msg: what hv_utils needs of every message. */
const SHORT_BYTES = 12;

const header = struct('vss').field('operation', u8).reserved(7);
const short = header.field('flags', u32);
const backup = header.field('backupType', u32);
const answer = struct('vss').reserved(8).field('flags', u32);

/** All that is left of the body: which of it is filled in only `lunCount` says. */
class Luns implements Layout<Uint8Array> {
  readonly sizeBytes = undefined;
  readonly #lunCount: number;
  readonly #maxBytes: number;

  constructor(lunCount: number, maxBytes: number) {
    this.#lunCount = lunCount;
    this.#maxBytes = maxBytes;
  }

  sizeOf(luns: Uint8Array): number {
    return luns.length;
  }

  read(cursor: Cursor): Uint8Array {
    const left = cursor.bytes.length - cursor.offset;
    if (left > this.#maxBytes)
      throw new DecodeError('size', cursor.offset, `at most ${this.#maxBytes} bytes`, left);
    new Cursor(cursor.bytes, cursor.offset).take(this.#lunCount * LUN_BYTES);
    return bytes(left).read(cursor);
  }

  write(cursor: Cursor, luns: Uint8Array): void {
    const least = this.#lunCount * LUN_BYTES;
    if (luns.length < least || luns.length > this.#maxBytes) {
      throw new EncodeError(
        'size',
        cursor.offset,
        `${least} to ${this.#maxBytes} bytes`,
        luns.length,
      );
    }
    bytes(luns.length).write(cursor, luns);
  }
}

const disksOf = (lists: number) =>
  backup
    .field('flags', u32)
    .field('lunCount', atMost(u32, MAX_LUNS))
    .dependent('luns', ({ lunCount }) => new Luns(lunCount, lists * MAX_LUNS * LUN_BYTES));
const disks = { freeze: disksOf(1), autoRecover: disksOf(2) } as const;

function decodeDisks(operation: 'freeze' | 'autoRecover', body: Uint8Array): VssDisks | undefined {
  if (body.length === SHORT_BYTES) return undefined;
  const { flags, lunCount, luns } = disks[operation].decode(body);
  return { flags, lunCount, luns };
}

const ic: IcCodec<VssRequest, VssReply> = {
  decodeRequest(body) {
    const { operation: code, flags } = short.decode(body);
    const operation = operationOf(code);
    switch (operation) {
      case undefined:
        return { operation: 'unknown', operationCode: code, flags };
      case 'freeze':
      case 'autoRecover': {
        const disks = decodeDisks(operation, body);
        return { operation, backupType: flags, ...(disks ? { disks } : {}) };
      }
      default:
        return { operation, flags };
    }
  },

  encodeReply(body, _version, request, { status, flags }) {
    if (
      status !== IcStatus.ok ||
      (request.operation !== 'checkHotBackup' && request.operation !== 'getDmInfo')
    )
      return;
    if (flags === undefined)
      throw new EncodeError('value', answer.offsetOf('flags'), 'flags', 'none').within('vss');
    answer.encodeInto({ flags }, body);
  },

  encodeRequest(request) {
    const operation = operationCode(request);
    if (!('backupType' in request)) return short.encode({ operation, flags: request.flags });
    const { backupType, disks: sent } = request;
    return sent
      ? disks[request.operation].encode({ operation, backupType, ...sent })
      : backup.encode({ operation, backupType });
  },

  decodeReply(body, _version, request, status) {
    if (
      status !== IcStatus.ok ||
      (request.operation !== 'checkHotBackup' && request.operation !== 'getDmInfo')
    ) {
      return { status };
    }
    return { status, ...answer.decode(body) };
  },
};

export const vssProtocol: ServiceProtocol<VssRequest, VssReply> = {
  name: 'vss',
  classId: SERVICE_CLASSES.vss,
  messageType: 5,
  frameworkVersions: [version(3, 0)],
  messageVersions: [version(5, 0)],
  optionalVersions: VSS_OPTIONAL_VERSIONS,
  ic,
  hvUtils: vssHvUtils,
};
