/**
 * A file that is written from its start to an end known before, and the descriptor of it. A channel
 * that was given one (`stream`) writes to it, too: both see the same position.
 */
export interface FileSink {
  /** For syncing and naming the file; -1 after `close`. */
  readonly fd: number;
  /** Where the next part begins: what has been written so far. */
  readonly positionBytes: number;
  /** Writes the next part: all of it, or (throwing) as if nothing of it. EFBIG beyond the end. */
  write(bytes: Uint8Array): void;
  close(): void;
}

/**
 * Messages that carry the parts of a file, and the answer to each. They are like one that was
 * examined before (`sample`: its bytes up to the data), in everything but the offset in the file,
 * the length of the part, and the data. Positions are bytes in the message.
 */
export interface PartForm {
  readonly sample: Uint8Array;
  /** Of every such message. */
  readonly messageBytes: number;
  /** u64: where in the file the part lies. */
  readonly offsetAt: number;
  /** u32: bytes of the part. */
  readonly sizeAt: number;
  /** What the message has room for after the sample. */
  readonly roomBytes: number;
  /** The answer is the message with these bytes at its start, and of this length. */
  readonly answer: Uint8Array;
  readonly answerBytes: number;
  /**
   * Milliseconds after which an answer must not go out: the channel ends with ETIMEDOUT instead. 0:
   * no matter how late.
   */
  readonly limitMs: number;
}

/** What of `Native` makes sinks. */
export interface NativeSinks {
  /** A sink for an empty file, whose descriptor it takes over. */
  openSink(fd: number, sizeBytes: number): FileSink;
}
