import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { type NativeError, READING_SLOTS, ReadingSlot } from '../../native/interface.ts';
import { MemoryNative } from '../../native/memory/index.ts';

/** As a literal of JavaScript, for programs of these tests. */
const ADDON_LITERAL = JSON.stringify(join(import.meta.dirname, '../../build/Release/vmic.node'));

const folder = mkdtempSync(join(tmpdir(), 'vmic-clocks-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const failsWith = (code: string, syscall: string) => (error: unknown) => {
  assert.equal((error as NativeError).code, code);
  assert.equal((error as NativeError).syscall, syscall);
  return true;
};

describe('readings', () => {
  it('reads both clocks of one moment, between what others read before and after', () => {
    const into = new BigInt64Array(READING_SLOTS);
    const before = process.hrtime.bigint();
    const beforeMs = BigInt(Date.now());
    native.readClocks(into);
    const realtimeNs = into[ReadingSlot.value]!;
    assert.ok(realtimeNs >= beforeMs * 1_000_000n, `${realtimeNs} is not before ${beforeMs} ms`);
    assert.ok(realtimeNs < BigInt(Date.now() + 1) * 1_000_000n);
    const rawNs = into[ReadingSlot.monotonicRawNs]!;
    const uncertaintyNs = into[ReadingSlot.uncertaintyNs]!;
    assert.ok(uncertaintyNs >= 0n && uncertaintyNs <= process.hrtime.bigint() - before);
    native.readClocks(into);
    assert.ok(into[ReadingSlot.monotonicRawNs]! > rawNs, 'the raw clock goes on');
  });

  it('reads 8 bytes of a register by its position, little-endian', () => {
    const path = join(folder, 'registers');
    writeFileSync(path, Buffer.from('ffffffffffffffff0807060504030201ff', 'hex'));
    const fd = openSync(path, 'r');
    const into = new BigInt64Array(READING_SLOTS);
    native.readRegister(fd, 8, into);
    assert.equal(into[ReadingSlot.value], 0x0102_0304_0506_0708n);
    assert.throws(() => native.readRegister(fd, 10, into), failsWith('EIO', 'pread'));
    closeSync(fd);
    assert.throws(() => native.readRegister(fd, 8, into), failsWith('EBADF', 'pread'));
  });

  it('tells what the kernel does to the clock', () => {
    const { frequencyPpm, slewUs, synchronized } = native.readClockState();
    assert.ok(Math.abs(frequencyPpm) <= 500);
    assert.ok(Number.isInteger(slewUs));
    assert.equal(typeof synchronized, 'boolean');
  });

  it('refuses arguments of the wrong kind', () => {
    const wrong: (() => void)[] = [
      () => native.readClocks(new BigInt64Array(2)),
      () => native.readClocks(new BigUint64Array(3) as never),
      () => native.readRegister(-1, 0, new BigInt64Array(3)),
      () => native.readRegister(0, -1, new BigInt64Array(3)),
      () => native.readRegister(0, 0, new BigInt64Array(2)),
      () => native.adjustClock(undefined as never),
      () => native.adjustClock({ stepNs: 2n ** 63n }),
      () => native.adjustClock({ stepNs: 1 as never }),
      () => native.adjustClock({ frequencyPpm: 500.1 }),
      () => native.adjustClock({ frequencyPpm: Number.NaN }),
      () => native.adjustClock({ slewUs: 0.5 }),
      () => native.adjustClock({ errorUs: -1 }),
      () => native.sendDatagram('a\0b', new Uint8Array(1)),
      () => native.sendDatagram('/nowhere', 'text' as never),
    ];
    for (const call of wrong) assert.throws(call, TypeError, String(call));
  });
});

describe('changes', () => {
  it('are refused to a process without the capability', () => {
    // As nobody, who can change no clock; and a slew of nothing would change none
    const script = `
      const module = { exports: {} };
      process.dlopen(module, ${ADDON_LITERAL});
      process.setgroups?.([]);
      process.getuid() === 0 && (process.setgid(65534), process.setuid(65534));
      try { module.exports.adjustClock({ slewUs: 0 }); console.log('changed'); }
      catch ({ code, syscall }) { console.log(code, syscall); }`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['-e', process.getuid?.() === 0 ? script : script.replace('process.setgroups?.([]);', '')],
      { encoding: 'utf8' },
    );
    assert.equal(stdout, 'EPERM clock_adjtime\n', stderr);
  });
});

describe('datagrams', () => {
  it('says whether somebody took one', async () => {
    const path = join(folder, 'nobody.sock');
    assert.equal(native.sendDatagram(path, Uint8Array.of(1)), false);
    writeFileSync(path, '');
    assert.equal(native.sendDatagram(path, Uint8Array.of(1)), false, 'a file that is no socket');
  });

  it('arrive whole', {
    skip:
      spawnSync('python3', ['-c', '']).status === 0
        ? false
        : 'Node has no Unix datagram sockets, and there is no Python',
  }, () => {
    const path = join(folder, 'heard.sock');
    const listener = spawnSync(
      'python3',
      [
        '-c',
        `import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.settimeout(20)
subprocess.run(sys.argv[2:], check=True)
print(s.recv(100).hex())`,
        path,
        process.execPath,
        '-e',
        `const module = { exports: {} };
         process.dlopen(module, ${ADDON_LITERAL});
         const { sendDatagram } = module.exports;
         if (!sendDatagram(${JSON.stringify(path)}, Uint8Array.of(0, 1, 255))) process.exit(1);`,
      ],
      { encoding: 'utf8' },
    );
    assert.equal(listener.stdout, '0001ff\n', listener.stderr);
  });
});

describe('the clock in memory', () => {
  const read = (memory: MemoryNative): bigint => {
    const into = new BigInt64Array(READING_SLOTS);
    memory.readClocks(into);
    return into[ReadingSlot.value]!;
  };

  it('runs with the raw clock, steps, and slews by 500 us a second until it is done', () => {
    const memory = new MemoryNative();
    const start = read(memory);
    memory.rawNs += 1_000_000_000n;
    assert.equal(read(memory) - start, 1_000_000_000n);
    memory.adjustClock({ stepNs: -5_000_000_000n });
    assert.equal(read(memory) - start, -4_000_000_000n);
    memory.adjustClock({ slewUs: 700 });
    memory.rawNs += 1_000_000_000n;
    assert.equal(read(memory) - start, -3_000_000_000n + 500_000n);
    assert.equal(memory.readClockState().slewUs, 200);
    memory.rawNs += 1_000_000_000n;
    assert.equal(read(memory) - start, -2_000_000_000n + 700_000n);
    memory.rawNs += 1_000_000_000n;
    assert.equal(read(memory) - start, -1_000_000_000n + 700_000n, 'no longer than wanted');
  });

  it('keeps its frequency, to the nanosecond however finely time passes', () => {
    const memory = new MemoryNative();
    const start = read(memory);
    memory.adjustClock({ frequencyPpm: -12.5 });
    for (let i = 0; i < 1000; i++) {
      memory.rawNs += 1_000_000n + BigInt(i % 2);
      read(memory);
    }
    const elapsed = 1_000_000_500n;
    assert.equal(read(memory) - start, elapsed - 12_501n);
  });

  it('refuses as a process without the capability is refused', () => {
    const memory = new MemoryNative();
    memory.refuseAdjustments = 'EPERM';
    assert.throws(() => memory.adjustClock({ slewUs: 1 }), failsWith('EPERM', 'clock_adjtime'));
  });
});
