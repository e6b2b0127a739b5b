/**
 * The same messages to the C file copy daemons and to ours, byte for byte what hv_utils or a host sends. Answers, files and open descriptors are
 * compared. What differs must be in DIFFERENCES, with its reason; and all that is listed there must really differ.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  CREATE_PATH,
  cancel,
  complete,
  data,
  type Link,
  type Message,
  OVERWRITE,
  operation,
  start,
} from './fcopy-host.ts';
import { FcopySubject } from './fcopy-subject.ts';
import { DaemonGone } from './raw-host.ts';
import { missingFcopyReference } from './reference.ts';

const missing = missingFcopyReference();
const ended = 'the daemon ended';

/** One field that differs. */
interface Difference {
  readonly c: string;
  readonly vmic: string;
  readonly why: string;
}

const DIFFERENCES: Readonly<Record<Link | 'both', Readonly<Record<string, Difference>>>> = {
  both: {},
  device: {},
  ring: {},
};

interface Step {
  readonly name: string;
  /** What is there before, made by hand. */
  readonly prepare?: (folder: string) => void;
  /** `folder` ends in a slash, as a host's do. */
  readonly messages: (folder: string) => readonly Message[];
  /** Where else it is not tried, and why. */
  readonly only?: { readonly link: Link; readonly why: string };
}

