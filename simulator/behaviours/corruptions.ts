import { KvpPool } from '../../protocol/kvp/types.ts';
import type { RingMemory } from '../hosts/vmbus-host.ts';
import { ENUMERATE } from './bad-tools.ts';
import { type Behaviour, bad, RING_ONLY, ringOf } from './behaviour.ts';

/** Each breaks one thing in the shared memory; the guest has to see it and end with its reason. */
export function corruptions(): Behaviour[] {
  type Break = (memory: RingMemory) => void;
  const table: (readonly [string, string, Break])[] = [
    [
      'write-index-outside',
      'a write index beyond the ring',
      (m) => m.inbound.setWriteIndex(m.inbound.dataBytes + 8),
    ],
    ['write-index-huge', 'a write index of 2^32 - 8', (m) => m.inbound.setWriteIndex(0xffff_fff8)],
    [
      'write-index-unaligned',
      'a write index inside a word',
      (m) => m.inbound.setWriteIndex((m.inbound.writeIndex + 3) % m.inbound.dataBytes),
    ],
    ['packet-without-length', 'a packet of length 0', (m) => m.plant({ offset8: 2, length8: 0 })],
    [
      'packet-offset-beyond',
      'a packet whose data begins behind its end',
      (m) => m.plant({ offset8: 9, length8: 4 }),
    ],
    [
      'packet-offset-short',
      'a packet whose data begins inside its descriptor',
      (m) => m.plant({ offset8: 1, length8: 4 }),
    ],
    [
      'packet-beyond',
      'a packet longer than what is in the ring',
      (m) => m.plant({ offset8: 2, length8: 0x700 }),
    ],
    [
      'packet-huge',
      'a packet longer than any buffer',
      (m) => m.plant({ offset8: 2, length8: 0xffff }),
    ],
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
    ...table.map(([name, description, change]) =>
      corrupt(name, description, (ring) => change(ring.memory())),
    ),
    corrupt(
      'read-index-outside',
      'a read index beyond the ring, where answers go',
      (ring, request) => {
        ring.memory().outbound.setReadIndex(0xffff_fff8);
        ring.sendPacket(6, 0, 1n, request);
      },
    ),
    corrupt('packet-beyond-message', 'a whole packet longer than any message', (ring) => {
      ring.sendPacket(6, 0, 1n, new Uint8Array(20_000));
    }),
  ];
}
