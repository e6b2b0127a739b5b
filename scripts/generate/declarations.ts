import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type OptionTable, SECTIONS } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';
import { formatValue } from '../../runtime/usage.ts';

/** What the manuals of the configuration are made from. */
export interface Manual {
  readonly log: OptionTable;
  /** In the order of their sections. */
  readonly daemons: readonly DaemonDeclaration[];
}

/** Reads the declaration of each folder of daemons/ that holds a program. */
export async function readDaemons(root: string): Promise<readonly DaemonDeclaration[]> {
  const daemons: DaemonDeclaration[] = [];
  for (const folder of fs.readdirSync(path.join(root, 'daemons'))) {
    const file = path.join(root, 'daemons', folder, 'options.ts');
    if (!fs.existsSync(path.join(path.dirname(file), 'main.ts'))) continue;
    if (!fs.existsSync(file)) throw new Error(`${file} is missing: it declares the daemon`);
    const { daemon } = (await import(pathToFileURL(file).href)) as { daemon?: DaemonDeclaration };
    if (daemon === undefined) throw new Error(`${file} does not export "daemon"`);
    daemons.push(daemon);
  }
  const order: readonly string[] = SECTIONS;
  return daemons.sort((one, other) => order.indexOf(one.section) - order.indexOf(other.section));
}

/** Returns a section in TOML with the examples of its keys; undefined when no key has one. */
export function exampleOf(section: string, table: OptionTable): string | undefined {
  const lines = Object.entries(table).flatMap(([key, { example }]) =>
    example === undefined ? [] : [`${key} = ${formatValue(example)}`],
  );
  return lines.length === 0 ? undefined : [`[${section}]`, ...lines].join('\n');
}
