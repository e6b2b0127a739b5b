import type { FileSink, PartForm } from '../interface.ts';
import { MemorySink } from './sink.ts';

/** What a channel does by itself with the parts of a file. */
export class Stream {
  private readonly sink: MemorySink;
  private readonly form: PartForm;
  private readonly sample: Uint8Array;
  private readonly answer: Uint8Array;

  constructor(sink: FileSink, form: PartForm) {
    if (!(sink instanceof MemorySink))
      throw new TypeError('stream takes a FileSink and the form of its messages');
    this.sink = sink;
    this.form = form;
    this.sample = form.sample.slice();
    this.answer = form.answer.slice();
  }

  /**
   * The answer to a message that carries the next part; undefined: it is none, or can't be written.
   */
  take(message: Uint8Array): Uint8Array | undefined {
    const { sink, form, sample } = this;
    if (sink.fd < 0 || message.length !== form.messageBytes) return undefined;
    const view = new DataView(message.buffer, message.byteOffset);
    const partBytes = view.getUint32(form.sizeAt, true);
    const varies = (at: number): boolean =>
      (at >= form.offsetAt && at < form.offsetAt + 8) ||
      (at >= form.sizeAt && at < form.sizeAt + 4);
    const isNext =
      view.getBigUint64(form.offsetAt, true) === BigInt(sink.positionBytes) &&
      partBytes > 0 &&
      partBytes <= Math.min(form.roomBytes, sink.leftBytes) &&
      sample.every((byte, at) => byte === message[at] || varies(at));
    if (!isNext) return undefined;
    try {
      sink.write(message.subarray(sample.length, sample.length + partBytes));
    } catch {
      return undefined;
    }
    const answer = message.slice(0, form.answerBytes);
    answer.set(this.answer);
    return answer;
  }
}
