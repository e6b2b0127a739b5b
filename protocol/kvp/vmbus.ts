/**
 * Data exchange (KVP) over VMBus: bodies of IC messages of type 2. Sources:
 * include/uapi/linux/hyperv.h (struct hv_kvp_msg and parts), drivers/hv/hv_kvp.c, OpenVMM
 * hyperv_ic_protocol/src/kvp.rs (register types, 5.0). Sizes are bytes; those of text count its
 * NUL.
 *
 * Every body
 *   0  1  operation       0 get, 1 set, 2 delete, 3 enumerate, 4 get IP info, 5 set IP info
 *   1  1  pool
 *
 * Get and set                         Enumerate
 *   4  4     type                       4  4     index
 *   8  4     key size                   8  2572  type to value, as in get and set
 *  12  4     value size               Delete
 *  16  512   key, UTF-16                4  4     key size
 * 528  2048  value                      8  512   key, UTF-16
 * Types: 1 string, 2 expandable string (both UTF-16), 4 u32, 11 u64. Linux's header numbers u64 as
 * 8; taken as u64 when 8 bytes long.
 *
 * IP info, up to 4.0 (no padding after pool); ip-info.ts has that of 5.0
 *    2  256   adapter id, UTF-16
 *  258  1     address family, 1 IPv4, 2 IPv6
 *  259  1     DHCP enabled
 *  260  2048  addresses, UTF-16, ';' between
 * 2308  2048  subnets
 * 4356  1024  gateways
 * 5380  2048  DNS servers
 * 1.0, 3.0 and 4.0 do not differ here: hv_utils reads and answers all three alike.
 *
 * A reply has the layout of its request, which it overwrites: a request must be long enough for it.
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { IcStatus } from '../ic/status.ts';
import { type Version, version } from '../ic/version.ts';
import {
  bytes,
  Cursor,
  DecodeError,
  EncodeError,
  type Layout,
  struct,
  text,
  u8,
  u32,
  u64,
  utf16,
} from '../layout/index.ts';
import type { IcCodec, ServiceProtocol } from '../service-protocol.ts';
import { ipInfoFields, KEY_FIELD_BYTES, needed, VALUE_FIELD_BYTES } from './fields.ts';
import { kvpHvUtils } from './hvutils.ts';
import { binaryIpInfo, binaryIpInfoField } from './ip-info.ts';
import { KvpOperation, type KvpReply, type KvpRequest, type KvpValue } from './types.ts';

/**
 * Longest key and value over VMBus in UTF-16 units, without their NUL. hv_utils passes one unit
 * less of each to a host.
 */
export const KVP_MAX_KEY_UNITS = KEY_FIELD_BYTES / 2 - 1;
export const KVP_MAX_VALUE_UNITS = VALUE_FIELD_BYTES / 2 - 1;

/**
 * Registry types as hosts number them (OpenVMM ValueType); `linuxU64` is
 * include/uapi/linux/hyperv.h's REG_U64.
 */
const TypeCode = { string: 1, expandString: 2, u32: 4, linuxU64: 8, u64: 11 } as const;

const typeCodeOf = (value: KvpValue): number =>
  value.type === 'unknown' ? value.typeCode : TypeCode[value.type];

function valueSizeOf(value: KvpValue): number {
  switch (value.type) {
    case 'string':
    case 'expandString':
      return utf16.sizeOf(value.text);
    case 'u32':
      return 4;
    case 'u64':
      return 8;
    case 'unknown':
      return value.bytes.length;
  }
}

/**
 * The value field, whose type and size the message gave before it. A class because one is made for
 * every message.
 */
class ValueField implements Layout<KvpValue> {
  readonly sizeBytes = VALUE_FIELD_BYTES;
  readonly #typeCode: number;
  readonly #valueBytes: number;

  constructor(typeCode: number, valueBytes: number) {
    this.#typeCode = typeCode;
    this.#valueBytes = valueBytes;
  }

  sizeOf(): number {
    return this.sizeBytes;
  }

