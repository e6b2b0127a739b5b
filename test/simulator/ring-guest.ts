/**
 * A guest on a simulated ring that does what its parent tells it: connecting waits for the host's
 * memory, so host and guest can't live in one thread. The child runs this file; the parent imports
 * `startRingGuest`.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { native } from '../../native/index.ts';

export interface GuestPacket {
  readonly type: number;
  readonly id: bigint;
  readonly payload: Uint8Array;
}

const CHILD = 'ring-guest';

if (process.argv[2] === CHILD) {
  const channel = native.connectRingSocket(process.argv[3]!);
  const buffer = new Uint8Array(16 * 1024);
  const tell = (message: GuestPacket | string): void => void process.send!(message);
  channel.start(
    buffer,
    (type, _flags, id, bytes) => tell({ type, id, payload: buffer.slice(0, bytes) }),
    (end) => tell(end.reason),
  );
  process.on('message', (packet: GuestPacket | 'leave') => {
    if (packet === 'leave') channel.close();
    else channel.write(packet.type, 0, packet.id, packet.payload);
  });
}

export interface RingGuest {
  /** Why its channel ended. */
  readonly ended: Promise<string>;
  send(packet: GuestPacket): void;
  /** Closes the channel, as a guest that leaves. */
  leave(): void;
  stop(): Promise<unknown>;
}

export function startRingGuest(
  path: string,
  onPacket: (packet: GuestPacket, guest: RingGuest) => void,
): RingGuest {
  const child = fork(fileURLToPath(import.meta.url), [CHILD, path], { serialization: 'advanced' });
  const exited = new Promise<string>((resolve) => {
    child.on('exit', (code, signal) => resolve(`exited with ${signal ?? code}`));
  });
  const ended = new Promise<string>((resolve) => {
    child.on('message', (message: GuestPacket | string) => {
      if (typeof message === 'string') resolve(message);
      else onPacket(message, guest);
    });
    void exited.then(resolve);
  });
  const guest: RingGuest = {
    ended,
    send: (packet) => void child.send(packet),
    leave: () => void child.send('leave'),
    stop: () => {
      child.kill();
      return exited;
    },
  };
  return guest;
}
