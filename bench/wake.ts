/**
 * How soon the request that wakes a service is answered, as the host sees it: between requests
 * there is no process, a stand-in for systemd holds the descriptor and starts vmic-kvp, vmic-vss or
 * vmic-fcopy when it is readable. With this Node.js and with the one that the package which brings
 * its own carries. For comparison a request to the process while it runs. Asserts no times; exit
 * status 1: a wrong answer.
 *
 * usage: npm run bench -- wake [--json] [--quick]
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { IcStatus } from '../protocol/ic/status.ts';
import { Ask } from '../simulator/hosts/vss-host.ts';
import { WIRES, type Wire } from '../simulator/wire.ts';
import { buildHolder } from '../test/ondemand/holder.ts';
import {
  fcopyScenery,
  type HeldOptions,
  HeldStage,
  OnDemandStage,
  vssScenery,
} from '../test/ondemand/stage.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const WAKE_UPS = options.quick ? 10 : 50;
/** Long enough to ask twice on a machine that has other things to do. */
const IDLE_MS = 200;
const AIM_MS = 250;

interface Result {
  readonly service: keyof typeof SUBJECTS;
  readonly node: string;
  readonly wire: Wire;
  readonly wakeUps: number;
  readonly wakeP50Ms: number;
  readonly wakeP99Ms: number;
  readonly wakeMaxMs: number;
  /** A request to a process that runs already. */
  readonly awakeP50Ms: number;
  /** Processes between requests: those that the stand-in has started and that have not ended. */
  readonly idleProcesses: number;
  /** Resident memory of the process while it runs. */
  readonly rssMiB: number;
}

const ends: (() => void)[] = [];
const holder = buildHolder({ after: (atEnd) => void ends.push(atEnd) });

/** The Node.js of the flavour that brings its own, fetched from the npm registry once. */
function ownRuntime(): string | undefined {
  const script =
    "import('./packaging/native.mjs').then((m) => console.log(m.fetchNode(process.argv[1]).node))";
  const cwd = path.resolve(import.meta.dirname, '..');
  const arch = process.arch === 'x64' ? 'amd64' : 'arm64';
  try {
    return execFileSync(process.execPath, ['-e', script, arch], { encoding: 'utf8', cwd })
      .trim()
      .split('\n')
      .at(-1);
  } catch (error) {
    process.stderr.write(
      `without the Node.js that packages bring: ${(error as Error).message.split('\n')[0]}\n`,
    );
    return undefined;
  }
}

const at = (values: number[], share: number): number =>
  values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;

interface Subject {
  readonly stage: HeldStage<{ close(): void }>;
  /** Rejects when it is answered wrongly. */
  ask(): Promise<void>;
}

const right = ({ status }: { readonly status: number }): void => {
  if (status !== IcStatus.ok) throw new Error(`expected success, got status ${status}`);
};

/** Each with a request that changes nothing. */
const SUBJECTS = {
  kvp: async (options: HeldOptions): Promise<Subject> => {
    const stage = new OnDemandStage(options);
    await stage.host.set(0, 'key', 'value');
    const ask = async (): Promise<void> => {
      const got = await stage.host.get(0, 'key');
      if (got?.type !== 'string' || got.text !== 'value')
        throw new Error(`expected value, got ${JSON.stringify(got)}`);
    };
    return { stage, ask };
  },
  vss: async (options: HeldOptions): Promise<Subject> => {
    const stage = new HeldStage(options, vssScenery(options.wire));
    return { stage, ask: async () => right(await stage.host.request(Ask.checkHotBackup)) };
  },
  fcopy: async (options: HeldOptions): Promise<Subject> => {
    const stage = new HeldStage(options, fcopyScenery(options.wire));
    return { stage, ask: async () => right(await stage.host.request({ operation: 'cancel' })) };
  },
};

async function measure(service: keyof typeof SUBJECTS, node: string, wire: Wire): Promise<Result> {
  const { stage, ask } = await SUBJECTS[service]({ wire, holder, node, idleExitMs: IDLE_MS });
  const { holder: manager } = stage;
  const wakes: number[] = [];
  const awake: number[] = [];
  let idleProcesses = 0;
  let rss = 0;
  const timed = async (into: number[]): Promise<void> => {
    const sentMs = performance.now();
    await ask();
    into.push(performance.now() - sentMs);
  };
  try {
    await ask();
    for (let wake = 0; wake < WAKE_UPS; wake++) {
      await manager.asleep();
      await sleep(20);
      idleProcesses = Math.max(idleProcesses, manager.starts - manager.ends);
      const { starts } = manager;
      await timed(wakes);
      await timed(awake);
      await manager.until(() => manager.starts > starts);
      if (wake === 0)
        rss = Number(
          /^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${manager.pid}/status`, 'utf8'))?.[1],
        );
    }
  } finally {
    await stage.close();
  }
  return {
    service,
    node: execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(),
    wire,
    wakeUps: wakes.length,
    wakeP50Ms: at(wakes, 0.5),
    wakeP99Ms: at(wakes, 0.99),
    wakeMaxMs: at(wakes, 1),
    awakeP50Ms: at(awake, 0.5),
    idleProcesses,
    rssMiB: rss / 1024,
  };
}

try {
  const results: Result[] = [];
  for (const node of [process.execPath, ownRuntime()]) {
    if (node === undefined) continue;
    for (const service of ['kvp', 'vss', 'fcopy'] as const) {
      for (const wire of WIRES) results.push(await measure(service, node, wire));
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ aimMs: AIM_MS, results })}\n`);
  else {
    const ms = (value: number): string => value.toFixed(1).padStart(8);
    process.stdout.write(
      `${os.cpus().length} cores; from a request to its answer, in ms (aim: ${AIM_MS})\n`,
    );
    process.stdout.write(
      'service  node         wire       wakes  wake p50      p99      max   awake p50  idle ' +
        'processes  MiB while awake\n',
    );
    for (const r of results) {
      const verdict = r.wakeMaxMs <= AIM_MS ? '' : '  MISSED';
      process.stdout.write(
        `${r.service.padEnd(8)} ${r.node.padEnd(12)} ${r.wire.padEnd(9)} ` +
          `${String(r.wakeUps).padStart(6)}  ${ms(r.wakeP50Ms)} ${ms(r.wakeP99Ms)} ` +
          `${ms(r.wakeMaxMs)}    ${r.awakeP50Ms.toFixed(3).padStart(8)}  ` +
          `${String(r.idleProcesses).padStart(14)}  ` +
          `${r.rssMiB.toFixed(1).padStart(15)}${verdict}\n`,
      );
    }
  }
} finally {
  for (const end of ends) end();
}
