import { fcopyScenes } from './fcopy.ts';
import { heartbeatScenes } from './heartbeat.ts';
import type { ServiceScene } from './scene.ts';
import { shutdownScenes } from './shutdown.ts';
import { timesyncScenes } from './timesync.ts';
import { vssScenes } from './vss.ts';

/** Everything played with services other than KVP: what tests and the demonstration show. */
export const scenes: readonly ServiceScene[] = [
  ...heartbeatScenes,
  ...shutdownScenes,
  ...timesyncScenes,
  ...vssScenes,
  ...fcopyScenes,
];
