import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { type Copy, FcopyStage, type FcopyStageOptions } from '../hosts/fcopy-host.ts';
import { formatStatus } from '../hosts/kvp-host.ts';
import { binFolder } from '../stages/daemon.ts';
import type { Wire } from '../wire.ts';
import { played, type Stagehand } from './scene.ts';

export const BOTH: readonly Wire[] = ['unix', 'unix-ring'];
export const DEVICE: readonly Wire[] = ['unix'];
export const RING: readonly Wire[] = ['unix-ring'];

/** The one folder of the guest that a stage's daemon may write to. */
export const guestFolder = ({ ground }: Pick<FcopyStage, 'ground'>): string =>
  path.join(ground.folder, 'guest');

/** Where the daemon of a stage tells of itself. */
export const statusFileOf = ({ ground }: Pick<FcopyStage, 'ground'>): string =>
  path.join(ground.folder, 'fcopy.json');

export const openFcopy = (
  hand: Pick<Stagehand, 'native'> & Partial<Stagehand>,
  wire: Wire,
  settings: Readonly<Record<string, string | number | boolean>> = {},
  more: Partial<FcopyStageOptions> = {},
): Promise<FcopyStage> =>
  FcopyStage.open(wire, {
    native: hand.native,
    ...(hand.tap ? { tap: hand.tap } : {}),
    ...(hand.onLog ? { onLog: hand.onLog } : {}),
    ...more,
    settings: (ground) => {
      const guest = guestFolder({ ground });
      fs.mkdirSync(guest, { recursive: true });
      return { roots: guest, status_file: statusFileOf({ ground }), ...settings };
    },
  });

export type Play = (stage: FcopyStage, folder: string) => Promise<void>;

/** Plays with the daemon in an empty guest; nothing may be left open. */
export const onStage = (
  hand: Stagehand,
  wire: Wire,
  play: Play,
  settings: Readonly<Record<string, string | number | boolean>> = {},
): Promise<void> =>
  played(openFcopy(hand, wire, settings), async (stage) => {
    await play(stage, `${guestFolder(stage)}/`);
    assert.deepEqual(openFiles(stage), [], 'no file is left open');
  });

/** What lies below the guest's folder, hidden or not, files alone. */
export const filesIn = (stage: Pick<FcopyStage, 'ground'>): string[] =>
  fs
    .readdirSync(guestFolder(stage), { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(guestFolder(stage), path.join(entry.parentPath, entry.name)))
    .sort();

/** What the daemon has open below the guest's folder, folders too. */
export function openFiles(stage: FcopyStage): string[] {
  const folder = `/proc/${stage.daemon.pid}/fd`;
  return fs.readdirSync(folder).flatMap((fd) => {
    try {
      const name = fs.readlinkSync(path.join(folder, fd));
      return name.startsWith(`${guestFolder(stage)}/`) ? [name] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}

/** What `vmic fcopy status` prints. */
export const statusOf = (stage: FcopyStage): string =>
  execFileSync(
    process.execPath,
    [path.join(binFolder(), 'vmic'), 'fcopy', 'status', '--status-file', statusFileOf(stage)],
    { encoding: 'utf8' },
  );

/** Other bytes in every file, at every place. */
export function contentOf(name: string, bytes: number): Uint8Array {
  const content = Buffer.alloc(bytes);
  const seed = createHash('sha256').update(name).digest();
  for (let at = 0; at < bytes; at++) content[at] = seed[at % 32]! ^ (at >>> 5) ^ (at >>> 13);
  return content;
}

/** That a whole copy still arrives, as if nothing had been. */
export async function mustServe(stage: FcopyStage, folder: string): Promise<void> {
  const content = contentOf('served', 3 * MAX_FRAGMENT_BYTES + 1);
  assert.equal(await stage.copy({ fileName: 'served', path: folder, content }), IcStatus.ok);
  const file = path.join(folder, 'served');
  assert.ok(fs.readFileSync(file).equals(content), 'what was copied arrived');
  fs.rmSync(file);
  assert.deepEqual(filesIn(stage), []);
}

/** Asks all in turn; each answer but the last has to be a success, the last one has to be this. */
export async function asked(
  stage: FcopyStage,
  what: string,
  requests: readonly FcopyRequest[],
  expected: number,
): Promise<void> {
  const statuses: number[] = [];
  for (const request of requests) statuses.push(await stage.ask(request));
  assert.deepEqual(
    statuses.map(formatStatus),
    [...requests.slice(1).map(() => 'ok'), formatStatus(expected)],
    what,
  );
}

export const KIB = 1024;
/** Names of several scripts and sizes around those of a fragment. */
export const FILES: readonly (readonly [name: string, bytes: number])[] = [
  ['empty', 0],
  ['one byte', 1],
  ['Übergrößenträger é.txt', MAX_FRAGMENT_BYTES],
  ['į (U+012F, whose low byte is a slash).txt', MAX_FRAGMENT_BYTES + 1],
  ['日本語のファイル.txt', 100 * KIB],
  ['Привет, мир.doc', 7 * KIB],
  ['مرحبا.pdf', 5],
  ['🚀 emoji 👩‍👩‍👧.bin', 12345],
  ['-rf *; $(reboot) `reboot` "quoted"', 17],
];
export const LARGE_BYTES = 5 * KIB * KIB + 321;
/** How long an audience sees a large file arrive. */
export const WATCHED_MS = 1500;

export const HELLO = (folder: string, more: Partial<Copy> = {}): Copy => ({
  fileName: 'hello.txt',
  path: folder,
  content: Buffer.from('hello, guest'),
  ...more,
});
export const COMPLETE: FcopyRequest = { operation: 'complete' };
export const CANCEL: FcopyRequest = { operation: 'cancel' };
