import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { NO_AUTO_RECOVERY, type VssRequest } from '../../../protocol/services/vss-types.ts';
import { missingScratch, Scratch } from '../../vss-freeze/scratch.ts';
import { formatStatus } from '../kvp-host.ts';
import { openStages } from '../service-stage.ts';
import { Ask, PRETENCE, succeeded, VssStage, type VssStageOptions, vssSettings } from '../vss-host.ts';
import type { Wire } from '../wire.ts';
import { mistreat, played, type ServiceScene, type Stagehand, script } from './scene.ts';

const BOTH: readonly Wire[] = ['unix', 'unix-ring'];
const DEVICE: readonly Wire[] = ['unix'];
const RING: readonly Wire[] = ['unix-ring'];

/** What is frozen on stage: a scratch file system, or, where there can be none, a pretended one, of which nothing can be seen. */
class Props {
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
      hand.say(`There can be no scratch file system here (${missing}): what is frozen is pretended.`);
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
    if (this.scratch) assert.equal(this.scratch.isFrozen(this.#mountPoint) ? 'frozen' : 'thawed', state);
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
    const [enter, ...args] = this.scratch.enter(['sh', '-c', 'echo later >"$1"', 'sh', this.file('waiting')]);
    return spawn(enter, args, { stdio: 'ignore' });
  }

  /** A copy of the disk as it is now, and what is in it: what a host's snapshot holds. */
  snapshot(name: string): { readonly clean: boolean; readonly content: string } | undefined {
    if (!this.scratch) return undefined;
    const copy = path.join(this.scratch.shared, 'snapshot');
    // The device, not the file that is behind it: that is the host's
    this.scratch.run('dd', `if=${this.#source}`, `of=${copy}`, 'bs=1M', 'iflag=direct', 'status=none');
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

interface Play {
  readonly stage: VssStage;
  readonly props: Props;
  readonly hand: Stagehand;
}

/** Opens a stage with a file system on it, plays, and has all end as it should. */
async function onStage(
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

async function refused(stage: VssStage, what: string, request: VssRequest): Promise<void> {
  const { status } = await stage.ask(request);
  assert.notEqual(status, IcStatus.ok, what);
}

const offer = (...majors: number[]) => ({
  framework: [version(1, 0), version(3, 0)],
  message: majors.map((major) => version(major, 0)),
});

export const vssScenes: readonly ServiceScene[] = [
  {
    name: 'vss-backup',
    service: 'vss',
    wires: BOTH,
    live: true,
    description: 'a backup: the file system is frozen, the host takes its snapshot, and all goes on',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        const calls = path.join(stage.ground.folder, 'calls');
        script(path.join(stage.ground.folder, 'vss.d'), '10-database', `echo "database $1" >>${calls}`);
        script(path.join(stage.ground.folder, 'vss.d'), '20-mail', `echo "mail $1" >>${calls}`);
        props.write('ledger', 'balance 100\n');

        const check = await stage.ask(Ask.checkHotBackup);
        succeeded('hot backup check', check);
        // hv_utils keeps the flags to itself
        assert.equal(check.flags, wire === 'unix' ? undefined : NO_AUTO_RECOVERY);
        succeeded('devices info', await stage.ask(Ask.getDmInfo));

        succeeded('freeze', await stage.ask(Ask.freeze));
        props.mustBe('frozen');
        const writer = props.writer();
        const snapshot = props.snapshot('ledger');
        if (snapshot) {
          assert.deepEqual(snapshot, { clean: true, content: 'balance 100\n' });
          hand.say('The host takes its snapshot: e2fsck finds it clean, and what was written before is in it.');
        }
        await hand.pause(1000);
        if (writer) {
          assert.equal(writer.exitCode, null, 'who writes to a frozen file system waits');
          hand.say('A program that writes meanwhile has to wait.');
        }

        succeeded('thaw', await stage.ask(Ask.thaw));
        props.mustBe('thawed');
        if (writer && writer.exitCode === null) await stage.alive(once(writer, 'exit'));
        succeeded('backup complete', await stage.ask(Ask.backupComplete));
        const done = await stage.daemon.log((line) => line.message === 'Frozen and thawed');
        hand.say(`Frozen and thawed: ${JSON.stringify(done['fileSystems'])}`);
        await stage.alive(until(() => lines(calls).length === 4));
        assert.deepEqual(lines(calls), ['database freeze', 'mail freeze', 'mail thaw', 'database thaw']);
        hand.say(`Its hooks were called: ${lines(calls).join(', ')}.`);
      }),
  },
  {
    name: 'vss-order',
    service: 'vss',
    wires: BOTH,
    description: 'a host that asks in the wrong order, and for what no guest does',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        succeeded('a thaw without a freeze', await stage.ask(Ask.thaw));
        succeeded('freeze', await stage.ask(Ask.freeze));
        await refused(stage, 'a second freeze', Ask.freeze);
        props.mustBe('frozen');
        succeeded('hot backup check while frozen', await stage.ask(Ask.checkHotBackup));
        props.mustBe('frozen');
        succeeded('thaw', await stage.ask(Ask.thaw));
        props.mustBe('thawed');
        succeeded('a second thaw', await stage.ask(Ask.thaw));
        for (const operationCode of [9, 77, 255]) {
          const { status } = await stage.request({ operation: 'unknown', operationCode, flags: 0 });
          assert.equal(status, IcStatus.notSupported, `operation ${operationCode}`);
        }
        hand.say(`Operations nobody knows: "${formatStatus(IcStatus.notSupported)}"`);
        succeeded('a whole backup after that', await stage.ask(Ask.freeze));
        succeeded('thaw', await stage.ask(Ask.thaw));
      }),
  },
  {
    name: 'vss-silent',
    service: 'vss',
    wires: DEVICE,
    description: 'a host that falls silent after the freeze: the guest goes on by itself',
    run: (hand, wire) =>
      onStage(hand, wire, { limit_secs: 5 }, async ({ stage, props }) => {
        succeeded('freeze', await stage.ask(Ask.freeze));
        props.mustBe('frozen');
        const said = await stage.alive(stage.daemon.log((line) => line.message === 'Thawed before it was asked for'));
        hand.say(`Thawed after 5 s: ${said['problem']}.`);
        props.mustBe('thawed');
        await refused(stage, 'the thaw of a copy that can not be trusted', Ask.thaw);
        hand.say('The host, asking for the thaw at last, is told that its copy may not be consistent.');
        succeeded('the next freeze', await stage.ask(Ask.freeze));
        succeeded('and its thaw', await stage.ask(Ask.thaw));
      }),
  },
  {
    name: 'vss-gone',
    service: 'vss',
    wires: BOTH,
    description: 'a host that takes the device away while all is frozen',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        succeeded('freeze', await stage.ask(Ask.freeze));
        props.mustBe('frozen');
        const again = stage.host.nextReady();
        stage.host.hangUp();
        await stage.alive(props.thaws());
        hand.say('Thawed, since nobody is left to ask for it.');
        await stage.alive(again);
        await refused(stage, 'the thaw of a freeze that ended before', Ask.thaw);
        succeeded('the next freeze', await stage.ask(Ask.freeze));
        succeeded('and its thaw', await stage.ask(Ask.thaw));
      }),
  },
  {
    name: 'vss-suspended',
    service: 'vss',
    wires: DEVICE,
    description: 'a virtual machine that is suspended while all is frozen: hv_utils makes up a thaw',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        succeeded('freeze', await stage.ask(Ask.freeze));
        const again = stage.host.nextReady();
        stage.utils.suspend(Ask.thaw);
        await stage.alive(again);
        props.mustBe('thawed');
        // And in the middle of a freeze: neither is answered any more, and what was frozen is not
        const next = stage.host.nextReady();
        const lost = stage.host.request(Ask.freeze);
        lost.catch(() => {});
        stage.utils.suspend(Ask.thaw);
        await stage.alive(assert.rejects(lost));
        await stage.alive(next);
        await stage.alive(props.thaws());
        succeeded('the next freeze', await stage.ask(Ask.freeze));
        succeeded('and its thaw', await stage.ask(Ask.thaw));
      }),
  },
  {
    name: 'vss-renegotiated',
    service: 'vss',
    wires: RING,
    description: 'a host that negotiates again while all is frozen, and one of every age',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        succeeded('freeze', await stage.ask(Ask.freeze));
        assert.deepEqual((await stage.alive(stage.ring.negotiate(offer(3, 4, 5, 6, 7))))?.message, version(5, 0));
        props.mustBe('frozen');
        succeeded('thaw', await stage.ask(Ask.thaw));
        props.mustBe('thawed');
        assert.equal(
          await stage.alive(stage.ring.negotiate(offer(4))),
          undefined,
          'without freezes there is no common version',
        );
        await stage.alive(stage.ring.negotiate());
        succeeded('auto recovery', await stage.ask(Ask.autoRecover));
        await refused(stage, 'a question of 6.0', { operation: 'queryClusterInfo', flags: 0 });
      }),
  },
  {
    name: 'vss-versions',
    service: 'vss',
    wires: RING,
    description: 'a backup by later versions, which the configuration asks for; what they add is refused',
    run: (hand, wire) =>
      onStage(hand, wire, { offer_versions: '6.0,7.0' }, async ({ stage, props }) => {
        assert.equal(stage.ring.versions?.message.major, 5, 'a host that offers 5.0 gets it');
        for (const [majors, chosen] of [
          [[4, 5, 6], 6],
          [[3, 4, 5, 6, 7], 7],
        ] as const) {
          assert.deepEqual((await stage.alive(stage.ring.negotiate(offer(...majors))))?.message, version(chosen, 0));
          succeeded('freeze', await stage.ask(Ask.freeze));
          props.mustBe('frozen');
          const { status } = await stage.ask({ operation: 'queryClusterInfo', flags: 0 });
          assert.equal(status, IcStatus.notSupported);
          succeeded('thaw', await stage.ask(Ask.thaw));
          props.mustBe('thawed');
        }
      }),
  },
  {
    name: 'vss-killed',
    service: 'vss',
    wires: BOTH,
    description: 'a daemon that is killed while all is frozen: thawed all the same, and the next one knows',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        succeeded('freeze', await stage.ask(Ask.freeze));
        props.mustBe('frozen');
        stage.daemon.signal('SIGKILL');
        await stage.daemon.exited;
        await props.thaws();
        hand.say('Its guard has thawed all.');
        await stage.startDaemon();
        const said = await stage.alive(stage.daemon.log((line) => line.message === 'A freeze was interrupted'));
        hand.say(`The next daemon says: ${said['problem']}.`);
        await refused(stage, 'the thaw of a freeze that was interrupted', Ask.thaw);
        succeeded('the next freeze', await stage.ask(Ask.freeze));
        succeeded('and its thaw', await stage.ask(Ask.thaw));
      }),
  },
  {
    name: 'vss-hooks',
    service: 'vss',
    wires: DEVICE,
    description: 'a hook that refuses: nothing is frozen, and those before it are told',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        const folder = path.join(stage.ground.folder, 'vss.d');
        const calls = path.join(stage.ground.folder, 'calls');
        script(folder, '10-ready', `echo "ready $1" >>${calls}`);
        script(folder, '20-busy', `echo "busy $1" >>${calls}`, 'test "$1" = thaw');
        script(folder, '30-never', `echo "never $1" >>${calls}`);
        await refused(stage, 'a freeze that a hook refuses', Ask.freeze);
        props.mustBe('thawed');
        await stage.alive(until(() => lines(calls).length === 4));
        assert.deepEqual(lines(calls), ['ready freeze', 'busy freeze', 'busy thaw', 'ready thaw']);
        hand.say(`Called: ${lines(calls).join(', ')}.`);
      }),
  },
  {
    name: 'vss-malformed',
    service: 'vss',
    wires: BOTH,
    description: 'what a correct host never sends to the VSS service',
    run: (hand, wire) =>
      onStage(hand, wire, {}, async ({ stage, props }) => {
        const { host } = stage;
        if (wire === 'unix') {
          for (const length of [1, 4, 11, 13]) {
            const answer = await stage.alive(host.exchange(new Uint8Array(length).fill(5)));
            assert.equal(answer, undefined, `a message of ${length} bytes was answered`);
          }
        } else {
          await mistreat({ host: stage.ring, alive: (work) => stage.alive(work) }, host.encode(Ask.thaw), 12);
          const lunCountAt = host.bodyOffset + 16;
          for (const lunCount of [261, 0xffff_ffff]) {
            const message = host.encode(Ask.freeze).slice();
            new DataView(message.buffer).setUint32(lunCountAt, lunCount, true);
            const answer = await stage.alive(host.exchange(message));
            assert.ok(answer && host.statusOf(answer) !== 0, `a freeze of ${lunCount} disks`);
          }
        }
        props.mustBe('thawed');
        succeeded('a freeze after all that', await stage.ask(Ask.freeze));
        props.mustBe('frozen');
        succeeded('and its thaw', await stage.ask(Ask.thaw));
      }),
  },
];

const lines = (file: string): string[] =>
  fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n') : [];

/** Some things are done after the answer. */
async function until(fits: () => boolean): Promise<void> {
  while (!fits()) await new Promise((resolve) => setTimeout(resolve, 20));
}
