import { KvpPool } from '../protocol/kvp/types.ts';
import type { GuestProgram } from './guest-program.ts';
import { AUTO_KEYS, type KvpItem, showValue } from './hosts/kvp-host.ts';
import { beat, type Heartbeat } from './scenes/heartbeat.ts';
import type { AdminView, Show } from './show/show.ts';
import type { Stage } from './stages/stage.ts';

/** What host and guest say to each other in the demonstration, other than behaviours and scenes. */
export class Exchanges {
  readonly #show: Show;
  readonly #program: GuestProgram;
  #sequence = -1n;

  constructor(show: Show, program: GuestProgram) {
    this.#show = show;
    this.#program = program;
  }

  /** A program in the guest writes; the host reads it. */
  async guestToHost(stage: Stage, value: string): Promise<void> {
    this.#show.scene('A program in the guest writes an item; the host reads it');
    await this.#program.run(stage, ['kvp', 'set', 'DemoFromGuest', value]);
    const seen = await stage.host.get(KvpPool.guest, 'DemoFromGuest');
    if (!seen || showValue(seen) !== value)
      throw new Error(`the host reads ${seen ? `"${showValue(seen)}"` : 'nothing'}`);
  }

  /** The host writes; a program in the guest reads it. */
  async hostToGuest(stage: Stage, value: string): Promise<void> {
    this.#show.scene('The host writes an item; a program in the guest reads it');
    await stage.host.set(KvpPool.external, 'DemoFromHost', value);
    const seen = await this.#program.run(stage, ['kvp', 'get', 'DemoFromHost']);
    if (seen !== `${value}\n`) throw new Error(`the guest reads "${seen}"`);
  }

  /** What a host collects to show: the auto pool, and what lies in the others. */
  async look(stages: readonly Stage[], heartbeat?: Heartbeat): Promise<AdminView> {
    const plain = (items: readonly KvpItem[]) =>
      items.map(({ key, value }) => ({ key, value: showValue(value) }));
    const pools = [];
    let items: ReturnType<typeof plain> = [];
    for (const stage of stages) {
      items = plain(await stage.alive(stage.host.enumerate(KvpPool.auto)));
      if (items.length < AUTO_KEYS.length)
        throw new Error(`the auto pool has only ${items.length} items`);
      for (const pool of [KvpPool.external, KvpPool.guest]) {
        pools.push({
          wire: stage.wire,
          pool,
          items: plain(await stage.alive(stage.host.enumerate(pool))),
        });
      }
    }
    const services: AdminView['services'][number][] = stages.map(
      ({ wire, agreed, daemon: { pid } }) => ({
        service: 'Key-Value Pair Exchange',
        wire,
        agreed,
        pid,
        state: 'OK',
      }),
    );
    if (heartbeat) services.push(await this.#lookAtHeartbeat(heartbeat));
    return { services, items, pools };
  }

  async #lookAtHeartbeat(heartbeat: Heartbeat): Promise<AdminView['services'][number]> {
    this.#sequence += 2n;
    const state = String(await beat(heartbeat, this.#sequence));
    const { agreed, daemon } = heartbeat;
    // As Get-VM says it: OkApplicationsHealthy
    const words = `OkApplications${state[0]!.toUpperCase()}${state.slice(1)}`;
    return { service: 'Heartbeat', wire: 'unix-ring', agreed, pid: daemon.pid, state: words };
  }
}
