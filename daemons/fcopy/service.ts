import type { FcopyReply, FcopyRequest } from '../../protocol/fcopy/messages.ts';
import type { Answer, Peer, Service } from '../../runtime/service.ts';
import { admit, type Start } from './admission.ts';
import { Copy, failureOf } from './copy.ts';
import { CopyHistory } from './history.ts';
import { type FcopyLimits, type FcopyPorts, FileProblem } from './ports.ts';
import { FAIL, NOT_SUPPORTED, OK, replyTo } from './replies.ts';
import type { FcopyDetails, Result } from './status.ts';

type Part = Extract<FcopyRequest, { readonly operation: 'data' }>;

/** Takes one file at a time, whole or not at all. */
export class FcopyService implements Service<FcopyRequest, FcopyReply> {
  readonly #ports: FcopyPorts;
  readonly #limits: FcopyLimits;
  readonly #history: CopyHistory;
  #copy: Copy | undefined;

  /** `last` are results of earlier processes. */
  constructor(ports: FcopyPorts, limits: FcopyLimits, last: FcopyDetails['last'] = []) {
    this.#ports = ports;
    this.#limits = limits;
    this.#history = new CopyHistory(ports, last, () => this.#copy);
  }

  /** A copy is under way. */
  get busy(): boolean {
    return this.#copy !== undefined;
  }

  status(): FcopyDetails {
    return this.#history.details();
  }

  handle(request: FcopyRequest): Answer<FcopyReply> | Promise<FcopyReply> {
    const { log } = this.#ports;
    switch (request.operation) {
      case 'start':
        return this.#start(request);
      case 'data':
        return this.#data(request);
      case 'complete':
        return this.#complete();
      case 'cancel':
        // Also when there is nothing to cancel: hv_utils sends one before each suspension
        this.#end('cancelled');
        return OK;
      case 'unknown':
        log.warning('Refused an operation that nobody knows', { operation: request.operationCode });
        return NOT_SUPPORTED;
    }
  }

  connected(peer: Peer): void {
    // A new registration: what was under way before it, hv_utils has forgotten. A host may
    // negotiate in the middle of a copy, and go on
    if (peer.via === 'hv_utils') this.#end('disconnected');
    this.#history.setPeer(peer);
  }

  disconnected(): void {
    this.#end('disconnected');
  }

  close(): void {
    this.#end('stopped');
    this.#history.close();
  }

  #start(request: Start): FcopyReply {
    this.#end('replaced');
    this.#history.countStart();
    const file = admit(this.#ports, this.#limits, request);
    if ('refused' in file) return this.#history.tellRefusal(file);
    this.#copy = new Copy(this.#ports, file, this.#limits.silenceSecs, {
      ticked: () => this.#history.publish(),
      fellSilent: (reason) => this.#end('silent', reason),
    });
    this.#history.tellStart(file.target, request.sizeBytes);
    return OK;
  }

  #data(part: Part): Answer<FcopyReply> {
    const taken = this.#copy?.take(part);
    const { offset } = part;
    if (!taken) return this.#refuse('Refused a part of a file that was not begun', { offset });
    return 'failed' in taken ? this.#end(taken.failed, taken.reason) : taken;
  }

  #complete(): FcopyReply | Promise<FcopyReply> {
    const copy = this.#copy;
    if (!copy) return this.#refuse('Refused to complete a file that was not begun');
    const { receivedBytes, sizeBytes } = copy;
    return receivedBytes === sizeBytes
      ? this.#finish(copy)
      : this.#end('incomplete', `${receivedBytes} of ${sizeBytes} bytes came`);
  }

  #refuse(why: string, fields?: Readonly<Record<string, unknown>>): FcopyReply {
    this.#ports.log.warning(why, fields);
    return FAIL;
  }

  async #finish(copy: Copy): Promise<FcopyReply> {
    try {
      await copy.sync();
      // Given up meanwhile
      if (this.#copy !== copy) return FAIL;
      const named = copy.publish();
      const reply = this.#end('copied');
      await named;
      return reply;
    } catch (error) {
      const { failed, reason } = failureOf(error);
      const reply = this.#copy === copy ? this.#end(failed, reason) : FAIL;
      if (error instanceof FileProblem) return reply;
      throw error;
    }
  }

  /** The copy is over, whatever became of it; nothing where there is none. */
  #end(result: Result, reason?: string): FcopyReply {
    const copy = this.#copy;
    if (!copy) return FAIL;
    this.#copy = undefined;
    const { target, sizeBytes, receivedBytes, startedSecs } = copy;
    copy.close();
    this.#history.tell({ target, sizeBytes, receivedBytes, startedSecs }, result, reason);
    return replyTo(result);
  }
}
