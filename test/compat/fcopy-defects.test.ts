/**
 * What is wrong with the C file copy daemons beyond the answers that fcopy.test.ts compares: each
 * shown on them, and shown to be right with ours. They run with a folder of their own for
 * everything they can reach.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { native } from '../../native/index.ts';
import { RingMemory } from '../../simulator/hosts/vmbus-host.ts';
import { complete, data, type Link, operation, packet, start } from './fcopy-messages.ts';
import { FcopySubject } from './fcopy-subject.ts';
import { missingFcopyReference } from './reference.ts';
import type { Kind } from './subject.ts';

const missing = missingFcopyReference();
const OK = 0;
const FAIL = 0x80004005;
const DISK_FULL = 0x80070070;
/** A mount that only the daemon sees. */
const NAMESPACE = process.getuid?.() === 0 ? ['-m'] : ['-r', '-m'];
/** In this time nothing came that would come. */
const NOTHING_MS = 500;

async function withSubject(
  kind: Kind,
  link: Link,
  work: (subject: FcopySubject) => Promise<void>,
  options: Parameters<FcopySubject['start']> = [],
): Promise<void> {
  const subject = new FcopySubject(kind, link);
  try {
    await subject.start(...options);
    await work(subject);
  } finally {
    await subject.dispose();
  }
}

/** That a whole file still arrives. */
async function mustServe(subject: FcopySubject): Promise<void> {
  const { host, target } = subject;
  const statuses = [
    await host.ask(start(`${target}/`, 'served', 4)),
    await host.ask(data(0, 'fine')),
  ];
  assert.deepEqual([...statuses, await host.ask(complete)], [OK, OK, OK]);
  assert.equal(fs.readFileSync(path.join(target, 'served'), 'latin1'), 'fine');
  fs.rmSync(path.join(target, 'served'));
}

const both = (link: Link, what: string, work: (kind: Kind) => Promise<void>): void => {
  describe(`${what} (${link})`, { skip: missing[link] ?? false }, () => {
    for (const kind of ['c', 'vmic'] as const) {
      test(kind === 'c' ? 'the C daemon does' : 'ours does not', () => work(kind));
    }
  });
};

both('ring', 'a packet shorter than 64 bytes ends the daemon', (kind) =>
  withSubject(kind, 'ring', async (subject) => {
    const short = packet(operation(0)('ring').subarray(0, 20));
    const status = subject.host.send(short);
    if (kind === 'c') {
      await assert.rejects(status, /closed the channel/);
      assert.match(await subject.exited, /^status/);
      return;
    }
    assert.notEqual(await status, OK);
    await mustServe(subject);
  }),
);

both('ring', 'a full ring ends the daemon', (kind) =>
  withSubject(kind, 'ring', async (subject) => {
    const { host, target } = subject;
    const { inbound } = new RingMemory(native.ringMemory(host.ring));
    assert.equal(await host.ask(start(`${target}/`, 'file', 8 * 6144)), OK);
    host.ring.pause();
    const answers: Promise<number>[] = [];
    // Three answers do not fit. Those three are asked one by one, since a packet that finds another
    // one before it is not signalled
    for (let i = 0; i < 5 && subject.ended === undefined; i++) {
      while (i < 3 && inbound.readIndex !== inbound.writeIndex && subject.ended === undefined)
        await setTimeout(5);
      if (inbound.freeBytes < 6400) break;
      answers.push(host.ask(data(i * 6144, 'x'.repeat(6144))));
    }
    const outcome = Promise.allSettled(answers);
    if (kind === 'c') {
      assert.match(await subject.exited, /^status/);
      return;
    }
    await setTimeout(NOTHING_MS);
    assert.equal(subject.ended, undefined);
    host.ring.resume();
    assert.deepEqual(
      (await outcome).map((one) => one.status === 'fulfilled' && one.value),
      answers.map(() => OK),
    );
  }),
);

both('ring', 'a bad descriptor blocks the ring for ever', (kind) =>
  withSubject(kind, 'ring', async (subject) => {
    const { host } = subject;
    await mustServe(subject);
    const { inbound } = new RingMemory(native.ringMemory(host.ring));
    process.kill(subject.pid, 'SIGSTOP');
    const answers = [9, 10].map((code) =>
      host.ask(operation(code)).then(
        () => 'answered',
        () => 'ended',
      ),
    );
    // The first one's data begins inside its descriptor
    new DataView(inbound.data.buffer, inbound.data.byteOffset).setUint16(
      inbound.readIndex + 2,
      1,
      true,
    );
    process.kill(subject.pid, 'SIGCONT');
    if (kind === 'c') {
      assert.equal(await Promise.race([...answers, setTimeout(NOTHING_MS, 'nothing')]), 'nothing');
      assert.equal(subject.ended, undefined);
      return;
    }
    // Ours ends with its reason, to be started afresh with a new ring
    assert.match(await subject.exited, /^status [1-9]/);
    assert.match(subject.errors, /"critical"/);
    await subject.start();
    await mustServe(subject);
  }),
);

