import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import {
  isAlive,
  ownIdentity,
  readStatus,
  type TimesyncStatus,
} from '../../../daemons/timesync/status.ts';
import {
  lookAround,
  MsrCounter,
  simulatedClock,
  systemClock,
} from '../../../daemons/timesync/system.ts';
import { MemoryNative } from '../../../native/memory/index.ts';
import { writeJson } from '../../../runtime/status/status-file.ts';
import { wholeStatus } from '../../runtime/status/whole.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-timesync-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const MSR = 0x4000_0020;
const quiet = { info: () => {} };

describe('the reference counter', () => {
  const device = path.join(folder, 'msr');
  fs.writeFileSync(device, '');
  /** A register that advances by `pace` times the raw clock. */
  const counter = (pace: number) => {
    const memory = new MemoryNative();
    memory.registers.set(
      MSR,
      () => 5_000n + BigInt(Math.round((Number(memory.rawNs) * pace) / 100)),
    );
    return { memory, counter: new MsrCounter(memory, device, {}, quiet) };
  };

  it('is used once it has proved to advance as it should', () => {
    const { memory, counter: c } = counter(1);
    assert.equal(c.read(), undefined, 'at once nothing can be told');
    memory.rawNs += 99_000_000n;
    assert.equal(c.read(), undefined);
    memory.rawNs += 1_000_000n;
    assert.deepEqual(c.read(), { value100ns: 5_000n + 11_000_000n, rawNs: 1_100_000_000n });
    c.close();
    assert.equal(c.read(), undefined);
    c.close();
  });

  it(
    'is not used when it stands still or runs at another pace: no hypervisor, or another ' + 'one',
    () => {
      for (const pace of [0, 0.9, 1.1, 100]) {
        const { memory, counter: c } = counter(pace);
        memory.rawNs += 1_000_000_000n;
        assert.equal(c.read(), undefined, `pace ${pace}`);
        memory.registers.set(MSR, () => assert.fail('it is not asked again'));
        assert.equal(c.read(), undefined);
      }
    },
  );

  it('may fail to be read at any time', () => {
    const none = new MsrCounter(new MemoryNative(), device, {}, quiet);
    assert.equal(none.read(), undefined);
    const { memory, counter: c } = counter(1);
    memory.rawNs += 1_000_000_000n;
    assert.ok(c.read());
    memory.registers.delete(MSR);
    assert.equal(c.read(), undefined);
  });

  it('may have no device, which is said', () => {
    const said: string[] = [];
    const none = new MsrCounter(
      new MemoryNative(),
      path.join(folder, 'none'),
      {},
      { info: (line) => void said.push(line) },
    );
    assert.equal(none.read(), undefined);
    assert.deepEqual(said, [
      "The reference counter can't be read; samples are compared with each other instead",
    ]);
    said.length = 0;
    new MsrCounter(new MemoryNative(), '', {}, { info: (line) => void said.push(line) });
    assert.deepEqual(said, [], 'unless none is wanted');
  });

  it("may come open from systemd, by its descriptor's name", () => {
    const fds: number[] = [];
    const read = (fd: number) => void fds.push(fd);
    const env = {
      LISTEN_PID: String(process.pid),
      LISTEN_FDS: '2',
      LISTEN_FDNAMES: 'other:reference-counter',
    };
    new MsrCounter({ readRegister: read }, path.join(folder, 'none'), env, {
      info: () => assert.fail('it is there'),
    });
    new MsrCounter({ readRegister: read }, '', { ...env, LISTEN_PID: '1' }, quiet);
    new MsrCounter({ readRegister: read }, '', { ...env, LISTEN_FDNAMES: 'other' }, quiet);
    assert.deepEqual(fds, [4]);
  });
});

