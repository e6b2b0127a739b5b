import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { FcopyStage } from '../../simulator/hosts/fcopy-host.ts';
import { filesIn, guestFolder, openFiles } from '../../simulator/scenes/fcopy.ts';
import { CONTENT } from './fcopy-sequences.ts';

const { fail, invalidArgument } = IcStatus;

/** A folder that copies name. */
export interface FuzzFolder {
  readonly path: string;
  /** What a start for it has to be refused with. */
  readonly refusal: number | undefined;
  /** Whether it is there only after a start that creates it. */
  readonly isMissing: boolean;
}

/** The files and folders of one guest in the fuzz test. */
export class FcopyFuzzFiles {
  readonly folders: readonly FuzzFolder[];
  readonly #stage: FcopyStage;
  readonly #guest: string;
  readonly #outside: string;
  readonly #beside: readonly string[];

  constructor(stage: FcopyStage) {
    this.#stage = stage;
    this.#guest = guestFolder(stage);
    this.#outside = path.join(stage.ground.folder, 'outside');
    this.#prepare();
    this.folders = foldersOf(this.#guest, this.#outside, stage.ground.folder);
    this.#beside = this.#listBeside();
  }

  /** Checks that files are whole, what they should be, and where they may be; nothing is open. */
  look(): void {
    assert.deepEqual(fs.readdirSync(this.#outside), [], 'a file outside of the root');
    assert.deepEqual(openFiles(this.#stage), [], 'a file left open');
    for (const file of filesIn(this.#stage)) {
      if (file === 'out') continue;
      const content = fs.readFileSync(path.join(this.#guest, file));
      const belongs = content.equals(CONTENT.subarray(0, content.length));
      assert.ok(belongs, `${file} holds what was never sent for its place`);
      const sizeBytes = /(?:^|\/)(\d+)-[^/]*$/.exec(file)?.[1];
      if (sizeBytes !== undefined)
        assert.equal(content.length, Number(sizeBytes), `${file} is not whole`);
    }
  }

  /** Removes all files and folders, and makes those that are there at the beginning. */
  clear(): void {
    for (const entry of fs.readdirSync(this.#guest))
      fs.rmSync(path.join(this.#guest, entry), { recursive: true });
    this.#prepare();
  }

  /** Checks that nothing beside the root came or went. */
  checkBeside(): void {
    assert.deepEqual(this.#listBeside(), this.#beside, 'nothing beside the root');
  }

  #listBeside(): string[] {
    return fs.readdirSync(this.#stage.ground.folder).sort();
  }

  #prepare(): void {
    fs.mkdirSync(path.join(this.#guest, 'sub'), { recursive: true });
    fs.mkdirSync(this.#outside, { recursive: true });
    fs.symlinkSync('../outside', path.join(this.#guest, 'out'));
  }
}

function foldersOf(guest: string, outside: string, parent: string): FuzzFolder[] {
  const folders: readonly (readonly [string, number | undefined, boolean])[] = [
    [`${guest}/`, undefined, false],
    [`${guest}/sub/`, undefined, false],
    [`${guest}/sub`, undefined, false],
    [`${guest.replaceAll('/', '\\')}\\sub\\`, undefined, false],
    [`${guest}//./sub/`, undefined, false],
    [`${guest}/made/deep/`, undefined, true],
    [`${guest}/out/`, fail, false],
    [`${guest}/sub/../`, invalidArgument, false],
    [`${outside}/`, fail, false],
    [`${parent}/`, fail, false],
    ['/var/tmp/', fail, false],
    ['C:\\Windows\\', invalidArgument, false],
    ['relative/', invalidArgument, false],
  ];
  return folders.map(([folder, refusal, isMissing]) => ({ path: folder, refusal, isMissing }));
}
