import assert from 'node:assert/strict';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { native } from '../../native/index.ts';
import type { ChannelEnd, NativeError } from '../../native/interface.ts';
import { Inbox, messagePair, temporaryFolder, turns } from './pairs.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** For assert.throws: the error is a NativeError with these properties. */
function nativeError(code: string, syscall: string, path?: string) {
  return (error: unknown): boolean => {
    const {
      name,
      code: actualCode,
      syscall: actualCall,
      errno,
      path: actualPath,
    } = error as NativeError;
    assert.equal(name, 'Error');
    assert.deepEqual(
      { code: actualCode, syscall: actualCall, path: actualPath },
      { code, syscall, path },
    );
    assert.ok(errno > 0);
    return true;
  };
}

it('carries messages both ways, boundaries kept, in order', async (t) => {
  const [client, server] = await messagePair(t);
  const atServer = new Inbox(server);
  const atClient = new Inbox(client);
  client.write(bytes(1));
  client.write(bytes(2, 2));
  client.write(new Uint8Array(7432).fill(3));
  assert.deepEqual(await atServer.take(), bytes(1));
  assert.deepEqual(await atServer.take(), bytes(2, 2));
  assert.deepEqual(await atServer.take(), new Uint8Array(7432).fill(3));
  server.write(bytes(9));
  assert.deepEqual(await atClient.take(), bytes(9));
});

it('writes a part of a larger buffer', async (t) => {
  const [client, server] = await messagePair(t);
  const atServer = new Inbox(server);
  client.write(bytes(1, 2, 3, 4, 5).subarray(1, 4));
  assert.deepEqual(await atServer.take(), bytes(2, 3, 4));
});

it('ends as gone when the peer closes, after what it had sent', async (t) => {
  const [client, server] = await messagePair(t);
  client.write(bytes(1));
  client.close();
  const atServer = new Inbox(server);
  assert.deepEqual(await atServer.take(), bytes(1));
  assert.deepEqual(await atServer.ended(), { reason: 'gone' });
  assert.throws(() => server.write(bytes(1)), nativeError('EPIPE', 'send'));
});

it('ends as gone when the peer closes with something unread', async (t) => {
  const [client, server] = await messagePair(t);
  const atServer = new Inbox(server);
  server.write(bytes(1));
  client.close();
  assert.deepEqual(await atServer.ended(), { reason: 'gone' });
});

it('ends with EMSGSIZE when a message is longer than the buffer', async (t) => {
  const [client, server] = await messagePair(t);
  const atServer = new Inbox(server, 4);
  client.write(bytes(1, 2, 3, 4));
  client.write(bytes(1, 2, 3, 4, 5));
  assert.deepEqual(await atServer.take(), bytes(1, 2, 3, 4));
  const end = await atServer.ended();
  assert.ok(end.reason === 'error');
  assert.equal(end.error.code, 'EMSGSIZE');
});

it(
  'throws EMSGSIZE for a message the socket can not take, EAGAIN when the socket is ' + 'full',
  async (t) => {
    const [, server] = await messagePair(t);
    assert.throws(() => server.write(new Uint8Array(1 << 24)), nativeError('EMSGSIZE', 'send'));
    const fill = () => {
      for (;;) server.write(new Uint8Array(7432));
    };
    assert.throws(fill, nativeError('EAGAIN', 'send'));
  },
);

it('pauses and resumes without losing a message', async (t) => {
  const [client, server] = await messagePair(t);
  const atServer = new Inbox(server);
  server.pause();
  for (let value = 0; value < 10; value += 1) client.write(bytes(value));
  await turns();
  assert.equal(atServer.messages.length, 0);
  server.resume();
  assert.deepEqual(await atServer.take(), bytes(0));
  server.pause();
  const taken = atServer.messages.length;
  await turns();
  assert.equal(atServer.messages.length, taken);
  server.resume();
  for (let value = 1; value < 10; value += 1) assert.deepEqual(await atServer.take(), bytes(value));
});

it('can be paused before it is started', async (t) => {
  const [client, server] = await messagePair(t);
  server.pause();
  const atServer = new Inbox(server);
  client.write(bytes(1));
  await turns();
  assert.equal(atServer.messages.length, 0);
  server.resume();
  assert.deepEqual(await atServer.take(), bytes(1));
});

it('calls back no more after a close inside the callback', async (t) => {
  const [client, server] = await messagePair(t);
  let calls = 0;
  for (let value = 0; value < 5; value += 1) client.write(bytes(value));
  server.start(
    new Uint8Array(16),
    () => {
      calls += 1;
      server.close();
      server.close();
    },
    () => assert.fail('ended'),
  );
  await turns(20);
  assert.equal(calls, 1);
  assert.equal(server.fd, -1);
  assert.throws(() => server.write(bytes(1)), nativeError('EBADF', 'send'));
  assert.throws(
    () =>
      server.start(
        new Uint8Array(1),
        () => {},
        () => {},
      ),
    nativeError('EBADF', 'start'),
  );
});

