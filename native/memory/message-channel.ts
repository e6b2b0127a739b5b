import type { ChannelEnd, FileSink, MessageChannel, PartForm } from '../interface.ts';
import { End } from './channel-end.ts';
import { nativeError } from './native-error.ts';
import { Stream } from './stream.ts';

export class MemoryMessageChannel extends End<Uint8Array> implements MessageChannel {
  peer: MemoryMessageChannel | undefined;
  readonly refusals: string[] = [];
  private readonly release: () => void;
  private buffer: Uint8Array = new Uint8Array();
  private onMessage: (lengthBytes: number) => void = () => {};
  private streamed: Stream | undefined;

  constructor(fd: number, release: () => void) {
    super(fd);
    this.release = release;
  }

  start(
    buffer: Uint8Array,
    onMessage: (lengthBytes: number) => void,
    onEnd: (end: ChannelEnd) => void,
  ): void {
    this.begin(onEnd);
    this.buffer = buffer;
    this.onMessage = onMessage;
  }

  protected take(): void {
    const message = this.inbox.shift();
    if (message === undefined) return;
    if (message.length > this.buffer.length) {
      this.fail({ reason: 'error', error: nativeError('EMSGSIZE', 'recv') });
      return;
    }
    const answer = this.streamed?.take(message);
    if (answer) {
      this.write(answer);
      return;
    }
    this.buffer.set(message);
    this.onMessage(message.length);
  }

  stream(sink: FileSink, form: PartForm): void {
    this.streamed = new Stream(sink, form);
  }

  write(message: Uint8Array): void {
    if (this.closed) throw nativeError('EBADF', 'write');
    const refusal = this.refusals.shift();
    if (refusal !== undefined) throw nativeError(refusal, 'write');
    if (this.peer === undefined || this.peer.closed) throw nativeError('EPIPE', 'write');
    this.peer.inbox.push(message.slice());
    this.peer.wake();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.peer?.fail({ reason: 'gone' });
    this.release();
  }
}
