/**
 * Status codes of IC replies: HRESULTs (source: include/linux/hyperv.h, HV_S_OK and following;
 * winerror.h).
 */
export const IcStatus = {
  ok: 0,
  fail: 0x80004005,
  /** Ends an enumeration; also "no such key". */
  noMoreItems: 0x80070103,
  notSupported: 0x80070032,
  machineLocked: 0x800704f7,
  deviceNotConnected: 0x8007048f,
  invalidArgument: 0x80070057,
  guidNotFound: 0x80041002,
  alreadyExists: 0x80070050,
  diskFull: 0x80070070,
} as const;
