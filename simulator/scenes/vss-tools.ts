import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { IcStatus } from '../../protocol/ic/status.ts';
import { version } from '../../protocol/ic/version.ts';
import type { VssRequest } from '../../protocol/vss/types.ts';
import { PRETENCE, VssStage, type VssStageOptions, vssSettings } from '../hosts/vss-host.ts';
import { missingScratch, Scratch } from '../stages/scratch.ts';
import { openStages } from '../stages/service-stage.ts';
import type { Wire } from '../wire.ts';
import { played, type Stagehand } from './scene.ts';

export const BOTH: readonly Wire[] = ['unix', 'unix-ring'];
export const DEVICE: readonly Wire[] = ['unix'];
export const RING: readonly Wire[] = ['unix-ring'];

/**
 * What is frozen on stage: a scratch file system, or, where there can be none, a pretended one, of
 * which nothing can be seen.
 */
export class Props {
  scratch: Scratch | undefined;
  readonly #creating: Promise<Scratch> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(creating: Promise<Scratch> | undefined) {
    this.#creating = creating;
    openStages.add(this);
  }

  static async make(hand: Stagehand): Promise<Props> {
    const missing = missingScratch();
    if (missing !== undefined) {
      hand.say(
        `There can be no scratch file system here (${missing}): what is frozen is pretended.`,
      );
      return new Props(undefined);
    }
    const props = new Props(Scratch.create({ kinds: ['ext4'] }));
    props.scratch = await props.#creating;
    return props;
  }

  file(name: string): string {
    return path.join(this.#mountPoint, name);
  }

  write(name: string, text: string): void {
    this.scratch?.run('sh', '-c', 'printf %s "$2" >"$1"', 'sh', this.file(name), text);
  }

  /** What the file system's state is has to be this. */
  mustBe(state: 'frozen' | 'thawed'): void {
    if (this.scratch)
      assert.equal(this.scratch.isFrozen(this.#mountPoint) ? 'frozen' : 'thawed', state);
  }

  /** Somebody thaws it, sooner or later. */
  async thaws(): Promise<void> {
    for (const until = performance.now() + 300_000; this.scratch?.isFrozen(this.#mountPoint); ) {
      assert.ok(performance.now() < until, 'it stays frozen');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** A program inside that writes while all is frozen, and so has to wait. */
  writer(): ChildProcess | undefined {
    if (!this.scratch) return undefined;
    const [enter, ...args] = this.scratch.enter([
      'sh',
      '-c',
      'echo later >"$1"',
      'sh',
      this.file('waiting'),
    ]);
    return spawn(enter, args, { stdio: 'ignore' });
  }

  /** A copy of the disk as it is now, and what is in it: what a host's snapshot holds. */
  snapshot(name: string): { readonly clean: boolean; readonly content: string } | undefined {
    if (!this.scratch) return undefined;
    const copy = path.join(this.scratch.shared, 'snapshot');
    // The device, not the file that is behind it: that is the host's
    this.scratch.run(
      'dd',
      `if=${this.#source}`,
      `of=${copy}`,
      'bs=1M',
      'iflag=direct',
      'status=none',
    );
    const { ok } = this.scratch.try('e2fsck', '-fn', copy);
    const content = this.scratch.run('debugfs', '-R', `cat ${name}`, copy);
    fs.rmSync(copy);
    return { clean: ok, content };
  }

  close(): Promise<void> {
    openStages.delete(this);
    // Also one that is only just being made
    this.#closing ??= this.#creating?.then((scratch) => scratch.dispose()) ?? Promise.resolve();
    return this.#closing;
  }

  abandon(): void {
    this.scratch?.abandon();
  }

  get #mountPoint(): string {
    return this.scratch?.fileSystems[0]?.mountPoint ?? '';
  }

  get #source(): string {
    return this.scratch?.fileSystems[0]?.source ?? '';
  }
}

export interface Play {
  readonly stage: VssStage;
  readonly props: Props;
  readonly hand: Stagehand;
}

/** Opens a stage with a file system on it, plays, and has all end as it should. */
export async function onStage(
  hand: Stagehand,
  wire: Wire,
  settings: Readonly<Record<string, string | number | boolean>>,
  play: (play: Play) => Promise<void>,
  more: Partial<VssStageOptions> = {},
): Promise<void> {
  const props = await Props.make(hand);
  try {
    const opening = VssStage.open(wire, {
      native: hand.native,
      tap: hand.tap,
      onLog: hand.onLog,
      place: props.scratch ?? PRETENCE,
      settings: (ground) => ({ ...vssSettings(ground, props.scratch === undefined), ...settings }),
      ...more,
    });
    await played(opening, (stage) => play({ stage, props, hand }));
    props.mustBe('thawed');
  } finally {
    await props.close();
  }
}

export async function refused(stage: VssStage, what: string, request: VssRequest): Promise<void> {
  const { status } = await stage.ask(request);
  assert.notEqual(status, IcStatus.ok, what);
}

export const offer = (...majors: number[]) => ({
  framework: [version(1, 0), version(3, 0)],
  message: majors.map((major) => version(major, 0)),
});

export const lines = (file: string): string[] =>
  fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n') : [];

/** Some things are done after the answer. */
export async function until(fits: () => boolean): Promise<void> {
  while (!fits()) await new Promise((resolve) => setTimeout(resolve, 20));
}
