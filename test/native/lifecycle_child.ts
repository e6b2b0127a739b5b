/**
 * Goes through a life with the addon up to one step and ends there; lifecycle.test.ts looks at how
 * it ended. In the main thread, or with "worker" as second argument in a worker thread, so that an
 * environment ends while the process goes on.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

/** What a step has made; held here so that nothing is collected early. */
const held: unknown[] = [];
let folder = '';

const nothing = (): void => {};

async function connected() {
  const { native } = await import('../../native/index.ts');
  const path = join(folder, 'socket');
  const listener = native.listen(path);
  const accepted = new Promise<number>((resolve) => listener.start(resolve, nothing));
  const client = native.connectMessageSocket(path);
  const server = native.adoptMessageChannel(await accepted);
  listener.close();
  held.push(client, server);
  return { native, client, server };
}

/** A channel on which a message is about to arrive in `onMessage`. */
async function receiving(onMessage: () => void) {
  const made = await connected();
  made.server.start(new Uint8Array(64), onMessage, nothing);
  made.client.write(new Uint8Array(8));
  return made;
}

/** A program that has ended by itself, or goes on until it is killed. */
async function startProgram(file: 'true' | 'sleep', onStart = nothing, onEnd = nothing) {
  const { native } = await import('../../native/index.ts');
  const options = {
    args: file === 'sleep' ? ['1000'] : [],
    env: ['PATH=/usr/bin:/bin'],
    outputBytes: 100,
  };
  const program = native.startProgram(file, options, onStart, onEnd);
  held.push(program);
  return program;
}

/** Ends the environment: the process, or the worker. */
const exit = (): never => process.exit(0);

