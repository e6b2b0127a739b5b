/**
 * What the file copy service says, without its wire, and the fields that both wires have in common:
 * IC messages over VMBus and the char-device messages of hv_utils are the same structs, the one
 * with UTF-16 and the other with UTF-8. Source: include/uapi/linux/hyperv.h.
 */
import { bytesText } from '../layout/cursor.ts';
import {
  bytes,
  DecodeError,
  EncodeError,
  type Flags,
  flags,
  type Layout,
  struct,
  u32,
  u64,
} from '../layout/index.ts';
import type { PartPlaces } from '../service-protocol.ts';

/** enum hv_fcopy_op. */
export const FcopyOperation = { start: 0, data: 1, complete: 2, cancel: 3 } as const;

/** Of a start: OVER_WRITE and CREATE_PATH. */
export const FcopyFlag = { overwrite: 1, createPath: 2 } as const;
export type FcopyFlags = Flags<typeof FcopyFlag>;

export type FcopyRequest =
  | {
      readonly operation: 'start';
      readonly fileName: string;
      /** The folder, as the host wrote it. */
      readonly path: string;
      readonly flags: FcopyFlags;
      readonly sizeBytes: bigint;
    }
  | { readonly operation: 'data'; readonly offset: bigint; readonly data: Uint8Array }
  | { readonly operation: 'complete' }
  | { readonly operation: 'cancel' }
  | { readonly operation: 'unknown'; readonly operationCode: number };

export interface FcopyReply {
  readonly status: number;
}

/** W_MAX_PATH units of 16 bits; hv_utils puts UTF-8 into as many bytes. */
export const NAME_FIELD_BYTES = 2 * 260;
/** DATA_FRAGMENT: what one message carries at most. */
export const MAX_FRAGMENT_BYTES = 6144;

/** As many bytes as the message says it carries; what follows them in the message is padding. */
const fragment = (sizeBytes: number): Layout<Uint8Array> => {
  const layout = bytes(sizeBytes);
  return {
    ...layout,
    read: (cursor) => {
      if (sizeBytes > MAX_FRAGMENT_BYTES) {
        throw new DecodeError(
          'size',
          cursor.offset,
          `at most ${bytesText(MAX_FRAGMENT_BYTES)}`,
          sizeBytes,
        );
      }
      return layout.read(cursor);
    },
    write: (cursor, data) => {
      if (data.length > MAX_FRAGMENT_BYTES) {
        throw new EncodeError(
          'tooLong',
          cursor.offset,
          `at most ${bytesText(MAX_FRAGMENT_BYTES)}`,
          data.length,
        );
      }
      layout.write(cursor, data);
    },
  };
};

/** Two service ids, which nobody looks at, follow the operation. */
export const fcopyHeader = struct('fcopy').field('operation', u32).reserved(32);

export const fcopyStart = (fileName: Layout<string>, path: Layout<string>) =>
  fcopyHeader
    .field('fileName', fileName)
    .field('path', path)
    .field('flags', flags(u32, FcopyFlag))
    .field('sizeBytes', u64);

export const fcopyData = fcopyHeader
  .reserved(4)
  .field('offset', u64)
  .derived('fragmentBytes', u32, ({ data }: { readonly data: Uint8Array }) => data.length)
  .dependent('data', ({ fragmentBytes }) => fragment(fragmentBytes));

/** sizeof(struct hv_do_fcopy): hosts send all of it, however short the fragment. */
export const DATA_MESSAGE_BYTES = 52 + MAX_FRAGMENT_BYTES;

export const fcopyPart: PartPlaces = {
  offsetAt: fcopyData.offsetOf('offset'),
  sizeAt: fcopyData.offsetOf('fragmentBytes'),
  dataAt: fcopyData.offsetOf('data'),
  maxDataBytes: MAX_FRAGMENT_BYTES,
};

type StartLayout = ReturnType<typeof fcopyStart>;

/** Throws DecodeError. */
export function decodeFcopy(message: Uint8Array, start: StartLayout): FcopyRequest {
  const { operation } = fcopyHeader.decode(message);
  switch (operation) {
    case FcopyOperation.start: {
      const { fileName, path, flags, sizeBytes } = start.decode(message);
      return { operation: 'start', fileName, path, flags, sizeBytes };
    }
    case FcopyOperation.data: {
      const { offset, data } = fcopyData.decode(message);
      return { operation: 'data', offset, data };
    }
    case FcopyOperation.complete:
      return { operation: 'complete' };
    case FcopyOperation.cancel:
      return { operation: 'cancel' };
    default:
      return { operation: 'unknown', operationCode: operation };
  }
}

/** The sender's end. Throws EncodeError. */
export function encodeFcopy(request: FcopyRequest, start: StartLayout): Uint8Array {
  switch (request.operation) {
    case 'start':
      return start.encode({ ...request, operation: FcopyOperation.start });
    case 'data': {
      const message = new Uint8Array(DATA_MESSAGE_BYTES);
      fcopyData.encodeInto({ ...request, operation: FcopyOperation.data }, message);
      return message;
    }
    case 'complete':
    case 'cancel':
      return fcopyHeader.encode({ operation: FcopyOperation[request.operation] });
    case 'unknown':
      return fcopyHeader.encode({ operation: request.operationCode });
  }
}
