/**
 * The heartbeat service: the host asks every 2 s whether the guest is alive, and the guest may say
 * how its applications are. Sources: struct heartbeat_msg_data in include/linux/hyperv.h,
 * heartbeat_onchannelcallback in drivers/hv/hv_util.c (which needs no more of a beat than its
 * sequence), HeartbeatMessage in OpenVMM's hyperv_ic_protocol.
 *
 *   0  8  sequence          the answer's is one higher
 *   8  4  applicationState  0 unknown, 1 healthy, 2 critical, 3 stopped; set by the guest, from
 *   version 3.0 on
 *  12  28 reserved          hosts may send fewer bytes from 8 on
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { IcStatus } from '../ic/status.ts';
import { version } from '../ic/version.ts';
import { EncodeError, openEnum, struct, u32, u64 } from '../layout/index.ts';
import type { ServiceProtocol } from '../service-protocol.ts';

export const APPLICATION_STATES = { unknown: 0, healthy: 1, critical: 2, stopped: 3 } as const;
export type ApplicationState = keyof typeof APPLICATION_STATES;

export interface HeartbeatRequest {
  readonly sequence: bigint;
}

export interface HeartbeatReply {
  readonly status: number;
  /** Both are there when the status is ok. */
  readonly sequence?: bigint;
  /** A number: a state nobody here knows. */
  readonly applicationState?: ApplicationState | number;
}

const request = struct('heartbeat').field('sequence', u64);
const reply = request.field('applicationState', openEnum(u32, APPLICATION_STATES));

/** Length of struct heartbeat_msg_data: what our hosts send. */
const BODY_BYTES = 40;

/** Earlier hosts took these bytes for reserved. */
const hasState = (body: Uint8Array, messageMajor: number): boolean =>
  messageMajor >= 3 && body.length >= reply.sizeBytes!;

export const heartbeatProtocol: ServiceProtocol<HeartbeatRequest, HeartbeatReply> = {
  name: 'heartbeat',
  classId: SERVICE_CLASSES.heartbeat,
  messageType: 1,
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: [version(3, 0), version(1, 0)],
  optionalVersions: [],
  ic: {
    decodeRequest: (body) => request.decode(body),
    encodeReply(body, { major }, _request, { status, sequence, applicationState }) {
      if (status !== IcStatus.ok) return;
      if (sequence === undefined || applicationState === undefined) {
        throw new EncodeError('value', 0, 'a reply with sequence and state', 'none').within(
          'heartbeat',
        );
      }
      if (hasState(body, major)) reply.encodeInto({ sequence, applicationState }, body);
      else request.encodeInto({ sequence }, body);
    },
    encodeRequest(beat) {
      const body = new Uint8Array(BODY_BYTES);
      request.encodeInto(beat, body);
      return body;
    },
    decodeReply(body, { major }, _request, status) {
      if (status !== IcStatus.ok) return { status };
      return { status, ...(hasState(body, major) ? reply : request).decode(body) };
    },
  },
};