it('can be closed in its end callback', async (t) => {
  const [client, server] = await messagePair(t);
  const ended = new Promise<ChannelEnd>((resolve) => {
    server.start(
      new Uint8Array(16),
      () => {},
      (end) => {
        server.close();
        resolve(end);
      },
    );
  });
  client.close();
  assert.deepEqual(await ended, { reason: 'gone' });
});

it('runs microtasks and nextTick between two messages', async (t) => {
  const [client, server] = await messagePair(t);
  const order: string[] = [];
  const buffer = new Uint8Array(16);
  const done = new Promise<void>((resolve) => {
    server.start(
      buffer,
      () => {
        const value = buffer[0];
        order.push(`message ${value}`);
        process.nextTick(() => order.push(`tick ${value}`));
        Promise.resolve().then(() => order.push(`microtask ${value}`));
        if (value === 1) setImmediate(resolve);
      },
      () => {},
    );
  });
  client.write(bytes(0));
  client.write(bytes(1));
  await done;
  assert.deepEqual(order, [
    'message 0',
    'tick 0',
    'microtask 0',
    'message 1',
    'tick 1',
    'microtask 1',
  ]);
});

it('refuses a second start', async (t) => {
  const [, server] = await messagePair(t);
  new Inbox(server);
  assert.throws(() => new Inbox(server), nativeError('EALREADY', 'start'));
});

it('keeps going when the buffer has been detached, with an error', async (t) => {
  const [client, server] = await messagePair(t);
  const buffer = new Uint8Array(64);
  const ended = new Promise<ChannelEnd>((resolve) => {
    server.start(buffer, () => assert.fail('a message without a buffer'), resolve);
  });
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  client.write(bytes(1));
  const end = await ended;
  assert.ok(end.reason === 'error');
  assert.equal(end.error.code, 'EMSGSIZE');
});

it('names the call and the path when opening fails', (t) => {
  const folder = temporaryFolder(t);
  const absent = join(folder, 'absent');
  const file = join(folder, 'file');
  const long = `/${'x'.repeat(200)}`;
  writeFileSync(file, '');
  assert.throws(() => native.openMessageDevice(absent), nativeError('ENOENT', 'open', absent));
  assert.throws(() => native.openMessageDevice(folder), nativeError('EISDIR', 'open', folder));
  assert.throws(
    () => native.connectMessageSocket(absent),
    nativeError('ENOENT', 'connect', absent),
  );
  assert.throws(
    () => native.connectMessageSocket(file),
    nativeError('ECONNREFUSED', 'connect', file),
  );
  assert.throws(
    () => native.connectMessageSocket(long),
    nativeError('ENAMETOOLONG', 'connect', long),
  );
  assert.throws(() => native.adoptMessageChannel(1_000_000), nativeError('EBADF', 'fcntl'));
  assert.throws(() => native.openMessageDevice('/dev/null\0'), TypeError);
});

it('refuses arguments of wrong types', async (t) => {
  const [client] = await messagePair(t);
  const loose = client as unknown as Record<string, (...parameters: unknown[]) => unknown>;
  for (const message of [
    undefined,
    null,
    'text',
    7,
    [1],
    new Uint16Array(2),
    new ArrayBuffer(4),
    {},
  ]) {
    assert.throws(() => loose['write']?.(message), TypeError);
    assert.throws(
      () =>
        loose['start']?.(
          message,
          () => {},
          () => {},
        ),
      TypeError,
    );
  }
  assert.throws(() => loose['start']?.(new Uint8Array(1), 1, () => {}), TypeError);
  const Channel = client.constructor as new () => unknown;
  assert.throws(() => new Channel(), TypeError);
  assert.throws(() => loose['write']?.call({}, bytes(1)), TypeError);
});

it('a listener replaces a dead socket file, but neither a living one nor a file', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'socket');
  const first = native.listen(path);
  assert.throws(() => native.listen(path), nativeError('EADDRINUSE', 'bind', path));
  first.close();
  first.close();
  assert.equal(existsSync(path), false);

  // A file whose name it does not know any more is what a killed process leaves.
  const dead = join(folder, 'dead');
  const killed = native.listen(path);
  renameSync(path, dead);
  killed.close();
  assert.ok(existsSync(dead));
  native.listen(dead).close();

  const file = join(folder, 'file');
  writeFileSync(file, 'kept');
  assert.throws(() => native.listen(file), nativeError('EADDRINUSE', 'bind', file));
  assert.ok(existsSync(file));
});

it('a listener accepts many connections', async (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const listener = native.listen(path);
  t.after(() => listener.close());
  const accepted: number[] = [];
  listener.start(
    (fd) => accepted.push(fd),
    () => {},
  );
  const clients = Array.from({ length: 10 }, () => native.connectMessageSocket(path));
  await turns(30);
  assert.equal(accepted.length, 10);
  for (const channel of [...clients, ...accepted.map((fd) => native.adoptMessageChannel(fd))])
    channel.close();
});