const whole = (folder: string, file: string, content: string, flags = 0): Message[] => [
  start(folder, file, Buffer.from(content).length, flags),
  ...(content === '' ? [] : [data(0, content)]),
  complete,
];
const put =
  (content: string, mode: number, ...name: string[]) =>
  (folder: string) => {
    const file = path.join(folder, ...name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    fs.chmodSync(file, mode);
  };
const FRAGMENT = 6144;
const LONG = Array.from({ length: 2 * FRAGMENT + 100 }, (_, i) => String.fromCharCode(97 + ((i * 7) % 26))).join('');
const long = (folder: string, order: readonly number[], sizeBytes = LONG.length): Message[] => [
  start(folder, 'long.bin', sizeBytes),
  ...order.map((i) => data(i * FRAGMENT, LONG.slice(i * FRAGMENT, (i + 1) * FRAGMENT))),
  complete,
];
const NAMES = ['é.txt', 'į.txt', '日本語.txt', '🚀.txt', 'a name with spaces.txt', 'ä'.repeat(100)];

const SCRIPT: readonly Step[] = [
  { name: 'a file', messages: (folder) => whole(folder, 'file.txt', 'hello') },
  { name: 'an empty file', messages: (folder) => whole(folder, 'empty', '') },
  { name: 'three fragments', messages: (folder) => long(folder, [0, 1, 2]) },
  { name: 'a folder without its slash', messages: (folder) => whole(folder.slice(0, -1), 'file.txt', 'hello') },
  { name: 'slashes twice', messages: (folder) => whole(folder.replaceAll('/', '//'), 'file.txt', 'hello') },
  { name: 'a file that exists', prepare: put('old', 0o640, 'f'), messages: (folder) => whole(folder, 'f', 'new') },
  {
    name: 'overwrite',
    prepare: put('old and longer', 0o640, 'f'),
    messages: (folder) => whole(folder, 'f', 'new', OVERWRITE),
  },
  { name: 'overwrite what is not there', messages: (folder) => whole(folder, 'f', 'new', OVERWRITE) },
  { name: 'a folder that is not there', messages: (folder) => whole(`${folder}a/b/`, 'f', 'x') },
  { name: 'create the path', messages: (folder) => whole(`${folder}a/b/`, 'f', 'x', CREATE_PATH) },
  { name: 'create the path, without its slash', messages: (folder) => whole(`${folder}a/b`, 'f', 'x', CREATE_PATH) },
  {
    name: 'create a path through a file',
    prepare: put('a file', 0o644, 'a'),
    messages: (folder) => whole(`${folder}a/b/`, 'f', 'x', CREATE_PATH),
  },
  { name: 'a path of Windows', messages: (folder) => whole(folder.replaceAll('/', '\\'), 'f', 'x') },
  { name: 'a relative path', messages: () => whole('sub/', 'f', 'x', CREATE_PATH) },
  { name: 'an empty path', messages: () => whole('', 'vmic-no-such-folder/f', 'x') },
  ...NAMES.map((name) => ({ name: `the name ${name}`, messages: (folder: string) => whole(folder, name, 'x') })),
  {
    name: 'a folder of any script',
    messages: (folder) => whole(`${folder}Ünïcödé 日本/`, 'f', 'x', CREATE_PATH),
    only: {
      link: 'device',
      why: 'the C daemon mangles the whole path, and would write outside the folder of this test',
    },
  },
  { name: 'half a surrogate in the name', messages: (folder) => whole(folder, 'a\ud83db', 'x') },
  { name: 'an empty name', messages: (folder) => whole(folder, '', 'x') },
  { name: 'the name .', messages: (folder) => whole(folder, '.', 'x') },
  { name: 'the name ..', messages: (folder) => whole(folder, '..', 'x') },
  { name: 'the name of a folder', prepare: put('', 0o644, 'f', 'x'), messages: (folder) => whole(folder, 'f', 'x') },
  {
    name: 'a folder to overwrite',
    prepare: put('', 0o644, 'f', 'x'),
    messages: (folder) => whole(folder, 'f', 'x', OVERWRITE),
  },
  { name: '../ in the name', messages: (folder) => whole(`${folder}a/`, '../escaped', 'x', CREATE_PATH) },
  { name: '../ in the path', messages: (folder) => whole(`${folder}a/../`, 'f', 'x', CREATE_PATH) },
  {
    name: 'a symbolic link to overwrite',
    prepare: (folder) => {
      put('precious', 0o644, 'elsewhere')(folder);
      fs.symlinkSync('elsewhere', path.join(folder, 'link'));
    },
    messages: (folder) => whole(folder, 'link', 'x', OVERWRITE),
  },
  {
    name: 'a symbolic link to nothing',
    prepare: (folder) => fs.symlinkSync('nothing', path.join(folder, 'link')),
    messages: (folder) => whole(folder, 'link', 'x'),
  },
  { name: 'cancel', messages: (folder) => [...long(folder, [0]).slice(0, 2), cancel] },
  { name: 'cancel before a start', messages: () => [cancel] },
  {
    name: 'start twice',
    messages: (folder) => [start(folder, 'first', 5), data(0, 'fir'), ...whole(folder, 'second', 'whole')],
  },
  { name: 'a start in the middle', messages: (folder) => [start(folder, 'first', 5), data(0, 'fir')] },
  { name: 'another start after it', messages: (folder) => whole(folder, 'second', 'whole') },
  { name: 'fragments in another order', messages: (folder) => long(folder, [1, 0, 2]) },
  { name: 'a fragment twice', messages: (folder) => long(folder, [0, 0, 1, 2]) },
  { name: 'a fragment left out', messages: (folder) => long(folder, [0, 2]) },
  {
    name: 'fragments that overlap',
    messages: (folder) => [start(folder, 'f', 6), data(0, 'abcd'), data(2, 'cdef'), complete],
  },
  { name: 'more than announced', messages: (folder) => [start(folder, 'f', 3), data(0, 'abcd'), complete] },
  { name: 'less than announced', messages: (folder) => long(folder, [0, 1, 2], LONG.length + 1) },
  {
    name: 'an announced size of 2^64-1',
    messages: (folder) => whole(folder, 'f', 'x').with(0, start(folder, 'f', -1n & 0xffff_ffff_ffff_ffffn)),
  },
  {
    name: 'a fragment that says it is longer than its packet',
    messages: (folder) => [start(folder, 'f', 7000), data(0, 'x'.repeat(FRAGMENT), 7000), complete],
  },
  {
    name: 'a fragment of 4 GiB',
    messages: (folder) => [start(folder, 'f', 0xffff_ffff), data(0, 'x'.repeat(FRAGMENT), 0xffff_ffff), cancel],
  },
  { name: 'a fragment at offset 2^63', messages: (folder) => [start(folder, 'f', 5), data(1n << 63n, 'x'), cancel] },
  { name: 'an empty fragment', messages: (folder) => [start(folder, 'f', 1), data(0, ''), data(0, 'x'), complete] },
  { name: 'operation 4', messages: () => [operation(4)] },
  { name: 'operation 2^32-1', messages: () => [operation(0xffff_ffff)] },
  { name: 'after all that', messages: (folder) => whole(folder, 'f', 'fine') },
];

const hex = (status: number): string => `0x${status.toString(16)}`;

async function ask(subject: FcopySubject, message: Message): Promise<string> {
  try {
    return hex(await subject.host.ask(message));
  } catch (error) {
    if (error instanceof DaemonGone) return ended;
    throw error;
  }
}

/** A name as it lies on the disk; what is no UTF-8 in hexadecimal. */
function readable(name: Buffer): string {
  const text = name.toString();
  return Buffer.from(text).equals(name) ? text : `<${name.toString('hex')}>`;
}

function readableContent(content: Buffer): string {
  const text = content.toString('latin1');
  if (text.length < 100) return JSON.stringify(text);
  if (text === LONG) return 'all of it';
  return LONG.startsWith(text) ? `its first ${text.length} bytes` : `${text.length} bytes`;
}

/** Everything below a folder, a line each: name, permissions that are not those of new files and folders, and what is in it. */
function listing(folder: Buffer, below = ''): string[] {
  const entries = fs.readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare);
  return entries.flatMap((entry) => {
    const file = Buffer.concat([folder, Buffer.from('/'), entry]);
    const name = below + readable(entry);
    const stat = fs.lstatSync(file);
    const mode = modeOf(stat);
    if (stat.isDirectory()) return [mode === '755' ? `${name}/` : `${name}/ ${mode}`, ...listing(file, `${name}/`)];
    if (stat.isSymbolicLink()) return [`${name} -> ${fs.readlinkSync(file)}`];
    const content = readableContent(fs.readFileSync(file));
    return [mode === C_MODE || mode === OWN_MODE ? `${name} ${content}` : `${name} ${mode} ${content}`];
  });
}

