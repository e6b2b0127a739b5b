/** The pictures show what the programs print. VMIC_WRITE_PICTURES=1 makes them anew. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeStatus, summarize } from '../../cli/status/status.ts';
import { healthy, lastCopy, status } from '../cli/status/snapshots.ts';
import { root } from './commands.ts';

const { drawTerminal } = (await import(path.join(root, 'scripts/picture.mjs'))) as {
  drawTerminal(title: string, text: string): string;
};

/** All services of vmic run: those in user space, those on demand. */
const busy = () => {
  const uio = (number: number) => ({
    name: 'c',
    driver: 'uio_hv_generic',
    device: `/dev/uio${number}`,
  });
  const peer = (message: number) => ({
    via: 'vmbus' as const,
    framework: { major: 3, minor: 0 },
    message: { major: message, minor: 0 },
  });
  const healthySnapshot = healthy();
  return healthy({
    channels: { ...healthySnapshot.channels, heartbeat: uio(1), shutdown: uio(2) },
    daemons: {
      ...healthySnapshot.daemons,
      heartbeat: {
        isRunning: true,
        status: status('heartbeat', {
          process: { pid: 512, startTicks: '1' },
          peer: peer(3),
          lastRequestUptimeSecs: 999,
          details: { applicationState: 'healthy' },
        }),
      },
      shutdown: {
        isRunning: true,
        status: status('shutdown', {
          process: { pid: 514, startTicks: '1' },
          peer: peer(3),
          lastRequestUptimeSecs: 400,
        }),
      },
    },
    backups: { last: { by: 'host', at: '2026-06-01T02:00:10.000Z', result: 'thawed' } },
    copies: { last: { ...lastCopy, target: '/srv/incoming/setup.iso' } },
  });
};

test('docs/pictures/status.svg shows what vmic status prints', () => {
  const snapshot = busy();
  const text = `$ vmic status\n${describeStatus(snapshot, summarize(snapshot))}`;
  const drawn = drawTerminal('vmic status in a guest with Linux 6.12', text);
  const file = path.join(root, 'docs/pictures/status.svg');
  if (process.env['VMIC_WRITE_PICTURES']) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, drawn);
  }
  assert.equal(fs.readFileSync(file, 'utf8'), drawn);
});