  read(cursor: Cursor): KvpValue {
    const at = cursor.take(VALUE_FIELD_BYTES);
    if (this.#valueBytes > VALUE_FIELD_BYTES) {
      throw new DecodeError('size', at, `a size of at most ${VALUE_FIELD_BYTES}`, this.#valueBytes);
    }
    const field = new Cursor(cursor.bytes, at);
    switch (this.#typeCode) {
      case TypeCode.string:
        return { type: 'string', text: utf16.read(cursor.bytes, at, this.#valueBytes) };
      case TypeCode.expandString:
        return { type: 'expandString', text: utf16.read(cursor.bytes, at, this.#valueBytes) };
      case TypeCode.u32:
        this.#check(at, 4, 'u32');
        return { type: 'u32', value: u32.read(field) };
      case TypeCode.u64:
        this.#check(at, 8, 'u64');
        return { type: 'u64', value: u64.read(field) };
      case TypeCode.linuxU64:
        if (this.#valueBytes === 8) return { type: 'u64', value: u64.read(field) };
    }
    return {
      type: 'unknown',
      typeCode: this.#typeCode,
      bytes: bytes(this.#valueBytes).read(field),
    };
  }

  #check(at: number, sizeBytes: number, type: string): void {
    if (this.#valueBytes !== sizeBytes) {
      throw new DecodeError('size', at, `a size of ${sizeBytes} (${type})`, this.#valueBytes);
    }
  }

  write(cursor: Cursor, value: KvpValue): void {
    const at = cursor.make(VALUE_FIELD_BYTES);
    const field = new Cursor(cursor.bytes, at);
    switch (value.type) {
      case 'string':
      case 'expandString':
        utf16.write(cursor.bytes, at, VALUE_FIELD_BYTES, value.text);
        break;
      case 'u32':
        u32.write(field, value.value);
        break;
      case 'u64':
        u64.write(field, value.value);
        break;
      case 'unknown':
        if (value.bytes.length > VALUE_FIELD_BYTES) {
          throw new EncodeError(
            'tooLong',
            at,
            `at most ${VALUE_FIELD_BYTES} bytes`,
            value.bytes.length,
          );
        }
        cursor.bytes.set(value.bytes, at);
    }
  }
}
const valueField = (earlier: {
  readonly typeCode: number;
  readonly valueSizeBytes: number;
}): Layout<KvpValue> => new ValueField(earlier.typeCode, earlier.valueSizeBytes);

type Valued = { readonly value: KvpValue };
type Keyed = { readonly key: string };
const keySizeOf = (message: Keyed): number => utf16.sizeOf(message.key);
const keyField = (message: { readonly keySizeBytes: number }): Layout<string> =>
  text(utf16, KEY_FIELD_BYTES, message.keySizeBytes);

const headerMessage = struct('kvp').field('operation', u8).field('pool', u8);
const paddedHeader = headerMessage.reserved(2);

const record = struct('record')
  .derived('typeCode', u32, (message: Valued) => typeCodeOf(message.value))
  .derived('keySizeBytes', u32, keySizeOf)
  .derived('valueSizeBytes', u32, (message: Valued) => valueSizeOf(message.value))
  .dependent('key', keyField, KEY_FIELD_BYTES)
  .dependent('value', valueField, VALUE_FIELD_BYTES);

// A get names no type and carries no value; hosts send the type of a string (the recorded one
// does).
const getRequest = paddedHeader
  .derived('typeCode', u32, () => TypeCode.string)
  .derived('keySizeBytes', u32, keySizeOf)
  .derived('valueSizeBytes', u32, () => 0)
  .dependent('key', keyField, KEY_FIELD_BYTES)
  .reserved(VALUE_FIELD_BYTES);
const getReply = struct('kvp')
  .reserved(4)
  .derived('typeCode', u32, (message: Valued) => typeCodeOf(message.value))
  .reserved(4)
  .derived('valueSizeBytes', u32, (message: Valued) => valueSizeOf(message.value))
  .reserved(KEY_FIELD_BYTES)
  .dependent('value', valueField, VALUE_FIELD_BYTES);
const setRequest = paddedHeader.field('record', record);
const deleteRequest = paddedHeader
  .derived('keySizeBytes', u32, keySizeOf)
  .dependent('key', keyField, KEY_FIELD_BYTES);
const enumerateRequest = paddedHeader.field('index', u32).reserved(record.sizeBytes!);
const enumerateReply = struct('kvp').reserved(8).field('record', record);

const ipInfo = ipInfoFields(utf16);
const getIpRequest = headerMessage
  .field('adapterId', text(utf16, 256))
  .field('addressFamily', u8)
  .reserved(ipInfo.sizeBytes! - 257);
const setIpRequest = headerMessage.field('ipInfo', ipInfo);
const getIpReply = struct('kvp').reserved(2).field('ipInfo', ipInfo);
const getBinaryIpRequest = paddedHeader
  .reserved(binaryIpInfo.offsetOf('adapterId'))
  .field('adapterId', text(utf16, 256))
  .field('addressFamily', u8)
  .reserved(binaryIpInfo.sizeBytes! - binaryIpInfo.offsetOf('dhcpEnabled'));
const setBinaryIpRequest = paddedHeader.field('ipInfo', binaryIpInfoField);
const getBinaryIpReply = struct('kvp').reserved(4).field('ipInfo', binaryIpInfoField);

/**
 * Hosts send every operation in this length: that of struct hv_kvp_msg, the longest (recorded, and
 * what hv_utils expects).
 */
const REQUEST_BODY_BYTES = 7432;

const isBinary = (messageVersion: Version): boolean => messageVersion.major >= 5;

const ic: IcCodec<KvpRequest, KvpReply> = {
  decodeRequest(body, messageVersion) {
    const { operation, pool } = headerMessage.decode(body);
    switch (operation) {
      case KvpOperation.get:
        return { operation: 'get', pool, key: getRequest.decode(body).key };
      case KvpOperation.set: {
        const { key, value } = setRequest.decode(body).record;
        return { operation: 'set', pool, key, value };
      }
      case KvpOperation.delete:
        return { operation: 'delete', pool, key: deleteRequest.decode(body).key };
      case KvpOperation.enumerate:
        return { operation: 'enumerate', pool, index: enumerateRequest.decode(body).index };
      case KvpOperation.getIpInfo: {
        const message = isBinary(messageVersion)
          ? getBinaryIpRequest.decode(body)
          : getIpRequest.decode(body);
        return {
          operation: 'getIpInfo',
          pool,
          adapterId: message.adapterId,
          addressFamily: message.addressFamily,
        };
      }
      case KvpOperation.setIpInfo: {
        const message = isBinary(messageVersion)
          ? setBinaryIpRequest.decode(body)
          : setIpRequest.decode(body);
        return { operation: 'setIpInfo', pool, ipInfo: message.ipInfo };
      }
      default:
        return { operation: 'unknown', pool, operationCode: operation };
    }
  },

  encodeReply(body, messageVersion, request, reply) {
    if (reply.status !== IcStatus.ok) return;
    switch (request.operation) {
      case 'get':
        getReply.encodeInto({ value: needed(reply.value, 'a value') }, body);
        break;
      case 'enumerate': {
        const item = { key: needed(reply.key, 'a key'), value: needed(reply.value, 'a value') };
        enumerateReply.encodeInto({ record: item }, body);
        break;
      }
      case 'getIpInfo':
        (isBinary(messageVersion) ? getBinaryIpReply : getIpReply).encodeInto(
          { ipInfo: needed(reply.ipInfo, 'IP info') },
          body,
        );
    }
  },

  encodeRequest(request, messageVersion) {
    const body = new Uint8Array(REQUEST_BODY_BYTES);
    const { pool } = request;
    switch (request.operation) {
      case 'get':
        getRequest.encodeInto({ operation: KvpOperation.get, pool, key: request.key }, body);
        break;
      case 'set': {
        const { key, value } = request;
        setRequest.encodeInto({ operation: KvpOperation.set, pool, record: { key, value } }, body);
        break;
      }
      case 'delete':
        deleteRequest.encodeInto({ operation: KvpOperation.delete, pool, key: request.key }, body);
        break;
      case 'enumerate':
        enumerateRequest.encodeInto(
          { operation: KvpOperation.enumerate, pool, index: request.index },
          body,
        );
        break;
      case 'getIpInfo': {
        const { adapterId, addressFamily } = request;
        (isBinary(messageVersion) ? getBinaryIpRequest : getIpRequest).encodeInto(
          { operation: KvpOperation.getIpInfo, pool, adapterId, addressFamily },
          body,
        );
        break;
      }
      case 'setIpInfo':
        (isBinary(messageVersion) ? setBinaryIpRequest : setIpRequest).encodeInto(
          { operation: KvpOperation.setIpInfo, pool, ipInfo: request.ipInfo },
          body,
        );
        break;
      case 'unknown':
        headerMessage.encodeInto({ operation: request.operationCode, pool }, body);
    }
    return body;
  },

  decodeReply(body, messageVersion, request, status) {
    if (status !== IcStatus.ok) return { status };
    switch (request.operation) {
      case 'get':
        return { status, value: getReply.decode(body).value };
      case 'enumerate': {
        const { key, value } = enumerateReply.decode(body).record;
        return { status, key, value };
      }
      case 'getIpInfo':
        return {
          status,
          ipInfo: (isBinary(messageVersion) ? getBinaryIpReply : getIpReply).decode(body).ipInfo,
        };
      default:
        return { status };
    }
  },
};

export const kvpProtocol: ServiceProtocol<KvpRequest, KvpReply> = {
  name: 'kvp',
  classId: SERVICE_CLASSES.kvp,
  messageType: 2,
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: [version(4, 0), version(3, 0), version(1, 0)],
  optionalVersions: [version(5, 0)],
  ic,
  hvUtils: kvpHvUtils,
};
