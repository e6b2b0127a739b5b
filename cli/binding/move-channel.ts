import type { ServiceName } from '../../protocol/ic/classes.ts';
import {
  BindingError,
  type BindingErrorCode,
  type BindingPorts,
  bind,
  type Moved,
  release,
} from '../../runtime/vmbus/index.ts';
import { CommandError, EXIT, type ExitName } from '../exit.ts';

const EXIT_OF: Readonly<Record<BindingErrorCode, ExitName>> = {
  absent: 'notFound',
  permission: 'permission',
  busy: 'busy',
  unable: 'system',
  failed: 'system',
};

/** `vmic bind SERVICE` and `vmic release SERVICE`. */
export async function moveChannel(
  around: { out(text: string): void },
  ports: BindingPorts,
  move: 'bind' | 'release',
  service: ServiceName,
  { json, ifUnbound }: { readonly json: boolean; readonly ifUnbound?: boolean | undefined },
): Promise<number> {
  let moved: Moved;
  try {
    moved =
      move === 'bind'
        ? await bind(ports, service, { ifUnbound: ifUnbound ?? false })
        : await release(ports, service);
  } catch (error) {
    if (!(error instanceof BindingError)) throw error;
    throw new CommandError(EXIT_OF[error.code], error.message);
  }
  around.out(json ? `${JSON.stringify(moved)}\n` : `${describe(moved)}\n`);
  return EXIT.ok;
}

function describe({ service, channel, driver, previousDriver, changed, device }: Moved): string {
  const as = device ? ` as ${device}` : '';
  const where = `${service}: channel ${channel} is bound to ${driver}${as}`;
  if (!changed) return `${where}, as it was`;
  return previousDriver === driver ? where : `${where} (before: ${previousDriver ?? 'no driver'})`;
}
