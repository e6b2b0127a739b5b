import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import type { ChannelEnd, MessageChannel } from '../../native/interface.ts';

/** A test, or a file of tests: something that ends. */
export interface Scope {
  after(atEnd: () => void): void;
}

/** A folder that goes when the test ends. */
export function temporaryFolder(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmic-native-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Both ends of a seqpacket connection; closed when the test ends. */
export async function messagePair(
  t: TestContext,
): Promise<[client: MessageChannel, server: MessageChannel]> {
  const path = join(temporaryFolder(t), 'socket');
  const listener = native.listen(path);
  const accepted = new Promise<number>((resolve, reject) => listener.start(resolve, reject));
  const client = native.connectMessageSocket(path);
  const server = native.adoptMessageChannel(await accepted);
  listener.close();
  t.after(() => {
    client.close();
    server.close();
  });
  return [client, server];
}

/** What a started channel delivers, to be awaited one by one. */
export class Inbox {
  readonly buffer: Uint8Array;
  /** What `take` has not asked for yet. */
  readonly messages: Uint8Array[] = [];
  end: ChannelEnd | undefined;
  private waiting: (() => void)[] = [];

  constructor(channel: MessageChannel, bufferBytes = 65_536) {
    this.buffer = new Uint8Array(bufferBytes);
    channel.start(
      this.buffer,
      (lengthBytes) => {
        this.messages.push(this.buffer.slice(0, lengthBytes));
        this.wake();
      },
      (end) => {
        this.end = end;
        this.wake();
      },
    );
  }

  async take(): Promise<Uint8Array> {
    for (;;) {
      const message = this.messages.shift();
      if (message) return message;
      if (this.end) throw new Error(`the channel has ended: ${JSON.stringify(this.end)}`);
      await this.change();
    }
  }

  async ended(): Promise<ChannelEnd> {
    while (!this.end) await this.change();
    return this.end;
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Lets the event loop turn some times, so that what is due has happened. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