describe('clocks', () => {
  it("the machine's is read and changed through the native function", () => {
    const memory = new MemoryNative();
    const clock = systemClock(memory);
    assert.deepEqual(clock.read(), {
      realtimeNs: 1_767_225_600_000_000_000n,
      rawNs: 1_000_000_000n,
    });
    clock.adjust({ slewUs: 7 });
    assert.deepEqual(memory.clockAdjustments, [{ slewUs: 7 }]);
    assert.deepEqual(clock.state(), { frequencyPpm: 0, slewUs: 7, synchronized: false });
  });

  it("a simulated one starts off by its error, and never changes the machine's", () => {
    const memory = new MemoryNative();
    const clock = simulatedClock(memory, -1500, 1);
    const machineNs = 1_767_225_600_000_000_000n;
    assert.equal(clock.read().realtimeNs, machineNs - 1_500_000_000n);
    clock.adjust({ stepNs: 1_500_000_000n });
    clock.adjust({ frequencyPpm: 100, slewUs: 500 });
    memory.rawNs += 1_000_000_000n;
    assert.equal(clock.read().realtimeNs, machineNs + 1_000_000_000n + 100_000n + 500_000n);
    assert.equal(clock.kind, 'simulated');
    const fast = simulatedClock(memory, 0, 20);
    const before = fast.read();
    memory.rawNs += 1_000_000_000n;
    const after = fast.read();
    assert.deepEqual(
      [after.realtimeNs - before.realtimeNs, after.rawNs - before.rawNs],
      [20_000_000_000n, 20_000_000_000n],
    );
    assert.deepEqual(memory.clockAdjustments, []);
  });
});

describe('what else runs', () => {
  const root = path.join(folder, 'root');
  const put = (file: string, text: string): void => {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    fs.writeFileSync(path.join(root, file), text);
  };

  it('is read from /proc, the socket, and the configuration of chronyd', () => {
    put('proc/1/comm', 'systemd\n');
    put('proc/77/comm', 'chronyd\n');
    put('proc/78/status', 'a process that has just ended');
    put('proc/self/comm', 'not a number\n');
    put('etc/chrony.conf', 'refclock PHC /dev/ptp_hyperv\n');
    put('run/chrony/vmic.sock', 'a file, no socket');
    const around = lookAround('/run/chrony/vmic.sock', root);
    assert.deepEqual([...around.processNames].sort(), ['', 'chronyd', 'systemd']);
    assert.equal(around.chronySocketExists, false);
    assert.deepEqual(around.refclocks, [{ driver: 'PHC', parameter: '/dev/ptp_hyperv' }]);
    put('etc/chrony/chrony.conf', '');
    assert.deepEqual(
      lookAround('/run/chrony/vmic.sock', root).refclocks,
      [],
      "Debian's place comes first",
    );
  });

  it('may be nothing at all', () => {
    assert.deepEqual(lookAround('/none', path.join(folder, 'empty')), {
      processNames: new Set(),
      chronySocketExists: false,
      refclocks: [],
    });
  });

  it('finds this very process on the real machine', () => {
    const own = fs.readFileSync('/proc/self/comm', 'utf8').trimEnd();
    assert.ok(lookAround('/none').processNames.has(own));
  });
});

describe('the status file', () => {
  const file = path.join(folder, 'run/vmic/timesync.json');
  const status: TimesyncStatus = {
    service: 'timesync',
    process: ownIdentity(),
    uptimeSecs: 5,
    clock: 'system',
    mode: 'discipline',
    reason: 'a test',
    configured: false,
    counters: { messages: 1 },
  };

  it('is made with its folder, replaced as a whole, readable for all', () => {
    assert.equal(readStatus(file), undefined);
    writeJson(file, wholeStatus(status));
    const reader = fs.openSync(file, 'r');
    writeJson(file, wholeStatus({ ...status, mode: 'observe' }));
    assert.equal(
      JSON.parse(fs.readFileSync(reader, 'utf8')).details.mode,
      'discipline',
      'who has it open reads what was',
    );
    fs.closeSync(reader);
    assert.deepEqual(readStatus(file), { ...status, mode: 'observe' });
    assert.equal(fs.statSync(file).mode & 0o444, 0o444);
    assert.deepEqual(fs.readdirSync(path.dirname(file)), ['timesync.json']);
  });

  it('that is none of ours is an error', () => {
    for (const text of [
      '',
      'nonsense',
      'null',
      '[]',
      '{"service":"timesync"}',
      '{"service":"kvp","process":{"pid":1},"counters":{}}',
    ]) {
      fs.writeFileSync(file, text);
      assert.throws(() => readStatus(file), /is no status of vmic-timesync/, text);
    }
  });

  it(
    'tells a living process from one that ended, and from a later one of the same ' + 'number',
    async () => {
      assert.equal(isAlive(ownIdentity()), true);
      assert.equal(isAlive({ ...ownIdentity(), startTicks: '1' }), false);
      const child = spawn('sleep', ['0']);
      await new Promise((resolve) => child.on('close', resolve));
      assert.equal(isAlive({ pid: child.pid!, startTicks: '1' }), false);
    },
  );
});
