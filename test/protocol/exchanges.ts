import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { encodeNegotiationAnswer, negotiate, negotiation } from '../../protocol/ic/negotiation.ts';
import { decodeIcMessage, IC_NEGOTIATE, markIcReply } from '../../protocol/ic/packet.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { Version } from '../../protocol/ic/version.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import { parseTrace } from '../../protocol/trace/trace.ts';
import { hex } from './vector.ts';

const FIXTURES = path.join(import.meta.dirname, '../../fixtures');

export interface Recorded<Request> {
  readonly note: string;
  readonly request: Request;
  /** The whole payload that hv_utils answered with, and the one we do, as hex. */
  readonly kernel: string;
  readonly ours: string;
}

/**
 * Plays a recording's requests to our side of the protocol, negotiation first, and gives both
 * answers to each. Answers are made as the IC session makes them.
 */
export function replay<Request, Reply extends { readonly status: number }>(
  file: string,
  protocol: ServiceProtocol<Request, Reply>,
  handle: (request: Request) => Reply,
): Recorded<Request>[] {
  const recorded: Recorded<Request>[] = [];
  let note = '';
  let ours: Uint8Array | undefined;
  let request: Request | undefined;
  let messageVersion: Version | undefined;
  for (const entry of parseTrace(fs.readFileSync(path.join(FIXTURES, file), 'utf8')).entries) {
    if (entry.kind === 'note') {
      note = entry.text;
    } else if (entry.direction === 'h2g') {
      ours = entry.payload.slice();
      const { header, body } = decodeIcMessage(ours);
      if (header.messageType === IC_NEGOTIATE) {
        const chosen = negotiate(negotiation.decode(body), protocol);
        messageVersion = chosen?.message;
        markIcReply(ours, IcStatus.ok, encodeNegotiationAnswer(body, chosen));
      } else {
        assert.equal(header.messageType, protocol.messageType);
        assert.ok(messageVersion, 'negotiation comes first');
        request = protocol.ic.decodeRequest(body, messageVersion);
        // What a host sends, ours can send too
        const length = body.length;
        assert.equal(
          hex(protocol.ic.encodeRequest(request, messageVersion)),
          hex(body.slice(0, length)),
        );
        const reply = handle(request);
        if (reply.status === IcStatus.ok)
          protocol.ic.encodeReply(body, messageVersion, request, reply);
        markIcReply(ours, reply.status);
      }
    } else if (request === undefined) {
      assert.equal(hex(ours!), hex(entry.payload), `${file}: negotiation`);
    } else {
      recorded.push({ note, request, kernel: hex(entry.payload), ours: hex(ours!) });
      request = undefined;
    }
  }
  return recorded;
}