both('ring', 'only one packet is answered per interrupt', (kind) =>
  withSubject(kind, 'ring', async (subject) => {
    const { host } = subject;
    await mustServe(subject);
    // While it can't look, three packets come, and the first of them is signalled
    process.kill(subject.pid, 'SIGSTOP');
    let answered = 0;
    const answers = [9, 10, 11].map((code) =>
      host.ask(operation(code)).then(
        () => answered++,
        () => {},
      ),
    );
    process.kill(subject.pid, 'SIGCONT');
    if (kind === 'c') {
      await answers[0];
      await setTimeout(NOTHING_MS);
      assert.equal(answered, 1);
      return;
    }
    await Promise.all(answers);
    assert.equal(answered, 3);
  }),
);

both('ring', 'a write before a start goes to standard input', (kind) =>
  withSubject(kind, 'ring', async (subject) => {
    const status = await subject.host.ask(data(0, 'for nobody'));
    const stdin = fs.readFileSync(subject.stdin, 'latin1');
    if (kind === 'c') {
      assert.deepEqual([status, stdin.slice(0, 10)], [OK, 'for nobody']);
      return;
    }
    assert.deepEqual([status, stdin], [FAIL, '']);
    await mustServe(subject);
  }),
);

both('device', 'a write before a start goes to the device', (kind) =>
  withSubject(kind, 'device', async (subject) => {
    const { host } = subject;
    const status = await host.ask(data(0, 'for nobody'));
    if (kind === 'c') {
      assert.deepEqual([status, host.strays[0]?.toString('latin1', 0, 10)], [OK, 'for nobody']);
      return;
    }
    assert.deepEqual([status, host.strays], [FAIL, []]);
    await mustServe(subject);
  }),
);

both('ring', 'a complete before a start is a success', (kind) =>
  withSubject(kind, 'ring', async ({ host }) => {
    assert.equal(await host.ask(complete), kind === 'c' ? OK : FAIL);
  }),
);

both('device', 'a complete before a start closes the device', (kind) =>
  withSubject(kind, 'device', async ({ host }) => {
    const answer = host.ask(complete);
    if (kind === 'c') await assert.rejects(answer, /closed the channel/);
    else assert.equal(await answer, FAIL);
  }),
);

for (const link of ['device', 'ring'] as const) {
  both(link, 'each start without a complete leaks a descriptor', (kind) =>
    withSubject(kind, link, async (subject) => {
      const { host, target } = subject;
      for (let i = 0; i < 20; i++)
        assert.equal(await host.ask(start(`${target}/`, `file ${i}`, 1)), OK);
      const open = subject.openFiles().length;
      if (kind === 'c') {
        assert.equal(open, 20);
        return;
      }
      assert.ok(open <= 1, `${open} files are open`);
      assert.deepEqual(fs.readdirSync(target), []);
      await mustServe(subject);
      assert.deepEqual(subject.openFiles(), []);
    }),
  );

  both(link, 'a kill leaves part of a file under its name', (kind) =>
    withSubject(kind, link, async (subject) => {
      const { host, target } = subject;
      assert.equal(await host.ask(start(`${target}/`, 'part', 8)), OK);
      assert.equal(await host.ask(data(0, 'part')), OK);
      await subject.end('SIGKILL');
      assert.deepEqual(fs.readdirSync(target), kind === 'c' ? ['part'] : []);
    }),
  );

  describe(`a disk that fills in the middle of a fragment is a general failure (${link})`, {
    skip: missing[link] ?? withoutMounts(),
  }, () => {
    for (const kind of ['c', 'vmic'] as const) {
      test(kind === 'c' ? 'the C daemon says' : 'ours says that the disk is full', async () => {
        const mount = [
          'sh',
          '-c',
          'mount -t tmpfs -o size=8k,mode=755 vmic-test target && cd cwd && exec "$@"',
          'sh',
        ];
        const namespace = ['unshare', ...NAMESPACE, ...mount];
        await withSubject(
          kind,
          link,
          async (subject) => {
            const { host, target } = subject;
            const statuses = [await host.ask(start(`${target}/`, 'file', 3 * 6144))];
            for (let i = 0; i < 3 && statuses.at(-1) === OK; i++) {
              statuses.push(await host.ask(data(i * 6144, 'x'.repeat(6144))));
            }
            assert.equal(statuses.at(-1), kind === 'c' ? FAIL : DISK_FULL);
            if (kind === 'c') return;
            assert.deepEqual(subject.openFiles(), []);
            const inside = path.join('/proc', String(subject.pid), 'root', target);
            assert.deepEqual(fs.readdirSync(inside), []);
            // What fits is still taken
            assert.equal(await host.ask(start(`${target}/`, 'small', 4)), OK);
            assert.deepEqual([await host.ask(data(0, 'fits')), await host.ask(complete)], [OK, OK]);
            assert.equal(fs.readFileSync(path.join(inside, 'small'), 'latin1'), 'fits');
          },
          [[], namespace],
        );
      });
    }
  });
}

function withoutMounts(): string | false {
  const tried = spawnSync('unshare', [...NAMESPACE, 'mount', '-t', 'tmpfs', 'vmic-test', '/mnt'], {
    stdio: 'ignore',
  });
  return tried.status === 0 ? false : 'mounting in a namespace of our own is not permitted here';
}
