import fs from 'node:fs';
import { run } from '../../runtime/executables.ts';
import { printable } from '../../runtime/text.ts';
import type { Action, Gone, Urgency } from './ports.ts';

const COMMAND_TIMEOUT_MS = 30_000;

/** What brings the system down. */
export type LastCommand =
  | { readonly by: 'program'; readonly words: ProgramWords }
  /** A key of the kernel's sysrq, where programs have not helped. */
  | { readonly by: 'sysrq'; readonly key: string }
  /** There is nothing that could. */
  | { readonly by: 'nothing'; readonly why: string };

type ProgramWords = readonly [program: string, ...args: string[]];

const SYSTEMD_VERB = {
  'power-off': 'poweroff',
  restart: 'reboot',
  hibernate: 'hibernate',
} as const;
/**
 * Of init systems without systemd: the kernel runs the same ones for hv_utils (kernel/reboot.c,
 * orderly_poweroff).
 */
const INIT_PROGRAM = { 'power-off': 'poweroff', restart: 'reboot' } as const;
const SYSRQ = { 'power-off': 'o', restart: 'b' } as const;

export function systemdCommand(action: Action, urgency: Urgency): LastCommand {
  const force = { orderly: [], forced: ['--force'], immediate: ['--force', '--force'] }[urgency];
  // We have asked the inhibitors ourselves, and told the users
  const words = ['systemctl', '--no-wall', '-i', ...force, SYSTEMD_VERB[action]] as const;
  return { by: 'program', words };
}

export function initCommand(action: Action, urgency: Urgency): LastCommand {
  if (action === 'hibernate') return { by: 'nothing', why: 'there is no systemd-logind' };
  if (urgency === 'immediate') return { by: 'sysrq', key: SYSRQ[action] };
  const force = urgency === 'forced' ? ['-f'] : [];
  return { by: 'program', words: [INIT_PROGRAM[action], ...force] };
}

/** Runs the program of a last command. */
export async function runCommand(
  words: ProgramWords,
  env: Readonly<Record<string, string>>,
): Promise<Gone> {
  const [program, ...args] = words;
  const { problem, errors } = await run(program, { args, env, timeoutMs: COMMAND_TIMEOUT_MS });
  if (problem === undefined) return { result: 'going' };
  const why = `${words.join(' ')}: ${problem} ${printable(errors.trim())}`.trim();
  return { result: 'failed', why };
}

/** Asks the kernel itself: to flush, and after `flushed`, for what the key means. */
export async function pressSysrq(
  trigger: string,
  key: string,
  flushed: () => Promise<unknown>,
): Promise<Gone> {
  try {
    fs.writeFileSync(trigger, 's', { flag: 'r+' });
    await flushed();
    fs.writeFileSync(trigger, key, { flag: 'r+' });
    return { result: 'going' };
  } catch (error) {
    return { result: 'failed', why: (error as Error).message };
  }
}
