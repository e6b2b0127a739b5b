import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GuestAutoPool } from '../../../daemons/kvp/auto-pool.ts';
import type { NetworkFacts } from '../../../daemons/kvp/network.ts';
import type { GuestSystem, OsFacts } from '../../../daemons/kvp/ports.ts';
import { VERSION } from '../../../runtime/version.ts';

const card = {
  index: 2,
  hardwareType: 1,
  deviceType: '',
  hasDevice: true,
  isTun: false,
  lower: [],
};
const network = (...addresses: string[]): NetworkFacts => ({
  addresses: addresses.map((address) => ({
    name: 'eth0',
    address,
    family: address.includes(':') ? 6 : 4,
    isLoopback: false,
  })),
  links: new Map([['eth0', card]]),
  ipv4Routes: '',
  ipv6Routes: '',
  ipv6Flags: '',
});

/** A guest whose every fact a test can change while it runs. */
function guest(facts: Partial<OsFacts> = {}) {
  const state = {
    hostName: 'web1.example.org',
    nowMs: 0,
    changed: false,
    network: network('10.0.0.4', '10.0.0.5', '2001:db8::4'),
    networkReads: 0,
    resolutions: [] as string[],
    resolve: (_hostName: string): Promise<string | undefined> => Promise.resolve(undefined),
  };
  const system: GuestSystem = {
    facts: {
      osRelease: 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\n',
      sysName: 'Linux',
      kernelRelease: '6.1.0-18-cloud-amd64',
      machine: 'x86_64',
      ...facts,
    },
    now: () => state.nowMs,
    hostName: () => state.hostName,
    resolveDomainName: (hostName) => {
      state.resolutions.push(hostName);
      return state.resolve(hostName);
    },
    networkChanged: () => {
      const { changed } = state;
      state.changed = false;
      return changed;
    },
    readNetwork: () => {
      state.networkReads++;
      return state.network;
    },
  };
  return { state, system, pool: () => new GuestAutoPool(system, VERSION) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the auto pool', () => {
  it('has ten keys in the order hosts know, and nothing after', () => {
    const pool = guest().pool();
    const records = Array.from({ length: 10 }, (_, index) => pool.at(index));
    assert.deepEqual(records, [
      { key: 'FullyQualifiedDomainName', value: 'web1.example.org' },
      { key: 'IntegrationServicesVersion', value: VERSION },
      { key: 'NetworkAddressIPv4', value: '10.0.0.4;10.0.0.5' },
      { key: 'NetworkAddressIPv6', value: '2001:db8::4' },
      { key: 'OSBuildNumber', value: '6.1.0-18-cloud-amd64' },
      { key: 'OSName', value: 'Debian GNU/Linux' },
      { key: 'OSMajorVersion', value: '12' },
      { key: 'OSMinorVersion', value: '' },
      { key: 'OSVersion', value: '6.1.0' },
      { key: 'ProcessorArchitecture', value: 'x86_64' },
    ]);
    for (const index of [10, 11, 0x7fffffff, 0x80000000, 0xffffffff])
      assert.equal(pool.at(index), undefined);
  });

  it('answers by name', () => {
    const pool = guest().pool();
    assert.equal(pool.get('OSName'), 'Debian GNU/Linux');
    assert.equal(pool.get('osname'), undefined);
    assert.equal(pool.has('OSName'), true);
    for (const key of ['', 'constructor', '__proto__', 'x']) {
      assert.equal(pool.get(key), undefined);
      assert.equal(pool.has(key), false);
    }
  });

  it('takes the version of the integration services from the kernel once that has told it', () => {
    const pool = guest().pool();
    pool.setIntegrationServicesVersion('3.1');
    assert.equal(pool.get('IntegrationServicesVersion'), '3.1');
  });

  for (const [name, osRelease] of [
    ['no os-release', undefined],
    ['one without the two keys', 'ID=x\n'],
    ['an empty name', 'NAME=\n'],
  ] as const) {
    it(`is Linux with ${name}`, () => {
      const pool = guest({ osRelease }).pool();
      assert.equal(pool.get('OSName'), 'Linux');
      assert.equal(pool.get('OSMajorVersion'), '');
    });
  }
});

