import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  PoolError,
  type PoolErrorCode,
  type PoolRecord,
} from '../../../daemons/kvp/pools/index.ts';
import type { AutoPool, KvpPorts } from '../../../daemons/kvp/ports.ts';
import { KvpService } from '../../../daemons/kvp/service.ts';
import type { KvpReply, KvpRequest, KvpValue } from '../../../protocol/kvp/types.ts';
import { levels } from '../../../runtime/log.ts';

const OK = 0;
const FAIL = 0x80004005;
const NO_MORE_ITEMS = 0x80070103;
const NOT_SUPPORTED = 0x80070032;
const INVALID = 0x80070057;
const DISK_FULL = 0x80070070;

type Line = readonly [
  severity: string,
  message: string,
  fields: Readonly<Record<string, unknown>> | undefined,
];

/** A port that was not scripted must not be called. */
const untouched = (name: string) => (): never => assert.fail(`${name} was called`);

function service(script: {
  pools?: Partial<KvpPorts['pools']>;
  autoPool?: Partial<AutoPool>;
  patience?: KvpPorts['patience'];
}) {
  const lines: Line[] = [];
  const service = new KvpService({
    pools: {
      get: untouched('pools.get'),
      set: untouched('pools.set'),
      delete: untouched('pools.delete'),
      at: untouched('pools.at'),
      ...script.pools,
    },
    autoPool: {
      at: untouched('autoPool.at'),
      get: untouched('autoPool.get'),
      has: untouched('autoPool.has'),
      setIntegrationServicesVersion: untouched('autoPool.setIntegrationServicesVersion'),
      ...script.autoPool,
    },
    patience: script.patience ?? { now: untouched('now'), wait: untouched('wait') },
    log: levels((...line) => lines.push(line as unknown as Line)),
    version: '9.8.7',
    close: untouched('close'),
  });
  return { service, lines };
}

const text = (value: string): KvpValue => ({ type: 'string', text: value });
const fails = (code: PoolErrorCode) => (): never => {
  throw new PoolError(code, '/pools/.kvp_pool_0', `/pools/.kvp_pool_0 ${code}`);
};

/** One request of each operation that uses a pool file. */
const requests = (pool: number): Record<'get' | 'set' | 'delete' | 'enumerate', KvpRequest> => ({
  get: { operation: 'get', pool, key: 'k' },
  set: { operation: 'set', pool, key: 'k', value: text('v') },
  delete: { operation: 'delete', pool, key: 'k' },
  enumerate: { operation: 'enumerate', pool, index: 3 },
});

describe('pool files behind the service', () => {
  for (const pool of [0, 1, 3, 4]) {
    it(`pool ${pool}: every operation reaches the file`, () => {
      const calls: unknown[][] = [];
      const recording =
        <T>(name: string, result: T) =>
        (...args: unknown[]): T => {
          calls.push([name, ...args]);
          return result;
        };
      const { service: kvp } = service({
        pools: {
          get: recording('get', 'stored'),
          set: recording('set', undefined),
          delete: recording('delete', true),
          at: recording('at', { key: 'k', value: 'stored' }),
        },
      });
      const { get, set, delete: remove, enumerate } = requests(pool);
      assert.deepEqual(kvp.handle(get), { status: OK, value: text('stored') });
      assert.deepEqual(kvp.handle(set), { status: OK });
      assert.deepEqual(kvp.handle(remove), { status: OK });
      assert.deepEqual(kvp.handle(enumerate), { status: OK, key: 'k', value: text('stored') });
      assert.deepEqual(calls, [
        ['get', pool, 'k'],
        ['set', pool, 'k', 'v'],
        ['delete', pool, 'k'],
        ['at', pool, 3],
      ]);
    });
  }

  it('says "no more items" for what is not there', () => {
    const { service: kvp } = service({
      pools: { get: () => undefined, delete: () => false, at: () => undefined },
    });
    const { get, delete: remove, enumerate } = requests(0);
    for (const request of [get, remove, enumerate])
      assert.deepEqual(kvp.handle(request), { status: NO_MORE_ITEMS });
  });

  it('keeps values as text', () => {
    const cases: [KvpValue, string][] = [
      [{ type: 'string', text: '' }, ''],
      [{ type: 'expandString', text: '%PATH%' }, '%PATH%'],
      [{ type: 'u32', value: 0xffffffff }, '4294967295'],
      [{ type: 'u64', value: 0xffffffffffffffffn }, '18446744073709551615'],
    ];
    for (const [value, expected] of cases) {
      const stored: string[] = [];
      const { service: kvp } = service({
        pools: { set: (_pool, _key, written) => void stored.push(written) },
      });
      assert.deepEqual(kvp.handle({ operation: 'set', pool: 0, key: 'k', value }), { status: OK });
      assert.deepEqual(stored, [expected]);
    }
  });

  it('refuses a value of a type it does not know', () => {
    const { service: kvp } = service({});
    const value: KvpValue = { type: 'unknown', typeCode: 77, bytes: new Uint8Array(3) };
    assert.deepEqual(kvp.handle({ operation: 'set', pool: 0, key: 'k', value }), {
      status: NOT_SUPPORTED,
    });
  });

  const failures: [PoolErrorCode, status: number, severity: string][] = [
    ['invalid', INVALID, 'warning'],
    ['diskFull', DISK_FULL, 'error'],
    ['readOnly', FAIL, 'error'],
    ['io', FAIL, 'error'],
  ];
  for (const [code, status, severity] of failures) {
    it(`answers ${code} on every operation, and logs it`, () => {
      const throwing = fails(code);
      for (const [operation, request] of Object.entries(requests(1))) {
        const { service: kvp, lines } = service({
          pools: { get: throwing, set: throwing, delete: throwing, at: throwing },
        });
        assert.deepEqual(kvp.handle(request), { status });
        assert.equal(lines.length, 1);
        const [lineSeverity, , fields] = lines[0] as Line;
        assert.equal(lineSeverity, severity);
        assert.equal(fields?.['operation'], operation);
        assert.match(String(fields?.['error']), /\.kvp_pool_0/);
      }
    });
  }

  it('lets an error of the program through', () => {
    const { service: kvp } = service({
      pools: {
        get: () => {
          throw new TypeError('a bug');
        },
      },
    });
    assert.throws(() => kvp.handle(requests(0).get), TypeError);
  });
});

