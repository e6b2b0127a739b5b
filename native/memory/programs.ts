import type { Native } from '../interface.ts';
import type { Descriptors } from './descriptors.ts';
import { nativeError } from './native-error.ts';
import { MemoryProgram, type PlayedProgram } from './program.ts';

/** The programs that `MemoryNative` starts, played by a test. */
export class MemoryPrograms {
  /**
   * Programs by what they are started as; each start calls `play` once it runs. All others fail
   * with ENOENT.
   */
  readonly played = new Map<string, (program: PlayedProgram) => void>();
  private readonly numbers: Descriptors;

  constructor(numbers: Descriptors) {
    this.numbers = numbers;
  }

  readonly startProgram: Native['startProgram'] = (file, options, onStart, onEnd) => {
    const program = new MemoryProgram(this.numbers.next(), options, onEnd);
    const play = this.played.get(file);
    if (play === undefined)
      program.end({ reason: 'error', error: nativeError('ENOENT', 'execve', file) });
    else program.start(onStart, play);
    return program;
  };
}
