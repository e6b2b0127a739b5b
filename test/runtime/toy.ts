import { version } from '../../protocol/ic/version.ts';
import { DecodeError } from '../../protocol/layout/index.ts';
import type { HvUtilsCodec, IcCodec, ServiceProtocol } from '../../protocol/service-protocol.ts';

/**
 * A made-up service: a request is a number below 100, and its reply is a number. On both wires a
 * message is 8 bytes: {status or 0xff for a registration u32, number u32}; over VMBus the body is
 * the number alone.
 */
export type ToyRequest = number;
export interface ToyReply {
  readonly status: number;
  readonly number?: number;
}

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const toyMessage = (first: number, second: number): Uint8Array => {
  const bytes = new Uint8Array(8);
  view(bytes).setUint32(0, first, true);
  view(bytes).setUint32(4, second, true);
  return bytes;
};

function decodeNumber(bytes: Uint8Array, offset: number): number {
  if (bytes.length < offset + 4)
    throw new DecodeError('truncated', offset, '4 bytes', bytes.length - offset);
  const number = view(bytes).getUint32(offset, true);
  if (number >= 100) throw new DecodeError('value', offset, 'a number below 100', number);
  return number;
}

const hvUtils: HvUtilsCodec<ToyRequest, ToyReply> = {
  messageBytes: 8,
  encodeRegistration: () => toyMessage(0xff, 0),
  decodeRegistration: (message) =>
    view(message).getUint32(0, true) === 0xff ? `v${view(message).getUint32(4, true)}` : undefined,
  decodeRequest: (message) => decodeNumber(message, 4),
  encodeReply: (message, _, { status, number }) => message.set(toyMessage(status, number ?? 0)),
  encodeRequest: (request) => toyMessage(0, request),
  decodeReply: (message) => ({
    status: view(message).getUint32(0, true),
    number: view(message).getUint32(4, true),
  }),
  encodeRegistrationAnswer: (text) => toyMessage(0xff, Number(text)),
};

const ic: IcCodec<ToyRequest, ToyReply> = {
  decodeRequest: (body) => decodeNumber(body, 0),
  encodeReply: (body, _version, _request, { number }) => view(body).setUint32(0, number ?? 0, true),
  encodeRequest: (request) => toyMessage(request, 0).slice(0, 4),
  decodeReply: (body, _version, _request, status) => ({
    status,
    number: view(body).getUint32(0, true),
  }),
};

export const toyProtocol = {
  name: 'toy',
  classId: '00000000-0000-0000-0000-000000000001',
  messageType: 9,
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: [version(2, 0), version(1, 0)],
  optionalVersions: [version(3, 0)],
  ic,
  hvUtils,
} satisfies ServiceProtocol<ToyRequest, ToyReply>;
