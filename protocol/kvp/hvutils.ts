/**
 * KVP on the char device /dev/vmbus/hv_kvp: what hv_utils passes on to a daemon, and takes back.
 * Sources: include/uapi/linux/hyperv.h (struct hv_kvp_msg), drivers/hv/hv_kvp.c. Every message has
 * 7,432 bytes; text is UTF-8, its sizes are bytes and count the NUL.
 *
 * Request                                    Reply
 *   0  1  operation, 100 registration          0  4  status
 *   1  1  pool
 *
 * Get, set (request)                         Enumerate; replies to enumerate and to get
 *   4  4     type, never filled in             4  4     index
 *   8  4     key size                          8  4     type, ignored: the host is told "string"
 *  12  4     value size; 0 for get            12  4     key size, ignored
 *  16  512   key                              16  4     value size, ignored
 * 528  2048  value                            20  512   key
 *                                            532  2048  value
 * Delete                                     IP info
 *   4  4     key size                           4  256   adapter id
 *   8  512   key                              260  1     address family
 *                                             261  1     DHCP enabled
 * Registration                                262  2048  addresses, ';' between
 *   4  512   the kernel's version text       2310  2048  subnets
 *                                            4358  1024  gateways
 *                                            5382  2048  DNS servers
 *
 * Quirks. The kernel reads the value of a get's answer where enumerate has it. In a set a string
 * and a u32 (in decimal) arrive as text without their type; any other type arrives as value size 0.
 */
import { IcStatus } from '../ic/status.ts';
import { bytesText } from '../layout/cursor.ts';
import {
  DecodeError,
  EncodeError,
  type Layout,
  struct,
  text,
  u8,
  u32,
  utf8,
} from '../layout/index.ts';
import type { HvUtilsCodec } from '../service-protocol.ts';
import { ipInfoFields, KEY_FIELD_BYTES, needed, VALUE_FIELD_BYTES } from './fields.ts';
import { KvpOperation, type KvpReply, type KvpRequest, type KvpValue } from './types.ts';

const MESSAGE_BYTES = 7432;
/**
 * KVP_OP_REGISTER1. (4, once the registration of daemons without IP info, is an operation of the
 * host's.)
 */
const REGISTER = 100;
const TYPE_STRING = 1;

type Keyed = { readonly key: string };
const keySizeOf = (message: Keyed): number => utf8.sizeOf(message.key);
const keyField = (message: { readonly keySizeBytes: number }): Layout<string> =>
  text(utf8, KEY_FIELD_BYTES, message.keySizeBytes);

const header = struct('kvp').field('operation', u8).field('pool', u8).reserved(2);
const registration = header.field('version', text(utf8, KEY_FIELD_BYTES));
const getRequest = header
  .reserved(4)
  .derived('keySizeBytes', u32, keySizeOf)
  .reserved(4)
  .dependent('key', keyField, KEY_FIELD_BYTES);
const NOTHING: Layout<string | undefined> = {
  sizeBytes: VALUE_FIELD_BYTES,
  sizeOf: () => VALUE_FIELD_BYTES,
  read: (cursor) => {
    cursor.take(VALUE_FIELD_BYTES);
    return undefined;
  },
  write: (cursor) => {
    cursor.make(VALUE_FIELD_BYTES);
  },
};
/** `value` undefined: one the kernel could not pass on. */
const setRequest = header
  .reserved(4)
  .derived('keySizeBytes', u32, keySizeOf)
  .derived('valueSizeBytes', u32, ({ value }: { readonly value: string | undefined }) =>
    value === undefined ? 0 : utf8.sizeOf(value),
  )
  .dependent('key', keyField, KEY_FIELD_BYTES)
  .dependent('value', (earlier) => optionalText(earlier.valueSizeBytes), VALUE_FIELD_BYTES);
const deleteRequest = header
  .derived('keySizeBytes', u32, keySizeOf)
  .dependent('key', keyField, KEY_FIELD_BYTES);
const enumerateRequest = header.field('index', u32);
const ipInfo = ipInfoFields(utf8);
const getIpRequest = header.field('adapterId', text(utf8, 256)).field('addressFamily', u8);
const setIpRequest = header.field('ipInfo', ipInfo);

const status = struct('kvp').field('status', u32);
const recordReply = status
  .reserved(4)
  .derived('typeCode', u32, () => TYPE_STRING)
  .derived('keySizeBytes', u32, keySizeOf)
  .derived('valueSizeBytes', u32, (message: { readonly value: string }) =>
    utf8.sizeOf(message.value),
  )
  .field('key', text(utf8, KEY_FIELD_BYTES))
  .field('value', text(utf8, VALUE_FIELD_BYTES));
/** What the kernel reads of a get's answer. */
const getReply = status
  .reserved(recordReply.offsetOf('value') - 4)
  .field('value', text(utf8, VALUE_FIELD_BYTES));
const getIpReply = status.field('ipInfo', ipInfo);

function optionalText(sizeBytes: number): Layout<string | undefined> {
  return sizeBytes === 0
    ? NOTHING
    : (text(utf8, VALUE_FIELD_BYTES, sizeBytes) as Layout<string | undefined>);
}

