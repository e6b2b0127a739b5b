import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { PoolStore, type PoolStoreOptions } from '../../../../daemons/kvp/pools/index.ts';
import type { Native } from '../../../../native/interface.ts';
import { levels } from '../../../../runtime/log.ts';

/** The addon, or why tests that need it can't run. */
export async function loadNative(): Promise<
  { native: Native; skip: false } | { native: undefined; skip: string }
> {
  try {
    return { native: (await import('../../../../native/index.ts')).native, skip: false };
  } catch (error) {
    return { native: undefined, skip: (error as Error).message };
  }
}

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-pools-'));
const open: PoolStore[] = [];
after(() => {
  for (const store of open) store.close();
  fs.rmSync(root, { recursive: true });
});

/** A new name below a folder that goes away at the end. */
export const newFolder = (): string =>
  path.join(fs.mkdtempSync(path.join(root, 'pools-')), 'hyperv');

export const poolPath = (folder: string, pool: number): string =>
  path.join(folder, `.kvp_pool_${pool}`);

/** A record as any program writes it: 512 bytes of key and 2,048 of value, padded with NULs. */
export function record(key: string, value: string): Buffer {
  const bytes = Buffer.alloc(2560);
  bytes.write(key, 0);
  bytes.write(value, 512);
  return bytes;
}

/** Opens a store that is closed at the end, and collects what it logs. */
export function openStore(folder: string, native: Native, options: Partial<PoolStoreOptions> = {}) {
  const messages: string[] = [];
  const log = levels((severity, message, fields) => {
    messages.push(`${severity}: ${message} ${fields?.['error'] ?? ''}`.trim());
  });
  const store = PoolStore.open(folder, { native, log, ...options });
  open.push(store);
  return { store, messages };
}
