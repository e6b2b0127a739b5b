import type { MessageChannel, NativeError } from '../../native/interface.ts';
import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../../protocol/service-protocol.ts';
import type { MonotonicMs } from '../log.ts';
import type { Service } from '../service.ts';
import { PartStream } from './part-stream.ts';
import {
  answer,
  encoded,
  type Keeping,
  refuse,
  type Session,
  type SessionEnd,
  type SessionEvents,
  type SessionLogs,
} from './session.ts';

/**
 * hv_utils gives up on a reply at some time and would take a later one for the answer to its next
 * request. From this long before that a reply is dropped and the device opened anew instead.
 */
const DEADLINE_MARGIN_MS = 2000;

/**
 * A service behind a char device of hv_utils: registration, then one request at a time. A kept
 * device is registered once for all lives: what a later one wrote for that would be taken for the
 * answer to a request, if one is pending.
 */
export function startHvUtilsSession<Request, Reply extends { readonly status: number }>(
  channel: MessageChannel,
  codec: HvUtilsCodec<Request, Reply>,
  service: Service<Request, Reply>,
  { hostLog }: SessionLogs,
  events: SessionEvents,
  now: MonotonicMs,
  keeping?: Keeping,
): Session {
  // One byte more than a message: a longer one then shows as such instead of being cut
  const buffer = new Uint8Array(codec.messageBytes + 1);
  let message = buffer.subarray(0, codec.messageBytes);
  const limitMs = HV_UTIL_TIMEOUT_SECS * 1000 - DEADLINE_MARGIN_MS;
  const parts = PartStream.on(codec.part, 0, limitMs);
  const counters = { requests: 0, malformed: 0, lateReplies: 0 };
  const registrationAnswerBytes = codec.registrationAnswerBytes ?? codec.messageBytes;
  let registered = keeping?.begun ?? false;
  let ended = false;
  let busySinceMs: number | undefined;
  let lastRequestMs: number | undefined;

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
      if (keeping && code === 'EINVAL') {
        // Registered still: the transaction was forgotten (resume, 30 s), and others go on
        hostLog.notice('The kernel no longer awaits this reply');
        return;
      }
      // EINVAL: nothing is pending, as after a resume or a reloaded module. EBADF and a lost peer
      // show on the next poll, if they last.
      end({
        reason: 'reopen',
        why: code === 'EINVAL' ? 'the kernel no longer awaits this reply' : message,
      });
    }
  };

  const reply = (request: Request | undefined, receivedMs: number, result: Reply): void => {
    busySinceMs = undefined;
    if (ended) return;
    const timeoutSecs =
      (request !== undefined && codec.timeoutSecs?.(request)) || HV_UTIL_TIMEOUT_SECS;
    if (now() - receivedMs > timeoutSecs * 1000 - DEADLINE_MARGIN_MS) {
      counters.lateReplies++;
      if (keeping) {
        hostLog.warning('Dropped a reply that came too late for the kernel to take it');
        return;
      }
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
    const answersRegistration = (!registered || keeping) && lengthBytes === registrationAnswerBytes;
    const isOfItsLength =
      lengthBytes <= codec.messageBytes && lengthBytes >= (codec.leastBytes ?? codec.messageBytes);
    if (!answersRegistration && !isOfItsLength) {
      counters.malformed++;
      hostLog.warning('Dropped a message of a wrong length', {
        expectedBytes: codec.messageBytes,
        actualBytes: lengthBytes,
      });
      return;
    }
    if (message.length !== lengthBytes) message = buffer.subarray(0, lengthBytes);
    // The answer to a registration may reach a later life than the one that asked
    if (!registered || (keeping && codec.decodeRegistration(message) !== undefined)) {
      onRegistered();
      return;
    }
    events.traffic();
    counters.requests++;
    const receivedMs = now();
    lastRequestMs = receivedMs;
    let request: Request;
    try {
      request = codec.decodeRequest(message);
    } catch (error) {
      counters.malformed++;
      reply(undefined, receivedMs, { status: refuse(error, hostLog) } as Reply);
      return;
    }
    const { replyBytes } = codec;
    const sample = parts?.sample(message);
    const answered = answer(service, request, hostLog, (result) => {
      reply(request, receivedMs, result);
      if (!parts || !sample || replyBytes === undefined || !result.stream || ended) return;
      const answer = { endAt: lengthBytes, headBytes: replyBytes, answerBytes: replyBytes };
      channel.stream(result.stream, parts.form(sample, message, answer));
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
  if (!registered) {
    // A kernel that knows us refuses with EINVAL, which `write` takes for what it is
    write(codec.encodeRegistration());
    keeping?.begin();
  } else if (keeping?.peer) events.connected(keeping.peer);
  return {
    get busySinceMs() {
      return busySinceMs;
    },
    get lastRequestMs() {
      return lastRequestMs;
    },
    leave: () => {
      if (ended || busySinceMs !== undefined || !registered) return false;
      // What is unread stays in the device: nothing reads but in answer to a poll
      ended = true;
      channel.close();
      return true;
    },
    counters: () => counters,
    close: () => {
      ended = true;
      channel.close();
    },
  };
}