/** Everything an answer carries is text here: numbers go out in decimal. */
function textOf(value: KvpValue): string {
  switch (value.type) {
    case 'string':
    case 'expandString':
      return value.text;
    case 'u32':
    case 'u64':
      return String(value.value);
    case 'unknown':
      throw new EncodeError(
        'value',
        recordReply.offsetOf('value'),
        'a string or a number',
        `type ${value.typeCode}`,
      ).within('kvp.value');
  }
}

/** What hv_utils makes of a host's value in a set. */
function passedOn(value: KvpValue): string | undefined {
  if (value.type === 'string') return value.text;
  return value.type === 'u32' ? String(value.value) : undefined;
}

function checkLength(message: Uint8Array): void {
  if (message.length === MESSAGE_BYTES) return;
  const code = message.length < MESSAGE_BYTES ? 'truncated' : 'size';
  throw new DecodeError(
    code,
    Math.min(message.length, MESSAGE_BYTES),
    bytesText(MESSAGE_BYTES),
    message.length,
  ).within('kvp');
}

export const kvpHvUtils: HvUtilsCodec<KvpRequest, KvpReply> = {
  messageBytes: MESSAGE_BYTES,

  encodeRegistration() {
    const message = new Uint8Array(MESSAGE_BYTES);
    message[0] = REGISTER;
    return message;
  },

  decodeRegistration(message) {
    checkLength(message);
    return message[0] === REGISTER ? registration.decode(message).version : undefined;
  },

  decodeRequest(message) {
    checkLength(message);
    // The two bytes every operation starts with; decoding the header first would read them twice
    // for each request
    const operation = message[0]!;
    const pool = message[1]!;
    switch (operation) {
      case KvpOperation.get:
        return { operation: 'get', pool, key: getRequest.decode(message).key };
      case KvpOperation.set: {
        const { key, value } = setRequest.decode(message);
        return {
          operation: 'set',
          pool,
          key,
          value:
            value === undefined
              ? { type: 'unknown', typeCode: 0, bytes: new Uint8Array(0) }
              : { type: 'string', text: value },
        };
      }
      case KvpOperation.delete:
        return { operation: 'delete', pool, key: deleteRequest.decode(message).key };
      case KvpOperation.enumerate:
        return { operation: 'enumerate', pool, index: enumerateRequest.decode(message).index };
      case KvpOperation.getIpInfo: {
        const { adapterId, addressFamily } = getIpRequest.decode(message);
        return { operation: 'getIpInfo', pool, adapterId, addressFamily };
      }
      case KvpOperation.setIpInfo:
        return { operation: 'setIpInfo', pool, ipInfo: setIpRequest.decode(message).ipInfo };
      default:
        return { operation: 'unknown', pool, operationCode: operation };
    }
  },

  encodeReply(message, request, reply) {
    if (request && reply.status === IcStatus.ok) {
      switch (request.operation) {
        case 'get':
        case 'enumerate': {
          const key = request.operation === 'get' ? request.key : needed(reply.key, 'a key');
          const value = textOf(needed(reply.value, 'a value'));
          recordReply.encodeInto({ status: reply.status, key, value }, message);
          return;
        }
        case 'getIpInfo':
          getIpReply.encodeInto(
            { status: reply.status, ipInfo: needed(reply.ipInfo, 'IP info') },
            message,
          );
          return;
      }
    }
    status.encodeInto({ status: reply.status }, message);
  },

  encodeRequest(request) {
    const message = new Uint8Array(MESSAGE_BYTES);
    const { pool } = request;
    switch (request.operation) {
      case 'get':
        getRequest.encodeInto({ operation: KvpOperation.get, pool, key: request.key }, message);
        break;
      case 'set': {
        const value = passedOn(request.value);
        setRequest.encodeInto(
          { operation: KvpOperation.set, pool, key: request.key, value },
          message,
        );
        break;
      }
      case 'delete':
        deleteRequest.encodeInto(
          { operation: KvpOperation.delete, pool, key: request.key },
          message,
        );
        break;
      case 'enumerate':
        enumerateRequest.encodeInto(
          { operation: KvpOperation.enumerate, pool, index: request.index },
          message,
        );
        break;
      case 'getIpInfo': {
        const { adapterId, addressFamily } = request;
        getIpRequest.encodeInto(
          { operation: KvpOperation.getIpInfo, pool, adapterId, addressFamily },
          message,
        );
        break;
      }
      case 'setIpInfo':
        setIpRequest.encodeInto(
          { operation: KvpOperation.setIpInfo, pool, ipInfo: request.ipInfo },
          message,
        );
        break;
      case 'unknown':
        header.encodeInto({ operation: request.operationCode, pool }, message);
    }
    return message;
  },

  decodeReply(message, request) {
    checkLength(message);
    const reply = status.decode(message);
    if (reply.status !== IcStatus.ok) return reply;
    switch (request.operation) {
      case 'get':
        return {
          status: reply.status,
          value: { type: 'string', text: getReply.decode(message).value },
        };
      case 'enumerate': {
        const { key, value } = recordReply.decode(message);
        return { status: reply.status, key, value: { type: 'string', text: value } };
      }
      case 'getIpInfo':
        return getIpReply.decode(message);
      default:
        return reply;
    }
  },

  encodeRegistrationAnswer(versionText) {
    const message = new Uint8Array(MESSAGE_BYTES);
    registration.encodeInto({ operation: REGISTER, pool: 0, version: versionText }, message);
    return message;
  },
};
