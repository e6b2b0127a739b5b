import { type VersionsOffered, VmbusHost } from '../hosts/vmbus-host.ts';
import { ServiceStage, type ServiceStageOptions } from './service-stage.ts';

export interface VmbusStageOptions<Request, Reply extends { readonly status: number }>
  extends ServiceStageOptions<Request, Reply> {
  readonly offer?: VersionsOffered;
}

/**
 * A simulated host and the real daemon of one service, over a ring: services that hv_utils has no
 * char device for.
 */
export class VmbusStage<Request, Reply extends { readonly status: number }> extends ServiceStage<
  Request,
  Reply,
  VmbusHost<Request, Reply>
> {
  /** Resolves when host and daemon have negotiated. */
  static open<Request, Reply extends { readonly status: number }>(
    options: VmbusStageOptions<Request, Reply>,
  ): Promise<VmbusStage<Request, Reply>> {
    return new VmbusStage<Request, Reply>(
      options,
      (socketPath) => new VmbusHost({ ...options, socketPath }),
    ).opened();
  }
}

/** Earlier names of this module's exports, for tests of others. */
export { VmbusStage as RingStage, type VmbusStageOptions as RingStageOptions };
