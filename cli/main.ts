import fs from 'node:fs';
import { createRequire } from 'node:module';
import { findBundle } from '../native/locate.ts';
import { DEFAULT_CONFIG_FILE } from '../runtime/config.ts';
import { PROGRAM_PATH, run } from '../runtime/executables.ts';
import { runCli } from './cli.ts';
import { CommandError } from './exit.ts';

/**
 * The simulated host is a file of its own, which only a development tree has: nothing installed
 * contains test code.
 */
const simulator = findBundle('simulate.js');

/** On standard error, so that the answer to what was asked for stays alone on standard output. */
async function ask(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

async function main(argv: readonly string[]): Promise<void> {
  // A reader that has seen enough (vmic ... | head) is no error
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  if (argv[0] === 'simulate' && simulator !== undefined) {
    const { simulate } = createRequire(import.meta.url)(simulator) as {
      simulate(argv: string[]): Promise<number>;
    };
    process.exitCode = await simulate(argv.slice(1));
    return;
  }
  process.exitCode = await runCli(argv, {
    loadNative: async () => (await import('../native/index.ts')).native,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    outIsTerminal: process.stdout.isTTY === true,
    readInput: async () => fs.readFileSync(0),
    simulator,
    configFile: DEFAULT_CONFIG_FILE,
    loadGuards: async () => {
      if (process.geteuid?.() !== 0) throw new CommandError('permission', 'this takes root (sudo)');
      return (await import('../daemons/vss/freeze/guard.ts')).guards;
    },
    run: async (program, args) => {
      const env = { PATH: PROGRAM_PATH, LC_ALL: 'C' };
      const { problem, output } = await run(program, {
        args,
        env,
        timeoutMs: 10_000,
        outputBytes: 4 << 20,
      });
      return problem === undefined ? output : undefined;
    },
    ...(process.stdin.isTTY === true && process.stderr.isTTY === true ? { ask } : {}),
  });
}

void main(process.argv.slice(2));
