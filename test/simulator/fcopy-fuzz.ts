/**
 * Random sequences of messages for a real file copy daemon, from a seed: starts of good and bad
 * names, parts in and out of order, ends, and messages with bits changed. What a well-formed one
 * has to be answered with is known from a model of the files; now and then all files are looked at.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import type { FcopyStage } from '../../simulator/hosts/fcopy-host.ts';
import { statusFileOf } from '../../simulator/scenes/fcopy-tools.ts';
import { FcopyFuzzFiles } from './fcopy-fuzz-files.ts';
import { FcopyFuzzSender } from './fcopy-fuzz-sender.ts';
import { FcopyModel } from './fcopy-model.ts';
import { FcopySequences } from './fcopy-sequences.ts';
import { randomFrom } from './fuzz.ts';
import { FuzzLine } from './fuzz-line.ts';

export interface FcopyFuzzResult {
  readonly messages: number;
  readonly wellFormed: number;
  /** Copies that the host was told are complete. */
  readonly completed: number;
  /** Looks at all files. */
  readonly looks: number;
  readonly rssBytes: readonly number[];
}

const LOOK_EVERY = 20_000;
const SAMPLES = 200;

/** Sends `count` sequences and checks every answer. Rejects on the first thing that is wrong. */
export async function fuzzFcopy(
  stage: FcopyStage,
  count: number,
  seed: number,
): Promise<FcopyFuzzResult> {
  const { daemon } = stage;
  await untilStatusFile(stage);
  const random = randomFrom(seed);
  const files = new FcopyFuzzFiles(stage);
  const sequences = new FcopySequences(files.folders, random);
  const model = new FcopyModel();
  const line = new FuzzLine(stage);
  const sender = new FcopyFuzzSender({ stage, line, model, random });
  const countDescriptors = (): number => fs.readdirSync(`/proc/${daemon.pid}/fd`).length;
  const rssBytes: number[] = [];
  let looks = 0;
  const release = line.open();
  try {
    await sender.settle();
    const before = countDescriptors();
    for (let made = 1; made <= count; made++) {
      for (const step of sequences.next()) await sender.send(step);
      if (made % LOOK_EVERY === 0 || made === count) {
        await sender.settle();
        files.look();
        files.clear();
        model.forgetFiles();
        sequences.forgetFolders();
        looks++;
      }
      if (made % Math.ceil(count / SAMPLES) === 0) rssBytes.push(daemon.rssBytes());
    }
    const after = countDescriptors();
    assert.ok(after <= before, `${after} descriptors, ${before} at the beginning`);
    files.checkBeside();
    const { messages } = line;
    const { wellFormed } = sender;
    return { messages, wellFormed, completed: model.completed, looks, rssBytes };
  } finally {
    release();
  }
}

/** A daemon writes its status only after it is ready. The file must not look like a stray one. */
async function untilStatusFile(stage: FcopyStage): Promise<void> {
  while (!fs.existsSync(statusFileOf(stage)) && !stage.daemon.exit)
    await new Promise((resolve) => setTimeout(resolve, 5));
}
