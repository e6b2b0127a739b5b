import assert from 'node:assert/strict';
import { version } from '../../../protocol/ic/version.ts';
import { KvpPool, type KvpRequest } from '../../../protocol/services/kvp-types.ts';
import { AUTO_KEYS } from '../kvp-host.ts';
import type { RingMemory } from '../ring-host.ts';
import { HostError, type ServiceHost } from '../wire.ts';
import {
  type Behaviour,
  bad,
  edited,
  mustNotAccept,
  mustRefuse,
  mustServe,
  RING_ONLY,
  ringOf,
  sayStatus,
  UTILS_ONLY,
  utilsOf,
} from './behaviour.ts';

/** Only there against waiting for ever for an answer that does not come. */
const HANGING_MS = 300_000;

const SET: KvpRequest = {
  operation: 'set',
  pool: KvpPool.external,
  key: 'vmic bad',
  value: { type: 'string', text: 'bad' },
};
const GET: KvpRequest = { operation: 'get', pool: KvpPool.external, key: 'vmic bad' };
const DELETE: KvpRequest = { operation: 'delete', pool: KvpPool.external, key: 'vmic bad' };
const ENUMERATE: KvpRequest = { operation: 'enumerate', pool: KvpPool.guest, index: 0 };
const REQUESTS: readonly KvpRequest[] = [GET, SET, DELETE, ENUMERATE];

/**
 * Byte offsets in a body, the same on both wires (struct hv_kvp_msg_set, hv_kvp_msg_delete, hv_kvp_msg_enumerate in
 * include/uapi/linux/hyperv.h).
 */
const AT = {
  operation: 0,
  pool: 1,
  index: 4,
  keySize: 8,
  valueSize: 12,
  key: 16,
  value: 16 + 512,
  deleteKeySize: 4,
  deleteKey: 8,
} as const;
/** What a set needs of its body; hosts send more. */
const SET_BYTES = AT.value + 2048;

