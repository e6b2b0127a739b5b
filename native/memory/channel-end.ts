import type { ChannelEnd } from '../interface.ts';
import { nativeError } from './native-error.ts';
import { nextTurn } from './next-turn.ts';

/**
 * One end of a pair: takes what the other end sent, one item at a time, on later turns of the event
 * loop.
 */
export abstract class End<Item> {
  readonly fd: number;
  protected readonly inbox: Item[] = [];
  protected closed = false;
  protected paused = false;
  private onEnd: ((end: ChannelEnd) => void) | undefined;
  private failure: ChannelEnd | undefined;
  private scheduled = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Takes items until nothing is left, the end is paused or closed, or a batch is full. */
  protected abstract take(): void;

  protected begin(onEnd: (end: ChannelEnd) => void): void {
    if (this.closed) throw nativeError('EBADF', 'start');
    if (this.onEnd) throw nativeError('EALREADY', 'start');
    this.onEnd = onEnd;
    this.wake();
  }

  protected get taking(): boolean {
    return this.onEnd !== undefined && !this.paused && !this.closed;
  }

  /** The channel ends once what was sent before has been taken; an error ends it at once. */
  fail(end: ChannelEnd): void {
    this.failure ??= end;
    if (end.reason === 'error') this.inbox.length = 0;
    this.wake();
  }

  wake(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    nextTurn(() => {
      this.scheduled = false;
      if (!this.taking) return;
      try {
        this.take();
      } finally {
        // Also after a callback has thrown: nothing is lost by that.
        if (this.taking && (this.inbox.length > 0 || this.failure)) this.wake();
      }
      if (this.taking && this.inbox.length === 0 && this.failure) {
        const onEnd = this.onEnd;
        this.onEnd = undefined;
        onEnd?.(this.failure);
      }
    });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.wake();
  }
}
