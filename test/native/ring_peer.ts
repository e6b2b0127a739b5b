/** What the tests of ring channels share: a host, a guest, and a device of UIO that is none. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import type { ChannelEnd, RingChannel } from '../../native/interface.ts';
import { ADDON, bundle } from './bundle.ts';
import { Compiler } from './compiler.ts';
import { temporaryFolder } from './pairs.ts';
import type { GuestCommand, GuestEvent } from './ring_guest.ts';

export const compiler = new Compiler();
after(() => compiler.remove());
export const GUEST = bundle({ after }, 'ring_guest.ts');

export const RING_BYTES = 8192;
export const DATA_BYTES = 4096;
/** Offsets into `ringMemory`: the ring from guest to host, and the one from host to guest. */
export const OUT = { writeIndex: 0, readIndex: 4, mask: 8, pending: 12 };
export const IN = { writeIndex: 8192, readIndex: 8196, mask: 8200, pending: 8204, data: 12_288 };

/** A guest process, and its events to be awaited in order. */
export class Guest {
  readonly process: ChildProcess;
  readonly events: GuestEvent[] = [];
  private wake: () => void = () => {};

  constructor(t: TestContext, parameters: string[], env: Record<string, string>) {
    this.process = fork(GUEST, parameters, {
      execArgv: [],
      serialization: 'advanced',
      env: { ...process.env, VMIC_ADDON: ADDON, ...env },
    });
    this.process.on('message', (event) => {
      this.events.push(event as GuestEvent);
      this.wake();
    });
    t.after(async () => {
      if (this.process.exitCode !== null || this.process.signalCode !== null) return;
      const exited = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await exited;
    });
  }

  tell(command: GuestCommand): void {
    this.process.send(command);
  }

  async next<Name extends GuestEvent['event']>(
    name: Name,
  ): Promise<Extract<GuestEvent, { event: Name }>> {
    for (;;) {
      const event = this.events.shift();
      if (event !== undefined) {
        assert.equal(
          event.event,
          name,
          JSON.stringify(event, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
        );
        return event as Extract<GuestEvent, { event: Name }>;
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async statistics() {
    this.tell({ command: 'statistics' });
    return (await this.next('statistics')).statistics;
  }
}

export interface HostPacket {
  readonly type: number;
  readonly flags: number;
  readonly transactionId: bigint;
  readonly payload: Uint8Array;
}

/**
 * The host's end in this process: it takes packets when started, and can be broken through
 * `memory`.
 */
export class Host {
  readonly channel: RingChannel;
  readonly packets: HostPacket[] = [];
  end: ChannelEnd | undefined;
  private wake: () => void = () => {};

  constructor(channel: RingChannel) {
    this.channel = channel;
  }

  start(onPacket: (packet: HostPacket) => void = (packet) => this.packets.push(packet)): void {
    const buffer = new Uint8Array(65_536);
    this.channel.start(
      buffer,
      (type, flags, transactionId, payloadBytes) => {
        onPacket({ type, flags, transactionId, payload: buffer.slice(0, payloadBytes) });
        this.wake();
      },
      (end) => {
        this.end = end;
        this.wake();
      },
    );
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  get memory(): DataView {
    const { buffer, byteOffset, byteLength } = native.ringMemory(this.channel);
    return new DataView(buffer, byteOffset, byteLength);
  }

  get(offset: number): number {
    return this.memory.getUint32(offset, true);
  }

  set(offset: number, value: number): void {
    this.memory.setUint32(offset, value, true);
  }
}

export type Kind = 'socket' | 'uio';

export interface Options {
  readonly mode?: 'report' | 'echo';
  readonly bufferBytes?: number;
  readonly ringBytes?: number;
  /** The guest stays in its packet callback as long as this file exists. */
  readonly hold?: string;
  /** Before the guest sees the rings. */
  readonly prepare?: (host: Host) => void;
}

export const uioMissing = compiler.missing([]);
export const shim = uioMissing
  ? ''
  : compiler.build(
      'uio_shim.so',
      ['-shared', '-fPIC'],
      ['test/native/uio_shim.cpp', 'native/core/socket.cpp', 'native/core/ring.cpp'],
    );

export async function connect(
  t: TestContext,
  kind: Kind,
  options: Options = {},
): Promise<[Host, Guest]> {
  const {
    mode = 'report',
    bufferBytes = 65_536,
    ringBytes = RING_BYTES,
    hold = '',
    prepare,
  } = options;
  const path = join(temporaryFolder(t), 'socket');
  const listener = native.listen(path);
  t.after(() => listener.close());
  const accepted = new Promise<number>((resolve, reject) => listener.start(resolve, reject));
  const guest = new Guest(
    t,
    [
      kind,
      kind === 'uio' ? '/dev/uio7' : path,
      String(2 * ringBytes),
      mode,
      String(bufferBytes),
      hold,
    ],
    kind === 'uio' ? { LD_PRELOAD: shim, VMIC_SHIM_UIO: '/dev/uio7', VMIC_SHIM_SOCKET: path } : {},
  );
  const host = new Host(native.hostRing(await accepted, ringBytes));
  t.after(() => host.channel.close());
  prepare?.(host);
  assert.deepEqual(await guest.next('opened'), {
    event: 'opened',
    ringDataBytes: ringBytes - 4096,
  });
  return [host, guest];
}

export const filled = (bytes: number, value: number): Uint8Array =>
  new Uint8Array(bytes).fill(value);
