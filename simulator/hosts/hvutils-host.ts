import type { Native } from '../../native/interface.ts';
import type { HvUtilsCodec, ServiceProtocol } from '../../protocol/service-protocol.ts';
import {
  type HostClock,
  HostError,
  type ServiceHost,
  type ServiceView,
  systemClock,
  type WireMessage,
  type WireTap,
} from '../wire.ts';
import { HvUtilsDevice } from './hvutils-device.ts';
import { HvUtilsRequests } from './hvutils-requests.ts';
import { HvUtilsTransactions } from './hvutils-transactions.ts';
import { ProbedExchange, statusOf } from './probed-exchange.ts';

export { answersProbe } from './probed-exchange.ts';

export interface HvUtilsHostOptions<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  readonly socketPath: string;
  /** What the registration is answered with; the kernel's text for KVP is "3.1". */
  readonly versionText?: string;
  /** How long a reply is awaited; by default as long as hv_utils does. */
  readonly timeoutSecs?: number;
  readonly clock?: HostClock;
  readonly tap?: WireTap;
}

/**
 * Plays hv_utils for one service: one transaction at a time, in the order asked for, as on the char
 * device (HvUtilsDevice).
 */
export class HvUtilsHost<Request, Reply extends { readonly status: number }>
  implements ServiceHost<Request, Reply>
{
  readonly wire = 'unix';
  readonly transport: string;
  readonly bodyOffset = 0;

  readonly #codec: HvUtilsCodec<Request, Reply>;
  readonly #device: HvUtilsDevice<Request, Reply>;
  readonly #requests: HvUtilsRequests<Request, Reply>;
  readonly #probed: ProbedExchange<Request, Reply>;

  constructor(options: HvUtilsHostOptions<Request, Reply>) {
    if (!options.protocol.hvUtils)
      throw new Error(`hv_utils has no char device for ${options.protocol.name}`);
    this.#codec = options.protocol.hvUtils;
    this.transport = `unix:${options.socketPath}`;
    const { native, socketPath, view, versionText = '3.1', timeoutSecs } = options;
    const codec = this.#codec;
    const tap = (message: Omit<WireMessage, 'wire'>): void =>
      options.tap?.({ wire: this.wire, ...message });
    this.#device = new HvUtilsDevice({ native, socketPath, codec, versionText, tap });
    const transactions = new HvUtilsTransactions(this.#device, options.clock ?? systemClock);
    this.#requests = new HvUtilsRequests({ transactions, codec, view, timeoutSecs, tap });
    this.#probed = new ProbedExchange({ transactions, codec, view, tap });
  }

  get violations(): string[] {
    return this.#device.violations;
  }

  get readyCount(): number {
    return this.#device.readyCount;
  }

  /** Opens refused because another guest had the device. */
  get refusedCount(): number {
    return this.#device.refusedCount;
  }

  ready(): Promise<string> {
    return this.#device.ready();
  }

  nextReady(): Promise<string> {
    return this.#device.nextReady();
  }

  async request(request: Request): Promise<Reply> {
    await this.ready();
    return this.#requests.request(request);
  }

  encode(request: Request): Uint8Array {
    return this.#codec.encodeRequest(request);
  }

  async exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    await this.ready();
    return this.#probed.exchange(message);
  }

  statusOf(reply: Uint8Array): number {
    return statusOf(reply);
  }

  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void {
    if (this.#device.isBusy) throw new Error('a request is pending');
    return this.#device.takeOver((answer) => onAnswer(answer, 0n));
  }

  trySend(message: Uint8Array): boolean {
    return this.#device.tryWrite(message);
  }

  /**
   * The next reply finds nothing pending, as after a resume: the guest has to reopen and register
   * again.
   */
  refuseNextReply(): void {
    this.#device.refuseNextReply();
  }

  /**
   * The virtual machine sleeps and wakes: hv_utils forgets the transaction, and a reply to it is
   * refused; so is the one to `parting`, a request which it makes up before (hv_vss_pre_suspend in
   * drivers/hv/hv_snapshot.c: a thaw).
   */
  suspend(parting?: Request): void {
    this.#device.fail(new HostError('dropped', 'the virtual machine was suspended'));
    if (parting === undefined) return;
    this.#device.refuseNextReply();
    this.#device.write(this.#codec.encodeRequest(parting));
  }

  hangUp(): void {
    this.#device.end(new HostError('dropped', 'the host destroyed the device'));
  }

  close(): void {
    this.#device.close();
  }
}

/** Earlier names of this module's exports, for tests of others. */
export { HvUtilsHost as UtilsHost, type HvUtilsHostOptions as UtilsHostOptions };
