import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import {
  type Copy,
  dataOf,
  FcopyStage,
  type FcopyStageOptions,
  messagesOf,
  startOf,
} from '../hosts/fcopy-host.ts';
import { formatStatus } from '../hosts/kvp-host.ts';
import { binFolder } from '../stages/daemon.ts';
import { HostError, type Wire } from '../wire.ts';
import { mistreat, played, type ServiceScene, type Stagehand } from './scene.ts';

const BOTH: readonly Wire[] = ['unix', 'unix-ring'];
const DEVICE: readonly Wire[] = ['unix'];
const RING: readonly Wire[] = ['unix-ring'];

/** The one folder of the guest that a stage's daemon may write to. */
export const guestFolder = ({ ground }: Pick<FcopyStage, 'ground'>): string =>
  path.join(ground.folder, 'guest');

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
      return { roots: guest, status_file: path.join(ground.folder, 'fcopy.json'), ...settings };
    },
  });

type Play = (stage: FcopyStage, folder: string) => Promise<void>;

/** Plays with the daemon in an empty guest; nothing may be left open. */
const onStage = (
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
const statusOf = ({ ground }: FcopyStage): string =>
  execFileSync(
    process.execPath,
    [
      path.join(binFolder(), 'vmic'),
      'fcopy',
      'status',
      '--status-file',
      path.join(ground.folder, 'fcopy.json'),
    ],
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
async function mustServe(stage: FcopyStage, folder: string): Promise<void> {
  const content = contentOf('served', 3 * MAX_FRAGMENT_BYTES + 1);
  assert.equal(await stage.copy({ fileName: 'served', path: folder, content }), IcStatus.ok);
  const file = path.join(folder, 'served');
  assert.ok(fs.readFileSync(file).equals(content), 'what was copied arrived');
  fs.rmSync(file);
  assert.deepEqual(filesIn(stage), []);
}

/** Asks all in turn; each answer but the last has to be a success, the last one has to be this. */
async function asked(
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

const KIB = 1024;
/** Names of several scripts and sizes around those of a fragment. */
const FILES: readonly (readonly [name: string, bytes: number])[] = [
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
const LARGE_BYTES = 5 * KIB * KIB + 321;
/** How long an audience sees a large file arrive. */
const WATCHED_MS = 1500;

const HELLO = (folder: string, more: Partial<Copy> = {}): Copy => ({
  fileName: 'hello.txt',
  path: folder,
  content: Buffer.from('hello, guest'),
  ...more,
});
const COMPLETE: FcopyRequest = { operation: 'complete' };
const CANCEL: FcopyRequest = { operation: 'cancel' };

export const fcopyScenes: readonly ServiceScene[] = [
  {
    name: 'fcopy-files',
    service: 'fcopy',
    wires: BOTH,
    description:
      'files copied to the guest, with names of several scripts, from empty to several MiB',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        // Real files of this machine, from whose disk the host reads them
        const source = path.join(stage.ground.folder, 'host');
        fs.mkdirSync(source);
        for (const [name, bytes] of FILES)
          fs.writeFileSync(path.join(source, name), contentOf(name, bytes));
        for (const [fileName] of FILES) {
          const content = fs.readFileSync(path.join(source, fileName));
          assert.equal(
            await stage.copy({ fileName, path: folder, content }),
            IcStatus.ok,
            fileName,
          );
          const arrived = path.join(folder, fileName);
          assert.ok(fs.readFileSync(arrived).equals(content), `${fileName} arrived as it was sent`);
          assert.equal(fs.statSync(arrived).mode & 0o7777, 0o644);
        }
        assert.deepEqual(filesIn(stage), FILES.map(([name]) => name).sort());
      }),
  },
  {
    name: 'fcopy-large',
    service: 'fcopy',
    wires: BOTH,
    live: true,
    description: 'a large file on its way to the guest, which nobody sees there before it is whole',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const fileName = 'large.bin';
        const content = contentOf(fileName, LARGE_BYTES);
        const steps = 30;
        let shown = 0;
        const onProgress = async (doneBytes: number): Promise<void> => {
          const step = Math.floor((doneBytes / content.length) * steps);
          if (step === shown) return;
          shown = step;
          hand.progress(fileName, doneBytes, content.length);
          if (step < steps)
            assert.deepEqual(filesIn(stage), [], 'nobody sees it before it is whole');
          await hand.pause(WATCHED_MS / steps);
        };
        const status = await stage.copy({
          fileName,
          path: `${folder}sub/folder/`,
          createPath: true,
          content,
          onProgress,
        });
        assert.equal(status, IcStatus.ok);
        assert.deepEqual(filesIn(stage), [`sub/folder/${fileName}`]);
        assert.ok(
          fs.readFileSync(path.join(folder, 'sub/folder', fileName)).equals(content),
          'it arrived as it was sent',
        );
        // Told within a second
        let told = '';
        while (!told.includes('1 copied')) {
          await stage.alive(new Promise((resolve) => setTimeout(resolve, 100)));
          told = statusOf(stage);
        }
        for (const line of told.trimEnd().split('\n')) hand.say(line);
        hand.say(
          `${content.length} bytes arrived whole: ` +
            `${createHash('sha256').update(content).digest('hex')}`,
        );
      }),
  },
  {
    name: 'fcopy-wishes',
    service: 'fcopy',
    wires: BOTH,
    description: 'files that exist, folders that do not, and what a host may wish for with each',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const exists = path.join(folder, 'hello.txt');
        fs.writeFileSync(exists, 'old', { mode: 0o600 });
        await asked(stage, 'a file that exists', [startOf(HELLO(folder))], IcStatus.alreadyExists);
        assert.equal(fs.readFileSync(exists, 'utf8'), 'old');
        await asked(
          stage,
          'overwritten',
          messagesOf(HELLO(folder, { overwrite: true })),
          IcStatus.ok,
        );
        assert.equal(fs.readFileSync(exists, 'utf8'), 'hello, guest');
        assert.equal(fs.statSync(exists).mode & 0o7777, 0o600, 'it keeps its mode');

        const deep = `${folder}a/b/`;
        await asked(stage, 'no such folder', [startOf(HELLO(deep))], IcStatus.fail);
        assert.equal(fs.existsSync(path.join(folder, 'a')), false, 'no folder is made unasked');
        await asked(
          stage,
          'folders made',
          messagesOf(HELLO(deep, { createPath: true })),
          IcStatus.ok,
        );
        assert.equal(fs.statSync(path.join(folder, 'a/b')).mode & 0o7777, 0o755);
        const windows = `${folder.replaceAll('/', '\\')}a\\b\\`;
        await asked(
          stage,
          'a path of Windows',
          messagesOf(HELLO(windows, { fileName: 'w.txt' })),
          IcStatus.ok,
        );
        assert.deepEqual(filesIn(stage), ['a/b/hello.txt', 'a/b/w.txt', 'hello.txt']);

        for (const [what, copy] of [
          ['outside of the roots', HELLO('/var/tmp/')],
          [
            'a folder beside the root',
            HELLO(`${folder.slice(0, -1)}-beside/`, { createPath: true }),
          ],
        ] as const) {
          await asked(stage, what, [startOf(copy)], IcStatus.fail);
          hand.say(`${what}: refused`);
        }
        fs.symlinkSync('/', path.join(folder, 'link'));
        const through = HELLO(`${folder}link${stage.ground.folder}/`, { fileName: 'escaped' });
        await asked(stage, 'a symbolic link out of the root', [startOf(through)], IcStatus.fail);
        assert.equal(fs.existsSync(path.join(stage.ground.folder, 'escaped')), false);
      }),
  },
  {
    name: 'fcopy-names',
    service: 'fcopy',
    wires: BOTH,
    description: 'names no guest takes: empty, "..", with separators, half a character',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const refused: (readonly [string, Partial<Copy>])[] = [
          ['an empty name', { fileName: '' }],
          ['the name "."', { fileName: '.' }],
          ['the name ".."', { fileName: '..' }],
          ['a slash in the name', { fileName: '../hello.txt' }],
          ['a backslash in the name', { fileName: '..\\hello.txt' }],
          ['".." in the path', { path: `${folder}../` }],
          ['".." in a path of Windows', { path: `${folder.replaceAll('/', '\\')}..\\` }],
          ['a drive', { path: 'C:\\Windows\\' }],
          // hv_utils itself cuts longer names, so that one of 256 bytes may have been any: our own
          // codec does not send it
          ...(wire === 'unix-ring'
            ? ([['a name of 256 bytes', { fileName: 'x'.repeat(256) }]] as const)
            : []),
        ];
        for (const [what, more] of refused) {
          await asked(stage, what, [startOf(HELLO(folder, more))], IcStatus.invalidArgument);
        }
        if (wire === 'unix-ring') {
          for (const [what, unit] of [
            ['half a character', 0xd83d],
            ['its other half', 0xde80],
          ] as const) {
            const message = stage.ring
              .encode(startOf(HELLO(folder, { fileName: 'hello?txt' })))
              .slice();
            new DataView(message.buffer).setUint16(
              stage.host.bodyOffset + NAME_AT + 2 * 5,
              unit,
              true,
            );
            const answer = await stage.alive(stage.host.exchange(message));
            assert.equal(answer && stage.host.statusOf(answer), IcStatus.invalidArgument, what);
          }
        }
        await mustServe(stage, folder);
        hand.say(`${refused.length} names refused`);
      }),
  },
  {
    name: 'fcopy-cancel',
    service: 'fcopy',
    wires: BOTH,
    description: 'copies that are cancelled, or given up for another one: nothing is left of them',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('cancelled', 3 * MAX_FRAGMENT_BYTES);
        const copy = HELLO(folder, { content });
        const [start, first, second, third] = messagesOf(copy) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        for (const requests of [[start], [start, first], [start, first, second, third]]) {
          await asked(stage, 'cancelled', [...requests, CANCEL], IcStatus.ok);
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        }
        await asked(stage, 'nothing to cancel', [CANCEL], IcStatus.ok);
        const folders = [start, first, CANCEL].map((request) =>
          request.operation === 'start'
            ? { ...request, path: `${folder}new/`, flags: { ...request.flags, createPath: true } }
            : request,
        );
        await asked(stage, 'with a folder to be made', folders, IcStatus.ok);
        assert.deepEqual(fs.readdirSync(folder), [], 'no folder either');

        for (let i = 0; i < 50; i++)
          await asked(stage, 'begun', [startOf({ ...copy, fileName: `file ${i}` })], IcStatus.ok);
        assert.ok(openFiles(stage).length <= 2, 'files begun before are closed');
        assert.deepEqual(filesIn(stage), []);
        await mustServe(stage, folder);
        hand.say('Nothing is left of 54 copies that were given up');
      }),
  },
  {
    name: 'fcopy-order',
    service: 'fcopy',
    wires: BOTH,
    description: 'messages in an order, and with sizes, that no correct host sends',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('order', 2 * MAX_FRAGMENT_BYTES + 100);
        const [start, first, second, third] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        const { invalidArgument, fail } = IcStatus;
        const refused: (readonly [string, readonly FcopyRequest[], number])[] = [
          ['data before a start', [first], fail],
          ['complete before a start', [COMPLETE], fail],
          ['the second part first', [start, second], invalidArgument],
          ['a part twice', [start, first, first], invalidArgument],
          ['a part left out', [start, first, third], invalidArgument],
          [
            'parts that overlap',
            [start, first, dataOf(content, MAX_FRAGMENT_BYTES - 1)],
            invalidArgument,
          ],
          [
            'a part at 2^63',
            [start, { operation: 'data', offset: 1n << 63n, data: new Uint8Array(1) }],
            invalidArgument,
          ],
          [
            'more than announced',
            [startOf(HELLO(folder, { content }), 10n), first],
            invalidArgument,
          ],
          [
            'something of nothing',
            [startOf(HELLO(folder), 0n), dataOf(content, 0, 1)],
            invalidArgument,
          ],
          ['complete after less than announced', [start, first, second, COMPLETE], fail],
          [
            'more than any disk has',
            [startOf(HELLO(folder), 0xffff_ffff_ffff_ffffn)],
            IcStatus.diskFull,
          ],
        ];
        for (const [what, requests, status] of refused) {
          await asked(stage, what, requests, status);
          await asked(stage, what, [CANCEL], IcStatus.ok);
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []], what);
          hand.say(`${what}: ${formatStatus(status)}`);
        }
        // What was refused counts for nothing: the right part may follow
        await asked(stage, 'begun', [start, first, third], invalidArgument);
        await asked(stage, 'gone on with', [second, third, COMPLETE], IcStatus.ok);
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mustServe(stage, folder);
      }),
  },
  {
    name: 'fcopy-sizes',
    service: 'fcopy',
    wires: BOTH,
    description: 'parts that say they are longer than their message, messages that are cut short',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('sizes', 20_000);
        const [start, first] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
        ];
        const { host } = stage;
        await asked(stage, 'begun', [start], IcStatus.ok);
        for (const sizeBytes of [
          MAX_FRAGMENT_BYTES + 1,
          8192,
          0x7fff_ffff,
          0x8000_0000,
          0xffff_ffff,
        ]) {
          const message = host.encode(first).slice();
          new DataView(message.buffer).setUint32(host.bodyOffset + SIZE_AT, sizeBytes, true);
          const answer = await stage.alive(host.exchange(message));
          assert.equal(
            answer && host.statusOf(answer),
            IcStatus.invalidArgument,
            `a part of ${sizeBytes} bytes`,
          );
        }
        for (const request of [start, first]) {
          const whole = host.encode(request);
          for (const cut of [
            host.bodyOffset + 36,
            host.bodyOffset + 51,
            host.bodyOffset + 80,
            whole.length - 9,
          ]) {
            const message = whole.slice(0, cut);
            if (wire === 'unix-ring') {
              const view = new DataView(message.buffer);
              view.setUint32(4, cut - 8, true);
              view.setUint16(18, cut - host.bodyOffset, true);
            }
            const answer = await stage.alive(host.exchange(message));
            assert.notEqual(
              answer && host.statusOf(answer),
              IcStatus.ok,
              `${request.operation} cut to ${cut} bytes`,
            );
          }
        }
        assert.deepEqual(filesIn(stage), []);
        await asked(stage, 'cancelled', [CANCEL], IcStatus.ok);
        await mustServe(stage, folder);
        hand.say('None of it was written');
      }),
  },
  {
    name: 'fcopy-silent',
    service: 'fcopy',
    wires: BOTH,
    description: 'a host that falls silent in the middle of a file',
    run: (hand, wire) =>
      onStage(
        hand,
        wire,
        async (stage, folder) => {
          const content = contentOf('silent', 3 * MAX_FRAGMENT_BYTES);
          await asked(
            stage,
            'begun',
            messagesOf(HELLO(folder, { content })).slice(0, 3),
            IcStatus.ok,
          );
          assert.notDeepEqual(openFiles(stage), []);
          hand.say('The host says no more…');
          const said = await stage.alive(stage.daemon.log((line) => line['result'] === 'silent'));
          hand.say(String(said.message));
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
          await asked(
            stage,
            'it goes on too late',
            [dataOf(content, 2 * MAX_FRAGMENT_BYTES)],
            IcStatus.fail,
          );
          await mustServe(stage, folder);
        },
        { silence_secs: 1 },
      ),
  },
  {
    name: 'fcopy-restart',
    service: 'fcopy',
    wires: BOTH,
    description: 'a device that vanishes in the middle of a file, and comes back',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('gone', 3 * MAX_FRAGMENT_BYTES);
        await asked(
          stage,
          'begun',
          messagesOf(HELLO(folder, { content })).slice(0, 3),
          IcStatus.ok,
        );
        const again = stage.host.nextReady();
        stage.host.hangUp();
        await stage.alive(again);
        assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        await asked(
          stage,
          'gone on with',
          [dataOf(content, 2 * MAX_FRAGMENT_BYTES)],
          IcStatus.fail,
        );
        await mustServe(stage, folder);
        hand.say('Nothing is left of the copy; the guest found the device again');
      }),
  },
  {
    name: 'fcopy-suspend',
    service: 'fcopy',
    wires: DEVICE,
    description: 'a virtual machine that is suspended in the middle of a file, and wakes',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('suspended', 3 * MAX_FRAGMENT_BYTES);
        await asked(
          stage,
          'begun',
          messagesOf(HELLO(folder, { content })).slice(0, 3),
          IcStatus.ok,
        );
        const again = stage.host.nextReady();
        // hv_utils makes up a cancel, and refuses the answer to it (hv_fcopy_pre_suspend in
        // drivers/hv/hv_fcopy.c)
        stage.utils.refuseNextReply();
        await assert.rejects(
          stage.ask(CANCEL),
          (error) => error instanceof HostError && error.code === 'dropped',
        );
        await stage.alive(again);
        assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        await mustServe(stage, folder);
        hand.say('Nothing is left of the copy; the guest registered again');
      }),
  },
  {
    name: 'fcopy-renegotiate',
    service: 'fcopy',
    wires: RING,
    description:
      'versions negotiated anew in the middle of a file, and messages a correct host never sends',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('renegotiated', 2 * MAX_FRAGMENT_BYTES);
        const [start, first, second] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        await asked(stage, 'begun', [start, first], IcStatus.ok);
        assert.ok(await stage.alive(stage.ring.negotiate()));
        await asked(stage, 'gone on with', [second, COMPLETE], IcStatus.ok);
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mistreat(
          { host: stage.ring, alive: (work) => stage.alive(work) },
          stage.ring.encode(start),
          1088,
        );
        await mustServe(stage, folder);
      }),
  },
  {
    name: 'fcopy-full-ring',
    service: 'fcopy',
    wires: RING,
    description: 'a host that asks on and on and reads no answers, then reads them all',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('full', 40 * MAX_FRAGMENT_BYTES);
        const messages = messagesOf(HELLO(folder, { content })).map((request) =>
          stage.ring.encode(request).slice(),
        );
        const statuses: number[] = [];
        const release = stage.ring.takeOver((answer) => statuses.push(stage.ring.statusOf(answer)));
        try {
          stage.ring.pauseReading();
          let sent = 0;
          for (let idle = 0; idle < 30 && sent < messages.length; ) {
            if (stage.ring.trySend(messages[sent]!, BigInt(sent + 1))) {
              sent++;
              idle = 0;
            } else {
              idle++;
              await new Promise((resolve) => setTimeout(resolve, 10));
            }
          }
          hand.say(`${sent} messages fit before the guest stopped reading`);
          assert.ok(sent < messages.length);
          stage.ring.resumeReading();
          while (statuses.length < messages.length) {
            if (sent < messages.length && stage.ring.trySend(messages[sent]!, BigInt(sent + 1)))
              sent++;
            else await stage.alive(new Promise((resolve) => setTimeout(resolve, 1)));
          }
        } finally {
          stage.ring.resumeReading();
          release();
        }
        assert.deepEqual(new Set(statuses), new Set([IcStatus.ok]));
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mustServe(stage, folder);
      }),
  },
];

/** Byte offsets in a body (struct hv_start_fcopy, hv_do_fcopy in include/uapi/linux/hyperv.h). */
const NAME_AT = 36;
const SIZE_AT = 48;
