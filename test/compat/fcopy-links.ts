/** Both ways in which a bare host of file copy reaches a daemon: the char device, and the ring. */
import type { Native, RingChannel } from '../../native/interface.ts';
import { IC_BYTES, negotiation } from './fcopy-messages.ts';

/** As kernels give this service: 4 KiB of control page, 16 KiB of data. */
export const RING_BYTES = 20 * 1024;

const INBAND = 6;
const BUFFER_BYTES = 16 * 1024;

export interface LinkEvents {
  /** The daemon has registered, or negotiated. */
  onReady(): void;
  /** `status` is undefined when the message is no answer. */
  onAnswer(status: number | undefined, message: Buffer): void;
  /** The daemon has hung up, or did what it must not. The link is to be closed. */
  onEnd(): void;
}

/** A daemon that has the channel open. */
export interface DaemonLink {
  /** Over VMBus. */
  readonly ring: RingChannel | undefined;
  write(bytes: Uint8Array): void;
  close(): void;
}

/** Lets a daemon in on the char device. */
export function openDevice(native: Native, fd: number, events: LinkEvents): DaemonLink {
  const channel = native.adoptMessageChannel(fd);
  const buffer = new Uint8Array(BUFFER_BYTES);
  let isReady = false;
  channel.start(
    buffer,
    (length) => {
      const message = Buffer.from(buffer.subarray(0, length));
      if (isReady)
        return events.onAnswer(length === 4 ? message.readUInt32LE() : undefined, message);
      if (length !== 4 || message.readUInt32LE() !== 1) return events.onEnd();
      try {
        channel.write(message);
      } catch {
        return events.onEnd();
      }
      isReady = true;
      events.onReady();
    },
    () => events.onEnd(),
  );
  return {
    ring: undefined,
    write: (bytes) => channel.write(bytes),
    close: () => channel.close(),
  };
}

/** Lets a daemon in on the ring, and begins to negotiate. */
export function openRing(native: Native, fd: number, events: LinkEvents): DaemonLink {
  const channel = native.hostRing(fd, RING_BYTES);
  const buffer = new Uint8Array(BUFFER_BYTES);
  let isReady = false;
  channel.start(
    buffer,
    (_type, _flags, _id, length) => {
      const message = Buffer.from(buffer.subarray(0, length));
      if (isReady)
        return events.onAnswer(length >= IC_BYTES ? message.readUInt32LE(20) : undefined, message);
      if (message.readUInt16LE(IC_BYTES) !== 1) return events.onEnd();
      isReady = true;
      events.onReady();
    },
    () => events.onEnd(),
  );
  channel.write(INBAND, 1, 1n, negotiation());
  return {
    ring: channel,
    write: (bytes) => channel.write(INBAND, 1, 1n, bytes),
    close: () => channel.close(),
  };
}
