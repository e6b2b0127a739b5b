import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import {
  readDetails,
  readPeer,
  readServiceStatus,
  runtimeDirectory,
  type StatusPlace,
  StatusPublisher,
  statusFile,
  statusFiles,
  TRAFFIC_INTERVAL_MS,
} from '../../../runtime/status/status.ts';
import { isAlive, ownIdentity, writeJson } from '../../../runtime/status/status-file.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-status-'));
});
afterEach(() => {
  mock.timers.reset();
  fs.rmSync(folder, { recursive: true });
});
const peer = { via: 'hv_utils', versionText: '3.1' } as const;

function publisher(directory: string | undefined, isHeld?: () => boolean, place?: StatusPlace) {
  const lines: string[] = [];
  const told = {
    state: 'serving',
    transport: 'uio:',
    onDemand: false,
    peer,
    counters: { requests: 0 },
  } as const;
  let requests = 0;
  let asked = 0;
  const made = new StatusPublisher(directory, 'toy', {
    log: { warning: (message) => lines.push(message) },
    now: () => 5000,
    ...(isHeld && { isHeld }),
    place,
    tell: () => {
      asked++;
      return { ...told, counters: { requests }, lastRequestMs: requests > 0 ? 4000 : undefined };
    },
  });
  return {
    made,
    lines,
    request: () => {
      requests++;
      made.traffic();
    },
    asked: () => asked,
    read: () => readServiceStatus(statusFile(folder, 'toy'), 'toy'),
  };
}

describe('the status of a daemon', () => {
  it('is a file that all may read, whatever the umask', () => {
    const before = process.umask(0o077);
    try {
      publisher(folder).made.write();
    } finally {
      process.umask(before);
    }
    const file = statusFile(folder, 'toy');
    assert.equal(fs.statSync(file).mode & 0o777, 0o644);
    assert.equal(fs.statSync(path.dirname(file)).mode & 0o777, 0o755);
    assert.deepEqual(fs.readdirSync(path.dirname(file)), ['toy.json']);
  });

  it('tells of traffic once in a while, and nothing of none', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { made, request, asked, read } = publisher(folder);
    made.write();
    assert.equal(read()!.lastRequestUptimeSecs, undefined);
    for (let i = 0; i < 1000; i++) request();
    assert.equal(asked(), 1);
    mock.timers.tick(TRAFFIC_INTERVAL_MS);
    assert.equal(asked(), 2);
    const { counters, lastRequestUptimeSecs, uptimeSecs, process: told } = read()!;
    assert.deepEqual(counters, { requests: 1000 });
    assert.equal(Math.round((uptimeSecs - lastRequestUptimeSecs!) * 100), 100);
    assert.ok(isAlive(told));
    mock.timers.tick(10 * TRAFFIC_INTERVAL_MS);
    assert.equal(asked(), 2);
    request();
    mock.timers.tick(TRAFFIC_INTERVAL_MS);
    assert.equal(asked(), 3);
    request();
    made.remove();
    mock.timers.tick(TRAFFIC_INTERVAL_MS);
    assert.equal(read(), undefined);
  });

  it('is written later, where it may not be now', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    let isHeld = false;
    const { made, request, read } = publisher(folder, () => isHeld);
    request();
    isHeld = true;
    made.write();
    mock.timers.tick(10 * TRAFFIC_INTERVAL_MS);
    assert.equal(read(), undefined);
    isHeld = false;
    mock.timers.tick(TRAFFIC_INTERVAL_MS);
    assert.deepEqual(read()!.counters, { requests: 1 });
  });

  it('is told to nobody where nobody wants to know', () => {
    const { made, request, asked } = publisher(undefined);
    made.write();
    request();
    made.remove();
    assert.equal(asked(), 0);
  });

  it('that can not be written is no reason to fail', () => {
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, '');
    const { made, lines } = publisher(file);
    made.write();
    assert.deepEqual(lines, ["The status file can't be written"]);
  });

  it('that can not be written is told of once, until it can be again', () => {
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, '');
    const { made, lines } = publisher(file);
    made.write();
    made.write();
    fs.rmSync(file);
    made.write();
    fs.rmSync(file, { recursive: true });
    fs.writeFileSync(file, '');
    made.write();
    assert.equal(lines.length, 2);
  });

  it('tells of traffic with what is written anyway', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { made, request, asked, read } = publisher(folder);
    request();
    made.write();
    assert.deepEqual(read()!.counters, { requests: 1 });
    mock.timers.tick(10 * TRAFFIC_INTERVAL_MS);
    assert.equal(asked(), 1);
  });

  it('is also in the file that the configuration names, where it can outlive the process', () => {
    const file = path.join(folder, 'named.json');
    const { made, read } = publisher(folder, undefined, { file, outlives: true });
    made.write();
    made.remove();
    assert.deepEqual(readServiceStatus(file, 'toy'), read());
    const others = publisher(folder, undefined, { file });
    others.made.write();
    others.made.remove();
    assert.deepEqual([others.read(), fs.existsSync(file)], [undefined, false]);
  });

  it('has one file, unless the configuration names another', () => {
    const usual = '/run/vmic/status/toy.json';
    assert.deepEqual(statusFiles('/run/vmic', 'toy', undefined), [usual]);
    assert.deepEqual(statusFiles('/run/vmic', 'toy', { file: usual }), [usual]);
    assert.deepEqual(statusFiles('/x', 'toy', { file: usual }), ['/x/status/toy.json']);
    assert.deepEqual(statusFiles('/x', 'toy', { file: '/y' }), ['/x/status/toy.json', '/y']);
    assert.deepEqual(statusFiles(undefined, 'toy', { file: usual }), [usual]);
    assert.deepEqual(statusFiles(undefined, 'toy', undefined), []);
  });

  it('gives what the service added, with its head', () => {
    const file = path.join(folder, 'toy.json');
    const head = { service: 'toy', process: ownIdentity(), uptimeSecs: 5 };
    const read = () =>
      readDetails<{ mood: string }, 'toy'>(file, 'toy', ({ mood }) => mood !== undefined);
    assert.equal(read(), undefined);
    writeJson(file, { ...head, counters: {}, details: { mood: 'good' } });
    assert.deepEqual(read(), { ...head, mood: 'good' });
    for (const details of [undefined, null, 'x', {}]) {
      writeJson(file, { ...head, counters: {}, details });
      assert.throws(read, /is no status of vmic-toy/, JSON.stringify(details));
    }
  });

  it('goes where systemd says', () => {
    assert.equal(runtimeDirectory({}), undefined);
    assert.equal(runtimeDirectory({ RUNTIME_DIRECTORY: '' }), undefined);
    assert.equal(runtimeDirectory({ RUNTIME_DIRECTORY: '/run/vmic:/run/other' }), '/run/vmic');
  });
});

