/**
 * The same messages to the C file copy daemons and to ours, byte for byte what hv_utils or a host
 * sends. Answers, files and open descriptors are compared. What differs must be in DIFFERENCES,
 * with its reason; and all that is listed there must really differ.
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
} from './fcopy-messages.ts';
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

const notProgram =
  'a file from the host is no program until somebody says so; the mode is configurable';
const allFolders = 'the last folder is one, too, whether or not a slash follows';
const windows = 'hosts write paths as they know them';
const fromRoot = 'a path that does not begin at the root means nothing in a daemon';
const separator = 'a separator in the file name';
const noName = 'no name of a file, as opposed to one that exists';
const noWayOut = 'nothing that a name or path says leads to another folder than it names';
const noLinks =
  'a symbolic link is not followed, nor replaced: who made it decides where it leads, the ' +
  'host does not know it';
const onlyWhole = 'nothing is seen of a file that is not whole, and nothing of it stays open';
const inOrder =
  'hosts send each fragment once, in order: anything else is a mistake, and the file would ' +
  'not be what it should be';
const announced = 'the file is as long as the host said, or not there';
const itsPacket = "what follows the packet is memory of the daemon, and nobody's business";
const unknown = 'says why';
const utf8 = 'UTF-16 is turned into UTF-8, exactly or not at all';
const cancels = 'a cancel is obeyed, and leaves nothing; there may be nothing to cancel';

const DIFFERENCES: Readonly<Record<Link | 'both', Readonly<Record<string, Difference>>>> = {
  both: {
    'a file: mode': { c: '744', vmic: '644', why: notProgram },
    'create the path, without its slash: status': {
      c: '0x80004005',
      vmic: '0x0 0x0 0x0',
      why: allFolders,
    },
    'create the path, without its slash: files': {
      c: 'a/',
      vmic: 'a/, a/b/, a/b/f "x"',
      why: allFolders,
    },
    'a path of Windows: status': { c: '0x80004005', vmic: '0x0 0x0 0x0', why: windows },
    'a path of Windows: files': { c: '', vmic: 'f "x"', why: windows },
    'a relative path: status': { c: '0x0 0x0 0x0', vmic: '0x80070057', why: fromRoot },
    'a relative path: elsewhere': { c: 'sub/, sub/f "x"', vmic: '', why: fromRoot },
    'an empty path: status': { c: '0x80004005', vmic: '0x80070057', why: separator },
    'an empty name: status': { c: '0x80070050', vmic: '0x80070057', why: noName },
    'the name .: status': { c: '0x80070050', vmic: '0x80070057', why: noName },
    'the name ..: status': { c: '0x80070050', vmic: '0x80070057', why: noName },
    '../ in the name: status': { c: '0x0 0x0 0x0', vmic: '0x80070057', why: noWayOut },
    '../ in the name: files': { c: 'a/, escaped "x"', vmic: '', why: noWayOut },
    '../ in the path: status': { c: '0x0 0x0 0x0', vmic: '0x80070057', why: noWayOut },
    '../ in the path: files': { c: 'a/, f "x"', vmic: '', why: noWayOut },
    'a symbolic link to overwrite: status': { c: '0x0 0x0 0x0', vmic: '0x80004005', why: noLinks },
    'a symbolic link to overwrite: files': {
      c: 'elsewhere "x", link -> elsewhere',
      vmic: 'elsewhere "precious", link -> elsewhere',
      why: noLinks,
    },
    'a symbolic link to nothing: status': { c: '0x0 0x0 0x0', vmic: '0x80070050', why: noLinks },
    'a symbolic link to nothing: files': {
      c: 'link -> nothing, nothing "x"',
      vmic: 'link -> nothing',
      why: noLinks,
    },
    'start twice: files': {
      c: 'first "fir", second "whole"',
      vmic: 'second "whole"',
      why: onlyWhole,
    },
    'start twice: open': { c: 'first', vmic: '', why: onlyWhole },
    'a start in the middle: files': { c: 'first "fir"', vmic: '', why: onlyWhole },
    'a start in the middle: open': { c: 'first', vmic: 'a file without a name', why: onlyWhole },
    'fragments in another order: status': {
      c: '0x0 0x0 0x0 0x0 0x0',
      vmic: '0x0 0x80070057',
      why: inOrder,
    },
    'fragments in another order: files': { c: 'long.bin all of it', vmic: '', why: inOrder },
    'a fragment twice: status': {
      c: '0x0 0x0 0x0 0x0 0x0 0x0',
      vmic: '0x0 0x0 0x80070057',
      why: inOrder,
    },
    'a fragment twice: files': { c: 'long.bin all of it', vmic: '', why: inOrder },
    'a fragment left out: status': {
      c: '0x0 0x0 0x0 0x0',
      vmic: '0x0 0x0 0x80070057',
      why: inOrder,
    },
    'a fragment left out: files': { c: 'long.bin 12388 bytes', vmic: '', why: inOrder },
    'fragments that overlap: status': {
      c: '0x0 0x0 0x0 0x0',
      vmic: '0x0 0x0 0x80070057',
      why: inOrder,
    },
    'fragments that overlap: files': { c: 'f "abcdef"', vmic: '', why: inOrder },
    'more than announced: status': { c: '0x0 0x0 0x0', vmic: '0x0 0x80070057', why: announced },
    'more than announced: files': { c: 'f "abcd"', vmic: '', why: announced },
    'less than announced: status': {
      c: '0x0 0x0 0x0 0x0 0x0',
      vmic: '0x0 0x0 0x0 0x0 0x80004005',
      why: announced,
    },
    'less than announced: files': { c: 'long.bin all of it', vmic: '', why: announced },
    'an announced size of 2^64-1: status': { c: '0x0 0x0 0x0', vmic: '0x80070070', why: announced },
    'an announced size of 2^64-1: files': { c: 'f "x"', vmic: '', why: announced },
    'a fragment that says it is longer than its packet: status': {
      c: '0x0 0x0 0x0',
      vmic: '0x0 0x80070057',
      why: itsPacket,
    },
    'a fragment that says it is longer than its packet: files': {
      c: 'f 7000 bytes',
      vmic: '',
      why: itsPacket,
    },
    'a fragment at offset 2^63: status': {
      c: '0x0 0x80004005',
      vmic: '0x0 0x80070057',
      why: inOrder,
    },
    'operation 4: status': { c: '0x80004005', vmic: '0x80070032', why: unknown },
    'operation 2^32-1: status': { c: '0x80004005', vmic: '0x80070032', why: unknown },
  },
  device: {},
  ring: {
    'the name é.txt: files': { c: '<58e92e747874> "x"', vmic: 'é.txt "x"', why: utf8 },
    'the name į.txt: status': { c: '0x80004005', vmic: '0x0 0x0 0x0', why: utf8 },
    'the name į.txt: files': { c: '', vmic: 'į.txt "x"', why: utf8 },
    'the name 日本語.txt: files': {
      c: '<585858e52c9e2e747874> "x"',
      vmic: '日本語.txt "x"',
      why: utf8,
    },
    'the name 🚀.txt: files': { c: '<58583d802e747874> "x"', vmic: '🚀.txt "x"', why: utf8 },
    'half a surrogate in the name: status': { c: '0x0 0x0 0x0', vmic: '0x80070057', why: utf8 },
    'half a surrogate in the name: files': { c: 'a=b "x"', vmic: '', why: utf8 },
    'cancel: status': { c: '0x0 0x0 0x80004005', vmic: '0x0 0x0 0x0', why: cancels },
    'cancel: files': { c: 'long.bin its first 6144 bytes', vmic: '', why: cancels },
    'cancel: open': { c: 'long.bin', vmic: '', why: cancels },
    'cancel before a start: status': { c: '0x80004005', vmic: '0x0', why: cancels },
    'a fragment at offset 2^63: files': { c: 'f ""', vmic: '', why: inOrder },
    'a fragment at offset 2^63: open': { c: 'f', vmic: '', why: inOrder },
  },
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
const LONG = Array.from({ length: 2 * FRAGMENT + 100 }, (_, i) =>
  String.fromCharCode(97 + ((i * 7) % 26)),
).join('');
const long = (folder: string, order: readonly number[], sizeBytes = LONG.length): Message[] => [
  start(folder, 'long.bin', sizeBytes),
  ...order.map((i) => data(i * FRAGMENT, LONG.slice(i * FRAGMENT, (i + 1) * FRAGMENT))),
  complete,
];
const NAMES = ['é.txt', 'į.txt', '日本語.txt', '🚀.txt', 'a name with spaces.txt'];

const SCRIPT: readonly Step[] = [
  { name: 'a file', messages: (folder) => whole(folder, 'file.txt', 'hello') },
  { name: 'an empty file', messages: (folder) => whole(folder, 'empty', '') },
  { name: 'three fragments', messages: (folder) => long(folder, [0, 1, 2]) },
  {
    name: 'a folder without its slash',
    messages: (folder) => whole(folder.slice(0, -1), 'file.txt', 'hello'),
  },
  {
    name: 'slashes twice',
    messages: (folder) => whole(folder.replaceAll('/', '//'), 'file.txt', 'hello'),
  },
  {
    name: 'a file that exists',
    prepare: put('old', 0o640, 'f'),
    messages: (folder) => whole(folder, 'f', 'new'),
  },
  {
    name: 'overwrite',
    prepare: put('old and longer', 0o640, 'f'),
    messages: (folder) => whole(folder, 'f', 'new', OVERWRITE),
  },
  {
    name: 'overwrite what is not there',
    messages: (folder) => whole(folder, 'f', 'new', OVERWRITE),
  },
  { name: 'a folder that is not there', messages: (folder) => whole(`${folder}a/b/`, 'f', 'x') },
  { name: 'create the path', messages: (folder) => whole(`${folder}a/b/`, 'f', 'x', CREATE_PATH) },
  {
    name: 'create the path, without its slash',
    messages: (folder) => whole(`${folder}a/b`, 'f', 'x', CREATE_PATH),
  },
  {
    name: 'create a path through a file',
    prepare: put('a file', 0o644, 'a'),
    messages: (folder) => whole(`${folder}a/b/`, 'f', 'x', CREATE_PATH),
  },
  {
    name: 'a path of Windows',
    messages: (folder) => whole(folder.replaceAll('/', '\\'), 'f', 'x'),
  },
  { name: 'a relative path', messages: () => whole('sub/', 'f', 'x', CREATE_PATH) },
  { name: 'an empty path', messages: () => whole('', 'vmic-no-such-folder/f', 'x') },
  ...NAMES.map((name) => ({
    name: `the name ${name}`,
    messages: (folder: string) => whole(folder, name, 'x'),
  })),
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
  {
    name: 'the name of a folder',
    prepare: put('', 0o644, 'f', 'x'),
    messages: (folder) => whole(folder, 'f', 'x'),
  },
  {
    name: 'a folder to overwrite',
    prepare: put('', 0o644, 'f', 'x'),
    messages: (folder) => whole(folder, 'f', 'x', OVERWRITE),
  },
  {
    name: '../ in the name',
    messages: (folder) => whole(`${folder}a/`, '../escaped', 'x', CREATE_PATH),
  },
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
    messages: (folder) => [
      start(folder, 'first', 5),
      data(0, 'fir'),
      ...whole(folder, 'second', 'whole'),
    ],
  },
  {
    name: 'a start in the middle',
    messages: (folder) => [start(folder, 'first', 5), data(0, 'fir')],
  },
  { name: 'another start after it', messages: (folder) => whole(folder, 'second', 'whole') },
  { name: 'fragments in another order', messages: (folder) => long(folder, [1, 0, 2]) },
  { name: 'a fragment twice', messages: (folder) => long(folder, [0, 0, 1, 2]) },
  { name: 'a fragment left out', messages: (folder) => long(folder, [0, 2]) },
  {
    name: 'fragments that overlap',
    messages: (folder) => [start(folder, 'f', 6), data(0, 'abcd'), data(2, 'cdef'), complete],
  },
  {
    name: 'more than announced',
    messages: (folder) => [start(folder, 'f', 3), data(0, 'abcd'), complete],
  },
  { name: 'less than announced', messages: (folder) => long(folder, [0, 1, 2], LONG.length + 1) },
  {
    name: 'an announced size of 2^64-1',
    messages: (folder) =>
      whole(folder, 'f', 'x').with(0, start(folder, 'f', -1n & 0xffff_ffff_ffff_ffffn)),
  },
  {
    name: 'a fragment that says it is longer than its packet',
    messages: (folder) => [start(folder, 'f', 7000), data(0, 'x'.repeat(FRAGMENT), 7000), complete],
  },
  {
    name: 'a fragment at offset 2^63',
    messages: (folder) => [start(folder, 'f', 5), data(1n << 63n, 'x'), cancel],
  },
  {
    name: 'an empty fragment',
    messages: (folder) => [start(folder, 'f', 1), data(0, ''), data(0, 'x'), complete],
  },
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

/**
 * Everything below a folder, a line each: name, permissions that are not those of new files and
 * folders, and what is in it.
 */
