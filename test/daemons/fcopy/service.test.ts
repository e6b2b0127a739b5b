import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FileProblem } from '../../../daemons/fcopy/ports.ts';
import type { FcopyRequest } from '../../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { cancel, complete, data, Script, start } from './script.ts';

const { ok, fail, invalidArgument, alreadyExists, diskFull, notSupported } = IcStatus;
const VMBUS = { via: 'vmbus', framework: version(3, 0), message: version(1, 1) } as const;

/** Asks one after the other, and gives the answers. */
async function ask(script: Script, ...requests: FcopyRequest[]): Promise<number[]> {
  const answers: number[] = [];
  for (const request of requests) answers.push(await script.ask(request));
  return answers;
}

describe('a file', () => {
  test('appears when it is complete, and not before', async () => {
    const script = new Script();
    assert.deepEqual(await ask(script, start(5), data(0, 1, 2, 3), data(3, 4, 5)), [ok, ok, ok]);
    assert.deepEqual([...script.files], []);
    assert.equal(script.service.busy, true);
    assert.equal(await script.ask(complete), ok);
    assert.deepEqual([...script.files], [['/tmp/file', Uint8Array.of(1, 2, 3, 4, 5)]]);
    assert.equal(script.service.busy, false);
    assert.deepEqual(script.open, []);
  });

  test('may be empty', async () => {
    const script = new Script();
    assert.deepEqual(await ask(script, start(0), complete), [ok, ok]);
    assert.deepEqual([...script.files], [['/tmp/file', new Uint8Array(0)]]);
  });

  test('is what the parts that come next are written to, without this service', async () => {
    const script = new Script();
    await script.ask(start(3));
    const answer = await script.service.handle(data(0, 1));
    assert.equal(answer.status, ok);
    assert.equal((answer as { stream?: unknown }).stream, script.open[0]!.sink);
    script.open[0]!.sink.write(Uint8Array.of(2, 3));
    assert.equal(await script.ask(complete), ok);
    assert.deepEqual(script.files.get('/tmp/file'), Uint8Array.of(1, 2, 3));
  });

  test('gets what the host wishes, as far as it may', async () => {
    const flags = { overwrite: true, createPath: true };
    const free = new Script();
    await free.ask(start(0, { path: '\\a\\b/', flags }));
    assert.deepEqual(free.created[0]!.target, { folders: ['a', 'b'], fileName: 'file' });
    assert.deepEqual(free.created[0]!.wishes, { overwrite: true, createPath: true });
    const strict = new Script({ overwrite: false });
    await strict.ask(start(0, { flags }));
    assert.deepEqual(strict.created[0]!.wishes, { overwrite: false, createPath: true });
  });
});

describe('refused at the start', () => {
  for (const [path, fileName, why] of [
    ['/tmp', '', 'an empty file name'],
    ['/tmp', '.', 'the file name "."'],
    ['/tmp', '..', 'the file name ".."'],
    ['/tmp', 'a/b', 'a separator in the file name'],
    ['/tmp', 'a\\b', 'a separator in the file name'],
    ['/tmp', 'a'.repeat(256), 'a name longer than 255 bytes'],
    [`/${'é'.repeat(128)}`, 'a', 'a name longer than 255 bytes'],
    ['/tmp/../etc', 'a', '".." in the path'],
    ['/tmp\\..\\etc', 'a', '".." in the path'],
    ['C:\\tmp', 'a', 'a drive letter, which Linux does not have'],
    ['tmp', 'a', 'a path that does not begin at the root'],
    ['', 'a', 'a path that does not begin at the root'],
  ] as const) {
    test(
      `${why}: ${JSON.stringify(path.slice(0, 12))} ` + `${JSON.stringify(fileName.slice(0, 12))}`,
      async () => {
        const script = new Script();
        assert.equal(await script.ask(start(1, { path, fileName })), invalidArgument);
        assert.deepEqual(script.created, []);
        assert.deepEqual(script.lines, [`warning: Refused to copy a file: the host sent ${why}`]);
      },
    );
  }

  test('what the system refuses, by the status that says so', async () => {
    for (const [result, status] of [
      ['exists', alreadyExists],
      ['diskFull', diskFull],
      ['refused', fail],
      ['absent', fail],
      ['failed', fail],
    ] as const) {
      const script = new Script();
      script.createProblem = new FileProblem(result, 'because');
      assert.equal(await script.ask(start(1)), status, result);
      assert.equal(script.service.busy, false);
      assert.equal(script.status.last[0]?.result ?? result, result);
    }
  });

  test('a fault of ours is none of the host', async () => {
    const script = new Script();
    script.createProblem = new TypeError('ours');
    assert.throws(() => script.service.handle(start(1)), TypeError);
    assert.equal(script.service.busy, false);
  });

  test('files larger than allowed, and larger than any', async () => {
    const script = new Script({ maxSizeBytes: 10 });
    assert.deepEqual(await ask(script, start(11), start(10)), [fail, ok]);
    assert.deepEqual(await ask(new Script(), start(2n ** 53n), start(2n ** 64n - 1n)), [
      diskFull,
      diskFull,
    ]);
  });
});

