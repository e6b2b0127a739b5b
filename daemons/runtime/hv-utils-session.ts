import type { MessageChannel, NativeError } from '../../native/interface.ts';
import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../../protocol/service-protocol.ts';
import type { MonotonicMs } from './log.ts';
import type { Service } from './service.ts';
import {
  answer,
  encoded,
  refuse,
  type Session,
  type SessionEnd,
  type SessionEvents,
  type SessionLogs,
} from './session.ts';

/**
 * hv_utils gives up on a reply at some time and would take a later one for the answer to its next request. From this long before that a reply is
 * dropped and the device opened anew instead.
 */
const DEADLINE_MARGIN_MS = 2000;

/** A service behind a char device of hv_utils: registration, then one request at a time. */
export function startHvUtilsSession<Request, Reply extends { readonly status: number }>(
  channel: MessageChannel,
  codec: HvUtilsCodec<Request, Reply>,
  service: Service<Request, Reply>,
  { log, hostLog }: SessionLogs,
  events: SessionEvents,
  now: MonotonicMs,
): Session {
  // One byte more than a message: a longer one then shows as such instead of being cut
  const buffer = new Uint8Array(codec.messageBytes + 1);
  let message = buffer.subarray(0, codec.messageBytes);
  const counters = { requests: 0, malformed: 0, lateReplies: 0 };
  const registrationAnswerBytes = codec.registrationAnswerBytes ?? codec.messageBytes;
  let registered = false;
  let ended = false;
  let busySinceMs: number | undefined;

  const end = (result: SessionEnd): void => {
    if (ended) return;
    ended = true;
    channel.close();
    events.ended(result);
  };

  const write = (bytes: Uint8Array): void => {
    try {
      channel.write(bytes);
    } catch (error) {
      const { code, message } = error as NativeError;
      // EINVAL: nothing is pending, as after a resume or a reloaded module. EBADF and a lost peer show on the next poll, if they last.
      end({ reason: 'reopen', why: code === 'EINVAL' ? 'the kernel no longer awaits this reply' : message });
    }
  };

  const reply = (request: Request | undefined, receivedMs: number, result: Reply): void => {
    busySinceMs = undefined;
    if (ended) return;
    const timeoutSecs = (request !== undefined && codec.timeoutSecs?.(request)) || HV_UTIL_TIMEOUT_SECS;
    if (now() - receivedMs > timeoutSecs * 1000 - DEADLINE_MARGIN_MS) {
      counters.lateReplies++;
      end({ reason: 'reopen', why: 'a reply came too late for the kernel to take it' });
      return;
    }
    const status = encoded(result, hostLog, (reply) => codec.encodeReply(message, request, reply));
    if (status !== result.status) codec.encodeReply(message, undefined, { status } as Reply);
    write(codec.replyBytes === undefined ? message : buffer.subarray(0, codec.replyBytes));
  };

  const onRegistered = (): void => {
    const versionText = codec.decodeRegistration(message);
    if (versionText === undefined) {
      // A request of a moment before: hv_utils sends it again, or fails it, after the registration
      hostLog.warning('Ignored a message that came before the registration was answered');
      return;
    }
    registered = true;
    events.connected({ via: 'hv_utils', versionText });
  };

  const onMessage = (lengthBytes: number): void => {
    const answersRegistration = !registered && lengthBytes === registrationAnswerBytes;
    const isOfItsLength = lengthBytes <= codec.messageBytes && lengthBytes >= (codec.leastBytes ?? codec.messageBytes);
    if (!answersRegistration && !isOfItsLength) {
      counters.malformed++;
      hostLog.warning('Dropped a message of a wrong length', {
        expectedBytes: codec.messageBytes,
        actualBytes: lengthBytes,
      });
      return;
    }
    if (message.length !== lengthBytes) message = buffer.subarray(0, lengthBytes);
    if (!registered) {
      onRegistered();
      return;
    }
    counters.requests++;
    const receivedMs = now();
    let request: Request;
    try {
      request = codec.decodeRequest(message);
    } catch (error) {
      counters.malformed++;
      reply(undefined, receivedMs, { status: refuse(error, hostLog) } as Reply);
      return;
    }
    const { part, replyBytes } = codec;
    // As it came: the answer is written over it
    const sample = part && message.slice(0, part.dataAt);
    const answered = answer(service, request, log, (result) => {
      reply(request, receivedMs, result);
      if (!part || !sample || replyBytes === undefined || !result.stream || ended) return;
      channel.stream(result.stream, {
        sample,
        messageBytes: lengthBytes,
        offsetAt: part.offsetAt,
        sizeAt: part.sizeAt,
        roomBytes: Math.min(part.maxDataBytes, lengthBytes - part.dataAt),
        answer: buffer.slice(0, replyBytes),
        answerBytes: replyBytes,
        limitMs: HV_UTIL_TIMEOUT_SECS * 1000 - DEADLINE_MARGIN_MS,
      });
    });
    if (answered === 'answered') return;
    busySinceMs = receivedMs;
    channel.pause();
    void answered.then(() => {
      if (!ended) channel.resume();
    });
  };

  channel.start(buffer, onMessage, (reason) =>
    end(reason.reason === 'gone' ? reason : { reason: 'reopen', why: reason.error.message }),
  );
  write(codec.encodeRegistration());
  return {
    get busySinceMs() {
      return busySinceMs;
    },
    counters: () => counters,
    close: () => {
      ended = true;
      channel.close();
    },
  };
}
