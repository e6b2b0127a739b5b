/**
 * Run by system.test.ts on a tiny file system of its own: fills it while a file comes, and says how
 * that went as JSON.
 */
import fs from 'node:fs';
import { Leftover } from '../../../daemons/fcopy/leftover.ts';
import type { FileProblem } from '../../../daemons/fcopy/ports.ts';
import { FileMaker } from '../../../daemons/fcopy/system.ts';
import { native } from '../../../native/index.ts';
import { levels } from '../../../runtime/log.ts';

const folder = process.argv[2] as string;
const target = (fileName: string) => ({
  folders: folder.split('/').filter((name) => name !== ''),
  fileName,
});
const wishes = { overwrite: false, createPath: false };
const policy = {
  roots: [{ folders: [] }],
  owner: undefined,
  mode: 0o644,
  folderMode: 0o755,
  reserveBytes: 0n,
};
const leftover = new Leftover(
  '/nonexistent/note',
  native,
  levels(() => {}),
);
const maker = new FileMaker(native, policy, leftover);

let atTheStart: string | undefined;
try {
  maker.create(target('huge'), 300_000, wishes);
} catch (error) {
  atTheStart = (error as FileProblem).result;
}
// It fits when it begins; then somebody else takes the space
const incoming = maker.create(target('file'), 200_000, wishes);
fs.writeFileSync(`${folder}/other`, Buffer.alloc(150_000));
let onTheWay: string | undefined;
try {
  for (let at = 0; at < 200_000; at += 4000) incoming.sink.write(new Uint8Array(4000));
} catch (error) {
  onTheWay = (error as NodeJS.ErrnoException).code;
}
const position = incoming.sink.positionBytes;
incoming.close();
fs.rmSync(`${folder}/other`);
const afterwards = fs.readdirSync(folder);
const again = maker.create(target('again'), 1000, wishes);
again.sink.write(Buffer.alloc(1000, 'x'));
await again.sync();
await again.publish();
again.close();
console.log(
  JSON.stringify({
    atTheStart,
    onTheWay,
    wholeParts: position % 4000 === 0 && position < 200_000,
    afterwards,
    fitsAgain: fs.readFileSync(`${folder}/again`, 'utf8').length,
  }),
);