describe('refused on the way', () => {
  test('anything before a start; nothing else happens', async () => {
    const script = new Script();
    assert.deepEqual(await ask(script, data(0, 1), complete), [fail, fail]);
    assert.deepEqual([script.created, [...script.files]], [[], []]);
  });

  test('parts out of order, twice, and beyond the end; the right one is still taken', async () => {
    const script = new Script();
    await ask(script, start(4), data(0, 1, 2));
    const wrong = [
      data(3, 9),
      data(1, 9),
      data(0, 9),
      data(2n ** 63n, 9),
      data(2n ** 64n - 1n, 9),
      data(2, 9, 9, 9),
    ];
    for (const request of wrong) assert.equal(await script.ask(request), invalidArgument);
    assert.deepEqual(await ask(script, data(2, 3, 4), complete), [ok, ok]);
    assert.deepEqual(script.files.get('/tmp/file'), Uint8Array.of(1, 2, 3, 4));
  });

  test('a complete before all has come: nothing is left', async () => {
    const script = new Script();
    assert.deepEqual(await ask(script, start(2), data(0, 1), complete, data(1, 2), complete), [
      ok,
      ok,
      fail,
      fail,
      fail,
    ]);
    assert.deepEqual([script.open, [...script.files]], [[], []]);
    assert.equal(script.created[0]!.state, 'discarded');
  });

  test('a full disk is told as one, and frees what it held at once', async () => {
    for (const [error, status] of [
      ['ENOSPC', diskFull],
      ['EDQUOT', diskFull],
      ['EIO', fail],
    ] as const) {
      const script = new Script();
      await script.ask(start(2));
      script.writeError = error;
      assert.equal(await script.ask(data(0, 1)), status);
      assert.deepEqual(script.open, []);
    }
  });

  test('operations nobody knows', async () => {
    const script = new Script();
    assert.equal(await script.ask({ operation: 'unknown', operationCode: 4 }), notSupported);
  });

  test('what can not be synced or named leaves nothing', async () => {
    const unsynced = new Script();
    unsynced.sync = () => Promise.reject(new FileProblem('diskFull', 'no space'));
    assert.deepEqual(await ask(unsynced, start(0), complete), [ok, diskFull]);
    const unnamed = new Script();
    unnamed.problem = new FileProblem('exists', 'somebody was faster');
    assert.deepEqual(await ask(unnamed, start(0), complete), [ok, alreadyExists]);
    const broken = new Script();
    broken.sync = () => Promise.reject(new TypeError('ours'));
    await broken.ask(start(0));
    await assert.rejects(async () => broken.service.handle(complete), TypeError);
    for (const script of [unsynced, unnamed, broken]) {
      assert.deepEqual([script.open, [...script.files], script.timers], [[], [], script.timers]);
      assert.equal(script.service.busy, false);
    }
  });
});

