/**
 * What the VSS service says, without its bytes. Both wires are mapped to these types; the service
 * knows only them.
 */
import { type Version, version } from '../ic/version.ts';

/** Versions that hosts are offered only when the configuration asks for them, best first. */
export const VSS_OPTIONAL_VERSIONS: readonly Version[] = [version(7, 0), version(6, 0)];

/**
 * Operations by their number on the wire (enum hv_vss_op; the last one since 6.0, OpenVMM's
 * vss.rs).
 */
export const VSS_OPERATIONS = {
  create: 0,
  delete: 1,
  checkHotBackup: 2,
  /** Of direct-mapped devices. */
  getDmInfo: 3,
  backupComplete: 4,
  freeze: 5,
  thaw: 6,
  autoRecover: 7,
  queryClusterInfo: 8,
} as const;
export type VssOperation = keyof typeof VSS_OPERATIONS;

/**
 * Of an answer to checkHotBackup: the guest's volumes need no auto recovery
 * (VSS_HBU_NO_AUTO_RECOVERY).
 */
export const NO_AUTO_RECOVERY = 5;

/** Which disks a backup is of, for the host's use: of no meaning to a guest. */
export interface VssDisks {
  readonly flags: number;
  readonly lunCount: number;
  /** 24 bytes a disk, at least `lunCount` of them. */
  readonly luns: Uint8Array;
}

export type VssRequest =
  | { readonly operation: Exclude<VssOperation, 'freeze' | 'autoRecover'>; readonly flags: number }
  | {
      readonly operation: 'freeze' | 'autoRecover';
      readonly backupType: number;
      /** hv_utils does not pass them on. */
      readonly disks?: VssDisks;
    }
  | { readonly operation: 'unknown'; readonly operationCode: number; readonly flags: number };

/** `status` is an IcStatus. */
export interface VssReply {
  readonly status: number;
  /** There when checkHotBackup (NO_AUTO_RECOVERY) or getDmInfo (0) is answered with success. */
  readonly flags?: number;
}

const BY_CODE = new Map<number, VssOperation>(
  Object.entries(VSS_OPERATIONS).map(([name, code]) => [code, name as VssOperation]),
);

export const operationOf = (code: number): VssOperation | undefined => BY_CODE.get(code);

export const operationCode = (request: VssRequest): number =>
  request.operation === 'unknown' ? request.operationCode : VSS_OPERATIONS[request.operation];