const steps: Record<string, () => Promise<void>> = {
  'loads only': async () => {
    await import('../../native/index.ts');
  },
  'has a channel that was never started': async () => {
    await connected();
  },
  'has a channel that was collected': async () => {
    await connected();
    held.length = 0;
    // Needs --expose-gc; finalizers run on a later turn.
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(1);
  },
  'has a listener that was never started': async () => {
    const { native } = await import('../../native/index.ts');
    held.push(native.listen(join(folder, 'socket')));
  },
  'closes everything': async () => {
    const { client, server } = await connected();
    client.start(new Uint8Array(8), nothing, nothing);
    server.start(new Uint8Array(8), nothing, nothing);
    client.close();
    server.close();
  },
  'leaves a paused channel': async () => {
    const { client, server } = await connected();
    client.start(new Uint8Array(8), nothing, nothing);
    client.pause();
    server.pause();
    server.start(new Uint8Array(8), nothing, nothing);
  },
  'leaves watches': async () => {
    const { native } = await import('../../native/index.ts');
    held.push(native.watchDirectory(folder), native.watchAddresses());
  },
  'leaves half-open ends that have ended': async () => {
    const { client, server } = await connected();
    client.start(new Uint8Array(8), nothing, nothing);
    server.close();
    await sleep(5);
  },
  'exits with everything started': async () => {
    const { native, client, server } = await connected();
    client.start(new Uint8Array(8), nothing, nothing);
    server.start(new Uint8Array(8), nothing, nothing);
    const listener = native.listen(join(folder, 'other'));
    listener.start(nothing, nothing);
    held.push(listener, native.watchDirectory(folder, nothing), native.watchAddresses());
    exit();
  },
  'exits in a message callback': async () => {
    await receiving(exit);
  },
  'exits in a microtask of a message callback': async () => {
    await receiving(() => {
      Promise.resolve().then(exit);
    });
  },
  'exits in nextTick of a message callback': async () => {
    await receiving(() => {
      process.nextTick(exit);
    });
  },
  'closes, then exits in a message callback': async () => {
    await receiving(() => {
      for (const channel of held as { close(): void }[]) channel.close();
      exit();
    });
  },
  'exits in an end callback': async () => {
    const { client, server } = await connected();
    server.start(new Uint8Array(64), nothing, exit);
    client.close();
  },
  'exits in a connection callback': async () => {
    const { native } = await import('../../native/index.ts');
    const listener = native.listen(join(folder, 'socket'));
    listener.start((fd) => {
      held.push(native.adoptMessageChannel(fd));
      exit();
    }, nothing);
    held.push(listener, native.connectMessageSocket(join(folder, 'socket')));
  },
  'exits in a directory callback': async () => {
    const { native } = await import('../../native/index.ts');
    held.push(native.watchDirectory(folder, exit), native.listen(join(folder, 'socket')));
  },
  'closes a program at once': async () => {
    (await startProgram('sleep')).close();
  },
  'leaves a program that has ended': async () => {
    await startProgram('true');
  },
  'has a program that was collected': async () => {
    await new Promise<void>((resolve) => void startProgram('true', nothing, resolve));
    held.length = 0;
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(1);
  },
  'exits in a start of a program': async () => {
    const program = await startProgram('sleep', () => {
      // A process that ends leaves its children alone
      if (isMainThread) program.close();
      exit();
    });
  },
  'exits in an end of a program': async () => {
    await startProgram('true', nothing, exit);
  },
  'exits while programs run and start': async () => {
    if (!isMainThread) {
      await new Promise<void>((resolve) => void startProgram('sleep', resolve));
      await startProgram('sleep');
    }
    await startProgram('true');
    exit();
  },
  'collects a closed channel in its own callback': async () => {
    const { client } = await receiving(() => {
      for (const channel of held.splice(0) as { close(): void }[]) channel.close();
      (globalThis as { gc?: () => void }).gc?.();
    });
    held.push(client);
    await sleep(5);
  },
  'goes on after an exception in a callback': async () => {
    const seen: string[] = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    let calls = 0;
    const { client, server } = await receiving(() => {
      calls += 1;
      if (calls === 1) throw new Error('in the callback');
      if (calls === 2) {
        process.nextTick(() => {
          throw new Error('in nextTick');
        });
      }
      if (calls === 3) {
        client.close();
        server.close();
        throw new Error('after close');
      }
    });
    client.write(new Uint8Array(8));
    client.write(new Uint8Array(8));
    client.write(new Uint8Array(8));
    await sleep(20);
    const expected = ['in the callback', 'in nextTick', 'after close'];
    if (JSON.stringify(seen) !== JSON.stringify(expected) || calls !== 3) {
      throw new Error(`${calls} calls, seen: ${JSON.stringify(seen)}`);
    }
  },
  'is closed by the handler of its exception': async () => {
    let caught = 0;
    const { server, client } = await receiving(() => {
      throw new Error('in the callback');
    });
    process.on('uncaughtException', () => {
      caught += 1;
      client.close();
      server.close();
    });
    client.write(new Uint8Array(8));
    await sleep(20);
    if (caught !== 1) throw new Error(`${caught} exceptions`);
  },
};

async function runInWorker(step: string): Promise<void> {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const threads = (): string[] =>
    readdirSync('/proc/self/task').map((id) => {
      try {
        return readFileSync(`/proc/self/task/${id}/comm`, 'latin1').trim();
      } catch {
        return 'ended';
      }
    });
  let settled = -1;
  // The first worker may open what stays open in the process (epoll, random); none of the later
  // ones may add to it.
  for (let round = 0; round < 4; round += 1) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { step, folder: join(folder, String(round)) },
    });
    const code = await new Promise<number>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', resolve);
    });
    if (code !== 0) throw new Error(`the worker ended with ${code}`);
    // The threads that look after programs let go of theirs when the program that was killed is
    // dead
    do await sleep(20);
    while (threads().includes('vmic-program'));
    if (round === 1) settled = descriptors();
  }
  // One that had no turn yet has no name yet
  for (let patience = 15_000; patience > 0 && descriptors() > settled; patience -= 1)
    await sleep(20);
  if (descriptors() > settled) throw new Error(`${descriptors()} descriptors, ${settled} before`);
}

const [name = '', place] = process.argv.slice(2);
if (name === '--list') {
  console.log(JSON.stringify(Object.keys(steps)));
} else if (isMainThread) {
  folder = mkdtempSync(join(tmpdir(), 'vmic-life-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  await (place === 'worker' ? runInWorker(name) : steps[name]?.());
} else {
  const { step, folder: own } = workerData as { step: string; folder: string };
  const { mkdirSync } = await import('node:fs');
  folder = own;
  mkdirSync(folder);
  await steps[step]?.();
}