describe('bad requests', () => {
  for (const pool of [5, 6, 255]) {
    it(`pool ${pool} does not exist`, () => {
      for (const request of Object.values(requests(pool))) {
        const { service: kvp, lines } = service({});
        assert.deepEqual(kvp.handle(request), { status: INVALID });
        assert.equal(lines[0]?.[2]?.['pool'], pool);
      }
    });
  }

  it('does not support unknown operations and IP information, whatever the pool', () => {
    const ipInfo = {
      adapterId: '',
      addressFamily: 1,
      dhcpEnabled: false,
      addresses: [],
      subnets: [],
      gateways: [],
      dnsServers: [],
    };
    for (const pool of [0, 2, 255]) {
      const { service: kvp } = service({});
      const bad: KvpRequest[] = [
        { operation: 'unknown', pool, operationCode: 99 },
        { operation: 'getIpInfo', pool, adapterId: '', addressFamily: 1 },
        { operation: 'setIpInfo', pool, ipInfo },
      ];
      for (const request of bad) assert.deepEqual(kvp.handle(request), { status: NOT_SUPPORTED });
    }
  });
});

describe('texts longer than what reaches a host', () => {
  const enumerated = (record: PoolRecord) => {
    const { service: kvp, lines } = service({ pools: { at: () => record } });
    return { reply: kvp.handle(requests(0).enumerate) as KvpReply, lines };
  };

  it('passes the longest ones whole', () => {
    const record = { key: 'k'.repeat(254), value: 'é'.repeat(1022) };
    const { reply, lines } = enumerated(record);
    assert.deepEqual(reply, { status: OK, key: record.key, value: text(record.value) });
    assert.deepEqual(lines, []);
  });

  it('cuts longer ones between two letters and says so', () => {
    const { reply, lines } = enumerated({ key: `${'k'.repeat(253)}😀`, value: 'v'.repeat(1023) });
    assert.deepEqual(reply, { status: OK, key: 'k'.repeat(253), value: text('v'.repeat(1022)) });
    assert.equal(lines.length, 2);
  });

  it('counts bytes as well: a field that is full to its last byte loses its last letter', () => {
    const { reply } = enumerated({ key: `${'€'.repeat(170)}é`, value: '€'.repeat(683) });
    assert.deepEqual(reply, { status: OK, key: '€'.repeat(170), value: text('€'.repeat(682)) });
  });

  it('cuts the value of a get', () => {
    const { service: kvp } = service({ pools: { get: () => 'v'.repeat(2000) } });
    assert.deepEqual(kvp.handle(requests(0).get), { status: OK, value: text('v'.repeat(1022)) });
  });
});

