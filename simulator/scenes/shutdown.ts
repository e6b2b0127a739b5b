import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { IcStatus } from '../../protocol/ic/status.ts';
import {
  type ShutdownReply,
  type ShutdownRequest,
  shutdownProtocol,
} from '../../protocol/shutdown/vmbus.ts';
import { formatStatus } from '../hosts/kvp-host.ts';
import { VmbusStage, type VmbusStageOptions } from '../stages/vmbus-stage.ts';
import type { ServiceView } from '../wire.ts';
import { mistreat, played, type ServiceScene, type Stagehand, script } from './scene.ts';

type Stage = VmbusStage<ShutdownRequest, ShutdownReply>;

const flags = (
  names: readonly ('force' | 'restart' | 'hibernate')[],
  unknown = 0,
): ShutdownRequest['flags'] => ({
  force: names.includes('force'),
  restart: names.includes('restart'),
  hibernate: names.includes('hibernate'),
  unknown,
});

export const shutdownRequest = (
  ...names: ('force' | 'restart' | 'hibernate')[]
): ShutdownRequest => ({
  reasonCode: 0x8000_0000,
  timeoutSecs: 60,
  flags: flags(names),
  message: 'Patch day.\r\n"$(reboot)" ✓',
});

export const shutdownView: ServiceView<ShutdownRequest, ShutdownReply> = {
  summarize: ({ flags: { force, restart, hibernate }, message }) => ({
    operation: 'shutdown',
    subject:
      (hibernate ? 'hibernate' : restart ? 'restart' : 'power off') + (force ? ' by force' : ''),
    value: message,
  }),
  // What no guest obeys
  probe: (serial) => ({ ...shutdownRequest(), flags: flags([], 0x8000_0000), reasonCode: serial }),
};

export const openShutdown = (
  hand: Pick<Stagehand, 'native'> & Partial<Stagehand>,
  settings: Readonly<Record<string, string | number | boolean>> = {},
  more: Partial<VmbusStageOptions<ShutdownRequest, ShutdownReply>> = {},
): Promise<Stage> =>
  VmbusStage.open({
    native: hand.native,
    protocol: shutdownProtocol,
    view: shutdownView,
    ...(hand.tap ? { tap: hand.tap } : {}),
    ...(hand.onLog ? { onLog: hand.onLog } : {}),
    ...more,
    // This machine stays up, and those who work at it are not told otherwise
    settings: ({ folder }) => ({
      ...settings,
      hooks_directory: path.join(folder, 'shutdown.d'),
      announce: false,
      rehearse: true,
    }),
  });

const rehearsed = (stage: Stage) =>
  stage.daemon.log((line) => line.message === 'A rehearsal: the last command is not run');

export const shutdownScenes: readonly ServiceScene[] = [
  {
    name: 'shutdown-rehearsal',
    service: 'shutdown',
    wires: ['unix-ring'],
    live: true,
    description: 'a shutdown up to its last command: the answer, hooks, and what would come then',
    run: (hand) =>
      played(openShutdown(hand), async (stage) => {
        const { folder } = stage.ground;
        const [told, done] = ['told', 'done'].map((name) => path.join(folder, name)) as [
          string,
          string,
        ];
        script(path.join(folder, 'shutdown.d'), '10-tell', `env | grep ^VMIC_ | sort >${told}`);
        script(path.join(folder, 'shutdown.d'), '20-slow', 'sleep 0.5', `echo ended; : >${done}`);
        const reply = await stage.request(shutdownRequest('restart', 'force'));
        assert.equal(reply.status, IcStatus.ok);
        assert.equal(fs.existsSync(done), false, 'the answer does not wait for hooks');
        const { command } = await stage.alive(rehearsed(stage));
        hand.say(`The last command, which is not run here: ${command}`);
        assert.match(String(command), /reboot/);
        assert.equal(fs.existsSync(done), true, 'hooks come first');
        const env = Object.fromEntries(
          fs
            .readFileSync(told, 'utf8')
            .trim()
            .split('\n')
            .map((line) => line.split(/=(.*)/s).slice(0, 2)),
        );
        const { VMIC_SECONDS_LEFT: left, VMIC_HOOK_SECONDS: share, ...rest } = env;
        assert.deepEqual(rest, {
          VMIC_ACTION: 'restart',
          VMIC_FORCE: 'yes',
          VMIC_MESSAGE: 'Patch day.\\r\\n"$(reboot)" ✓',
          VMIC_PLANNED: 'yes',
          VMIC_REASON: '0x80000000',
        });
        assert.ok(Number(left) > 30 && Number(left) <= 60, `${left} s left`);
        assert.ok(
          Number(share) >= 5 && Number(share) <= 15,
          `${share} s for the first of two hooks`,
        );
      }),
  },
  {
    name: 'shutdown-refusals',
    service: 'shutdown',
    wires: ['unix-ring'],
    description: 'shutdown requests a guest does not obey',
    run: (hand) =>
      played(openShutdown(hand, { refuse: 'power-off' }), async (stage) => {
        const refused = async (what: string, request: ShutdownRequest): Promise<void> => {
          const { status } = await stage.request(request);
          assert.equal(status, IcStatus.fail, what);
          hand.say(`${what}: "${formatStatus(status)}"`);
        };
        await refused('power off, which the configuration refuses', shutdownRequest());
        await refused('the same by force', shutdownRequest('force'));
        await refused('hibernate and restart at once', shutdownRequest('hibernate', 'restart'));
        await refused('a flag nobody knows', { ...shutdownRequest(), flags: flags([], 8) });
        assert.equal(
          (await stage.request(shutdownRequest('restart', 'force'))).status,
          IcStatus.ok,
        );
        await stage.alive(rehearsed(stage));
      }),
  },
  {
    name: 'shutdown-malformed',
    service: 'shutdown',
    wires: ['unix-ring'],
    description: 'what a correct host never sends to the shutdown service',
    run: (hand) =>
      played(openShutdown(hand), async (stage) => {
        await mistreat(
          { host: stage.host, alive: (work) => stage.alive(work) },
          stage.host.encode(shutdownRequest()),
          2060,
        );
        assert.equal(
          stage.daemon.logs.some((line) => line.message === 'The system goes down'),
          false,
          'nothing of it is obeyed',
        );
      }),
  },
];
