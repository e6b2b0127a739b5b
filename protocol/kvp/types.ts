/**
 * What the data exchange service (KVP) says, without its bytes. Both wires (IC messages over VMBus,
 * char-device messages of hv_utils) are mapped to these types; the service knows only them.
 */

/**
 * Pools by their number on the wire (source: include/uapi/linux/hyperv.h, enum hv_kvp_exchg_pool).
 */
export const KvpPool = {
  external: 0,
  guest: 1,
  auto: 2,
  autoExternal: 3,
  autoInternal: 4,
} as const;
export const KVP_POOL_COUNT = Object.keys(KvpPool).length;

/** Operations by their number on the wire (enum hv_kvp_exchg_op). */
export const KvpOperation = {
  get: 0,
  set: 1,
  delete: 2,
  enumerate: 3,
  getIpInfo: 4,
  setIpInfo: 5,
} as const;

/**
 * A value with the registry type it travels as. REG_SZ 1, REG_EXPAND_SZ 2, REG_DWORD 4, REG_QWORD
 * 11 (Linux's header says 8).
 */
export type KvpValue =
  | { readonly type: 'string' | 'expandString'; readonly text: string }
  | { readonly type: 'u32'; readonly value: number }
  | { readonly type: 'u64'; readonly value: bigint }
  /** A type number we don't know, or (char device) a SET whose type hv_utils could not pass on. */
  | { readonly type: 'unknown'; readonly typeCode: number; readonly bytes: Uint8Array };

export interface KvpIpInfo {
  /** GET: the adapter's MAC, upper case with ':'. SET: the netvsc device GUID in braces. */
  readonly adapterId: string;
  /** Bit 0 IPv4, bit 1 IPv6. */
  readonly addressFamily: number;
  /** Speaks of IPv4 only. */
  readonly dhcpEnabled: boolean;
  readonly addresses: readonly string[];
  /** One per address, KVP 5.0 alone: 0 unknown, 1 not static (DHCP, router), 2 static. */
  readonly addressOrigins?: readonly number[];
  /** One per address: IPv4 "255.255.255.0", IPv6 "/64". */
  readonly subnets: readonly string[];
  readonly gateways: readonly string[];
  readonly dnsServers: readonly string[];
}

/** `pool` is the number on the wire, unchecked: the service answers a bad one. */
export type KvpRequest =
  | { readonly operation: 'get'; readonly pool: number; readonly key: string }
  | {
      readonly operation: 'set';
      readonly pool: number;
      readonly key: string;
      readonly value: KvpValue;
    }
  | { readonly operation: 'delete'; readonly pool: number; readonly key: string }
  | { readonly operation: 'enumerate'; readonly pool: number; readonly index: number }
  | {
      readonly operation: 'getIpInfo';
      readonly pool: number;
      readonly adapterId: string;
      readonly addressFamily: number;
    }
  | { readonly operation: 'setIpInfo'; readonly pool: number; readonly ipInfo: KvpIpInfo }
  | { readonly operation: 'unknown'; readonly pool: number; readonly operationCode: number };

/** `status` is an IcStatus; everything but `status` is absent unless it is ok. */
export interface KvpReply {
  readonly status: number;
  /** Answers enumerate (key and value) and get (value only). */
  readonly key?: string;
  readonly value?: KvpValue;
  readonly ipInfo?: KvpIpInfo;
}
