import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import type { FileProblem } from '../../../daemons/fcopy/ports.ts';
import { Disk } from './disk.ts';

describe('races', () => {
  test('a folder that is swapped for a link out of the root never leads there', async (t) => {
    const at = new Disk(t);
    fs.mkdirSync(`${at.inside}/folder`);
    const swap = `cd "$0" && ln -s ../outside link && echo && while :; do
      mv -T folder kept && mv -T link folder && mv -T folder link && mv -T kept folder ||
      exit 1; done`;
    const swapper = spawn('sh', ['-c', swap, at.inside], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const ended = new Promise((resolve) => swapper.once('close', resolve));
    await new Promise((resolve) => swapper.stdout.once('data', resolve));
    const outcomes = new Map<string, number>();
    let serial = 0;
    try {
      while (
        serial < 100_000 &&
        (serial < 3000 || !outcomes.has('copied') || !outcomes.has('refused'))
      ) {
        const overwrite = serial % 2 === 0;
        const result = await at
          .copy(`${at.inside}/folder/file ${overwrite ? 0 : serial}`, 'x', { overwrite })
          .then(
            () => 'copied',
            (error: FileProblem) => error.result,
          );
        outcomes.set(result, (outcomes.get(result) ?? 0) + 1);
        serial++;
        assert.deepEqual(fs.readdirSync(at.outside), []);
      }
    } finally {
      process.kill(-swapper.pid!, 'SIGKILL');
      await ended;
    }
    assert.deepEqual(at.list(at.outside), {});
    assert.ok(outcomes.has('copied') && outcomes.has('refused'), JSON.stringify([...outcomes]));
    assert.equal(at.openDescriptors, 0);
  });

  test('a file is seen whole or not at all by who looks all the time', async (t) => {
    const at = new Disk(t);
    const file = `${at.inside}/file`;
    // Counts what it reads that is neither of the two
    const look = `
      let wrong = 0, seen = 0; const fs = require('node:fs');
      process.on('SIGTERM', () => {
        console.log(JSON.stringify({ wrong, seen })); process.exit(0);
      });
      const turn = () => { for (let i = 0; i < 100; i++) { try {
        const text = fs.readFileSync(${JSON.stringify(file)}, 'utf8'); seen++;
        if (!/^(A{50000}|B{50000})$/.test(text)) wrong++;
      } catch (error) { if (error.code !== 'ENOENT') wrong++; } } setImmediate(turn); };
      console.log('ready'); turn();`;
    const looker = spawn(process.execPath, ['-e', look], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    let woken = (): void => {};
    looker.stdout.on('data', (chunk) => {
      lines.push(String(chunk));
      woken();
    });
    const said = async (count: number): Promise<void> => {
      while (lines.length < count)
        await new Promise<void>((resolve) => {
          woken = resolve;
        });
    };
    await said(1);
    for (let i = 0; i < 200; i++)
      await at
        .copy(file, (i % 2 ? 'A' : 'B').repeat(50_000), { overwrite: i % 3 > 0 })
        .catch(() => fs.rmSync(file));
    looker.kill('SIGTERM');
    await said(2);
    const { wrong, seen } = JSON.parse(lines[1]!);
    assert.equal(wrong, 0);
    assert.ok(seen > 0);
  });
});
