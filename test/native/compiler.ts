import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..', '..');

export interface Ran {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** Compiles C++ programs of the tests into a folder of its own. */
export class Compiler {
  readonly folder = mkdtempSync(join(tmpdir(), 'vmic-core-'));
  readonly #command: string;
  readonly #runner: readonly string[];

  /** @param runner what runs the programs, where this machine can't by itself */
  constructor(command = process.env['CXX'] ?? 'g++', runner: readonly string[] = []) {
    this.#command = command;
    this.#runner = runner;
  }

  /** Why programs with these flags can't be built and run here; undefined when they can. */
  missing(flags: readonly string[]): string | undefined {
    const source = join(this.folder, 'probe.cpp');
    const program = join(this.folder, 'probe');
    writeFileSync(source, 'int main() { return 0; }\n');
    const compiled = spawnSync(this.#command, [...flags, source, '-o', program], {
      encoding: 'utf8',
    });
    if (compiled.error) return `no C++ compiler: ${compiled.error.message}`;
    if (compiled.status !== 0)
      return `${this.#command} ${flags.join(' ')} does not work here: ${compiled.stderr.trim()}`;
    const ran = this.run(program, []);
    return ran.status === 0
      ? undefined
      : `programs with ${flags.join(' ')} do not run here: ${ran.output.trim()}`;
  }

  /** Compiles sources, named from the repository's root; throws with the compiler's words. */
  build(name: string, flags: readonly string[], sources: readonly string[]): string {
    const program = join(this.folder, name);
    const all = [
      '-std=c++17',
      '-g',
      '-O1',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-pthread',
      ...flags,
      '-Inative',
      ...sources,
    ];
    const compiled = spawnSync(this.#command, [...all, '-o', program], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (compiled.status !== 0)
      throw new Error(`${this.#command} ${all.join(' ')}\n${compiled.stderr}`);
    return program;
  }

  run(program: string, parameters: readonly string[]): Ran {
    const [command, ...args] = [...this.#runner, program, ...parameters] as [string, ...string[]];
    const { status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    return { status, signal, output: `${stdout}${stderr}` };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
