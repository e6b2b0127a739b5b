import assert from 'node:assert/strict';
import { version } from '../../protocol/ic/version.ts';
import { KvpPool, type KvpValue } from '../../protocol/kvp/types.ts';
import { AUTO_KEYS, poolName, showValue, text } from '../hosts/kvp-host.ts';
import { type Behaviour, good, RING_ONLY, ringOf } from './behaviour.ts';

/** Keys of the auto pool that have a value in any guest with an operating system. */
const ALWAYS_KNOWN = [
  'FullyQualifiedDomainName',
  'IntegrationServicesVersion',
  'OSName',
  'OSBuildNumber',
  'OSVersion',
  'ProcessorArchitecture',
];

/** Windows' Key-Value Pair item list is refreshed about this often while somebody looks. */
const POLL_MS = 4000;

/**
 * The longest key and value in UTF-16 units that hv_utils passes on (include/uapi/linux/hyperv.h,
 * sizes in bytes, with a NUL).
 */
const LONGEST_KEY = 254;
const LONGEST_VALUE = 1022;

export const goodBehaviours: readonly Behaviour[] = [
  good('auto-pool', 'ask for everything the guest says about itself', async ({ host, say }) => {
    const items = await host.enumerate(KvpPool.auto);
    assert.deepEqual(
      items.map((item) => item.key),
      AUTO_KEYS,
    );
    for (const { key, value } of items) {
      assert.equal(value.type, 'string', `${key} is a text`);
      if (ALWAYS_KNOWN.includes(key)) assert.notEqual(showValue(value), '', `${key} has a value`);
    }
    say(`${items.length} items`);
  }),

  good(
    'items',
    'write, read, change, list and delete items in every pool a host may write',
    async ({ host }) => {
      const pools = [KvpPool.external, KvpPool.guest, KvpPool.autoExternal, KvpPool.autoInternal];
      const samples = ['plain', 'Grüße, 世界 🚀', '', 'a;b;c', 'x'.repeat(LONGEST_VALUE)];
      for (const pool of pools) {
        const before = await host.enumerate(pool);
        for (const [i, sample] of samples.entries()) await host.set(pool, `vmic item ${i}`, sample);
        await host.set(pool, 'K'.repeat(LONGEST_KEY), 'longest key');
        await host.set(pool, 'vmic item 0', 'changed');
        const items = await host.enumerate(pool);
        assert.deepEqual(
          items.slice(before.length),
          [
            ...['changed', ...samples.slice(1)].map((sample, i) => ({
              key: `vmic item ${i}`,
              value: text(sample),
            })),
            { key: 'K'.repeat(LONGEST_KEY), value: text('longest key') },
          ],
          `items of ${poolName(pool)} in the order they were written`,
        );
        for (const { key, value } of items.slice(before.length))
          assert.deepEqual(await host.get(pool, key), value, `get ${key}`);
        for (const { key } of items.slice(before.length))
          assert.equal(await host.delete(pool, key), true, `delete ${key}`);
        assert.equal(await host.delete(pool, 'vmic item 0'), false, 'deleting what is gone');
        assert.equal(await host.get(pool, 'vmic item 0'), undefined, 'getting what is gone');
        assert.deepEqual(await host.enumerate(pool), before);
      }
    },
  ),

  good(
    'types',
    'write a 32-bit, a 64-bit and an expandable value, read them back as text',
    async ({ host, say }) => {
      const values: (readonly [KvpValue, string])[] = [
        [{ type: 'u32', value: 4_294_967_295 }, '4294967295'],
        // hv_utils passes on strings and u32 only
        ...(host.wire === 'unix-ring'
          ? ([
              [{ type: 'u64', value: 18_446_744_073_709_551_615n }, '18446744073709551615'],
              [{ type: 'expandString', text: '%SystemRoot%' }, '%SystemRoot%'],
            ] as const)
          : []),
      ];
      for (const [value, expected] of values) {
        await host.set(KvpPool.external, 'vmic typed', value);
        const got = await host.get(KvpPool.external, 'vmic typed');
        assert.equal(got && showValue(got), expected, `${value.type} as text`);
        say(`${value.type}: ${expected}`);
      }
      await host.delete(KvpPool.external, 'vmic typed');
    },
  ),

  good(
    'poll',
    'look at the auto and guest pools every few seconds, as a Windows host does',
    async ({ host, pause }) => {
      for (let round = 0; round < 3; round++) {
        if (round > 0) await pause(POLL_MS);
        await host.enumerate(KvpPool.auto);
        await host.enumerate(KvpPool.guest);
      }
    },
  ),

  good('many-records', 'write 300 items, list them, delete them', async ({ host, say }) => {
    const count = 300;
    const before = (await host.enumerate(KvpPool.autoExternal)).length;
    for (let i = 0; i < count; i++)
      await host.set(KvpPool.autoExternal, `vmic many ${i}`, `value ${i}`);
    const items = await host.enumerate(KvpPool.autoExternal);
    assert.equal(items.length, before + count);
    assert.deepEqual(items.at(-1), {
      key: `vmic many ${count - 1}`,
      value: text(`value ${count - 1}`),
    });
    for (let i = 0; i < count; i++) await host.delete(KvpPool.autoExternal, `vmic many ${i}`);
    assert.equal((await host.enumerate(KvpPool.autoExternal)).length, before);
    say(`${count} items there and gone again`);
  }),

  good(
    'ip-info',
    'ask for and inject addresses: a guest that does not do it says "not supported"',
    async ({ host }) => {
      const adapterId = '00:15:5D:00:00:01';
      const got = await host.getIpInfo(adapterId, 1);
      assert.notEqual(got.status, 0, 'get of an adapter that is not there');
      const set = await host.setIpInfo({
        adapterId: '{6d2e6b5c-1a2b-4c3d-8e4f-000000000001}',
        addressFamily: 1,
        dhcpEnabled: false,
        addresses: ['192.0.2.10'],
        subnets: ['255.255.255.0'],
        gateways: ['192.0.2.1'],
        dnsServers: ['192.0.2.53'],
      });
      assert.notEqual(set.status, 0, 'set of an adapter that is not there');
    },
  ),

  good(
    'versions',
    'negotiate again with the versions older hosts offer',
    async (scene) => {
      const ring = ringOf(scene);
      for (const [framework, message] of [
        [version(1, 0), version(1, 0)],
        [version(3, 0), version(3, 0)],
        [version(3, 0), version(4, 0)],
      ] as const) {
        const agreed = await ring.negotiate({ framework: [framework], message: [message] });
        assert.deepEqual(agreed, { framework, message });
        assert.equal((await scene.host.at(KvpPool.auto, 5))?.key, 'OSName');
      }
      // A newer host offers what nobody here knows, too
      const agreed = await ring.negotiate({
        framework: [version(1, 0), version(3, 0), version(9, 9)],
        message: [version(1, 0), version(3, 0), version(4, 0), version(5, 0), version(99, 0)],
      });
      assert.deepEqual(agreed, { framework: version(3, 0), message: version(4, 0) });
    },
    { wires: RING_ONLY },
  ),
];
