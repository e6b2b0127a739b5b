/**
 * The contract between the services and the operating system: bytes and file descriptors, nothing
 * about services.
 *
 * `index.ts` gives this contract from the compiled addon, `memory/` the same contract in memory
 * for tests.
 *
 * Rules that hold for every object here:
 * - Callbacks run on the environment's own event loop, one at a time. No thread of ours exists but
 *   those that look after running programs, which run no JavaScript and handle no signals.
 * - `close()` may be called twice and from inside a callback. After it no callback of that object
 *   runs.
 * - Whatever an object owns (descriptors, mappings, locks) is released by `close()`, and by the end
 *   of the environment (main thread, worker thread, `process.exit`) when nobody called it.
 * - Errors thrown or passed are `NativeError`s.
 */

import type { NativeChannels } from './interface/channels.ts';
import type { NativeClocks } from './interface/clocks.ts';
import type { NativeDatagrams } from './interface/datagrams.ts';
import type { NativeFiles, NativeFolders } from './interface/files.ts';
import type { NativePrograms } from './interface/programs.ts';
import type { NativeSinks } from './interface/sinks.ts';
import type { NativeWatches } from './interface/watches.ts';

export type * from './interface/channels.ts';
export * from './interface/clocks.ts';
export type * from './interface/errors.ts';
export * from './interface/files.ts';
export type * from './interface/programs.ts';
export type * from './interface/sinks.ts';
export type * from './interface/watches.ts';

/** All that the operating system does for us, by subject. */
export interface Native
  extends NativeChannels,
    NativeClocks,
    NativeDatagrams,
    NativeFiles,
    NativeFolders,
    NativePrograms,
    NativeSinks,
    NativeWatches {}
