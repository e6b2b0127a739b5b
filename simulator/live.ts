import type { Exchanges } from './exchanges.ts';
import type { Interruption } from './interruption.ts';
import { type Heartbeat, openHeartbeat } from './scenes/heartbeat.ts';
import { scenes } from './scenes/index.ts';
import type { ServiceScene } from './scenes/scene.ts';
import { type Show, WIRE_NAMES } from './show/show.ts';
import type { StageSet } from './stage-set.ts';
import type { Stage } from './stages/stage.ts';
import { HostError, type Wire } from './wire.ts';

/** What the live demonstration is made of. */
export interface LiveParts {
  readonly wires: readonly Wire[];
  /** Time between two looks. */
  readonly intervalMs: number;
  readonly show: Show;
  readonly interruption: Interruption;
  readonly stages: StageSet;
  readonly exchanges: Exchanges;
  playScene(scene: ServiceScene, wire: Wire): Promise<void>;
}

/** Looks at the guests every few seconds, as a Windows host does, until it is interrupted. */
export async function live(parts: LiveParts): Promise<never> {
  const { wires, intervalMs, interruption } = parts;
  const stages: Stage[] = [];
  for (const wire of wires) stages.push(await parts.stages.open(wire));
  const heartbeat = await heartbeatOf(parts);
  const shown = scenes.filter((scene) => scene.live && scene.wires.some((w) => wires.includes(w)));
  for (let round = 0; ; round++) {
    parts.show.scene(`Look ${round + 1}`);
    try {
      await lookAndExchange(parts, round, stages, heartbeat);
    } catch (error) {
      if (!(error instanceof HostError) || stages.some((stage) => stage.daemon.exit)) throw error;
      parts.show.say(`${error.message}; waiting for the guest`);
    }
    await interruption.pause(intervalMs);
    const scene = shown[Math.floor(round / 2) % shown.length];
    const wire = scene?.wires.find((one) => wires.includes(one));
    if (scene && wire && round % 2 === 1) await parts.playScene(scene, wire);
  }
}

async function heartbeatOf(parts: LiveParts): Promise<Heartbeat | undefined> {
  if (!parts.wires.includes('unix-ring')) return undefined;
  parts.show.scene(`Start vmic-heartbeat over the ${WIRE_NAMES['unix-ring']}`);
  return parts.interruption.unless(openHeartbeat(parts.stages.hand('unix-ring', 0)));
}

/** One look, one item from one side to the other, and a look at what that changed. */
async function lookAndExchange(
  { show, interruption, exchanges }: LiveParts,
  round: number,
  stages: readonly Stage[],
  heartbeat: Heartbeat | undefined,
): Promise<void> {
  show.view(await interruption.unless(exchanges.look(stages, heartbeat)));
  const stage = stages[Math.floor(round / 2) % stages.length]!;
  const time = new Date().toISOString().slice(11, 19);
  const exchange =
    round % 2 === 0
      ? exchanges.guestToHost(stage, `from the guest at ${time}`)
      : exchanges.hostToGuest(stage, `from the host at ${time}`);
  await interruption.unless(stage.alive(exchange));
  show.view(await interruption.unless(exchanges.look(stages, heartbeat)));
}
