/** What every simulated host has in common, whichever wire it speaks. */

/** The two wires of a simulated host, named as in the daemons' `--transport`. */
export const WIRES = ['unix', 'unix-ring'] as const;
export type Wire = (typeof WIRES)[number];

/** What one message is about, for people. */
export interface Summary {
  /** "get", "negotiate", "register", ... */
  readonly operation: string;
  readonly pool?: number;
  /** Key, index, version text or the like. */
  readonly subject?: string;
  readonly value?: string;
}

/** One message between host and guest, as somebody listening on the wire would tell of it. */
export interface WireMessage extends Summary {
  readonly wire: Wire;
  readonly from: 'host' | 'guest';
  /** Of a reply. */
  readonly status?: number;
  readonly bytes: number;
}

export type WireTap = (message: WireMessage) => void;

/** Time for hosts, so that tests need not wait 30 s. */
export interface HostClock {
  nowMs(): number;
  /** Calls back once; the returned function cancels. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: HostClock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * - silent: the guest did not answer in time.
 * - gone: the guest closed its end.
 * - dropped: the host closed or forgot the request (device destroyed, suspend, close).
 * - broken: the guest answered what no host accepts; the message names field, expected and actual.
 */
export type HostErrorCode = 'silent' | 'gone' | 'dropped' | 'broken';

export class HostError extends Error {
  override readonly name = 'HostError';
  readonly code: HostErrorCode;
  constructor(code: HostErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/**
 * How the host describes its service's messages, and which request it uses to find out whether the
 * guest is still there.
 */
export interface ServiceView<Request, Reply> {
  summarize(request: Request, reply?: Reply): Summary;
  /**
   * A harmless request whose reply can be told from every other one. Where replies of the char
   * device are no more than a status, those to even and to odd ones differ.
   */
  probe(serial: number): Request;
}

/** A host's end of one service. */
export interface ServiceHost<Request, Reply> {
  readonly wire: Wire;
  /** What the daemon gets as `--transport`. */
  readonly transport: string;
  /** Where the service's body begins in a message. */
  readonly bodyOffset: number;
  /** How many times a guest has become ready: registered or negotiated. */
  readonly readyCount: number;
  /** Why each guest that did something no host accepts was turned away, oldest first. */
  readonly violations: readonly string[];

  /** Resolves when a guest is ready, or at once when one is. Gives what both agreed on. */
  ready(): Promise<string>;
  /** Resolves when a guest becomes ready again after now. */
  nextReady(): Promise<string>;
  /** One request and its reply. Rejects with a HostError. */
  request(request: Request): Promise<Reply>;
  /** The bytes `request` would send. */
  encode(request: Request): Uint8Array;
  /**
   * Sends these bytes as they are and gives the answer, undefined when there is none: that is known
   * by sending a well-formed probe after it and awaiting that one's reply, so this also proves that
   * the guest still answers.
   */
  exchange(message: Uint8Array): Promise<Uint8Array | undefined>;
  /** The status in a reply's bytes. */
  statusOf(reply: Uint8Array): number;

  /**
   * From now on every answer goes here, and nothing else may be asked until the returned function
   * is called. `answer` is overwritten by the next one. `transactionId` is 0n where the wire has
   * none.
   */
  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void;
  /** Sends without awaiting anything. False: no room now. Only while taken over. */
  trySend(message: Uint8Array, transactionId: bigint): boolean;

  /** Hangs up on the guest, as when the device goes away; it may come back. */
  hangUp(): void;
  /** Hangs up and lets nobody in any more. */
  close(): void;
}

/** A promise with its ends outside. */
export function deferred<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever asked may have lost interest by the time this fails
  promise.catch(() => {});
  return { promise, resolve, reject };
}
