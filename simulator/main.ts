import { spawn } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Native } from '../native/interface.ts';
import { KvpPool } from '../protocol/kvp/types.ts';
import type { Behaviour } from './behaviours/behaviour.ts';
import { behaviours } from './behaviours/index.ts';
import { AUTO_KEYS, type KvpItem, showValue } from './hosts/kvp-host.ts';
import { beat, openHeartbeat } from './scenes/heartbeat.ts';
import { scenes } from './scenes/index.ts';
import type { ServiceScene, Stagehand } from './scenes/scene.ts';
import { type AdminView, jsonShow, type Show, textShow, WIRE_NAMES } from './show/show.ts';
import { binFolder } from './stages/daemon.ts';
import { openStages } from './stages/service-stage.ts';
import { describeExit, Stage } from './stages/stage.ts';
import { HostError, WIRES, type Wire } from './wire.ts';

const USAGE = `\
Usage: vmic simulate [OPTION]...
Plays a Hyper-V host against the real daemons on this machine, without Hyper-V and without root. Nothing here is shut down, no clock is
set and no file system of this machine is frozen: a shutdown stops short of its last command, the clock that is corrected is a simulated
one, and backups are of a scratch file system (as root: a loop device in a mount namespace of its own) or of a pretended one.
Shows what goes over the wire, and what an administrator would see of the virtual machine:

     0.214 device → enumerate  auto [5]                                   7432 B
     0.215 device ← enumerate  auto [5] OSName = Debian GNU/Linux      ok 7432 B
           |      |                     |                              |  bytes
           |      from the host (→)     pool, index or key, value      status
           over the char device of hv_utils, or over the VMBus ring

Without options it goes on until Ctrl-C, looking at the guest every few seconds as a Windows host does; then, in another terminal,
change what it sees:   vmic kvp set KEY VALUE --pool-directory DIR   (DIR is shown at the start)

  --once               play everything once, bad hosts too, and check each answer; exit 0 if all was as expected
  --behaviour NAME     play only this, once; repeatable
  --list               list the behaviours
  --transport WIRE     unix (as over the char device), unix-ring (as over UIO) or both (default)
  --interval SECS      time between two looks (default 4)
  --json               one JSON object a line, for programs: the events are scene, note, wire, log, guest, view, result, end
  --help               print this help

Exit status: 0 everything as expected, or ended by Ctrl-C; 1 not; 2 wrong usage; 130 interrupted before the end of --once.
`;

const EXIT = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

interface Command {
  readonly once: boolean;
  readonly chosen: readonly Behaviour[];
  /** Of services other than KVP. */
  readonly scenes: readonly ServiceScene[];
  readonly wires: readonly Wire[];
  readonly intervalMs: number;
  readonly json: boolean;
}

type Heartbeat = Awaited<ReturnType<typeof openHeartbeat>>;

class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/**
 * Runs the simulated host from its command line to its end; gives the exit status. Leaves no
 * process, socket or file behind.
 */