function listing(folder: Buffer, below = ''): string[] {
  const entries = fs.readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare);
  return entries.flatMap((entry) => {
    const file = Buffer.concat([folder, Buffer.from('/'), entry]);
    const name = below + readable(entry);
    const stat = fs.lstatSync(file);
    const mode = modeOf(stat);
    if (stat.isDirectory())
      return [mode === '755' ? `${name}/` : `${name}/ ${mode}`, ...listing(file, `${name}/`)];
    if (stat.isSymbolicLink()) return [`${name} -> ${fs.readlinkSync(file)}`];
    const content = readableContent(fs.readFileSync(file));
    return [
      mode === C_MODE || mode === OWN_MODE ? `${name} ${content}` : `${name} ${mode} ${content}`,
    ];
  });
}

const C_MODE = '744';
const OWN_MODE = '644';
const modeOf = (stat: fs.Stats): string => (stat.mode & 0o7777).toString(8);

/** What one daemon made of one step, in words that can be compared. */
async function fieldsOf(
  subject: FcopySubject,
  step: Step,
  index: number,
): Promise<Map<string, string>> {
  const folder = path.join(subject.target, String(index));
  fs.mkdirSync(folder);
  step.prepare?.(folder);
  const statuses: string[] = [];
  for (const message of step.messages(`${folder}/`)) {
    statuses.push(await ask(subject, message));
    // A host that is told of a failure gives this file up
    if (statuses.at(-1) !== '0x0') {
      if (statuses.length > 1) await ask(subject, cancel);
      break;
    }
  }
  const open = subject
    .openFiles()
    .filter((file) => file.startsWith(`${path.relative(subject.folder, folder)}/`));
  const elsewhere = listing(Buffer.from(subject.cwd)).join(', ');
  for (const entry of fs.readdirSync(subject.cwd))
    fs.rmSync(path.join(subject.cwd, entry), { recursive: true });
  const fields = new Map([
    ['status', statuses.join(' ')],
    ['files', listing(Buffer.from(folder)).join(', ')],
    ['elsewhere', elsewhere],
    [
      'open',
      open
        .map((file) =>
          file.endsWith(' (deleted)') ? 'a file without a name' : path.basename(file),
        )
        .join(', '),
    ],
  ]);
  if (step.name === 'a file')
    fields.set('mode', modeOf(fs.statSync(path.join(folder, 'file.txt'))));
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
      for (const [i, step] of SCRIPT.entries()) {
        if (step.only && step.only.link !== link) continue;
        const vmic = await fieldsOf(subjects.vmic, step, i);
        const c = await fieldsOf(subjects.c, step, i);
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
    assert.deepEqual(
      found,
      Object.fromEntries(listed.map(([name, { c, vmic }]) => [name, { c, vmic }])),
    );
  });
}
