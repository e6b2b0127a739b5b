import { formatTarget, type Target } from '../../../daemons/fcopy/names.ts';
import type {
  FcopyLimits,
  FcopyPorts,
  FileProblem,
  Incoming,
  Wishes,
} from '../../../daemons/fcopy/ports.ts';
import { FcopyService } from '../../../daemons/fcopy/service.ts';
import type { FileSink } from '../../../native/interface.ts';
import { nativeError } from '../../../native/memory/index.ts';
import type { FcopyRequest } from '../../../protocol/fcopy/messages.ts';
import { levels } from '../../../runtime/log.ts';

/** A file in memory; what the service does to it is recorded. */
class ScriptedFile implements Incoming {
  readonly target: Target;
  readonly sizeBytes: number;
  readonly wishes: Wishes;
  readonly bytes: number[] = [];
  state: 'open' | 'published' | 'discarded' = 'open';
  published = false;
  readonly #script: Script;
  readonly sink: FileSink;

  constructor(script: Script, target: Target, sizeBytes: number, wishes: Wishes) {
    this.#script = script;
    this.target = target;
    this.sizeBytes = sizeBytes;
    this.wishes = wishes;
    const { bytes } = this;
    this.sink = {
      fd: 7,
      get positionBytes() {
        return bytes.length;
      },
      write: (data) => {
        if (this.state !== 'open') throw nativeError('EBADF', 'pwrite');
        if (data.length > sizeBytes - bytes.length) throw nativeError('EFBIG', 'pwrite');
        if (script.writeError) throw nativeError(script.writeError, 'pwrite');
        bytes.push(...data);
      },
      close: () => {},
    };
  }

  sync(): Promise<void> {
    return this.#script.sync();
  }

  publish(): Promise<void> {
    const { problem } = this.#script;
    if (problem) throw problem;
    if (this.state !== 'open') throw new Error(`published, though ${this.state}`);
    this.published = true;
    this.#script.files.set(formatTarget(this.target), Uint8Array.from(this.bytes));
    return Promise.resolve();
  }

  close(): void {
    if (this.state === 'open') this.state = this.published ? 'published' : 'discarded';
  }
}

/** A service, the disk it believes to have, and the hands of its clock. */
export class Script {
  readonly files = new Map<string, Uint8Array>();
  readonly created: ScriptedFile[] = [];
  readonly published: Parameters<FcopyPorts['publish']>[0][] = [];
  readonly lines: string[] = [];
  nowMs = 0;
  problem: FileProblem | undefined;
  createProblem: Error | undefined;
  writeError: string | undefined;
  sync: () => Promise<void> = () => Promise.resolve();
  #timers: { readonly dueMs: number; readonly run: () => void }[] = [];
  readonly service: FcopyService;

  constructor(
    limits: Partial<FcopyLimits> = {},
    last: ConstructorParameters<typeof FcopyService>[2] = [],
  ) {
    const ports: FcopyPorts = {
      create: (target, sizeBytes, wishes) => {
        if (this.createProblem) throw this.createProblem;
        const file = new ScriptedFile(this, target, sizeBytes, wishes);
        this.created.push(file);
        return file;
      },
      publish: (status) => this.published.push(status),
      uptimeSecs: () => this.nowMs / 1000,
      now: () => this.nowMs,
      after: (ms, run) => {
        const timer = { dueMs: this.nowMs + ms, run };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        };
      },
      log: levels((severity, message, fields) => {
        const reason = fields?.['reason'];
        this.lines.push(`${severity}: ${message}${reason === undefined ? '' : `: ${reason}`}`);
      }),
    };
    this.service = new FcopyService(
      ports,
      { maxSizeBytes: undefined, silenceSecs: 10, overwrite: true, ...limits },
      last,
    );
  }

  get open(): ScriptedFile[] {
    return this.created.filter((file) => file.state === 'open');
  }

  get timers(): number {
    return this.#timers.length;
  }

  get status() {
    return this.published.at(-1)!;
  }

  /** Lets time go by, and what is due happen. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = this.#timers
        .filter(({ dueMs }) => dueMs <= untilMs)
        .sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.nowMs = next.dueMs;
      next.run();
    }
    this.nowMs = untilMs;
  }

  async ask(request: FcopyRequest): Promise<number> {
    return (await this.service.handle(request)).status;
  }
}

const NO_FLAGS = { overwrite: false, createPath: false, unknown: 0 };

export const start = (
  sizeBytes: number | bigint,
  {
    fileName = 'file',
    path = '/tmp',
    flags = {},
  }: { fileName?: string; path?: string; flags?: object } = {},
): FcopyRequest => ({
  operation: 'start',
  fileName,
  path,
  flags: { ...NO_FLAGS, ...flags },
  sizeBytes: BigInt(sizeBytes),
});
export const data = (offset: number | bigint, ...bytes: number[]): FcopyRequest => ({
  operation: 'data',
  offset: BigInt(offset),
  data: Uint8Array.from(bytes),
});
export const complete: FcopyRequest = { operation: 'complete' };
export const cancel: FcopyRequest = { operation: 'cancel' };
