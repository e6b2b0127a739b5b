/**
 * The guest's end of a ring channel in a process of its own, as `connectRingSocket` waits for the
 * host. It does what it is told over the IPC channel and reports what happens. With `echo` each
 * packet goes back as it came.
 */
import { existsSync } from 'node:fs';
import { native } from '../../native/index.ts';
import type {
  ChannelEnd,
  NativeError,
  RingChannel,
  RingStatistics,
} from '../../native/interface.ts';

export type GuestCommand =
  | { readonly command: 'write'; readonly transactionId: bigint; readonly payload: Uint8Array }
  | { readonly command: 'pause' | 'resume' | 'leave' | 'statistics' | 'close' | 'exit' };

export type GuestEvent =
  | { readonly event: 'opened'; readonly ringDataBytes: number }
  | { readonly event: 'failed'; readonly code: string; readonly syscall: string }
  | { readonly event: 'threw'; readonly code: string; readonly syscall: string }
  | {
      readonly event: 'packet';
      readonly type: number;
      readonly flags: number;
      readonly transactionId: bigint;
      readonly payload: Uint8Array;
    }
  | { readonly event: 'written'; readonly atOnce: boolean }
  | { readonly event: 'left'; readonly left: boolean }
  | { readonly event: 'statistics'; readonly statistics: RingStatistics }
  | {
      readonly event: 'end';
      readonly reason: ChannelEnd['reason'];
      readonly code?: string;
      readonly syscall?: string;
    };

const [kind, path = '', mapBytes, mode, bufferBytes, hold = ''] = process.argv.slice(2);

function report(event: GuestEvent): void {
  process.send?.(event);
}

function open(): RingChannel {
  return kind === 'uio' ? native.openUio(path, Number(mapBytes)) : native.connectRingSocket(path);
}

try {
  const channel = open();
  const buffer = new Uint8Array(Number(bufferBytes));
  process.on('message', (message) => {
    const command = message as GuestCommand;
    switch (command.command) {
      case 'write':
        try {
          report({
            event: 'written',
            atOnce: channel.write(6, 0, command.transactionId, command.payload),
          });
        } catch (error) {
          const { code, syscall } = error as NativeError;
          report({ event: 'threw', code, syscall });
        }
        break;
      case 'pause':
        channel.pause();
        break;
      case 'resume':
        channel.resume();
        break;
      case 'leave':
        report({ event: 'left', left: channel.leave() });
        break;
      case 'statistics':
        report({ event: 'statistics', statistics: channel.statistics() });
        break;
      case 'close':
        channel.close();
        break;
      case 'exit':
        process.exit(0);
    }
  });
  report({ event: 'opened', ringDataBytes: channel.ringDataBytes });
  channel.start(
    buffer,
    (type, flags, transactionId, payloadBytes) => {
      const payload = buffer.subarray(0, payloadBytes);
      if (mode === 'echo') channel.write(type, flags, transactionId, payload);
      else report({ event: 'packet', type, flags, transactionId, payload: payload.slice() });
      if (hold === '') return;
      report({ event: 'written', atOnce: true });
      while (existsSync(hold));
    },
    (end) => {
      report(
        end.reason === 'gone'
          ? { event: 'end', reason: 'gone' }
          : { event: 'end', reason: 'error', code: end.error.code, syscall: end.error.syscall },
      );
    },
  );
} catch (error) {
  const { code, syscall } = error as NativeError;
  report({ event: 'failed', code, syscall });
}