export async function simulate(argv: readonly string[]): Promise<number> {
  const command = parseCommandLine(argv);
  if (typeof command === 'number') return command;
  const { native } = await import('../native/index.ts');
  const show = createShow(command);
  const ended = new AbortController();
  const interrupt = (): void => ended.abort(new Interrupted());
  for (const signal of SIGNALS) process.on(signal, interrupt);
  // A reader that left: no reason to exit at once, as a plain command does, but to clean up first
  process.stdout.removeAllListeners('error').on('error', interrupt);
  const simulation = new Simulation(native, command, show, ended.signal);
  const lastResort = (): void => simulation.killAll();
  process.on('exit', lastResort);
  try {
    return await simulation.run();
  } finally {
    await simulation.close();
    show.close();
    process.off('exit', lastResort);
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function parseCommandLine(argv: readonly string[]): Command | number {
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

function createShow(command: Command): Show {
  const startedMs = performance.now();
  const nowMs = (): number => performance.now() - startedMs;
  const write = (text: string): void => void process.stdout.write(text);
  if (command.json) return jsonShow(write, nowMs);
  const { stdout } = process;
  const colour = stdout.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
  const terminal = stdout.isTTY
    ? { columns: stdout.columns, rows: stdout.rows, colour }
    : undefined;
  return textShow(write, nowMs, terminal);
}

/** Long pauses are for an audience; a script that runs through once has none. */
const SCRIPT_PAUSE_MS = 100;

class Simulation {
  readonly #native: Native;
  readonly #command: Command;
  readonly #show: Show;
  readonly #signal: AbortSignal;
  readonly #stages = new Set<Stage>();
  /** The guest's command that runs right now. */
  #running: { end(): Promise<unknown> } | undefined;
  #failures = 0;
  #checks = 0;
  #sequence = -1n;

  constructor(native: Native, command: Command, show: Show, signal: AbortSignal) {
    this.#native = native;
    this.#command = command;
    this.#show = show;
    this.#signal = signal;
  }

  async run(): Promise<number> {
    const { once, chosen, scenes: played, wires } = this.#command;
    const script = once || chosen.length > 0 || played.length > 0;
    try {
      if (!script) return await this.#live();
      // Scenes alone need no KVP
      if (chosen.length > 0 || played.length === 0 || played === scenes) {
        for (const wire of wires) await this.#script(wire, chosen);
      }
      for (const scene of played) {
        for (const wire of wires)
          if (scene.wires.includes(wire)) await this.#playScene(scene, wire, SCRIPT_PAUSE_MS);
      }
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      this.#show.end(!script, 'Interrupted.');
      return script ? EXIT.interrupted : EXIT.ok;
    }
    const ok = this.#failures === 0;
    this.#show.end(
      ok,
      ok
        ? `All ${this.#checks} checks passed.`
        : `${this.#failures} of ${this.#checks} checks failed.`,
    );
    return ok ? EXIT.ok : EXIT.failure;
  }

  async close(): Promise<void> {
    // First, or it could write into a folder already removed
    await this.#running?.end();
    await Promise.all([...this.#stages].map((stage) => stage.close()));
    this.#stages.clear();
    // What a stage stands on was opened before it, and is closed after it
    for (const stage of [...openStages].reverse()) await stage.close();
  }

  /** When the process ends some other way, synchronously. */
  killAll(): void {
    for (const stage of [...this.#stages, ...openStages]) stage.abandon();
  }

  /** Plays everything, or what was chosen, over one wire. */
  async #script(wire: Wire, chosen: readonly Behaviour[]): Promise<void> {
    const fits = (behaviour: Behaviour): boolean =>
      behaviour.wires.includes(wire) && (chosen.length === 0 || chosen.includes(behaviour));
    const playable = [...behaviours.values()].filter(fits);
    const serving = playable.filter(({ leaves }) => leaves === 'serving');
    const over = `over the ${WIRE_NAMES[wire]}`;
    if (serving.length > 0 || chosen.length === 0) {
      const stage = await this.#open(wire);
      if (chosen.length === 0) {
        await this.#check(`look at the guest ${over}`, stage, async () =>
          this.#show.view(await this.#look([stage])),
        );
        await this.#check(`guest to host ${over}`, stage, () =>
          this.#guestToHost(stage, 'planted by the guest'),
        );
        await this.#check(`host to guest ${over}`, stage, () =>
          this.#hostToGuest(stage, 'planted by the host'),
        );
      }
      for (const behaviour of serving) await this.#play(stage, behaviour);
      this.#show.scene(`Stop ${over}`);
      await this.#check(`SIGTERM ends the daemon ${over}`, undefined, async () => {
        const exit = await this.#close(stage);
        if (exit?.code !== 0)
          throw new Error(`the daemon ended ${exit ? describeExit(exit) : 'before'}`);
      });
    }
    for (const behaviour of playable.filter(({ leaves }) => leaves === 'ended')) {
      const stage = await this.#open(wire);
      await this.#play(stage, behaviour);
      await this.#close(stage);
    }
  }

  async #play(stage: Stage, behaviour: Behaviour): Promise<void> {
    const { name, description, manner } = behaviour;
    this.#show.scene(`${manner === 'bad' ? 'Bad host' : 'Good host'}: ${description}`);
    const pause = (ms: number): Promise<void> => this.#pause(Math.min(ms, SCRIPT_PAUSE_MS));
    const say = (text: string): void => this.#show.say(text);
    const what = `${name} over the ${WIRE_NAMES[stage.wire]}`;
    await this.#check(what, undefined, () =>
      stage.play(behaviour, { say, pause, signal: this.#signal }),
    );
  }

  async #playScene(
    { name, service, description, run }: ServiceScene,
    wire: Wire,
    longestPauseMs: number,
  ): Promise<void> {
    this.#show.scene(`${service}: ${description}`);
    const hand = this.#hand(wire, longestPauseMs);
    await this.#check(`${name} over the ${WIRE_NAMES[wire]}`, undefined, () => run(hand, wire));
  }

  #hand(wire: Wire, longestPauseMs: number): Stagehand {
    return {
      native: this.#native,
      tap: (message) => this.#show.wire(message),
      onLog: (line) => this.#show.log(wire, line),
      say: (text) => this.#show.say(text),
      progress: (file, doneBytes, sizeBytes) => this.#show.progress(file, doneBytes, sizeBytes),
      pause: (ms) => this.#pause(Math.min(ms, longestPauseMs)),
    };
  }

  /** One step that is right or wrong. A wrong one is told, and the script goes on. */
  async #check(what: string, stage: Stage | undefined, work: () => Promise<void>): Promise<void> {
    this.#checks++;
    try {
      await this.#unlessInterrupted(stage ? stage.alive(work()) : work());
      this.#show.result(what);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      this.#failures++;
      this.#show.result(what, error as Error);
      // What can't be read or answered any more would fail everything that follows, too
      if (stage?.daemon.exit) throw error;
    }
  }

  /** Looks at the guests every few seconds until interrupted. */
  async #live(): Promise<number> {
    const stages: Stage[] = [];
    for (const wire of this.#command.wires) stages.push(await this.#open(wire));
    const heartbeat = await this.#openHeartbeat();
    const shown = scenes.filter(
      ({ live, wires }) => live && wires.some((wire) => this.#command.wires.includes(wire)),
    );
    for (let round = 0; ; round++) {
      this.#show.scene(`Look ${round + 1}`);
      try {
        this.#show.view(await this.#unlessInterrupted(this.#look(stages, heartbeat)));
        const stage = stages[Math.floor(round / 2) % stages.length]!;
        const time = new Date().toISOString().slice(11, 19);
        const exchange =
          round % 2 === 0
            ? this.#guestToHost(stage, `from the guest at ${time}`)
            : this.#hostToGuest(stage, `from the host at ${time}`);
        await this.#unlessInterrupted(stage.alive(exchange));
        this.#show.view(await this.#unlessInterrupted(this.#look(stages, heartbeat)));
      } catch (error) {
        if (!(error instanceof HostError) || stages.some((stage) => stage.daemon.exit)) throw error;
        this.#show.say(`${error.message}; waiting for the guest`);
      }
      await this.#pause(this.#command.intervalMs);
      const scene = shown[Math.floor(round / 2) % shown.length];
      const wire = scene?.wires.find((one) => this.#command.wires.includes(one));
      if (scene && wire && round % 2 === 1)
        await this.#playScene(scene, wire, this.#command.intervalMs);
    }
  }

  async #openHeartbeat(): Promise<Heartbeat | undefined> {
    if (!this.#command.wires.includes('unix-ring')) return undefined;
    this.#show.scene(`Start vmic-heartbeat over the ${WIRE_NAMES['unix-ring']}`);
    return this.#unlessInterrupted(openHeartbeat(this.#hand('unix-ring', 0)));
  }

  /** A program in the guest writes; the host reads it. */
  async #guestToHost(stage: Stage, value: string): Promise<void> {
    this.#show.scene('A program in the guest writes an item; the host reads it');
    await this.#vmic(stage, ['kvp', 'set', 'DemoFromGuest', value]);
    const seen = await stage.host.get(KvpPool.guest, 'DemoFromGuest');
    if (!seen || showValue(seen) !== value)
      throw new Error(`the host reads ${seen ? `"${showValue(seen)}"` : 'nothing'}`);
  }

  /** The host writes; a program in the guest reads it. */
  async #hostToGuest(stage: Stage, value: string): Promise<void> {
    this.#show.scene('The host writes an item; a program in the guest reads it');
    await stage.host.set(KvpPool.external, 'DemoFromHost', value);
    const seen = await this.#vmic(stage, ['kvp', 'get', 'DemoFromHost']);
    if (seen !== `${value}\n`) throw new Error(`the guest reads "${seen}"`);
  }

  /** What a host collects to show: the auto pool, and what lies in the others. */
  async #look(stages: readonly Stage[], heartbeat?: Heartbeat): Promise<AdminView> {
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
    if (heartbeat) {
      this.#sequence += 2n;
      const state = String(await beat(heartbeat, this.#sequence));
      const { agreed, daemon } = heartbeat;
      // As Get-VM says it: OkApplicationsHealthy
      const words = `OkApplications${state[0]!.toUpperCase()}${state.slice(1)}`;
      services.push({
        service: 'Heartbeat',
        wire: 'unix-ring',
        agreed,
        pid: daemon.pid,
        state: words,
      });
    }
    return { services, items, pools };
  }

  /** Runs bin/vmic as a program in the guest would; gives what it printed. */
  async #vmic(stage: Stage, args: readonly string[]): Promise<string> {
    this.#signal.throwIfAborted();
    const command = [
      path.join(binFolder(), 'vmic'),
      ...args,
      '--pool-directory',
      stage.ground.poolFolder,
    ];
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      complaint += chunk;
    });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    const end = (): Promise<unknown> => {
      child.kill('SIGKILL');
      return closed.catch(() => {});
    };
    this.#running = { end };
    const status = await closed;
    this.#running = undefined;
    this.#show.guest(['vmic', ...args].map(quote).join(' '), output + complaint);
    if (status !== 0) throw new Error(`vmic ended with status ${status}: ${complaint}`);
    return output;
  }

  async #open(wire: Wire): Promise<Stage> {
    this.#show.scene(`Start vmic-kvp over the ${WIRE_NAMES[wire]}`);
    const stage = Stage.prepare(wire, {
      native: this.#native,
      tap: (message) => this.#show.wire(message),
      onLog: (line) => this.#show.log(wire, line),
    });
    this.#stages.add(stage);
    await this.#unlessInterrupted(stage.startDaemon());
    this.#show.say(
      `process ${stage.daemon.pid}, ${stage.agreed}; pools in ${stage.ground.poolFolder}`,
    );
    return stage;
  }

  async #close(stage: Stage): ReturnType<Stage['close']> {
    const exit = await stage.close();
    this.#stages.delete(stage);
    return exit;
  }

  #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    return this.#unlessInterrupted(over).finally(() => clearTimeout(timer));
  }

  async #unlessInterrupted<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(this.#signal.reason);
      if (this.#signal.aborted) onAbort();
      this.#signal.addEventListener('abort', onAbort);
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
    }
  }
}

const quote = (word: string): string => (/^[\w./:=-]+$/.test(word) ? word : `'${word}'`);
