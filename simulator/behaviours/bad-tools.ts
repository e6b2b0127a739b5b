import { KvpPool, type KvpRequest } from '../../protocol/kvp/types.ts';
import type { ServiceHost } from '../wire.ts';

export const SET: KvpRequest = {
  operation: 'set',
  pool: KvpPool.external,
  key: 'vmic bad',
  value: { type: 'string', text: 'bad' },
};
export const GET: KvpRequest = { operation: 'get', pool: KvpPool.external, key: 'vmic bad' };
export const DELETE: KvpRequest = { operation: 'delete', pool: KvpPool.external, key: 'vmic bad' };
export const ENUMERATE: KvpRequest = { operation: 'enumerate', pool: KvpPool.guest, index: 0 };
export const REQUESTS: readonly KvpRequest[] = [GET, SET, DELETE, ENUMERATE];

/**
 * Byte offsets in a body, the same on both wires (struct hv_kvp_msg_set, hv_kvp_msg_delete,
 * hv_kvp_msg_enumerate in include/uapi/linux/hyperv.h).
 */
export const AT = {
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
/** Only there against waiting for ever for an answer that does not come. */
export const HANGING_MS = 300_000;

/** What a set needs of its body; hosts send more. */
export const SET_BYTES = AT.value + 2048;

/**
 * Sends `count` messages as fast as the guest takes them, awaiting nothing; gives the answers
 * counted by status.
 */
export async function flood(
  link: ServiceHost<KvpRequest, unknown>,
  messages: readonly Uint8Array[],
  count: number,
  { idleMs }: { readonly idleMs: number },
): Promise<{ ok: number; refused: number }> {
  const answers = { ok: 0, refused: 0 };
  // hv_utils itself has one transaction at a time; a socket's buffer takes a few replies, then
  // refuses
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
