import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import type { Guard, Recovery } from '../../../daemons/vss/freeze/guard-types.ts';
import {
  type CurrentFreeze,
  changeStatus,
  type VssStatus,
} from '../../../daemons/vss/freeze/status.ts';
import { ownIdentity } from '../../../runtime/status/status-file.ts';
import { FakeGuard } from '../../daemons/vss/freeze/fake.ts';
import { vmic } from '../run.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-vss-command-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const MOUNTINFO = `\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:17 / /data\\033[2J rw - xfs /dev/sdb1 rw
3 1 8:33 / /boot/efi rw - vfat /dev/sdc1 rw
4 1 0:20 / /tmp rw - tmpfs tmpfs rw
`;

let number = 0;
/** A machine with its configuration and its guard, for one test. */
export class Scene {
  /** Of the whole system. */
  readonly root = path.join(folder, `${number + 1}-root`);
  readonly base = path.join(folder, String(++number));
  readonly hooks = path.join(this.base, 'vss.d');
  readonly statusFile = path.join(this.base, 'run/vss.json');
  readonly configFile = path.join(this.base, 'config.toml');
  readonly events: string[] = [];
  guard = new FakeGuard((event) => this.events.push(event));
  startError: Error | undefined;
  recovery: Recovery = { complete: true, thawed: [] };
  answer: boolean | undefined;

  constructor(config = '') {
    fs.mkdirSync(this.hooks, { recursive: true });
    fs.mkdirSync(path.join(this.base, 'proc/self'), { recursive: true });
    fs.writeFileSync(path.join(this.base, 'proc/self/mountinfo'), MOUNTINFO);
    fs.writeFileSync(
      this.configFile,
      `[vss]\nstatus_file = "${this.statusFile}"\nhooks_directories = ` +
        `["${this.hooks}"]\ntransport = "uio:"\n${config}`,
    );
  }

  hook(name: string, script: string): void {
    fs.writeFileSync(path.join(this.hooks, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  status(change: Partial<VssStatus>): void {
    changeStatus(this.statusFile, (status) => ({ ...status, ...change }));
  }

  run(...args: string[]) {
    const { answer } = this;
    return vmic(['vss', ...args], {
      root: this.root,
      configFile: this.configFile,
      places: { proc: path.join(this.base, 'proc'), sysfs: '/nonexistent' },
      ...(answer === undefined
        ? {}
        : {
            ask: async (question: string) => {
              this.events.push(question.trim());
              return answer;
            },
          }),
      loadGuards: async () => ({
        start: async (): Promise<Guard> => {
          if (this.startError) throw this.startError;
          return this.guard;
        },
        thawRecorded: async () => {
          this.events.push('thaws what is recorded');
          return this.recovery;
        },
      }),
    });
  }
}

/** A process that has ended. */
export const dead = { pid: 2 ** 22 - 1, startTicks: 'never' };
export const current = (more: Partial<CurrentFreeze>): CurrentFreeze => ({
  by: 'host',
  process: ownIdentity(),
  at: '2026-11-23T10:00:00.000Z',
  mountPoints: ['/', '/data'],
  hooks: [],
  ...more,
});
