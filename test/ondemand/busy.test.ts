/**
 * A service on demand that holds something for the host, as a frozen file system or half a file,
 * stays until that is over.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../native/index.ts';
import { HvUtilsHost } from '../../simulator/hosts/hvutils-host.ts';
import { temporaryFolder } from '../native/pairs.ts';
import { toyProtocol } from '../runtime/toy.ts';
import { buildHolder, Holder, missingHolder } from './holder.ts';

const IDLE_MS = 50;

describe('a busy service on demand', { skip: missingHolder() ?? false, timeout: 600_000 }, () => {
  it('stays until it is done', async (t) => {
    const folder = temporaryFolder(t);
    const socketPath = path.join(folder, 'host.sock');
    const config = path.join(folder, 'config.toml');
    fs.writeFileSync(config, '');
    const view = { summarize: () => ({ operation: 'toy' }), probe: (serial: number) => serial };
    const host = new HvUtilsHost({
      native,
      protocol: toyProtocol,
      view,
      socketPath,
      versionText: '1',
    });
    const holder = new Holder({
      program: buildHolder(t),
      wire: 'unix',
      socketPath,
      command: [
        ...[process.execPath, '--import', 'tsx', path.join(import.meta.dirname, 'busy-daemon.ts')],
        ...[
          '--config',
          config,
          '--transport',
          `unix:${socketPath}`,
          '--set',
          `kvp.idle_exit_ms=${IDLE_MS}`,
        ],
      ],
      env: process.env,
    });
    t.after(async () => {
      await holder.stop();
      host.close();
    });
    assert.equal((await host.request(1)).status, 0);
    const { starts } = holder;
    // Long enough to leave many times
    await sleep(20 * IDLE_MS);
    assert.equal(holder.isRunning, true);
    assert.equal(holder.starts, starts);
    assert.equal((await host.request(2)).status, 0);
    await holder.asleep();
    assert.deepEqual(holder.failures, []);
  });
});
