import { type Command, parseCommandLine } from './command-line.ts';
import { Interrupted } from './interruption.ts';
import { jsonShow, type Show, textShow } from './show/show.ts';
import { Simulation } from './simulation.ts';

/**
 * Runs the simulated host from its command line to its end; gives the exit status. Leaves no
 * process, socket or file behind.
 */
export async function simulate(argv: readonly string[]): Promise<number> {
  const command = parseCommandLine(argv);
  if (typeof command === 'number') return command;
  const { native } = await import('../native/index.ts');
  const show = createShow(command);
  const ended = new AbortController();
  const interrupt = (): void => ended.abort(new Interrupted());
  for (const signal of SIGNALS) process.on(signal, interrupt);
  // A reader that left: no reason to exit at once, as a plain command does, but to clean up first
  process.stdout.removeAllListeners('error').on('error', interrupt);
  const simulation = new Simulation(native, command, show, ended.signal);
  const lastResort = (): void => simulation.killAll();
  process.on('exit', lastResort);
  try {
    return await simulation.run();
  } finally {
    await simulation.close();
    show.close();
    process.off('exit', lastResort);
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function createShow(command: Command): Show {
  const startedMs = performance.now();
  const nowMs = (): number => performance.now() - startedMs;
  const write = (text: string): void => void process.stdout.write(text);
  if (command.json) return jsonShow(write, nowMs);
  const { stdout } = process;
  const colour = stdout.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  const terminal = stdout.isTTY
    ? { columns: stdout.columns, rows: stdout.rows, colour }
    : undefined;
  return textShow(write, nowMs, terminal);
}
