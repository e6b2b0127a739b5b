import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import type { Listener, MessageChannel } from '../../native/interface.ts';
import { toyProtocol } from './toy.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-program-'));
after(() => fs.rmSync(folder, { recursive: true }));
const socket = path.join(folder, 'device');
const script = path.join(import.meta.dirname, 'toy-daemon.ts');
const codec = toyProtocol.hvUtils;
const noConfig = ['--config', path.join(folder, 'config.toml')];
fs.writeFileSync(noConfig[1]!, '');

/** A list that can be waited on. */
class Inbox<T> {
  readonly all: T[] = [];
  readonly #waiting: (() => void)[] = [];
  push(item: T): void {
    this.all.push(item);
    for (const wake of this.#waiting.splice(0)) wake();
  }
  async until<S extends T>(wanted: (item: T) => item is S): Promise<S>;
  async until(wanted: (item: T) => boolean): Promise<T>;
  async until(wanted: (item: T) => boolean): Promise<T> {
    for (let next = 0; ; ) {
      for (; next < this.all.length; next++) if (wanted(this.all[next]!)) return this.all[next]!;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** Plays the kernel's end of the char device. */
class Device {
  readonly messages = new Inbox<number[]>();
  #listener: Listener | undefined;
  #channel: MessageChannel | undefined;
  connections = 0;

  plugIn(): this {
    this.#listener = native.listen(socket);
    this.#listener.start(
      (fd) => {
        this.connections++;
        const channel = native.adoptMessageChannel(fd);
        this.#channel = channel;
        const buffer = new Uint8Array(64);
        channel.start(
          buffer,
          (length) => {
            const message = [...new Uint32Array(buffer.slice(0, length).buffer)];
            this.messages.push(message);
            if (message[0] === 0xff) channel.write(codec.encodeRegistrationAnswer('1'));
          },
          () => channel.close(),
        );
      },
      () => {},
    );
    return this;
  }

  ask(request: number): void {
    this.#channel!.write(codec.encodeRequest(request));
  }

  answer(wanted: number): Promise<number[]> {
    return this.messages.until((message) => message[0] !== 0xff && message[1] === wanted);
  }

  hangUp(): void {
    this.#channel?.close();
  }

  unplug(): void {
    this.hangUp();
    this.#listener?.close();
    fs.rmSync(socket, { force: true });
  }
}

type Line = { level: string; message: string } & Record<string, unknown>;

const running: { child: ChildProcess; device: Device }[] = [];
afterEach(async () => {
  for (const { child, device } of running.splice(0)) {
    device.unplug();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
});

function start(device: Device, args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', script, '--transport', `unix:${socket}`, ...noConfig, ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    },
  );
  running.push({ child, device });
  const lines = new Inbox<Line>();
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(JSON.parse(line)));
  return {
    child,
    lines,
    logged: (pattern: RegExp) => lines.until((line) => pattern.test(line.message)),
    exit: async () => (await once(child, 'exit')) as [number | null, NodeJS.Signals | null],
  };
}

describe('life of a daemon', { timeout: 600_000 }, () => {
  it('registers, answers, and stops when told', async () => {
    const device = new Device().plugIn();
    const daemon = start(device, ['-n']);
    const { kernelVersion } = await daemon.logged(/^Connected/);
    assert.equal(kernelVersion, 'v1');
    device.ask(21);
    await device.answer(42);
    const exit = daemon.exit();
    daemon.child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    assert.deepEqual(
      daemon.lines.all.map(({ level, message }) => `${level}: ${message}`),
      ['info: Channel open', 'notice: Connected', 'notice: Stopping'],
    );
  });

  it('stops at once in the middle of a request, and on other signals', async () => {
    for (const signal of ['SIGINT', 'SIGHUP'] as const) {
      const device = new Device().plugIn();
      const daemon = start(device, ['--set', 'kvp.slow_ms=100000']);
      await daemon.logged(/^Connected/);
      device.ask(50);
      const exit = daemon.exit();
      daemon.child.kill(signal);
      assert.deepEqual(await exit, [0, null]);
      device.unplug();
    }
  });

  it('stops with a log that nobody reads', async () => {
    const device = new Device().plugIn();
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', script, '--transport', `unix:${socket}`, ...noConfig],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    running.push({ child, device });
    await device.messages.until((message) => message[0] === 0xff);
    // A line as long as an error's stack each: more than a pipe and a stream nobody reads take
    for (let asked = 0; asked < 1000; asked++) {
      const before = device.messages.all.length;
      device.ask(14);
      await device.messages.until(() => device.messages.all.length > before);
    }
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [null, 'SIGTERM']);
  });

  it('waits for a device that is absent, and for one that goes away', async () => {
    const device = new Device();
    const daemon = start(device);
    await daemon.logged(/^Waiting: .*is not there/);
    device.plugIn();
    await daemon.logged(/^Connected/);
    device.unplug();
    await daemon.logged(/^The device went away/);
    await daemon.lines.until(
      (line) => line.message.startsWith('Waiting') && daemon.lines.all.indexOf(line) > 1,
    );
    device.plugIn();
    device.messages.all.length = 0;
    await device.messages.until((message) => message[0] === 0xff);
    device.ask(1);
    await device.answer(2);
    assert.equal(daemon.child.exitCode, null);
  });

  it('stops while it waits', async () => {
    const daemon = start(new Device());
    await daemon.logged(/^Waiting/);
    const exit = daemon.exit();
    daemon.child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
  });

  it('tells its service when the channel ended, and waits for it to close', async () => {
    const device = new Device().plugIn();
    const daemon = start(device, ['--set', 'kvp.goodbye_ms=50']);
    await daemon.logged(/^Connected/);
    device.unplug();
    await daemon.logged(/^Disconnected/);
    await daemon.logged(/^Waiting/);
    const exit = daemon.exit();
    daemon.child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    await daemon.logged(/^Closed/);
    assert.equal(daemon.lines.all.filter(({ message }) => message === 'Disconnected').length, 1);
  });

  it('has its service let go before it says its last words', async () => {
    const device = new Device().plugIn();
    const daemon = start(device, ['--set', 'kvp.goodbye_ms=50000']);
    await daemon.logged(/^Connected/);
    const exit = daemon.exit();
    device.ask(66);
    assert.deepEqual(await exit, [1, null]);
    await daemon.logged(/^Internal error.*on the loop/);
    const messages = daemon.lines.all.map(({ message }) => message);
    assert.ok(
      messages.indexOf('Closing') <
        messages.findIndex((message) => message.startsWith('Internal error')),
    );
    assert.ok(messages.includes('Closing') && !messages.includes('Closed'));
  });

  it('survives a service that throws, and shows its state on SIGUSR1', async () => {
    const device = new Device().plugIn();
    const daemon = start(device);
    await daemon.logged(/^Connected/);
    const failures = 50;
    for (let asked = 0; asked < failures; asked++) {
      const before = device.messages.all.length;
      device.ask(13);
      await device.messages.until(() => device.messages.all.length > before);
    }
    await daemon.logged(/^A request failed/);
    device.ask(4);
    await device.answer(8);
    daemon.child.kill('SIGUSR1');
    const state = await daemon.logged(/^State/);
    // A host can have it fail as often as it likes
    assert.ok(
      daemon.lines.all.filter(({ message }) => message.startsWith('A request failed')).length <
        failures / 2,
    );
    assert.equal(state['requests'], failures + 1);
    assert.equal(state['open'], true);
  });

  it('tells systemd: ready, feeding the watchdog, stopping', async (t) => {
    if (spawnSync('python3', ['--version']).status !== 0)
      return t.skip('python3 is missing, which receives the datagrams here');
    const notifySocket = path.join(folder, 'notify');
    const receiver = spawn(
      'python3',
      [
        '-uc',
        [
          'import socket',
          's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)',
          `s.bind(${JSON.stringify(notifySocket)})`,
          'print("bound")',
          'while True: print(repr(s.recv(4096).decode()))',
        ].join('\n'),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const said = new Inbox<string>();
    createInterface({ input: receiver.stdout }).on('line', (line) => said.push(line));
    await said.until((line) => line === 'bound');
    const device = new Device().plugIn();
    const daemon = start(device, ['--set', 'kvp.slow_ms=100000'], {
      NOTIFY_SOCKET: notifySocket,
      WATCHDOG_USEC: '200000',
    });
    await said.until((line) => line === `'READY=1\\nSTATUS=serving unix:${socket}'`);
    await said.until((line) => line === "'WATCHDOG=1'");
    const exit = daemon.exit();
    daemon.child.kill('SIGTERM');
    await exit;
    await said.until((line) => line === "'STOPPING=1'");
    receiver.kill();
  });
});
