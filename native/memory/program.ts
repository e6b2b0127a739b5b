import { constants } from 'node:os';
import type { Program, ProgramEnd, ProgramOptions } from '../interface.ts';
import { nextTurn } from './next-turn.ts';

/** A program as the test plays it. */
export interface PlayedProgram {
  readonly options: ProgramOptions;
  /**
   * The signals it was sent, oldest first. They end nothing by themselves but when it is closed.
   */
  readonly signals: readonly number[];
  /** It ends, once. */
  end(end: ProgramEnd): void;
}

export class MemoryProgram implements Program, PlayedProgram {
  readonly options: ProgramOptions;
  readonly signals: number[] = [];
  private readonly number: number;
  private readonly onEnd: (end: ProgramEnd) => void;
  private started = false;
  private ended = false;
  private closed = false;

  constructor(number: number, options: ProgramOptions, onEnd: (end: ProgramEnd) => void) {
    this.number = number;
    this.options = options;
    this.onEnd = onEnd;
  }

  get pid(): number | undefined {
    return this.started && !this.closed ? this.number : undefined;
  }

  start(onStart: (pid: number) => void, play: (program: PlayedProgram) => void): void {
    nextTurn(() => {
      if (this.closed) return;
      this.started = true;
      onStart(this.number);
      if (!this.closed) play(this);
    });
  }

  end(end: ProgramEnd): void {
    nextTurn(() => {
      if (this.ended || this.closed) return;
      this.ended = true;
      const kept = (bytes: Uint8Array): Uint8Array => bytes.slice(0, this.options.outputBytes);
      this.onEnd(
        end.reason === 'error'
          ? end
          : { ...end, output: kept(end.output), errors: kept(end.errors) },
      );
    });
  }

  kill(signal: number): void {
    if (!this.closed) this.signals.push(signal);
  }

  close(): void {
    if (!this.ended) this.kill(constants.signals.SIGKILL);
    this.closed = true;
  }
}
