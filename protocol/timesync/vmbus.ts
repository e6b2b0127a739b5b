/**
 * Time synchronization: the host tells its time, once with the order to take it over (boot,
 * restore, resume), then every five seconds or so as a hint. The answer is the request, unchanged.
 * Sources: include/linux/hyperv.h (struct ictimesync_data, ictimesync_ref_data),
 * drivers/hv/hv_util.c (timesync_onchannelcallback, adj_guesttime), OpenVMM
 * hyperv_ic_protocol::timesync.
 *
 * Versions 1.0 and 3.0 (hosts send 32 bytes: 7 of padding):
 *   0  8  hostTime100ns        since 1601-01-01 UTC, when it was sent
 *   8  8  childTime100ns       0 from every host we know
 *  16  8  roundTripTime100ns   0 from every host we know
 *  24  1  flags                1 sync, 2 sample
 *
 * Version 4.0 (hosts send 24 bytes: 5 reserved):
 *   0  8  hostTime100ns        since 1601-01-01 UTC
 *   8  8  referenceTime100ns   of the partition's reference counter when hostTime was read
 *  16  1  flags                1 sync, 2 sample
 *  17  1  leapFlags            as NTP's leap indicator
 *  18  1  stratum
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { sameVersion, type Version, version } from '../ic/version.ts';
import { type Flags, flags, struct, u8, u64 } from '../layout/index.ts';
import type { IcCodec, ServiceProtocol } from '../service-protocol.ts';

/** `sync`: set the clock now. `sample`: a hint. Neither: a message without an order. */
export const TimesyncFlag = { sync: 1, sample: 2 } as const;
export type TimesyncFlags = Flags<typeof TimesyncFlag>;

/** Times in units of 100 ns. */
export interface TimesyncRequest {
  /** The host's time since 1601-01-01 UTC. */
  readonly hostTime100ns: bigint;
  /** Version 4.0: the partition's reference counter at that time. Older hosts don't tell. */
  readonly referenceTime100ns?: bigint;
  readonly flags: TimesyncFlags;
  /** Before version 4.0. */
  readonly childTime100ns?: bigint;
  readonly roundTripTime100ns?: bigint;
  /** Version 4.0. */
  readonly leapFlags?: number;
  readonly stratum?: number;
}

export interface TimesyncReply {
  readonly status: number;
}

/** The Unix epoch in the host's count: 100 ns since 1601-01-01. */
export const UNIX_EPOCH_100NS = 116_444_736_000_000_000n;

const plain = struct('timesync')
  .field('hostTime100ns', u64)
  .field('childTime100ns', u64)
  .field('roundTripTime100ns', u64)
  .field('flags', flags(u8, TimesyncFlag));

const referenced = struct('timesync')
  .field('hostTime100ns', u64)
  .field('referenceTime100ns', u64)
  .field('flags', flags(u8, TimesyncFlag))
  .field('leapFlags', u8)
  .field('stratum', u8);

const PLAIN_BYTES = 32;
const REFERENCED_BYTES = 24;

const VERSIONS = [version(4, 0), version(3, 0), version(1, 0)] as const;
const hasReference = (v: Version): boolean => sameVersion(v, VERSIONS[0]);

const ic: IcCodec<TimesyncRequest, TimesyncReply> = {
  decodeRequest: (body, v) => (hasReference(v) ? referenced.decode(body) : plain.decode(body)),
  encodeReply: () => {},
  encodeRequest(request, v) {
    const bytes = new Uint8Array(hasReference(v) ? REFERENCED_BYTES : PLAIN_BYTES);
    const {
      childTime100ns = 0n,
      roundTripTime100ns = 0n,
      referenceTime100ns = 0n,
      leapFlags = 0,
      stratum = 0,
    } = request;
    if (hasReference(v))
      referenced.encodeInto({ ...request, referenceTime100ns, leapFlags, stratum }, bytes);
    else plain.encodeInto({ ...request, childTime100ns, roundTripTime100ns }, bytes);
    return bytes;
  },
  decodeReply: (_body, _version, _request, status) => ({ status }),
};

export const timesyncProtocol: ServiceProtocol<TimesyncRequest, TimesyncReply> = {
  name: 'timesync',
  classId: SERVICE_CLASSES.timesync,
  messageType: 4,
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: VERSIONS,
  optionalVersions: [],
  ic,
};
