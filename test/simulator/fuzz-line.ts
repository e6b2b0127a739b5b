import assert from 'node:assert/strict';
import type { FcopyStage } from '../../simulator/hosts/fcopy-host.ts';
import type { Allowed } from './fcopy-model.ts';

/** hv_utils knows one transaction at a time; as many as this fit a socket's buffer both ways. */
const UNIX_WINDOW = 8;
const RING_WINDOW = 64;
const SILENT_MS = 300_000;

/** A message that the daemon has not answered yet. */
interface Owed {
  readonly allowed: Allowed;
  readonly what: string;
}

/** Sends messages, as many at a time as the wire holds, and checks the answers. */
export class FuzzLine {
  /** How many messages were sent. */
  messages = 0;
  readonly #stage: FcopyStage;
  readonly #isRing: boolean;
  readonly #owed = new Map<bigint, Owed>();
  #lastAnswerMs = performance.now();
  #wrong: Error | undefined;

  constructor(stage: FcopyStage) {
    this.#stage = stage;
    this.#isRing = stage.host.wire === 'unix-ring';
  }

  /** Takes all answers until the returned function is called. */
  open(): () => void {
    return this.#stage.host.takeOver((answer, id) => this.#onAnswer(answer, id));
  }

  /** Sends one message when there is room. Throws when an earlier answer was wrong. */
  async post(bytes: Uint8Array, allowed: Allowed, what: string): Promise<void> {
    const id = BigInt(++this.messages);
    const window = this.#isRing ? RING_WINDOW : UNIX_WINDOW;
    while (this.#owed.size >= window || !this.#stage.host.trySend(bytes, id)) await this.#turn();
    this.#owed.set(id, { allowed, what });
  }

  /** Resolves when the message that was sent last is answered, and thus all before it. */
  async settle(): Promise<void> {
    const awaited = [...this.#owed.values()].at(-1)!;
    while ([...this.#owed.values()].includes(awaited)) await this.#turn();
    assert.deepEqual(this.#stage.host.violations, []);
  }

  async #turn(): Promise<void> {
    const { daemon } = this.#stage;
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#wrong) throw this.#wrong;
    if (daemon.exit)
      throw new Error(`the daemon ended after ${this.messages} messages:\n${daemon.transcript()}`);
    if (performance.now() - this.#lastAnswerMs > SILENT_MS) {
      throw new Error(`${this.#owed.size} messages unanswered after ${this.messages}`);
    }
  }

  #onAnswer(answer: Uint8Array, transactionId: bigint): void {
    this.#lastAnswerMs = performance.now();
    const id = this.#isRing ? transactionId : (this.#owed.keys().next().value ?? -1n);
    const one = this.#owed.get(id);
    if (one === undefined) {
      this.#wrong ??= new Error(`an answer to message ${id}, which is not pending`);
      return;
    }
    this.#owed.delete(id);
    if (!one.allowed) return;
    const isWhole = answer.length >= (this.#isRing ? 28 : 4);
    const status = isWhole ? this.#stage.host.statusOf(answer) : -1;
    if (!one.allowed.includes(status)) {
      const expected = one.allowed.map((value) => value.toString(16)).join(' or ');
      this.#wrong ??= new Error(
        `message ${id}: ${one.what}: expected ${expected}, got ${status.toString(16)}`,
      );
    }
    if (this.#isRing) this.#passOver(id);
  }

  /**
   * Answers come in order: what is still owed from before will never come. Nobody owes an answer to
   * a broken header.
   */
  #passOver(id: bigint): void {
    for (const [older, { allowed, what }] of this.#owed) {
      if (older > id) break;
      if (allowed) this.#wrong ??= new Error(`message ${older}: ${what}: passed over`);
      this.#owed.delete(older);
    }
  }
}