describe('the auto pool behind the service', () => {
  const computed: Partial<AutoPool> = {
    has: (key) => key === 'OSName',
    get: (key) => (key === 'OSName' ? 'Debian' : undefined),
    at: (index) => (index === 5 ? { key: 'OSName', value: 'Debian' } : undefined),
  };

  it('enumerates what is computed, and nothing else', () => {
    const { service: kvp } = service({ autoPool: computed });
    assert.deepEqual(kvp.handle({ operation: 'enumerate', pool: 2, index: 5 }), {
      status: OK,
      key: 'OSName',
      value: text('Debian'),
    });
    assert.deepEqual(kvp.handle({ operation: 'enumerate', pool: 2, index: 10 }), {
      status: NO_MORE_ITEMS,
    });
    assert.deepEqual(kvp.handle({ operation: 'enumerate', pool: 2, index: 0xffffffff }), {
      status: NO_MORE_ITEMS,
    });
  });

  it('gets a computed key by name', () => {
    const { service: kvp } = service({ autoPool: computed });
    assert.deepEqual(kvp.handle({ operation: 'get', pool: 2, key: 'OSName' }), {
      status: OK,
      value: text('Debian'),
    });
  });

  it('does not let a host write or delete a computed key', () => {
    const { service: kvp } = service({ autoPool: computed });
    const set: KvpRequest = { operation: 'set', pool: 2, key: 'OSName', value: text('x') };
    assert.deepEqual(kvp.handle(set), { status: NOT_SUPPORTED });
    assert.deepEqual(kvp.handle({ operation: 'delete', pool: 2, key: 'OSName' }), {
      status: NOT_SUPPORTED,
    });
  });

  it('keeps other keys in the file', () => {
    const stored = new Map<string, string>();
    const { service: kvp } = service({
      autoPool: computed,
      pools: {
        get: (pool, key) => stored.get(`${pool} ${key}`),
        set: (pool, key, value) => void stored.set(`${pool} ${key}`, value),
        delete: (pool, key) => stored.delete(`${pool} ${key}`),
      },
    });
    const { get, set, delete: remove } = requests(2);
    assert.deepEqual(kvp.handle(set), { status: OK });
    assert.deepEqual([...stored], [['2 k', 'v']]);
    assert.deepEqual(kvp.handle(get), { status: OK, value: text('v') });
    assert.deepEqual(kvp.handle(remove), { status: OK });
    assert.deepEqual(kvp.handle(get), { status: NO_MORE_ITEMS });
  });

  it("reports the kernel's version behind hv_utils, and its own over VMBus", () => {
    const versions: string[] = [];
    const { service: kvp } = service({
      autoPool: { setIntegrationServicesVersion: (version) => void versions.push(version) },
    });
    kvp.connected({ via: 'hv_utils', versionText: '3.1' });
    kvp.connected({
      via: 'vmbus',
      framework: { major: 3, minor: 0 },
      message: { major: 4, minor: 0 },
    });
    assert.deepEqual(versions, ['3.1', '9.8.7']);
  });
});

describe('a pool file locked by another program', () => {
  /** A clock that only moves while somebody waits. */
  function patience(useful = true) {
    const waits: number[] = [];
    let now = 0;
    return {
      waits,
      now: () => now,
      wait: async (ms: number) => {
        waits.push(ms);
        now += ms;
        return useful;
      },
    };
  }

  it('waits, longer each time, and answers when the lock is gone', async () => {
    const clock = patience();
    let attempts = 0;
    const { service: kvp } = service({
      pools: { get: () => (++attempts < 5 ? fails('locked')() : 'v') },
      patience: clock,
    });
    const reply = kvp.handle(requests(0).get);
    assert.ok(reply instanceof Promise);
    assert.deepEqual(await reply, { status: OK, value: text('v') });
    assert.deepEqual(clock.waits, [2, 4, 8, 16]);
  });

  it('gives up after ten seconds and names the file', async () => {
    const clock = patience();
    const { service: kvp, lines } = service({ pools: { set: fails('locked') }, patience: clock });
    assert.deepEqual(await kvp.handle(requests(0).set), { status: FAIL });
    assert.ok(clock.now() >= 10_000 && clock.now() < 10_200, `${clock.now()} ms`);
    assert.equal(lines.length, 1);
    assert.match(String(lines[0]?.[2]?.['error']), /\.kvp_pool_0/);
  });

  it('gives up at once when the program ends', async () => {
    const clock = patience(false);
    const { service: kvp } = service({ pools: { set: fails('locked') }, patience: clock });
    assert.deepEqual(await kvp.handle(requests(0).set), { status: FAIL });
    assert.deepEqual(clock.waits, [2]);
  });

  it('reports another error that comes up while waiting', async () => {
    let attempts = 0;
    const { service: kvp } = service({
      pools: { set: () => fails(++attempts < 2 ? 'locked' : 'diskFull')() },
      patience: patience(),
    });
    assert.deepEqual(await kvp.handle(requests(0).set), { status: DISK_FULL });
  });
});
