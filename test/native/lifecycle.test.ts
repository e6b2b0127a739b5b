import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { native } from '../../native/index.ts';
import { ADDON, bundle } from './bundle.ts';
import { Inbox, messagePair, temporaryFolder } from './pairs.ts';

/** As a literal of JavaScript, for programs of these tests. */
const INDEX_LITERAL = JSON.stringify(join(import.meta.dirname, '../../native/index.ts'));

process.env['VMIC_ADDON'] = ADDON;
const CHILD = bundle({ after }, 'lifecycle_child.ts');
const steps = JSON.parse(
  execFileSync(process.execPath, [CHILD, '--list'], { encoding: 'utf8' }),
) as string[];

for (const place of ['main thread', 'worker']) {
  describe(`a ${place} ends cleanly when it`, { concurrency: 2 }, () => {
    for (const step of steps) {
      it(step, async () => {
        const { code, signal, output } = await new Promise<{
          code: unknown;
          signal: unknown;
          output: string;
        }>((resolve) => {
          execFile(
            process.execPath,
            ['--expose-gc', CHILD, step, place],
            (error, stdout, stderr) => {
              resolve({
                code: error?.code ?? 0,
                signal: error?.signal ?? null,
                output: stdout + stderr,
              });
            },
          );
        });
        assert.deepEqual({ code, signal, output }, { code: 0, signal: null, output: '' });
      });
    }
  });
}

it('an exception nobody catches ends the process with code 1 and its stack', () => {
  const program = `
    import { native } from ${INDEX_LITERAL};
    const path = ${JSON.stringify(`/tmp/vmic-throw-${process.pid}`)};
    const listener = native.listen(path);
    listener.start(() => { listener.close(); throw new Error('on purpose'); }, () => {});
    globalThis.kept = native.connectMessageSocket(path);
  `;
  assert.throws(
    () =>
      execFileSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '--eval', program],
        { stdio: 'pipe' },
      ),
    (error: Error & { status: number; stderr: Buffer }) => {
      assert.equal(error.status, 1);
      assert.match(String(error.stderr), /Error: on purpose/);
      return true;
    },
  );
});

it('a worker can be terminated at any moment of its traffic', async (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const listener = native.listen(path);
  t.after(() => listener.close());
  let wanted: (fd: number) => void = () => {};
  listener.start(
    (fd) => wanted(fd),
    () => assert.fail('the listener ended'),
  );
  const program = bundle(t, 'echo_worker.ts');
  for (let round = 0; round < 20; round += 1) {
    const accepted = new Promise<number>((resolve) => {
      wanted = resolve;
    });
    const worker = new Worker(program, { workerData: path });
    const server = native.adoptMessageChannel(await accepted);
    const inbox = new Inbox(server);
    for (let count = 0; count < 10 + round; count += 1) {
      server.write(new Uint8Array(8));
      await inbox.take();
    }
    server.write(new Uint8Array(8));
    await worker.terminate();
    // What the worker had is released.
    assert.deepEqual(await inbox.ended(), { reason: 'gone' });
    server.close();
  }
});

it('is independent in each thread', async (t) => {
  const [client, server] = await messagePair(t);
  const inbox = new Inbox(server);
  const worker = new Worker(CHILD, {
    workerData: { step: 'closes everything', folder: join(temporaryFolder(t), 'own') },
  });
  const code = await new Promise<number>((resolve) => worker.on('exit', resolve));
  assert.equal(code, 0);
  client.write(Uint8Array.of(5));
  assert.deepEqual(await inbox.take(), Uint8Array.of(5));
});