describe('the address lists', () => {
  it('are read once, and again when the kernel reports a change', () => {
    const { state, pool: make } = guest();
    const pool = make();
    for (let i = 0; i < 3; i++) {
      pool.get('NetworkAddressIPv4');
      pool.get('NetworkAddressIPv6');
    }
    assert.equal(state.networkReads, 1);
    state.network = network('10.0.0.9');
    state.changed = true;
    assert.equal(pool.get('NetworkAddressIPv4'), '10.0.0.9');
    assert.equal(pool.get('NetworkAddressIPv6'), '');
    assert.equal(state.networkReads, 2);
  });

  it('are read again after a while, since routes change without a report', () => {
    const { state, pool: make } = guest();
    const pool = make();
    pool.get('NetworkAddressIPv4');
    state.nowMs += 15_001;
    pool.get('NetworkAddressIPv4');
    assert.equal(state.networkReads, 2);
  });

  it('hold whole addresses up to what reaches a host', () => {
    const many = Array.from({ length: 100 }, (_, i) => `10.100.100.${100 + i}`);
    const { state, pool: make } = guest();
    state.network = network(...many);
    const list = make().get('NetworkAddressIPv4') as string;
    // 73 addresses of 14 characters and 72 separators are 1,094; 68 and 67 are 1,019
    assert.deepEqual(list.split(';'), many.slice(0, 68));
  });
});

describe('the domain name', () => {
  it('is the host name as long as nothing better is known, and never waits', async () => {
    const { state, pool: make } = guest();
    state.hostName = 'web1';
    let answer: (name: string) => void = () => assert.fail('nobody asked');
    state.resolve = () => new Promise((resolve) => (answer = resolve));
    const pool = make();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1');
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1');
    assert.deepEqual(state.resolutions, ['web1']);
    answer('web1.example.org');
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1.example.org');
  });

  it('needs no looking up when the host name has a domain, or there is none', () => {
    for (const hostName of ['web1.example.org', '']) {
      const { state, pool: make } = guest();
      state.hostName = hostName;
      assert.equal(make().get('FullyQualifiedDomainName'), hostName);
      assert.deepEqual(state.resolutions, []);
    }
  });

  it('survives a resolver that fails, and asks it again later', async () => {
    const { state, pool: make } = guest();
    state.hostName = 'web1';
    state.resolve = () => Promise.reject(new Error('getaddrinfo EAI_AGAIN web1'));
    const pool = make();
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1');
    assert.deepEqual(state.resolutions, ['web1']);
    state.resolve = async () => 'web1.example.org';
    state.nowMs += 30_000;
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1');
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1.example.org');
  });

  it('follows the host name, and drops an answer to the old one', async () => {
    const { state, pool: make } = guest();
    state.hostName = 'old';
    const answers = new Map<string, (name: string) => void>();
    state.resolve = (hostName) => new Promise((resolve) => answers.set(hostName, resolve));
    const pool = make();
    state.hostName = 'new';
    assert.equal(pool.get('FullyQualifiedDomainName'), 'new');
    answers.get('old')?.('old.example.org');
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'new');
    answers.get('new')?.('new.example.org');
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'new.example.org');
  });

  it('is looked up anew after five minutes', async () => {
    const { state, pool: make } = guest();
    state.hostName = 'web1';
    state.resolve = async () => 'web1.a.example';
    const pool = make();
    await settled();
    state.nowMs += 299_999;
    pool.get('FullyQualifiedDomainName');
    assert.equal(state.resolutions.length, 1);
    state.nowMs += 1;
    state.resolve = async () => 'web1.b.example';
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1.a.example');
    await settled();
    assert.equal(pool.get('FullyQualifiedDomainName'), 'web1.b.example');
  });
});
