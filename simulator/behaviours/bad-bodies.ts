import assert from 'node:assert/strict';
import { KvpPool } from '../../protocol/kvp/types.ts';
import {
  AT,
  DELETE,
  ENUMERATE,
  flood,
  GET,
  HANGING_MS,
  REQUESTS,
  SET,
  SET_BYTES,
} from './bad-tools.ts';
import { type Behaviour, bad, edited, mustNotAccept, mustRefuse, sayStatus } from './behaviour.ts';

/** Hosts whose messages are malformed, too many, or about nothing. */
export const badBodies: readonly Behaviour[] = [
  bad('silent', 'say nothing for a while', async ({ pause }) => {
    await pause(5000);
  }),

  bad('flood', 'send 2,000 requests without awaiting an answer', async ({ host, say }) => {
    const count = 2000;
    const { link } = host;
    const answers = await flood(
      link,
      [ENUMERATE, GET].map((request) => link.encode(request)),
      count,
      { idleMs: HANGING_MS },
    );
    assert.equal(answers.ok + answers.refused, count, 'every request is answered');
    say(`${count} answers`);
  }),

  bad(
    'flood-malformed',
    'send 2,000 malformed requests without awaiting an answer',
    async ({ host, say }) => {
      const message = edited(host, SET, (body) => body.setUint32(AT.keySize, 0xffff_ffff, true));
      // Some of them may get no answer
      const answers = await flood(host.link, [message], 2000, { idleMs: 300 });
      assert.equal(answers.ok, 0, 'none of them succeeds');
      say(`${answers.refused} refusals`);
    },
  ),

  bad(
    'wrong-sizes',
    'give key and value sizes that are odd, zero, or far beyond their fields',
    async ({ host }) => {
      for (const size of [513, 514, 2049, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
        await mustRefuse(
          host,
          edited(host, SET, (body) => body.setUint32(AT.keySize, size, true)),
          `key size ${size}`,
        );
        if (size > 2048) {
          await mustRefuse(
            host,
            edited(host, SET, (body) => body.setUint32(AT.valueSize, size, true)),
            `value size ${size}`,
          );
        }
        await mustRefuse(
          host,
          edited(host, GET, (body) => body.setUint32(AT.keySize, size, true)),
          `get key size ${size}`,
        );
        await mustRefuse(
          host,
          edited(host, DELETE, (body) => body.setUint32(AT.deleteKeySize, size, true)),
          `delete key size ${size}`,
        );
      }
      await mustRefuse(
        host,
        edited(host, SET, (body) => body.setUint32(AT.keySize, 0, true)),
        'an empty key',
      );
      assert.equal(await host.get(KvpPool.external, 'vmic bad'), undefined, 'nothing was stored');
    },
  ),

  bad(
    'truncated',
    'cut a request short at every kind of place, and append to it',
    async ({ host }) => {
      const whole = host.link.encode(SET);
      const { bodyOffset } = host.link;
      // The ring pads to 8 bytes: what is cut off within the last ones comes back as the zeros it
      // was
      const cuts = [
        1,
        4,
        7,
        8,
        12,
        20,
        27,
        28,
        29,
        31,
        32,
        36,
        44,
        300,
        556,
        1000,
        whole.length - 9,
      ];
      for (const cut of cuts)
        await mustNotAccept(host, whole.slice(0, cut), `a message cut to ${cut} bytes`);
      // Sizes that agree with the cut, where there are any
      for (const cut of host.wire === 'unix-ring'
        ? cuts.filter((cut) => cut >= bodyOffset && cut < bodyOffset + SET_BYTES)
        : []) {
        const message = whole.slice(0, cut);
        const view = new DataView(message.buffer);
        view.setUint32(4, cut - 8, true);
        view.setUint16(18, cut - bodyOffset, true);
        await mustNotAccept(host, message, `a message that really is ${cut} bytes`);
      }
      const longer = new Uint8Array(whole.length + 1);
      longer.set(whole);
      if (host.wire === 'unix') await mustNotAccept(host, longer, 'a message one byte too long');
    },
  ),

  bad(
    'unterminated',
    'send keys and values that fill their fields without an end, or end in half a character',
    async ({ host }) => {
      const before = await host.enumerate(KvpPool.external);
      const unterminated = (offset: number, bytes: number, sizeAt: number) =>
        edited(host, SET, (body, message) => {
          message.fill(0x41, host.link.bodyOffset + offset, host.link.bodyOffset + offset + bytes);
          body.setUint32(sizeAt, bytes, true);
        });
      await mustNotAccept(host, unterminated(AT.key, 512, AT.keySize), 'an unterminated key');
      await mustNotAccept(
        host,
        unterminated(AT.value, 2048, AT.valueSize),
        'an unterminated value',
      );
      await mustNotAccept(
        host,
        edited(host, DELETE, (body, message) => {
          message.fill(
            0x41,
            host.link.bodyOffset + AT.deleteKey,
            host.link.bodyOffset + AT.deleteKey + 512,
          );
          body.setUint32(AT.deleteKeySize, 512, true);
        }),
        'an unterminated key to delete',
      );
      const half = host.wire === 'unix' ? [0xe2, 0x82, 0, 0] : [0x3d, 0xd8, 0, 0];
      await mustRefuse(
        host,
        edited(host, SET, (body, message) => {
          message.set(half, host.link.bodyOffset + AT.key);
          body.setUint32(AT.keySize, host.wire === 'unix' ? 3 : 4, true);
        }),
        'a key of half a character',
      );
      assert.deepEqual(await host.enumerate(KvpPool.external), before, 'nothing was stored');
    },
  ),

  bad('negative-index', 'enumerate from -1, and from beyond any file', async (scene) => {
    for (const pool of [KvpPool.external, KvpPool.guest, KvpPool.auto]) {
      for (const index of [0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 10_000_000]) {
        const message = edited(scene.host, { ...ENUMERATE, pool }, (body) =>
          body.setUint32(AT.index, index, true),
        );
        const status = await mustRefuse(scene.host, message, `index ${index | 0} of pool ${pool}`);
        if (pool === KvpPool.guest) sayStatus(scene, `index ${index | 0}`, status);
      }
    }
  }),

  bad(
    'bad-pool',
    'use pools 5 and 255, which do not exist, with every operation',
    async (scene) => {
      for (const pool of [5, 255]) {
        for (const request of REQUESTS) {
          const message = edited(scene.host, request, (body) => body.setUint8(AT.pool, pool));
          const status = await mustRefuse(
            scene.host,
            message,
            `${request.operation} in pool ${pool}`,
          );
          if (request === SET) sayStatus(scene, `set in pool ${pool}`, status);
        }
      }
    },
  ),

  bad('unknown-operation', 'ask for operations nobody knows', async (scene) => {
    for (const operation of [6, 77, 100, 255]) {
      const message = edited(scene.host, GET, (body) => body.setUint8(AT.operation, operation));
      sayStatus(
        scene,
        `operation ${operation}`,
        await mustRefuse(scene.host, message, `operation ${operation}`),
      );
    }
  }),

  bad(
    'long-address',
    "inject an address of 46 and more characters without ';' (it overflows the C daemon's stack)",
    async ({ host }) => {
      for (const length of [46, 500, 1023]) {
        const reply = await host.setIpInfo({
          adapterId: '{6d2e6b5c-1a2b-4c3d-8e4f-000000000001}',
          addressFamily: 1,
          dhcpEnabled: false,
          addresses: ['1'.repeat(length)],
          subnets: ['2'.repeat(length)],
          gateways: ['3'.repeat(Math.min(length, 511))],
          dnsServers: ['4'.repeat(length)],
        });
        assert.notEqual(reply.status, 0, `an address of ${length} characters was taken`);
      }
    },
  ),
];