describe('who answered an earlier life', () => {
  const file = (): string => statusFile(folder, 'toy');
  const put = (content: object): void =>
    writeJson(file(), { service: 'toy', process: ownIdentity(), counters: {}, ...content });

  it('is read back', () => {
    const versions = {
      via: 'vmbus',
      framework: { major: 3, minor: 0 },
      message: { major: 4, minor: 0 },
    } as const;
    for (const one of [peer, versions]) {
      put({ peer: one });
      assert.deepEqual(readPeer(file(), 'toy'), one);
    }
  });

  it('is unknown where it can not be trusted or read', () => {
    assert.equal(readPeer(file(), 'toy'), undefined);
    for (const wrong of [
      undefined,
      null,
      'x',
      {},
      { via: 'hv_utils' },
      { via: 'vmbus', framework: { major: 3, minor: 0 } },
      { via: 'vmbus', framework: { major: 3, minor: 0 }, message: { major: '4', minor: 0 } },
      { via: 'vmbus', framework: { major: 3, minor: 0 }, message: { major: 4.5, minor: 0 } },
    ]) {
      put({ peer: wrong });
      assert.equal(readPeer(file(), 'toy'), undefined, JSON.stringify(wrong));
    }
    put({ peer });
    assert.equal(readPeer(file(), 'other'), undefined);
    fs.chmodSync(file(), 0o664);
    assert.equal(readPeer(file(), 'toy'), undefined);
    fs.chmodSync(file(), 0o644);
    const link = path.join(folder, 'link');
    fs.symlinkSync(file(), link);
    assert.equal(readPeer(link, 'toy'), undefined);
    if (process.getuid?.() === 0) {
      fs.chownSync(file(), 65_534, 65_534);
      assert.equal(readPeer(file(), 'toy'), undefined);
    }
  });
});
