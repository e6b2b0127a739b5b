import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fcopyHvUtils } from '../../protocol/fcopy/hvutils.ts';
import {
  FcopyFlag,
  FcopyOperation,
  type FcopyRequest,
  MAX_FRAGMENT_BYTES,
} from '../../protocol/fcopy/messages.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { version } from '../../protocol/ic/version.ts';
import { kvpHvUtils } from '../../protocol/kvp/hvutils.ts';
import {
  KVP_POOL_COUNT,
  type KvpIpInfo,
  KvpOperation,
  KvpPool,
  type KvpRequest,
} from '../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import { vssHvUtils } from '../../protocol/vss/hvutils.ts';
import { NO_AUTO_RECOVERY, VSS_OPERATIONS } from '../../protocol/vss/types.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';

const HEADER = '/usr/include/linux/hyperv.h';

/** Why the installed header can't be asked; undefined when it can. */
function obstacle(): string | undefined {
  if (!fs.existsSync(HEADER)) return `${HEADER} is not installed (linux-libc-dev)`;
  return spawnSync('gcc', ['--version']).status === 0 ? undefined : 'gcc is not installed';
}

/** The values of C expressions, as the installed header has them. */
function evaluate(expressions: readonly string[]): Map<string, number> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-uapi-'));
  try {
    const source = [
      '#include <stddef.h>',
      '#include <stdio.h>',
      `#include "${HEADER}"`,
      'int main(void) {',
      ...expressions.map(
        (expression) => `  printf("%llu\\n", (unsigned long long)(${expression}));`,
      ),
      '  return 0;',
      '}',
    ].join('\n');
    fs.writeFileSync(path.join(folder, 'ask.c'), source);
    const program = path.join(folder, 'ask');
    execFileSync('gcc', ['-Wall', '-o', program, path.join(folder, 'ask.c')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const values = execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(Number);
    return new Map(expressions.map((expression, i) => [expression, values[i]!]));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const MSG = 'struct hv_kvp_msg';
const VSS_MSG = 'struct hv_vss_msg';
const at = (member: string): string => `offsetof(${MSG}, ${member})`;
const inIp = (member: string): string => `offsetof(struct hv_kvp_ip_msg, kvp_ip_val.${member})`;

/** Each field gets a letter of its own; where the letter lies is the field's place. */
const IP_INFO: KvpIpInfo = {
  adapterId: 'A',
  addressFamily: 0x42,
  dhcpEnabled: true,
  addresses: ['C'],
  subnets: ['D'],
  gateways: ['E'],
  dnsServers: ['F'],
};
const IP_FIELDS: [member: string, byte: number][] = [
  ['adapter_id', 0x41],
  ['addr_family', 0x42],
  ['dhcp_enabled', 1],
  ['ip_addr', 0x43],
  ['sub_net', 0x44],
  ['gate_way', 0x45],
  ['dns_addr', 0x46],
];

const set: KvpRequest = {
  operation: 'set',
  pool: 7,
  key: 'K',
  value: { type: 'string', text: 'V' },
};
const remove: KvpRequest = { operation: 'delete', pool: 7, key: 'K' };
const enumerate: KvpRequest = { operation: 'enumerate', pool: 7, index: 9 };
const setIpInfo: KvpRequest = { operation: 'setIpInfo', pool: 7, ipInfo: IP_INFO };
const V4 = version(4, 0);

/** A message of ours, and which byte the header's structs say lies where. */
interface Claim {
  readonly name: string;
  readonly bytes: () => Uint8Array;
  readonly places: readonly (readonly [expression: string, byte: number])[];
}

const icReply = (): Uint8Array => {
  const body = kvpProtocol.ic.encodeRequest(enumerate, V4);
  kvpProtocol.ic.encodeReply(body, V4, enumerate, {
    status: IcStatus.ok,
    key: 'K',
    value: { type: 'string', text: 'V' },
  });
  return body;
};
const charDeviceReply = (): Uint8Array => {
  const bytes = new Uint8Array(kvpHvUtils.messageBytes);
  kvpHvUtils.encodeReply(bytes, enumerate, {
    status: IcStatus.ok,
    key: 'K',
    value: { type: 'string', text: 'V' },
  });
  return bytes;
};

// The char device has UTF-8 where VMBus has UTF-16, in fields of the same place and length; sizes
// differ
const record = (
  data: string,
  keySize: number,
  valueSize: number,
  type: number,
): [string, number][] => [
  [at(`${data}.value_type`), type],
  [at(`${data}.key_size`), keySize],
  [at(`${data}.value_size`), valueSize],
  [at(`${data}.key`), 0x4b],
  [at(`${data}.value`), 0x56],
];
const header: [string, number][] = [[at('kvp_hdr.pool'), 7]];

const claims: Claim[] = [
  {
    name: 'set over VMBus',
    bytes: () => kvpProtocol.ic.encodeRequest(set, V4),
    places: [...header, [at('kvp_hdr.operation'), 1], ...record('body.kvp_set.data', 4, 4, 1)],
  },
  {
    name: 'set on the char device',
    bytes: () => kvpHvUtils.encodeRequest(set),
    places: [...header, [at('kvp_hdr.operation'), 1], ...record('body.kvp_set.data', 2, 2, 0)],
  },
  ...(['VMBus', 'the char device'] as const).map(
    (wire): Claim => ({
      name: `delete on ${wire}`,
      bytes: () =>
        wire === 'VMBus'
          ? kvpProtocol.ic.encodeRequest(remove, V4)
          : kvpHvUtils.encodeRequest(remove),
      places: [
        ...header,
        [at('kvp_hdr.operation'), 2],
        [at('body.kvp_delete.key_size'), wire === 'VMBus' ? 4 : 2],
        [at('body.kvp_delete.key'), 0x4b],
      ],
    }),
  ),
  {
    name: 'answer to enumerate over VMBus',
    bytes: icReply,
    places: [
      ...header,
      [at('kvp_hdr.operation'), 3],
      [at('body.kvp_enum_data.index'), 9],
      ...record('body.kvp_enum_data.data', 4, 4, 1),
    ],
  },
  {
    name: 'answer to enumerate on the char device',
    bytes: charDeviceReply,
    places: record('body.kvp_enum_data.data', 2, 2, 1),
  },
  {
    name: 'IP info over VMBus',
    bytes: () => kvpProtocol.ic.encodeRequest(setIpInfo, V4),
    places: [
      ['offsetof(struct hv_kvp_ip_msg, operation)', 5],
      ['offsetof(struct hv_kvp_ip_msg, pool)', 7],
      ...IP_FIELDS.map(([member, byte]) => [inIp(member), byte] as const),
    ],
  },
  {
    name: 'IP info on the char device',
    bytes: () => kvpHvUtils.encodeRequest(setIpInfo),
    places: [
      ...header,
      [at('kvp_hdr.operation'), 5],
      ...IP_FIELDS.map(([member, byte]) => [at(`body.kvp_ip_val.${member}`), byte] as const),
    ],
  },
  {
    name: "the kernel's answer to a registration",
    bytes: () => kvpHvUtils.encodeRegistrationAnswer('v'),
    places: [
      [at('kvp_hdr.operation'), 100],
      [at('body.kvp_register.version'), 0x76],
    ],
  },
  {
    name: 'VSS request over VMBus',
    bytes: () => vssProtocol.ic.encodeRequest({ operation: 'thaw', flags: 9 }, version(5, 0)),
    places: [
      [`offsetof(${VSS_MSG}, vss_hdr.operation)`, 6],
      [`offsetof(${VSS_MSG}, vss_cf.flags)`, 9],
    ],
  },
  {
    name: 'answer to devices info over VMBus',
    bytes: () => {
      const body = new Uint8Array(12);
      vssProtocol.ic.encodeReply(
        body,
        version(5, 0),
        { operation: 'getDmInfo', flags: 0 },
        { status: 0, flags: 9 },
      );
      return body;
    },
    places: [[`offsetof(${VSS_MSG}, dm_info.flags)`, 9]],
  },
  {
    name: 'VSS reply on the char device',
    bytes: () => {
      const message = new Uint8Array(vssHvUtils.messageBytes);
      vssHvUtils.encodeReply(message, undefined, { status: 9 });
      return message;
    },
    places: [[`offsetof(${VSS_MSG}, error)`, 9]],
  },
];

const start: FcopyRequest = {
  operation: 'start',
  fileName: 'N',
  path: 'P',
  flags: { overwrite: false, createPath: true, unknown: 0 },
  sizeBytes: 9n,
};
const part: FcopyRequest = { operation: 'data', offset: 8n, data: Uint8Array.of(0x44) };
const inStart = (member: string): string => `offsetof(struct hv_start_fcopy, ${member})`;
const inData = (member: string): string => `offsetof(struct hv_do_fcopy, ${member})`;

for (const [wire, encode] of [
  ['over VMBus', (request: FcopyRequest) => fcopyProtocol.ic.encodeRequest(request, version(1, 1))],
  ['on the char device', fcopyHvUtils.encodeRequest],
] as const) {
  claims.push(
    {
      name: `start of a file copy ${wire}`,
      bytes: () => encode(start),
      places: [
        [inStart('file_name'), 0x4e],
        [inStart('path_name'), 0x50],
        [inStart('copy_flags'), FcopyFlag.createPath],
        [inStart('file_size'), 9],
      ],
    },
    {
      name: `data of a file copy ${wire}`,
      bytes: () => encode(part),
      places: [
        [inData('hdr.operation'), 1],
        [inData('offset'), 8],
        [inData('size'), 1],
        [inData('data'), 0x44],
      ],
    },
  );
}

const constants: [string, number][] = [
  ['sizeof(struct hv_start_fcopy)', fcopyHvUtils.encodeRequest(start).length],
  ['sizeof(struct hv_do_fcopy)', fcopyHvUtils.messageBytes],
  [
    'sizeof(struct hv_fcopy_hdr)',
    fcopyProtocol.ic.encodeRequest({ operation: 'cancel' }, version(1, 1)).length,
  ],
  ['FCOPY_CURRENT_VERSION', fcopyHvUtils.encodeRegistration()[0]!],
  ['DATA_FRAGMENT', MAX_FRAGMENT_BYTES],
  ['START_FILE_COPY', FcopyOperation.start],
  ['WRITE_TO_FILE', FcopyOperation.data],
  ['COMPLETE_FCOPY', FcopyOperation.complete],
  ['CANCEL_FCOPY', FcopyOperation.cancel],
  ['OVER_WRITE', FcopyFlag.overwrite],
  ['CREATE_PATH', FcopyFlag.createPath],
  [`sizeof(${MSG})`, kvpHvUtils.messageBytes],
  ['sizeof(struct hv_kvp_ipaddr_value)', 7426],
  ['KVP_OP_REGISTER1', kvpHvUtils.encodeRegistration()[0]!],
  ['KVP_OP_GET', KvpOperation.get],
  ['KVP_OP_SET', KvpOperation.set],
  ['KVP_OP_DELETE', KvpOperation.delete],
  ['KVP_OP_ENUMERATE', KvpOperation.enumerate],
  ['KVP_OP_GET_IP_INFO', KvpOperation.getIpInfo],
  ['KVP_OP_SET_IP_INFO', KvpOperation.setIpInfo],
  ['KVP_POOL_EXTERNAL', KvpPool.external],
  ['KVP_POOL_GUEST', KvpPool.guest],
  ['KVP_POOL_AUTO', KvpPool.auto],
  ['KVP_POOL_AUTO_EXTERNAL', KvpPool.autoExternal],
  ['KVP_POOL_AUTO_INTERNAL', KvpPool.autoInternal],
  ['KVP_POOL_COUNT', KVP_POOL_COUNT],
  [`sizeof(${VSS_MSG})`, vssHvUtils.messageBytes],
  ['VSS_OP_REGISTER1', vssHvUtils.encodeRegistration()[0]!],
  ['VSS_OP_CREATE', VSS_OPERATIONS.create],
  ['VSS_OP_DELETE', VSS_OPERATIONS.delete],
  ['VSS_OP_HOT_BACKUP', VSS_OPERATIONS.checkHotBackup],
  ['VSS_OP_GET_DM_INFO', VSS_OPERATIONS.getDmInfo],
  ['VSS_OP_BU_COMPLETE', VSS_OPERATIONS.backupComplete],
  ['VSS_OP_FREEZE', VSS_OPERATIONS.freeze],
  ['VSS_OP_THAW', VSS_OPERATIONS.thaw],
  ['VSS_OP_AUTO_RECOVER', VSS_OPERATIONS.autoRecover],
  // The kernel knows nothing of 6.0
  ['VSS_OP_COUNT', VSS_OPERATIONS.queryClusterInfo],
  ['VSS_HBU_NO_AUTO_RECOVERY', NO_AUTO_RECOVERY],
  ['(unsigned int)HV_S_OK', IcStatus.ok],
  ['(unsigned int)HV_E_FAIL', IcStatus.fail],
  ['(unsigned int)HV_S_CONT', IcStatus.noMoreItems],
  ['(unsigned int)HV_ERROR_NOT_SUPPORTED', IcStatus.notSupported],
  ['(unsigned int)HV_ERROR_MACHINE_LOCKED', IcStatus.machineLocked],
  ['(unsigned int)HV_ERROR_DEVICE_NOT_CONNECTED', IcStatus.deviceNotConnected],
  ['(unsigned int)HV_INVALIDARG', IcStatus.invalidArgument],
  ['(unsigned int)HV_GUID_NOTFOUND', IcStatus.guidNotFound],
  ['(unsigned int)HV_ERROR_ALREADY_EXISTS', IcStatus.alreadyExists],
  ['(unsigned int)HV_ERROR_DISK_FULL', IcStatus.diskFull],
];

const skip = obstacle();
describe('the installed <linux/hyperv.h> agrees', skip === undefined ? {} : { skip }, () => {
  const values =
    skip === undefined
      ? evaluate([
          ...constants.map(([name]) => name),
          ...claims.flatMap(({ places }) => places.map(([name]) => name)),
        ])
      : new Map<string, number>();

  test('constants and sizes', () => {
    for (const [name, ours] of constants) assert.equal(ours, values.get(name), name);
  });

  for (const { name, bytes, places } of claims) {
    test(name, () => {
      const ours = bytes();
      for (const [expression, byte] of places) {
        const offset = values.get(expression)!;
        assert.equal(ours[offset], byte, `${expression} = ${offset}`);
      }
      // Nothing lies anywhere else
      const marked = new Map(places.map(([expression, byte]) => [values.get(expression)!, byte]));
      const stray = [...ours.entries()].filter(
        ([offset, byte]) => byte !== 0 && !marked.has(offset),
      );
      assert.deepEqual(stray, []);
    });
  }
});
