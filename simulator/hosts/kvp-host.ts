import type { Native } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { POOLS } from '../../protocol/kvp/pool-names.ts';
import {
  type KvpIpInfo,
  KvpPool,
  type KvpReply,
  type KvpRequest,
  type KvpValue,
} from '../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import { HostError, type ServiceHost, type ServiceView, type Wire } from '../wire.ts';
import { HvUtilsHost, type HvUtilsHostOptions } from './hvutils-host.ts';
import { VmbusHost, type VmbusHostOptions } from './vmbus-host.ts';

export const poolName = (pool: number): string => POOLS[pool]?.name ?? `pool ${pool}`;

/**
 * The keys of the auto pool in the order in which a Windows host enumerates them (source: enum
 * key_index in tools/hv/hv_kvp_daemon.c).
 */
export const AUTO_KEYS = [
  'FullyQualifiedDomainName',
  'IntegrationServicesVersion',
  'NetworkAddressIPv4',
  'NetworkAddressIPv6',
  'OSBuildNumber',
  'OSName',
  'OSMajorVersion',
  'OSMinorVersion',
  'OSVersion',
  'ProcessorArchitecture',
] as const;
export type AutoKey = (typeof AUTO_KEYS)[number];

export interface KvpItem {
  readonly key: string;
  readonly value: KvpValue;
}

export const text = (value: string): KvpValue => ({ type: 'string', text: value });

/** A value as a person reads it. */
export function showValue(value: KvpValue): string {
  switch (value.type) {
    case 'string':
    case 'expandString':
      return value.text;
    case 'u32':
    case 'u64':
      return value.value.toString();
    case 'unknown':
      return `type ${value.typeCode}: ${Buffer.from(value.bytes).toString('hex')}`;
  }
}

function subjectOf(request: KvpRequest): string {
  switch (request.operation) {
    case 'get':
    case 'set':
    case 'delete':
      return request.key;
    case 'enumerate':
      return `[${request.index | 0}]`;
    case 'getIpInfo':
      return request.adapterId;
    case 'setIpInfo':
      return request.ipInfo.adapterId;
    case 'unknown':
      return `operation ${request.operationCode}`;
  }
}

export const kvpView: ServiceView<KvpRequest, KvpReply> = {
  summarize: (request, reply) => {
    const value = reply ? reply.value : request.operation === 'set' ? request.value : undefined;
    const subject = subjectOf(request);
    return {
      operation: request.operation,
      pool: request.pool,
      subject: reply?.key === undefined ? subject : `${subject} ${reply.key}`,
      ...(value ? { value: showValue(value) } : {}),
    };
  },
  // Deletes what cannot be there, so that the answer is "no such key" and nothing changes
  probe: (serial) => ({
    operation: 'delete',
    pool: KvpPool.external,
    key: `\u00bfstill there?${serial}`,
  }),
};

export interface KvpHostOptions
  extends Omit<HvUtilsHostOptions<KvpRequest, KvpReply>, 'protocol' | 'view'>,
    Omit<VmbusHostOptions<KvpRequest, KvpReply>, 'protocol' | 'view'> {
  readonly native: Native;
}

/** The host's end of the data exchange service, over either wire. */
export class KvpHost {
  readonly wire: Wire;
  readonly link: ServiceHost<KvpRequest, KvpReply>;
  readonly utils: HvUtilsHost<KvpRequest, KvpReply> | undefined;
  readonly ring: VmbusHost<KvpRequest, KvpReply> | undefined;

  constructor(wire: Wire, options: KvpHostOptions) {
    const all = { ...options, protocol: kvpProtocol, view: kvpView };
    this.wire = wire;
    if (wire === 'unix') {
      this.utils = new HvUtilsHost(all);
      this.link = this.utils;
    } else {
      this.ring = new VmbusHost(all);
      this.link = this.ring;
    }
  }

  request(request: KvpRequest): Promise<KvpReply> {
    return this.link.request(request);
  }

  /** The value; undefined when there is no such key. */
  async get(pool: number, key: string): Promise<KvpValue | undefined> {
    const reply = await this.request({ operation: 'get', pool, key });
    if (reply.status === IcStatus.noMoreItems) return undefined;
    return good('get', reply).value;
  }

  async set(pool: number, key: string, value: KvpValue | string): Promise<void> {
    const typed = typeof value === 'string' ? text(value) : value;
    good('set', await this.request({ operation: 'set', pool, key, value: typed }));
  }

  /** False when there was no such key. */
  async delete(pool: number, key: string): Promise<boolean> {
    const reply = await this.request({ operation: 'delete', pool, key });
    if (reply.status === IcStatus.noMoreItems) return false;
    good('delete', reply);
    return true;
  }

  /** One item; undefined past the end. */
  async at(pool: number, index: number): Promise<KvpItem | undefined> {
    const reply = await this.request({ operation: 'enumerate', pool, index });
    if (reply.status === IcStatus.noMoreItems) return undefined;
    const { key, value } = good('enumerate', reply);
    if (key === undefined || value === undefined)
      throw new HostError('broken', 'enumerate: a reply without key or value');
    return { key, value };
  }

  /** All items, as a Windows host asks for them: by index until there is no more. */
  async enumerate(pool: number): Promise<KvpItem[]> {
    const items: KvpItem[] = [];
    for (let item = await this.at(pool, 0); item; item = await this.at(pool, items.length))
      items.push(item);
    return items;
  }

  getIpInfo(adapterId: string, addressFamily: number): Promise<KvpReply> {
    return this.request({ operation: 'getIpInfo', pool: 0, adapterId, addressFamily });
  }

  setIpInfo(ipInfo: KvpIpInfo): Promise<KvpReply> {
    return this.request({ operation: 'setIpInfo', pool: 0, ipInfo });
  }

  close(): void {
    this.link.close();
  }
}

function good(operation: string, reply: KvpReply): KvpReply {
  if (reply.status === IcStatus.ok) return reply;
  throw new RefusedError(operation, reply.status);
}

/** The guest answered with a failure. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly status: number;
  constructor(operation: string, status: number) {
    super(`${operation}: the guest answered ${formatStatus(status)}`);
    this.status = status;
  }
}

const STATUS_WORDS: Readonly<Record<number, string>> = {
  [IcStatus.ok]: 'ok',
  [IcStatus.fail]: 'failed',
  [IcStatus.noMoreItems]: 'no more items',
  [IcStatus.notSupported]: 'not supported',
  [IcStatus.invalidArgument]: 'invalid argument',
  [IcStatus.guidNotFound]: 'GUID not found',
  [IcStatus.alreadyExists]: 'exists already',
  [IcStatus.diskFull]: 'disk full',
};

export const formatStatus = (status: number): string =>
  STATUS_WORDS[status] ?? `0x${status.toString(16).toUpperCase().padStart(8, '0')}`;
