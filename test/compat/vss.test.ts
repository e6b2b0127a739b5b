/**
 * The same file systems and the same requests for Debian's C daemon and for ours: real freezes of
 * loop devices in a private mount namespace where nothing of this machine can be frozen. What
 * differs must be in DIFFERENCES, with its reason; and all that is listed there must really differ.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { missingScratch, Scratch } from '../../simulator/stages/scratch.ts';
import { DaemonGone } from './raw-host.ts';
import { missingReference } from './reference.ts';
import type { Kind } from './subject.ts';
import { Operation, VssSubject } from './vss-subject.ts';

const OK = '0x0';
const FAIL = '0x80004005';
const NOT_SUPPORTED = '0x80070032';
const NONE = 'none';
const BOTH = 'A and B';

/** What a daemon made of a case, in words that can be compared. */
type Outcome = Readonly<Record<string, string>>;

interface Difference {
  readonly c: string;
  readonly vmic: string;
  readonly why: string;
}

const noneForgotten = 'no file system is forgotten';
const noneStays = 'nothing stays frozen, however the daemon ends';
const leftOut = 'what can not be frozen by its nature is left out, and does not fail the rest';

const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'A is shadowed by B: frozen': { c: 'B', vmic: BOTH, why: noneForgotten },
  'A shows through a read-only bind alone: frozen': { c: 'B', vmic: BOTH, why: noneForgotten },
  'a user-space file system: freeze': { c: FAIL, vmic: OK, why: leftOut },
  'a user-space file system: frozen': { c: NONE, vmic: BOTH, why: leftOut },
  'somebody else froze A: after the thaw': {
    c: NONE,
    vmic: 'A',
    why: 'only what we froze is thawed',
  },
  'a second freeze: freezes': {
    c: `${OK}, ${OK}`,
    vmic: `${OK}, ${FAIL}`,
    why: 'the first one holds, and so does its limit',
  },
  'unknown operation 9: status': {
    c: OK,
    vmic: NOT_SUPPORTED,
    why: 'an unknown operation is no success',
  },
  'killed: afterwards': { c: BOTH, vmic: NONE, why: noneStays },
  'told to stop: afterwards': { c: BOTH, vmic: NONE, why: noneStays },
  'killed and started again: afterwards': { c: BOTH, vmic: NONE, why: noneStays },
  'killed and started again: thaw': {
    c: OK,
    vmic: FAIL,
    why: 'the host is told that its copy may not be consistent',
  },
};

/**
 * Frozen file systems are looked for from a namespace in which they lie where they were made,
 * whatever is mounted over them elsewhere.
 */
class Observer {
  readonly #scratch: Scratch;
  readonly #holder: ChildProcess;

  private constructor(scratch: Scratch, holder: ChildProcess) {
    this.#scratch = scratch;
    this.#holder = holder;
  }

  static async open(scratch: Scratch): Promise<Observer> {
    const [program, ...args] = scratch.enter([
      'unshare',
      '--mount',
      'sh',
      '-c',
      'echo ready; exec cat >/dev/null',
    ]);
    const holder = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(holder.stdout!, 'data');
    return new Observer(scratch, holder);
  }

