import { printable } from '../../runtime/text.ts';
import type { GuestFiles } from './guest-files.ts';
import { askLogind } from './logind.ts';

/** Returns why this system can't hibernate; undefined: it can. */
export async function hibernationProblem(
  guest: GuestFiles,
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const words = (file: string): string[] => guest.text(file).split(/[\s[\]]+/);
  if (!words('sys/power/state').includes('disk'))
    return 'this kernel does not offer it (/sys/power/state)';
  // hv_utils asks for the same: without ACPI S4 the host does not expect it
  if (!words('sys/power/disk').includes('platform'))
    return 'this virtual machine has no ACPI S4 state: the host has it switched off';
  if (guest.text('proc/swaps').trim().split('\n').length < 2) return 'there is no swap space';
  if (!guest.hasSystemd) return 'there is no systemd-logind to do it';
  const { problem, output } = await askLogind(env, 'CanHibernate');
  if (problem !== undefined) return `systemd-logind could not be asked: ${problem}`;
  return output.trim() === 's "yes"'
    ? undefined
    : `systemd-logind says ${printable(output.trim())}`;
}