/** Sends `count` messages as fast as the guest takes them, awaiting nothing; gives the answers counted by status. */
async function flood(
  link: ServiceHost<KvpRequest, unknown>,
  messages: readonly Uint8Array[],
  count: number,
  { idleMs }: { readonly idleMs: number },
): Promise<{ ok: number; refused: number }> {
  const answers = { ok: 0, refused: 0 };
  // hv_utils itself has one transaction at a time; a socket's buffer takes a few replies, then refuses
  const window = link.wire === 'unix' ? 8 : Number.POSITIVE_INFINITY;
  const release = link.takeOver((answer) => {
    if (link.statusOf(answer) === 0) answers.ok++;
    else answers.refused++;
  });
  try {
    for (let i = 0; i < count; ) {
      const pending = i - answers.ok - answers.refused;
      if (pending < window && link.trySend(messages[i % messages.length]!, BigInt(i + 1))) i++;
      else await new Promise((resolve) => setImmediate(resolve));
    }
    let [last, idle] = [-1, 0];
    while (last < count && idle < idleMs) {
      const now = answers.ok + answers.refused;
      idle = now === last ? idle + 10 : 0;
      last = now;
      if (now < count) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } finally {
    release();
  }
  return answers;
}

export const badBehaviours: readonly Behaviour[] = [
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

  bad('flood-malformed', 'send 2,000 malformed requests without awaiting an answer', async ({ host, say }) => {
    const message = edited(host, SET, (body) => body.setUint32(AT.keySize, 0xffff_ffff, true));
    // Some of them may get no answer
    const answers = await flood(host.link, [message], 2000, { idleMs: 300 });
    assert.equal(answers.ok, 0, 'none of them succeeds');
    say(`${answers.refused} refusals`);
  }),

  bad('wrong-sizes', 'give key and value sizes that are odd, zero, or far beyond their fields', async ({ host }) => {
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
  }),

  bad('truncated', 'cut a request short at every kind of place, and append to it', async ({ host }) => {
    const whole = host.link.encode(SET);
    const { bodyOffset } = host.link;
    // The ring pads to 8 bytes: what is cut off within the last ones comes back as the zeros it was
    const cuts = [1, 4, 7, 8, 12, 20, 27, 28, 29, 31, 32, 36, 44, 300, 556, 1000, whole.length - 9];
    for (const cut of cuts) await mustNotAccept(host, whole.slice(0, cut), `a message cut to ${cut} bytes`);
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
  }),

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
      await mustNotAccept(host, unterminated(AT.value, 2048, AT.valueSize), 'an unterminated value');
      await mustNotAccept(
        host,
        edited(host, DELETE, (body, message) => {
          message.fill(0x41, host.link.bodyOffset + AT.deleteKey, host.link.bodyOffset + AT.deleteKey + 512);
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
        const message = edited(scene.host, { ...ENUMERATE, pool }, (body) => body.setUint32(AT.index, index, true));
        const status = await mustRefuse(scene.host, message, `index ${index | 0} of pool ${pool}`);
        if (pool === KvpPool.guest) sayStatus(scene, `index ${index | 0}`, status);
      }
    }
  }),

  bad('bad-pool', 'use pools 5 and 255, which do not exist, with every operation', async (scene) => {
    for (const pool of [5, 255]) {
      for (const request of REQUESTS) {
        const message = edited(scene.host, request, (body) => body.setUint8(AT.pool, pool));
        const status = await mustRefuse(scene.host, message, `${request.operation} in pool ${pool}`);
        if (request === SET) sayStatus(scene, `set in pool ${pool}`, status);
      }
    }
  }),

  bad('unknown-operation', 'ask for operations nobody knows', async (scene) => {
    for (const operation of [6, 77, 100, 255]) {
      const message = edited(scene.host, GET, (body) => body.setUint8(AT.operation, operation));
      sayStatus(scene, `operation ${operation}`, await mustRefuse(scene.host, message, `operation ${operation}`));
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

  bad('restart', 'vanish in the middle of a request and come back', async (scene) => {
    const { link } = scene.host;
    const again = link.nextReady();
    const asking = async (): Promise<never> => {
      for (;;) await scene.host.at(KvpPool.auto, 0);
    };
    const lost = asking();
    lost.catch(() => {});
    // Whenever the event loop turns, one request is on its way
    await new Promise((resolve) => setImmediate(resolve));
    link.hangUp();
    await assert.rejects(lost, (error) => error instanceof HostError && error.code === 'dropped');
    await again;
    scene.say('the guest found the device again');
  }),

  bad(
    'refused-reply',
    'refuse a reply, as the kernel does after a resume: the guest has to reopen and register again',
    async (scene) => {
      const utils = utilsOf(scene);
      const again = utils.nextReady();
      utils.refuseNextReply();
      await assert.rejects(
        scene.host.at(KvpPool.auto, 0),
        (error) => error instanceof HostError && error.code === 'dropped',
      );
      await again;
      scene.say('the guest registered again');
    },
    { wires: UTILS_ONLY },
  ),

  bad(
    'renegotiate',
    'negotiate again while requests are on their way, also with nonsense',
    async (scene) => {
      const ring = ringOf(scene);
      for (let round = 0; round < 5; round++) {
        const [items, agreed] = await Promise.all([scene.host.enumerate(KvpPool.auto), ring.negotiate()]);
        assert.equal(items.length, AUTO_KEYS.length);
        assert.ok(agreed);
      }
      const none = await ring.negotiate({ framework: [version(99, 0)], message: [version(4, 0)] });
      assert.equal(none, undefined, 'no common framework version');
      const noMessage = await ring.negotiate({ framework: [version(3, 0)], message: [version(99, 0)] });
      assert.equal(noMessage, undefined, 'no common message version');
      await ring.negotiate();
      for (const [what, frameworks, messages] of [
        ['no versions at all', 0, 0],
        ['101 versions of a kind', 101, 1],
        ['more versions than bytes', 3, 60000],
      ] as const) {
        const message = ring.encodeNegotiation(undefined, { frameworks, messages });
        const answer = await scene.host.link.exchange(message);
        scene.say(`${what}: ${answer ? 'refused' : 'ignored'}`);
      }
      await ring.negotiate();
    },
    { wires: RING_ONLY },
  ),

  bad(
    'bad-headers',
    'break one field of the pipe and IC headers at a time',
    async (scene) => {
      const breaks: (readonly [string, (view: DataView) => void])[] = [
        ['pipe type 2', (view) => view.setUint32(0, 2, true)],
        ['pipe size 0', (view) => view.setUint32(4, 0, true)],
        ['pipe size beyond the packet', (view) => view.setUint32(4, 0xffff_fff0, true)],
        ['message type of another service', (view) => view.setUint16(12, 3, true)],
        ['message type 65535', (view) => view.setUint16(12, 0xffff, true)],
        ['body size beyond the message', (view) => view.setUint16(18, 0xffff, true)],
        ['body size 0', (view) => view.setUint16(18, 0, true)],
      ];
      for (const [what, change] of breaks) {
        const message = edited(scene.host, SET, (_, message) => change(new DataView(message.buffer)));
        await mustNotAccept(scene.host, message, what);
      }
      await mustServe(scene.host);
    },
    { wires: RING_ONLY },
  ),

  bad(
    'odd-packets',
    'send packets of other types, empty ones, and wake-ups for nothing',
    async (scene) => {
      const ring = ringOf(scene);
      const message = scene.host.link.encode(GET);
      for (const type of [0, 7, 11, 255]) ring.sendPacket(type, 0, 0x7000n, message);
      ring.sendPacket(6, 0, 0x7001n, new Uint8Array(0));
      for (let i = 0; i < 100; i++) ring.wake();
      await mustServe(scene.host);
    },
    { wires: RING_ONLY },
  ),

  bad(
    'full-ring',
    'fill the ring with requests while reading no answers, then read them all',
    async (scene) => {
      const ring = ringOf(scene);
      const message = scene.host.link.encode(ENUMERATE);
      let answers = 0;
      const release = ring.takeOver(() => answers++);
      try {
        ring.pauseReading();
        let sent = 0;
        for (let idle = 0; idle < 30; ) {
          if (ring.trySend(message, BigInt(sent + 1))) {
            sent++;
            idle = 0;
          } else {
            idle++;
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        }
        scene.say(`${sent} requests fit before the guest stopped reading`);
        ring.resumeReading();
        for (
          let idle = 0, last = 0;
          answers < sent && idle < HANGING_MS / 10;
          idle = answers === last ? idle + 1 : 0, last = answers
        ) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        assert.equal(answers, sent, 'every request is answered');
      } finally {
        ring.resumeReading();
        release();
      }
    },
    { wires: RING_ONLY },
  ),

  ...corruptions(),
];

/** Each breaks one thing in the shared memory; the guest has to see it and end with its reason. */
function corruptions(): Behaviour[] {
  type Break = (memory: RingMemory) => void;
  const table: (readonly [string, string, Break])[] = [
    ['write-index-outside', 'a write index beyond the ring', (m) => m.inbound.setWriteIndex(m.inbound.dataBytes + 8)],
    ['write-index-huge', 'a write index of 2^32 - 8', (m) => m.inbound.setWriteIndex(0xffff_fff8)],
    [
      'write-index-unaligned',
      'a write index inside a word',
      (m) => m.inbound.setWriteIndex((m.inbound.writeIndex + 3) % m.inbound.dataBytes),
    ],
    ['packet-without-length', 'a packet of length 0', (m) => m.plant({ offset8: 2, length8: 0 })],
    ['packet-offset-beyond', 'a packet whose data begins behind its end', (m) => m.plant({ offset8: 9, length8: 4 })],
    [
      'packet-offset-short',
      'a packet whose data begins inside its descriptor',
      (m) => m.plant({ offset8: 1, length8: 4 }),
    ],
    ['packet-beyond', 'a packet longer than what is in the ring', (m) => m.plant({ offset8: 2, length8: 0x700 })],
    ['packet-huge', 'a packet longer than any buffer', (m) => m.plant({ offset8: 2, length8: 0xffff })],
  ];
  const corrupt = (
    name: string,
    description: string,
    spoil: (ring: ReturnType<typeof ringOf>, request: Uint8Array) => void,
  ) =>
    bad(
      `corrupt-${name}`,
      `corrupt the ring: ${description}`,
      async (scene) => {
        const ring = ringOf(scene);
        await scene.host.at(KvpPool.auto, 0);
        spoil(ring, scene.host.link.encode(ENUMERATE));
        ring.wake();
      },
      { wires: RING_ONLY, leaves: 'ended' },
    );
  return [
    ...table.map(([name, description, change]) => corrupt(name, description, (ring) => change(ring.memory()))),
    corrupt('read-index-outside', 'a read index beyond the ring, where answers go', (ring, request) => {
      ring.memory().outbound.setReadIndex(0xffff_fff8);
      ring.sendPacket(6, 0, 1n, request);
    }),
    corrupt('packet-beyond-message', 'a whole packet longer than any message', (ring) => {
      ring.sendPacket(6, 0, 1n, new Uint8Array(20_000));
    }),
  ];
}
