/** The host of file copy at its barest, for comparing daemons: sends bytes, gives statuses. */
import type { Listener, Native, RingChannel } from '../../native/interface.ts';
import { type DaemonLink, openDevice, openRing } from './fcopy-links.ts';
import { HEADER_BYTES, IC_BYTES, type Link, type Message, packet } from './fcopy-messages.ts';
import { DaemonGone } from './raw-host.ts';

/** One channel, one daemon at a time. A new daemon may connect after the last one went. */
export class FcopyRawHost {
  readonly link: Link;
  readonly #native: Native;
  readonly #listener: Listener;
  #daemon: DaemonLink | undefined;
  #isReady = false;
  #awaited: (() => void)[] = [];
  #pending: { resolve: (status: number) => void; reject: (error: Error) => void }[] = [];
  /** What came that was no answer to anything. */
  readonly strays: Buffer[] = [];

  constructor(native: Native, link: Link, socketPath: string) {
    this.link = link;
    this.#native = native;
    this.#listener = native.listen(socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      () => {},
    );
  }

  get ring(): RingChannel {
    if (!this.#daemon?.ring) throw new DaemonGone('no daemon has the ring open');
    return this.#daemon.ring;
  }

  /** Resolves when a daemon registers or negotiates after now. */
  nextReady(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaited.push(resolve);
    });
  }

  /**
   * One message and the status it is answered with; rejects with DaemonGone when the daemon ends
   * instead of answering.
   */
  ask(message: Message): Promise<number> {
    const body = message(this.link);
    // hv_utils passes on complete and cancel at the length of their whole packet
    const short = this.link === 'device' && body.length === HEADER_BYTES;
    return this.send(
      this.link === 'ring'
        ? packet(body)
        : short
          ? Buffer.concat([body, Buffer.alloc(IC_BYTES)])
          : body,
    );
  }

  /** The same for bytes that need not be right. */
  send(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const one = { resolve, reject };
      this.#pending.push(one);
      try {
        if (!this.#daemon || !this.#isReady) throw new Error('no daemon has the channel open');
        this.#daemon.write(bytes);
      } catch (error) {
        this.#pending = this.#pending.filter((other) => other !== one);
        reject(new DaemonGone((error as Error).message));
      }
    });
  }

  close(): void {
    this.#listener.close();
    this.#drop();
  }

  #accept(fd: number): void {
    // The end of the last daemon may not have been seen yet
    this.#drop();
    const open = this.link === 'device' ? openDevice : openRing;
    this.#daemon = open(this.#native, fd, {
      onReady: () => this.#ready(),
      onAnswer: (status, message) => this.#onAnswer(status, message),
      onEnd: () => this.#drop(),
    });
  }

  #onAnswer(status: number | undefined, message: Buffer): void {
    const first = status === undefined ? undefined : this.#pending.shift();
    if (first) first.resolve(status!);
    else this.strays.push(message);
  }

  #ready(): void {
    this.#isReady = true;
    for (const resolve of this.#awaited.splice(0)) resolve();
  }

  #drop(): void {
    this.#daemon?.close();
    this.#daemon = undefined;
    this.#isReady = false;
    for (const { reject } of this.#pending.splice(0))
      reject(new DaemonGone('the daemon closed the channel'));
  }
}
