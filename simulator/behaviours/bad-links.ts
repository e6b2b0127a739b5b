import assert from 'node:assert/strict';
import { version } from '../../protocol/ic/version.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { AUTO_KEYS } from '../hosts/kvp-host.ts';
import { HostError } from '../wire.ts';
import { ENUMERATE, GET, HANGING_MS, SET } from './bad-tools.ts';
import {
  type Behaviour,
  bad,
  edited,
  mustNotAccept,
  mustServe,
  RING_ONLY,
  ringOf,
  UTILS_ONLY,
  utilsOf,
} from './behaviour.ts';

/** Hosts that vanish, refuse, renegotiate, and break the framing of their messages. */
export const badLinks: readonly Behaviour[] = [
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
        const [items, agreed] = await Promise.all([
          scene.host.enumerate(KvpPool.auto),
          ring.negotiate(),
        ]);
        assert.equal(items.length, AUTO_KEYS.length);
        assert.ok(agreed);
      }
      const none = await ring.negotiate({ framework: [version(99, 0)], message: [version(4, 0)] });
      assert.equal(none, undefined, 'no common framework version');
      const noMessage = await ring.negotiate({
        framework: [version(3, 0)],
        message: [version(99, 0)],
      });
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
        const message = edited(scene.host, SET, (_, message) =>
          change(new DataView(message.buffer)),
        );
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
];
