import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { GuestAutoPool } from './auto-pool.ts';
import { daemon, type kvpOptions } from './options.ts';
import { PoolStore } from './pools/index.ts';
import { KvpService } from './service.ts';
import { LinuxGuest } from './system.ts';

function create({
  native,
  options: own,
  hostLog,
  version: ownVersion,
}: ServiceContext<typeof kvpOptions>) {
  const pools = PoolStore.open(own.pool_directory, { native, log: hostLog });
  const guest = new LinuxGuest(native, hostLog);
  const waits = new Set<() => void>();
  let closed = false;
  const wait = (ms: number): Promise<boolean> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        waits.delete(done);
        resolve(!closed);
      };
      const timer = setTimeout(done, ms);
      waits.add(done);
    });
  return new KvpService({
    pools,
    autoPool: new GuestAutoPool(guest, ownVersion),
    log: hostLog,
    patience: { now: monotonicMs, wait },
    version: ownVersion,
    close: () => {
      closed = true;
      for (const done of waits) done();
      guest.close();
      pools.close();
    },
  });
}

void runProgram({
  ...daemon,
  protocol: kvpProtocol,
  extraVersions: (own) => (own.offer_version_5 ? kvpProtocol.optionalVersions : []),
  create,
});
