import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { IcStatus } from '../../protocol/ic/status.ts';
import { type Copy, messagesOf, startOf } from '../hosts/fcopy-host.ts';
import {
  asked,
  BOTH,
  contentOf,
  FILES,
  filesIn,
  HELLO,
  LARGE_BYTES,
  mustServe,
  onStage,
  statusOf,
  WATCHED_MS,
} from './fcopy-tools.ts';
import type { ServiceScene } from './scene.ts';

/** Files that arrive, and how they look then. */
export const fcopyCopies: readonly ServiceScene[] = [
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
];

/** Byte offset in a body (struct hv_start_fcopy in include/uapi/linux/hyperv.h). */
const NAME_AT = 36;
