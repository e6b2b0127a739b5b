import { parseArgs } from 'node:util';
import type { Behaviour } from './behaviours/behaviour.ts';
import { behaviours } from './behaviours/index.ts';
import { scenes } from './scenes/index.ts';
import type { ServiceScene } from './scenes/scene.ts';
import { WIRE_NAMES } from './show/show.ts';
import { WIRES, type Wire } from './wire.ts';

const USAGE = `\
Usage: vmic simulate [OPTION]...
Plays a Hyper-V host against the real daemons on this machine, without Hyper-V and without root.
Nothing here is shut down, no clock is set and no file system of this machine is frozen: a shutdown
stops short of its last command, the clock that is corrected is a simulated one, and backups are of
a scratch file system (as root: a loop device in a mount namespace of its own) or a pretended one.
Shows what goes over the wire, and what an administrator would see of the virtual machine:

     0.214 device → enumerate  auto [5]                                   7432 B
     0.215 device ← enumerate  auto [5] OSName = Debian GNU/Linux      ok 7432 B
           |      |                     |                              |  bytes
           |      from the host (→)     pool, index or key, value      status
           over the char device of hv_utils, or over the VMBus ring

Without options it goes on until Ctrl-C, looking at the guest every few seconds as a Windows host
does. Then, in another terminal, change what it sees (DIR is shown at the start):
  vmic kvp set KEY VALUE --pool-directory DIR

  --once               play everything once, bad hosts too, and check each answer; exit 0 if all was
                       as expected
  --behaviour NAME     play only this, once; repeatable
  --list               list the behaviours
  --transport WIRE     unix (as over the char device), unix-ring (as over UIO) or both (default)
  --interval SECS      time between two looks (default 4)
  --json               one JSON object a line, for programs: the events are scene, note, wire, log,
                       guest, view, progress, result, end
  --help               print this help

Exit status: 0 everything as expected, or ended by Ctrl-C; 1 not; 2 wrong usage; 130 interrupted
before the end of --once.
`;

/** Exit statuses of `vmic simulate`. */
export const EXIT = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** What the command line asks for. */
export interface Command {
  readonly once: boolean;
  readonly chosen: readonly Behaviour[];
  /** Of services other than KVP. */
  readonly scenes: readonly ServiceScene[];
  readonly wires: readonly Wire[];
  readonly intervalMs: number;
  readonly json: boolean;
}

/** Returns what is asked for, or the exit status when nothing is to be played. */
export function parseCommandLine(argv: readonly string[]): Command | number {
  const refuse = (message: string): number => {
    process.stderr.write(`vmic simulate: ${message}\nTry 'vmic simulate --help'.\n`);
    return EXIT.usage;
  };
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    return refuse((error as Error).message);
  }
  if (values.help) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  if (values.list) {
    process.stdout.write(values.json ? listJson() : listText());
    return EXIT.ok;
  }
  const chosen: Behaviour[] = [];
  const chosenScenes: ServiceScene[] = [];
  for (const name of values.behaviour) {
    const behaviour = behaviours.get(name);
    const scene = scenes.find((one) => one.name === name);
    if (scene) chosenScenes.push(scene);
    else if (!behaviour)
      return refuse(`--behaviour ${name}: there is none of that name; --list names them`);
    else chosen.push(behaviour);
  }
  const wires = WIRES.filter((wire) => values.transport === 'both' || values.transport === wire);
  if (wires.length === 0)
    return refuse(`--transport ${values.transport}: expected ${WIRES.join(', ')} or both`);
  for (const { name, wires: own } of [...chosen, ...chosenScenes]) {
    if (!own.some((wire) => wires.includes(wire)))
      return refuse(`behaviour ${name} needs --transport ${own.join(' or ')}`);
  }
  const intervalSecs = Number(values.interval);
  if (!(intervalSecs >= 0.1 && intervalSecs <= 3600))
    return refuse(`--interval ${values.interval}: expected 0.1 to 3600 seconds`);
  const all = values.once && chosen.length === 0 && chosenScenes.length === 0;
  return {
    once: values.once,
    chosen,
    scenes: all ? scenes : chosenScenes,
    wires,
    intervalMs: intervalSecs * 1000,
    json: values.json,
  };
}

const parse = (argv: readonly string[]) =>
  parseArgs({
    args: [...argv],
    strict: true,
    options: {
      once: { type: 'boolean', default: false },
      behaviour: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      transport: { type: 'string', default: 'both' },
      interval: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values;

const listText = (): string =>
  [...behaviours.values()]
    .map(({ name, description, manner, wires }) => {
      const only = wires.length === 1 ? ` (${WIRE_NAMES[wires[0]!]} only)` : '';
      return `${manner.padEnd(4)}  ${name}${only}\n        ${description}\n`;
    })
    .concat(
      scenes.map(
        ({ name, service, description }) =>
          `${service.padEnd(9)}  ${name}\n        ${description}\n`,
      ),
    )
    .join('');

const listJson = (): string =>
  [...behaviours.values(), ...scenes]
    .map(({ run: _, ...one }) => `${JSON.stringify(one)}\n`)
    .join('');