const C_MODE = '744';
const OWN_MODE = '644';
const modeOf = (stat: fs.Stats): string => (stat.mode & 0o7777).toString(8);

/** What one daemon made of one step, in words that can be compared. */
async function fieldsOf(subject: FcopySubject, step: Step): Promise<Map<string, string>> {
  const folder = path.join(subject.target, step.name.replaceAll('/', ' '));
  fs.mkdirSync(folder);
  step.prepare?.(folder);
  const statuses: string[] = [];
  for (const message of step.messages(`${folder}/`)) {
    statuses.push(await ask(subject, message));
    // A host that is told of a failure sends no more of this file
    if (statuses.at(-1) !== '0x0') break;
  }
  const open = subject.openFiles().filter((file) => file.startsWith(path.relative(subject.folder, folder)));
  const elsewhere = listing(Buffer.from(subject.cwd)).join(', ');
  for (const entry of fs.readdirSync(subject.cwd)) fs.rmSync(path.join(subject.cwd, entry), { recursive: true });
  const fields = new Map([
    ['status', statuses.join(' ')],
    ['files', listing(Buffer.from(folder)).join(', ')],
    ['elsewhere', elsewhere],
    ['open', open.map((file) => path.basename(file)).join(', ')],
  ]);
  if (step.name === 'a file') fields.set('mode', modeOf(fs.statSync(path.join(folder, 'file.txt'))));
  return fields;
}

for (const link of ['device', 'ring'] as const) {
  test(`file copy over the ${link}: every difference is listed, and every listed one is there`, {
    skip: missing[link] ?? false,
  }, async () => {
    process.umask(0o022);
    const subjects = { vmic: new FcopySubject('vmic', link), c: new FcopySubject('c', link) };
    const found: Record<string, { c: string; vmic: string }> = {};
    try {
      await Promise.all([subjects.vmic.start(), subjects.c.start()]);
      for (const step of SCRIPT.filter(({ only }) => only === undefined || only.link === link)) {
        const vmic = await fieldsOf(subjects.vmic, step);
        const c = await fieldsOf(subjects.c, step);
        for (const field of new Set([...vmic.keys(), ...c.keys()])) {
          const [own, other] = [vmic.get(field) ?? '', c.get(field) ?? ''];
          if (own !== other) found[`${step.name}: ${field}`] = { c: other, vmic: own };
        }
      }
      assert.deepEqual(subjects.vmic.openFiles(), [], 'no file is left open');
      assert.deepEqual(subjects.vmic.host.strays, [], 'no message answers nothing');
    } finally {
      await Promise.all(Object.values(subjects).map((subject) => subject.dispose()));
    }
    const listed = Object.entries({ ...DIFFERENCES.both, ...DIFFERENCES[link] });
    assert.deepEqual(found, Object.fromEntries(listed.map(([name, { c, vmic }]) => [name, { c, vmic }])));
  });
}