describe('given up', () => {
  test('by a cancel, which is a success also when there is nothing to cancel', async () => {
    const script = new Script();
    assert.deepEqual(await ask(script, cancel, start(2), data(0, 1), cancel, cancel), [
      ok,
      ok,
      ok,
      ok,
      ok,
    ]);
    assert.deepEqual([script.open, [...script.files]], [[], []]);
    assert.equal(await script.ask(data(1, 1)), fail);
  });

  test('by the start of another one, also by one that is refused', async () => {
    const script = new Script();
    await ask(script, start(2, { fileName: 'first' }), data(0, 1));
    assert.deepEqual(await ask(script, start(1, { fileName: 'second' }), data(0, 7), complete), [
      ok,
      ok,
      ok,
    ]);
    assert.deepEqual([...script.files.keys()], ['/tmp/second']);
    await script.ask(start(1));
    await script.ask(start(1, { fileName: '..' }));
    assert.deepEqual(script.open, []);
    assert.equal(await script.ask(data(0, 1)), fail);
  });

  test('when nothing comes for as long as configured; not while it gets on', async () => {
    const script = new Script({ silenceSecs: 10 });
    await script.ask(start(100));
    for (let i = 0; i < 10; i++) {
      script.pass(9000);
      // Past the service, as a channel does
      script.open[0]!.sink.write(Uint8Array.of(i));
    }
    script.pass(9000);
    assert.equal(script.open.length, 1);
    script.pass(2100);
    assert.deepEqual(script.open, []);
    assert.equal(script.status.last[0]?.result, 'silent');
    assert.equal(await script.ask(data(10, 1)), fail);
  });

  test('also when all that comes is refused', async () => {
    const script = new Script({ silenceSecs: 10 });
    await script.ask(start(100));
    for (let i = 0; i < 12; i++) {
      script.pass(1000);
      await script.ask(data(50, 1));
    }
    assert.deepEqual(script.open, []);
  });

  test(
    'when its channel is closed, or hv_utils registers anew; a negotiation changes ' + 'nothing',
    async () => {
      for (const end of ['disconnected', 'registered', 'closed'] as const) {
        const script = new Script();
        script.service.connected(VMBUS);
        await script.ask(start(2));
        script.service.connected(VMBUS);
        assert.equal(script.open.length, 1);
        if (end === 'disconnected') script.service.disconnected();
        if (end === 'registered') script.service.connected({ via: 'hv_utils', versionText: '1' });
        if (end === 'closed') script.service.close();
        assert.deepEqual([script.open, script.service.busy], [[], false], end);
      }
    },
  );

  test('while its data goes to the disk: it does not appear afterwards', async () => {
    for (const end of ['disconnected', 'close'] as const) {
      const script = new Script();
      let synced!: () => void;
      script.sync = () =>
        new Promise((resolve) => {
          synced = resolve;
        });
      await script.ask(start(0));
      const answer = script.ask(complete);
      script.service[end]();
      synced();
      assert.equal(await answer, fail);
      assert.deepEqual([script.open, [...script.files]], [[], []]);
    }
  });

  test('when the disk takes longer than hosts wait', async () => {
    const script = new Script({ silenceSecs: 1 });
    script.sync = () => new Promise(() => {});
    await script.ask(start(0));
    const answer = script.ask(complete);
    script.pass(24_900);
    assert.equal(script.open.length, 1, 'a silent host is none that waits for us');
    script.pass(200);
    assert.equal(await answer, fail);
    assert.deepEqual([script.open, [...script.files]], [[], []]);
  });
});

describe('the status', () => {
  test('tells progress and results, at most once a second', async () => {
    const script = new Script();
    script.service.connected(VMBUS);
    await ask(script, start(4), data(0, 1, 2));
    assert.equal(script.published.length, 1);
    script.pass(1000);
    assert.deepEqual(script.status.copy, {
      target: '/tmp/file',
      sizeBytes: 4,
      receivedBytes: 2,
      startedUptimeSecs: 0,
    });
    assert.equal(script.status.peer, '1.1');
    await ask(script, data(2, 3, 4), complete);
    for (let i = 0; i < 100; i++) await ask(script, start(1), cancel);
    script.pass(1000);
    assert.ok(script.published.length <= 4, `${script.published.length} times`);
    assert.equal(script.status.copy, undefined);
    assert.equal(script.status.last.length, 10);
    assert.deepEqual(script.status.counters, {
      started: 101,
      copied: 1,
      bytes: 4,
      refused: 0,
      failed: 100,
    });
    const before = script.published.length;
    script.pass(60_000);
    assert.equal(script.published.length, before, 'nothing happens, so nothing is told');
    assert.equal(script.timers, 0);
  });

  test(
    'goes on with the results of an earlier process, and tells the last ones at the ' + 'end',
    async () => {
      const earlier = {
        target: '/old',
        sizeBytes: 1,
        receivedBytes: 1,
        result: 'copied',
        endedUptimeSecs: 1,
        seconds: 0,
      } as const;
      const script = new Script({}, [earlier]);
      assert.deepEqual(script.status.last, [earlier]);
      await ask(script, start(1));
      script.service.close();
      assert.deepEqual(
        script.status.last.map(({ target, result }) => [target, result]),
        [
          ['/tmp/file', 'stopped'],
          ['/old', 'copied'],
        ],
      );
      assert.equal(script.timers, 0);
    },
  );
});