  /** By letter, as a list. */
  frozen(): string {
    const found = this.#scratch.fileSystems.filter(({ mountPoint }) => {
      // Asked in a way that leaves it as it is
      if (!this.#freeze('-f', mountPoint)) return true;
      this.#freeze('-u', mountPoint);
      return false;
    });
    const letters = found.map((one) => 'AB'[this.#scratch.fileSystems.indexOf(one)]);
    return letters.length === 0 ? NONE : letters.join(' and ');
  }

  thawAll(): void {
    for (const { mountPoint } of this.#scratch.fileSystems) this.#freeze('-u', mountPoint);
  }

  async close(): Promise<void> {
    const closed = once(this.#holder, 'close');
    this.#holder.stdin!.end();
    await closed;
  }

  #freeze(how: '-f' | '-u', mountPoint: string): boolean {
    const inside = [
      `--target=${this.#holder.pid}`,
      '--mount',
      '--root',
      '--',
      'fsfreeze',
      how,
      mountPoint,
    ];
    return spawnSync('nsenter', inside, { stdio: 'ignore' }).status === 0;
  }
}

interface Play {
  readonly subject: VssSubject;
  readonly scratch: Scratch;
  /** Of A. */
  readonly first: string;
  /** Those that are frozen now. */
  frozen(): string;
  /** The same, as soon as there is none; otherwise after a while. */
  settled(): Promise<string>;
  ask(operation: number): Promise<string>;
}

interface Case {
  readonly name: string;
  /** Gives what undoes it. */
  readonly prepare?: (scratch: Scratch, first: string, second: string) => () => void;
  readonly play: (play: Play) => Promise<Outcome>;
}

/** What most cases are about: what is frozen, and that it is thawed. */
async function backup({ ask, frozen }: Play): Promise<Outcome> {
  const freeze = await ask(Operation.freeze);
  const during = frozen();
  return { freeze, frozen: during, thaw: await ask(Operation.thaw), 'after the thaw': frozen() };
}

async function frozenThen(play: Play, what: () => Promise<unknown>): Promise<Outcome> {
  const freeze = await play.ask(Operation.freeze);
  const during = play.frozen();
  await what();
  return { freeze, frozen: during, afterwards: await play.settled() };
}

const CASES: readonly Case[] = [
  { name: 'two file systems', play: backup },
  {
    name: 'check for hot backup',
    play: async ({ ask, frozen }) => ({
      status: await ask(Operation.checkHotBackup),
      frozen: frozen(),
    }),
  },
  {
    name: 'A is mounted twice',
    prepare: (scratch, first) => {
      scratch.run('mkdir', '-p', `${first}-again`);
      scratch.run('mount', '--bind', first, `${first}-again`);
      return () => scratch.run('umount', `${first}-again`);
    },
    play: backup,
  },
  {
    name: 'A has a name with spaces, tabs, backslashes and newlines',
    prepare: (scratch, first) => {
      const name = `${first} \\040\n\tmore`;
      scratch.run('mkdir', '-p', name);
      scratch.run('mount', '--move', first, name);
      return () => scratch.run('mount', '--move', name, first);
    },
    play: backup,
  },
  {
    name: 'A is shadowed by B',
    prepare: (scratch, first, second) => {
      scratch.run('mount', '--bind', second, first);
      return () => scratch.run('umount', first);
    },
    play: backup,
  },
  {
    name: 'A shows through a read-only bind alone',
    prepare: (scratch, first) => {
      const shown = `${first}-ro`;
      scratch.run('mkdir', '-p', shown);
      scratch.run('mount', '--bind', first, shown);
      scratch.run('mount', '-o', 'remount,bind,ro', shown);
      scratch.run('umount', first);
      return () => {
        scratch.run('mount', '-o', 'remount,bind,rw', shown);
        scratch.run('mount', '--move', shown, first);
      };
    },
    play: backup,
  },
  {
    // As xdg-document-portal's, which shows in /proc/mounts on every desktop
    name: 'a user-space file system',
    prepare: (scratch, first) => {
      scratch.run('mkdir', '-p', `${first}-user`);
      scratch.run('mount', '-t', 'tmpfs', '/dev/fuse', `${first}-user`);
      return () => scratch.run('umount', `${first}-user`);
    },
    play: backup,
  },
  {
    name: 'somebody else froze A',
    play: async (play) => {
      play.scratch.run('fsfreeze', '-f', play.first);
      return backup(play);
    },
  },
  {
    name: 'a second freeze',
    play: async ({ ask, frozen }) => {
      const freezes = [await ask(Operation.freeze), await ask(Operation.freeze)].join(', ');
      const during = frozen();
      return {
        freezes,
        frozen: during,
        thaw: await ask(Operation.thaw),
        'after the thaw': frozen(),
      };
    },
  },
  {
    name: 'a thaw without a freeze',
    play: async ({ ask }) => ({ thaw: await ask(Operation.thaw) }),
  },
  { name: 'unknown operation 9', play: async ({ ask }) => ({ status: await ask(9) }) },
  {
    name: 'the device goes away and comes back',
    play: async (play) => {
      const again = play.subject.device.nextRegistration();
      const outcome = await frozenThen(play, async () => play.subject.device.hangUp());
      await again;
      return { ...outcome, ...(await backup(play)) };
    },
  },
  { name: 'told to stop', play: (play) => frozenThen(play, () => play.subject.end('SIGTERM')) },
  { name: 'killed', play: (play) => frozenThen(play, () => play.subject.end('SIGKILL')) },
  {
    name: 'killed and started again',
    play: async (play) => {
      const outcome = await frozenThen(play, async () => {
        await play.subject.end('SIGKILL');
        await play.subject.start();
      });
      return { ...outcome, thaw: await play.ask(Operation.thaw) };
    },
  },
];

const SETTLED_MS = 5000;

const skip = missingScratch() ?? missingReference('hv_vss_daemon') ?? false;

describe('VSS beside the C daemon', { skip }, () => {
  let scratch: Scratch;
  let observer: Observer;
  const seen = new Set<string>();

  before(async () => {
    scratch = await Scratch.create({ kinds: ['ext4', 'ext4'] });
    observer = await Observer.open(scratch);
  });
  after(async () => {
    await observer?.close();
    await scratch?.dispose();
  });

  async function outcomeOf(kind: Kind, { prepare, play }: Case): Promise<Outcome> {
    const [first, second] = scratch.fileSystems.map(({ mountPoint }) => mountPoint) as [
      string,
      string,
    ];
    const undo = prepare?.(scratch, first, second);
    const subject = new VssSubject(kind, scratch);
    const frozen = (): string => observer.frozen();
    try {
      await subject.start();
      return await play({
        subject,
        scratch,
        first,
        frozen,
        settled: async () => {
          const until = performance.now() + (kind === 'c' ? SETTLED_MS / 5 : 60 * SETTLED_MS);
          while (frozen() !== NONE && performance.now() < until) await setTimeout(50);
          return frozen();
        },
        ask: async (operation) => {
          try {
            return `0x${(await subject.ask(operation)).toString(16)}`;
          } catch (error) {
            if (error instanceof DaemonGone) return 'the daemon ended';
            throw error;
          }
        },
      });
    } finally {
      await subject.dispose();
      observer.thawAll();
      undo?.();
    }
  }

  for (const one of CASES) {
    it(one.name, async (t) => {
      const c = await outcomeOf('c', one);
      const vmic = await outcomeOf('vmic', one);
      assert.deepEqual(Object.keys(vmic), Object.keys(c));
      for (const [field, theirs] of Object.entries(c)) {
        const what = `${one.name}: ${field}`;
        const ours = vmic[field]!;
        t.diagnostic(`${what}: C ${theirs}, vmic ${ours}`);
        const listed = DIFFERENCES[what];
        seen.add(what);
        if (listed)
          assert.deepEqual(
            { c: theirs, vmic: ours },
            { c: listed.c, vmic: listed.vmic },
            `${what}, listed: ${listed.why}`,
          );
        else assert.equal(ours, theirs, `${what}: differs, and is not listed`);
      }
    });
  }

  it('every listed difference was met', () => {
    assert.deepEqual(
      Object.keys(DIFFERENCES).filter((what) => !seen.has(what)),
      [],
    );
  });
});
