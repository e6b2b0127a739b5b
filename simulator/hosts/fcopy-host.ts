import type { Native } from '../../native/interface.ts';
import {
  type FcopyReply,
  type FcopyRequest,
  MAX_FRAGMENT_BYTES,
} from '../../protocol/fcopy/messages.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { ServiceStage, type ServiceStageOptions } from '../stages/service-stage.ts';
import type { ServiceView, Wire } from '../wire.ts';
import { HvUtilsHost } from './hvutils-host.ts';
import { type VersionsOffered, VmbusHost } from './vmbus-host.ts';

export const fcopyView: ServiceView<FcopyRequest, FcopyReply> = {
  summarize: (request) => {
    switch (request.operation) {
      case 'start':
        return {
          operation: 'start',
          subject: `${request.path}${request.fileName}`,
          value: `${request.sizeBytes} bytes`,
        };
      case 'data':
        return { operation: 'data', subject: `${request.data.length} bytes at ${request.offset}` };
      case 'unknown':
        return { operation: `op. ${request.operationCode}` };
      default:
        return { operation: request.operation };
    }
  },
  // Not supported by any guest, and a start that is too short to be one
  probe: (serial) => ({ operation: 'unknown', operationCode: serial % 2 === 0 ? 127 : 0 }),
};

/** As kernels give this service: 4 KiB of control page, 16 KiB of data. */
export const RING_BYTES = 20 * 1024;

export interface FcopyStageOptions
  extends Omit<ServiceStageOptions<FcopyRequest, FcopyReply>, 'protocol' | 'view'> {
  readonly native: Native;
  readonly offer?: VersionsOffered;
}

/** What is copied, and where to. */
export interface Copy {
  readonly fileName: string;
  /** The folder, with the slash at its end that hosts write. */
  readonly path: string;
  readonly content: Uint8Array;
  readonly overwrite?: boolean;
  readonly createPath?: boolean;
  /** Called after each answer. */
  readonly onProgress?: (doneBytes: number) => void | Promise<void>;
}

type Utils = HvUtilsHost<FcopyRequest, FcopyReply>;
type Ring = VmbusHost<FcopyRequest, FcopyReply>;

/** A simulated host and the real file copy daemon, over either wire. */
export class FcopyStage extends ServiceStage<FcopyRequest, FcopyReply, Utils | Ring> {
  static open(wire: Wire, given: FcopyStageOptions): Promise<FcopyStage> {
    const options = { ...given, protocol: fcopyProtocol, view: fcopyView };
    const host = (socketPath: string): Utils | Ring =>
      wire === 'unix'
        ? new HvUtilsHost({ ...options, socketPath, versionText: '1' })
        : new VmbusHost({ ...options, socketPath, ringBytes: RING_BYTES });
    return new FcopyStage(options, host).opened();
  }

  get utils(): Utils {
    if (!(this.host instanceof HvUtilsHost)) throw new Error('this needs the char device');
    return this.host;
  }

  get ring(): Ring {
    if (!(this.host instanceof VmbusHost)) throw new Error('this needs the ring');
    return this.host;
  }

  async ask(request: FcopyRequest): Promise<number> {
    return (await this.request(request)).status;
  }

  /**
   * Copies a file as a host does, strictly one message after the answer to the last; gives the
   * first status that is no success, or success.
   */
  async copy({ onProgress = () => {}, ...copy }: Copy): Promise<number> {
    for (const [i, request] of messagesOf(copy).entries()) {
      const status = await this.ask(request);
      if (status !== IcStatus.ok) return status;
      if (request.operation === 'data')
        await onProgress(Math.min(i * MAX_FRAGMENT_BYTES, copy.content.length));
    }
    return IcStatus.ok;
  }
}

export const startOf = (
  { fileName, path, content, overwrite = false, createPath = false }: Copy,
  sizeBytes = BigInt(content.length),
): FcopyRequest => ({
  operation: 'start',
  fileName,
  path,
  flags: { overwrite, createPath, unknown: 0 },
  sizeBytes,
});

export const dataOf = (
  content: Uint8Array,
  offset: number,
  bytes = MAX_FRAGMENT_BYTES,
): FcopyRequest => ({
  operation: 'data',
  offset: BigInt(offset),
  data: content.subarray(offset, offset + bytes),
});

/** All messages of one copy. */
export function messagesOf(copy: Copy): FcopyRequest[] {
  const messages = [startOf(copy)];
  for (let offset = 0; offset < copy.content.length; offset += MAX_FRAGMENT_BYTES) {
    messages.push(dataOf(copy.content, offset));
  }
  return [...messages, { operation: 'complete' }];
}
