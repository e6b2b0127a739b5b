import { RingHost, type VersionsOffered } from '../hosts/ring-host.ts';
import { ServiceStage, type ServiceStageOptions } from './service-stage.ts';

export interface RingStageOptions<Request, Reply extends { readonly status: number }>
  extends ServiceStageOptions<Request, Reply> {
  readonly offer?: VersionsOffered;
}

/** A simulated host and the real daemon of one service, over a ring: services that hv_utils has no char device for. */
export class RingStage<Request, Reply extends { readonly status: number }> extends ServiceStage<
  Request,
  Reply,
  RingHost<Request, Reply>
> {
  /** Resolves when host and daemon have negotiated. */
  static open<Request, Reply extends { readonly status: number }>(
    options: RingStageOptions<Request, Reply>,
  ): Promise<RingStage<Request, Reply>> {
    return new RingStage<Request, Reply>(options, (socketPath) => new RingHost({ ...options, socketPath })).opened();
  }
}
