import { IcStatus } from '../../protocol/ic/status.ts';
import {
  KVP_POOL_COUNT,
  KvpPool,
  type KvpReply,
  type KvpRequest,
  type KvpValue,
} from '../../protocol/kvp/types.ts';
import type { Peer, Service } from '../../runtime/service.ts';
import { fitText } from './fit-text.ts';
import { LOCK_PATIENCE_MS, PoolError, retryWhileLocked } from './pools/index.ts';
import type { KvpPorts } from './ports.ts';

/**
 * What reaches a host: `hv_utils` passes keys up to 254 and values up to 1,022 UTF-16 units
 * (drivers/hv/hv_kvp.c, kvp_respond_to_host), from fields of 512 and 2,048 bytes of UTF-8, one of
 * them a NUL.
 */
export const KEY_LIMIT = { units: 254, bytes: 511 } as const;
export const VALUE_LIMIT = { units: 1022, bytes: 2047 } as const;

const OK: KvpReply = { status: IcStatus.ok };
const NO_MORE_ITEMS: KvpReply = { status: IcStatus.noMoreItems };
const NOT_SUPPORTED: KvpReply = { status: IcStatus.notSupported };
const INVALID: KvpReply = { status: IcStatus.invalidArgument };

/** Decides the answers of the data exchange service. */
export class KvpService implements Service<KvpRequest, KvpReply> {
  readonly #ports: KvpPorts;

  constructor(ports: KvpPorts) {
    this.#ports = ports;
  }

  handle(request: KvpRequest): KvpReply | Promise<KvpReply> {
    let result: KvpReply | Promise<KvpReply>;
    try {
      result = retryWhileLocked(() => this.#answer(request), this.#ports.patience);
    } catch (error) {
      return refusal(request, error, this.#ports.log);
    }
    return result instanceof Promise
      ? result.catch((error) => refusal(request, error, this.#ports.log))
      : result;
  }

  connected(peer: Peer): void {
    const { autoPool, version } = this.#ports;
    // Over VMBus nobody but us is the integration services
    autoPool.setIntegrationServicesVersion(peer.via === 'hv_utils' ? peer.versionText : version);
  }

  close(): void {
    this.#ports.close();
  }

  #answer(request: KvpRequest): KvpReply {
    // Before the pool is looked at: what we don't know may mean something else by it
    if (
      request.operation === 'unknown' ||
      request.operation === 'getIpInfo' ||
      request.operation === 'setIpInfo'
    ) {
      return NOT_SUPPORTED;
    }
    const { pools, autoPool } = this.#ports;
    const { pool } = request;
    if (pool >= KVP_POOL_COUNT) {
      this.#ports.log.warning('The host asked for a pool that does not exist', {
        pool,
        operation: request.operation,
      });
      return INVALID;
    }
    const isAuto = pool === KvpPool.auto;
    switch (request.operation) {
      case 'enumerate': {
        const record = isAuto ? autoPool.at(request.index) : pools.at(pool, request.index);
        if (!record) return NO_MORE_ITEMS;
        return {
          status: IcStatus.ok,
          key: this.#fitKey(record.key, pool),
          value: this.#fitValue(record.value, pool),
        };
      }
      case 'get': {
        const value =
          (isAuto ? autoPool.get(request.key) : undefined) ?? pools.get(pool, request.key);
        return value === undefined
          ? NO_MORE_ITEMS
          : { status: IcStatus.ok, value: this.#fitValue(value, pool) };
      }
      case 'set': {
        const text = storedText(request.value);
        // A computed key would hide what is stored under its name
        if (text === undefined || (isAuto && autoPool.has(request.key))) return NOT_SUPPORTED;
        pools.set(pool, request.key, text);
        return OK;
      }
      case 'delete':
        if (isAuto && autoPool.has(request.key)) return NOT_SUPPORTED;
        return pools.delete(pool, request.key) ? OK : NO_MORE_ITEMS;
    }
  }

  #fitKey(key: string, pool: number): string {
    return this.#fit(key, KEY_LIMIT, pool);
  }

  #fitValue(value: string, pool: number): KvpValue {
    return { type: 'string', text: this.#fit(value, VALUE_LIMIT, pool) };
  }

  #fit(
    text: string,
    limit: { readonly units: number; readonly bytes: number },
    pool: number,
  ): string {
    const fitting = fitText(text, limit);
    if (fitting.length !== text.length) {
      this.#ports.log.warning(
        'A stored text is longer than what can be passed to the host; it gets the beginning',
        {
          pool,
          units: text.length,
          passedUnits: fitting.length,
        },
      );
    }
    return fitting;
  }
}

/** Returns the reply to a request that a pool refused, and logs why. Rethrows all other errors. */
function refusal(request: KvpRequest, error: unknown, log: KvpPorts['log']): KvpReply {
  if (!(error instanceof PoolError)) throw error;
  const fields = { operation: request.operation, pool: request.pool, error };
  switch (error.code) {
    case 'invalid':
      log.warning('The host sent a key or value that can not be stored', fields);
      return INVALID;
    case 'diskFull':
      log.error('No space left for a change by the host; nothing was changed', fields);
      return { status: IcStatus.diskFull };
    case 'locked':
      log.error(
        'Gave up on a pool file that another program kept locked for ' +
          `${LOCK_PATIENCE_MS / 1000} s; find it in /proc/locks or with lslocks`,
        fields,
      );
      break;
    case 'readOnly':
      log.error('A pool file can not be written; the change by the host was refused', fields);
      break;
    case 'io':
      log.error('A pool file can not be used; the host was told so', fields);
      break;
  }
  return { status: IcStatus.fail };
}

/** How a value is kept: pools hold text. Undefined for a type that can't be. */
function storedText(value: KvpValue): string | undefined {
  switch (value.type) {
    case 'string':
    case 'expandString':
      return value.text;
    case 'u32':
    case 'u64':
      return value.value.toString();
    case 'unknown':
      return undefined;
  }
}
