import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Show } from './show/show.ts';
import { binFolder } from './stages/daemon.ts';
import type { Stage } from './stages/stage.ts';

/** Runs the command `vmic` in the simulated guest, one at a time. */
export class GuestProgram {
  readonly #show: Show;
  readonly #signal: AbortSignal;
  #running: { end(): Promise<unknown> } | undefined;

  constructor(show: Show, signal: AbortSignal) {
    this.#show = show;
    this.#signal = signal;
  }

  /** Runs bin/vmic as a program in the guest would; gives what it printed. */
  async run(stage: Stage, args: readonly string[]): Promise<string> {
    this.#signal.throwIfAborted();
    const command = [
      path.join(binFolder(), 'vmic'),
      ...args,
      '--pool-directory',
      stage.ground.poolFolder,
    ];
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      complaint += chunk;
    });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    const end = (): Promise<unknown> => {
      child.kill('SIGKILL');
      return closed.catch(() => {});
    };
    this.#running = { end };
    const status = await closed;
    this.#running = undefined;
    this.#show.guest(['vmic', ...args].map(quote).join(' '), output + complaint);
    if (status !== 0) throw new Error(`vmic ended with status ${status}: ${complaint}`);
    return output;
  }

  /** Kills the command that runs now, if any, and resolves when it is gone. */
  async end(): Promise<void> {
    await this.#running?.end();
  }
}

const quote = (word: string): string => (/^[\w./:=-]+$/.test(word) ? word : `'${word}'`);
