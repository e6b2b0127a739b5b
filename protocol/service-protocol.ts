import type { Version } from './ic/version.ts';

/**
 * Everything the runtime needs to know of one service to carry its requests over either wire. One
 * object a service, exported by `protocol/<name>/vmbus.ts`; the sessions of the runtime (and, from
 * the other end, the simulated host) are written against it.
 */
export interface ServiceProtocol<Request, Reply extends { readonly status: number }> {
  readonly name: string;
  /** Class GUID, lower case without braces. */
  readonly classId: string;
  /** icmsgtype of its messages. */
  readonly messageType: number;
  /**
   * Versions offered to a host, best first; `optionalVersions` only when the configuration asks for
   * them.
   */
  readonly frameworkVersions: readonly Version[];
  readonly messageVersions: readonly Version[];
  readonly optionalVersions: readonly Version[];
  readonly ic: IcCodec<Request, Reply>;
  readonly hvUtils?: HvUtilsCodec<Request, Reply>;
}

/**
 * Where a request carries a part of a file, so that a channel can take further ones by itself.
 * Positions are bytes of the body, or of the message.
 */
export interface PartPlaces {
  /** u64: where in the file the part lies. */
  readonly offsetAt: number;
  /** u32: bytes of the part. */
  readonly sizeAt: number;
  readonly dataAt: number;
  readonly maxDataBytes: number;
}

/** Bodies over VMBus: what follows the IC header (byte 28 of the packet). */
export interface IcCodec<Request, Reply> {
  /**
   * Of the requests that a service answers with a stream: the first one has been decoded, those
   * alike are not.
   */
  readonly part?: PartPlaces;
  /** Throws DecodeError. Must not keep `body`: it is overwritten by the next packet. */
  decodeRequest(body: Uint8Array, version: Version): Request;
  /**
   * Turns the request's body into the reply's by editing it in place, as hv_utils does: the length
   * stays. A failing reply (status not ok) leaves the body as it is.
   */
  encodeReply(body: Uint8Array, version: Version, request: Request, reply: Reply): void;
  /** The host's end. */
  encodeRequest(request: Request, version: Version): Uint8Array;
  decodeReply(body: Uint8Array, version: Version, request: Request, status: number): Reply;
}

/** How long hv_utils awaits a daemon's reply (HV_UTIL_TIMEOUT, drivers/hv/hyperv_vmbus.h). */
export const HV_UTIL_TIMEOUT_SECS = 30;

/**
 * Messages of the char device; a reply starts with its status (sources: struct hv_kvp_msg,
 * fcopy_on_msg in drivers/hv/hv_fcopy.c).
 */
export interface HvUtilsCodec<Request, Reply> {
  /** Of the longest message, and of every message where nothing else is said. */
  readonly messageBytes: number;
  /**
   * Of the shortest message, where they differ in length: decoding then finds out what is too
   * short.
   */
  readonly leastBytes?: number;
  /** Of a reply, where it is not as long as its request. */
  readonly replyBytes?: number;
  /** As `IcCodec.part`; only where `replyBytes` are given. */
  readonly part?: PartPlaces;
  /** Length of the kernel's answer to the registration, where that is another. */
  readonly registrationAnswerBytes?: number;
  /**
   * How long the kernel awaits the reply to this request, where that is not HV_UTIL_TIMEOUT_SECS.
   */
  timeoutSecs?(request: Request): number;
  /** The message that registers a daemon. */
  encodeRegistration(): Uint8Array;
  /** The kernel's answer to it: its version text; undefined when the message is none. */
  decodeRegistration(message: Uint8Array): string | undefined;
  decodeRequest(message: Uint8Array): Request;
  /**
   * Edits the request's message in place to its reply (at its start, where that is shorter), status
   * included. A request that could not be decoded is undefined; its reply fails.
   */
  encodeReply(message: Uint8Array, request: Request | undefined, reply: Reply): void;
  /** The kernel's end: what a simulated hv_utils sends, and reads. */
  encodeRequest(request: Request): Uint8Array;
  decodeReply(message: Uint8Array, request: Request): Reply;
  encodeRegistrationAnswer(versionText: string): Uint8Array;
}
