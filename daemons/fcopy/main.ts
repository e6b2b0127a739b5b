import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { runtimeDirectory, type StatusPlace, statusFiles } from '../../runtime/status/status.ts';
import { uptimeSecs } from '../../runtime/status/status-file.ts';
import { DEFAULT_LEFTOVER_FILE, Leftover } from './leftover.ts';
import { parseTarget, type Target } from './names.ts';
import { daemon, type fcopyOptions, type Owner, parseOwner } from './options.ts';
import { FcopyService } from './service.ts';
import { DEFAULT_STATUS_FILE, type FcopyDetails, readStatus } from './status.ts';
import { FileMaker } from './system.ts';

const MIB = 1024 * 1024;

const placeOf = (file: string): StatusPlace => ({ file, outlives: true });

/** A process that is started on demand knows what the ones before it did. */
function earlierResults(place: StatusPlace): FcopyDetails['last'] {
  const [file] = statusFiles(runtimeDirectory(process.env), 'fcopy', place);
  try {
    return (file !== undefined && readStatus(file)?.last) || [];
  } catch {
    return [];
  }
}

/** Beside a status file that the configuration names. */
const leftoverFile = (file: string): string =>
  file === DEFAULT_STATUS_FILE ? DEFAULT_LEFTOVER_FILE : `${file}.leftover`;

function create({
  native,
  options: own,
  hostLog,
  publishStatus,
}: ServiceContext<typeof fcopyOptions>): FcopyService {
  const leftover = new Leftover(leftoverFile(own.status_file), native, hostLog);
  leftover.cleanUp();
  const files = new FileMaker(
    native,
    {
      // Roots and owner were checked with the configuration
      roots: own.roots.map((root) => parseTarget(root, 'file') as Target),
      owner: parseOwner(own.owner) as Owner | undefined,
      mode: Number.parseInt(own.mode, 8),
      folderMode: Number.parseInt(own.folder_mode, 8),
      reserveBytes: BigInt(own.reserve_mib) * BigInt(MIB),
    },
    leftover,
  );
  return new FcopyService(
    {
      create: (target, sizeBytes, wishes) => files.create(target, sizeBytes, wishes),
      publish: () => publishStatus(),
      uptimeSecs,
      now: monotonicMs,
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      log: hostLog,
    },
    {
      maxSizeBytes: own.max_size_mib === 0 ? undefined : own.max_size_mib * MIB,
      silenceSecs: own.silence_secs,
      overwrite: own.overwrite,
    },
    earlierResults(placeOf(own.status_file)),
  );
}

/**
 * Where hv_utils knows no file copy (from Linux 6.10 on) nobody takes the channel, unless somebody
 * says so.
 */
async function bindChannel(log: Log): Promise<string | undefined> {
  // Seldom needed, so not loaded at each start
  const { BindingError, bind, SysfsVmbus } = await import('../../runtime/vmbus/index.ts');
  try {
    const { changed, driver, device } = await bind(new SysfsVmbus(), 'fcopy', { ifUnbound: true });
    if (!changed) return `it is bound to ${driver}`;
    log.notice('Bound the channel', { driver, device });
    return undefined;
  } catch (error) {
    if (error instanceof BindingError) return error.message;
    throw error;
  }
}

void runProgram({
  ...daemon,
  protocol: fcopyProtocol,
  bind: bindChannel,
  statusPlace: (options) => placeOf(options.status_file),
  create,
});
