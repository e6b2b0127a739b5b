import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { guards } from '../../../../daemons/vss/freeze/guard.ts';
import { missingScratch } from '../../../../simulator/stages/scratch.ts';
import { stageGuards } from './guard-stage.ts';

describe('guard', { skip: missingScratch() ?? false }, () => {
  const stage = stageGuards();
  const { mountPointsOf, a, b, c, freeze, leaveFrozen } = stage;

  describe('record', () => {
    it('is readable, and lists what is frozen with its state', async () => {
      stage.scratch.run('fsfreeze', '-f', b().mountPoint);
      await leaveFrozen([[a(), b()], [c()]]);
      const [heading, ...lines] = fs
        .readFileSync(stage.options.recordPath, 'utf8')
        .trimEnd()
        .split('\n');
      assert.match(heading!, /^vmic-vss 1 \d+ \d+$/);
      assert.deepEqual(lines, [
        `F 0 ${a().deviceNumber} ${a().mountPoint}`,
        `a 0 ${b().deviceNumber} ${b().mountPoint}`,
        `F 1 ${c().deviceNumber} ${c().mountPoint}`,
      ]);
      assert.equal(fs.statSync(stage.options.recordPath).mode & 0o777, 0o600);
      const recovery = await guards.thawRecorded(stage.options);
      assert.deepEqual(recovery, { complete: true, thawed: mountPointsOf(0, 2) });
      assert.deepEqual(stage.scratch.thawAll(), mountPointsOf(1));
      assert.ok(!fs.existsSync(stage.options.recordPath));
    });

    it('is cleared up by the next guard', async () => {
      await leaveFrozen([[a()], [c()]]);
      const { guard, report } = await freeze([[a(), b()]]);
      assert.deepEqual(guard.recovered, mountPointsOf(0, 2));
      assert.equal(report.ok, true);
      assert.deepEqual(
        report.targets.map(({ outcome }) => outcome),
        ['frozen', 'frozen'],
      );
      await guard.thaw();
      await guard.ended;
    });

    it('thaws what was begun and may be frozen, and nothing that was only planned', async () => {
      await leaveFrozen([[a()]]);
      const left = fs.readFileSync(stage.options.recordPath, 'utf8');
      const planned = `p 0 ${b().deviceNumber} ${b().mountPoint}\n`;
      fs.writeFileSync(stage.options.recordPath, left.replace(/^F/m, 'b') + planned);
      stage.scratch.run('fsfreeze', '-f', b().mountPoint);
      assert.deepEqual(await guards.thawRecorded(stage.options), {
        complete: true,
        thawed: mountPointsOf(0),
      });
      assert.deepEqual(stage.scratch.thawAll(), mountPointsOf(1));
    });

    it('that is not there leaves nothing to do', async () => {
      assert.deepEqual(await guards.thawRecorded(stage.options), { complete: true, thawed: [] });
    });

    it('of a guard that lives is left alone', async () => {
      const { guard } = await freeze([[a()]]);
      await assert.rejects(guards.start(stage.options), {
        code: 'EBUSY',
        message: `The guard can't start: another one holds a freeze (process ${guard.pid})`,
      });
      const recovery = await guards.thawRecorded(stage.options);
      assert.equal(recovery.complete, false);
      assert.match(recovery.problem!, new RegExp(`process ${guard.pid}\\) is alive`));
      assert.ok(stage.scratch.isFrozen(a().mountPoint));
      await guard.thaw();
    });

    it('has to be on a tmpfs', async () => {
      const recordPath = path.join(a().mountPoint, 'record');
      await assert.rejects(guards.start({ ...stage.options, recordPath }), {
        code: 'EINVAL',
        message: /its record has to be a file on a tmpfs/,
      });
      stage.scratch.run('rm', recordPath);
    });

    const heading = 'vmic-vss 1 1 1\n';
    const wrong: Record<string, string> = {
      'of another kind': 'something else\n',
      'of another version': 'vmic-vss 2 1 1\nF 0 7:0 /x\n',
      'with a number too large': `${heading}F 0 99999999999:0 /x\n`,
      'without a mount point': `${heading}F 0 7:0\n`,
      'with stages out of order': `${heading}F 1 7:250 /x\nF 0 7:251 /y\n`,
      'with an empty line': `${heading}\n`,
      'with too many lines': heading + 'p 0 7:0 /x\n'.repeat(1025),
      'as large as nothing of ours': heading + 'x'.repeat(20_000_000),
    };
    for (const [name, text] of Object.entries(wrong)) {
      it(`${name} is refused and kept`, async () => {
        fs.writeFileSync(stage.options.recordPath, text);
        try {
          const recovery = await guards.thawRecorded(stage.options);
          assert.equal(recovery.complete, false);
          assert.match(recovery.problem!, /vss-frozen: (record|read): /);
          await assert.rejects(
            guards.start(stage.options),
            /The guard can't start: (record|read): E(PROTO|FBIG)/,
          );
          assert.equal(fs.readFileSync(stage.options.recordPath, 'utf8'), text);
        } finally {
          fs.rmSync(stage.options.recordPath);
        }
      });
    }

    it('cut off in the middle of a line was written before anything was frozen', async () => {
      for (const text of ['', heading, `${heading}p 0 7:0 /x\np 0 7`]) {
        fs.writeFileSync(stage.options.recordPath, text);
        assert.deepEqual(
          await guards.thawRecorded(stage.options),
          { complete: true, thawed: [] },
          text,
        );
      }
    });

    it('that is a link, a folder or a pipe is refused', async () => {
      const elsewhere = path.join(stage.scratch.shared, 'elsewhere');
      fs.writeFileSync(elsewhere, heading);
      fs.symlinkSync(elsewhere, stage.options.recordPath);
      assert.equal((await guards.thawRecorded(stage.options)).complete, false);
      fs.rmSync(stage.options.recordPath);
      fs.mkdirSync(stage.options.recordPath);
      assert.equal((await guards.thawRecorded(stage.options)).complete, false);
      fs.rmdirSync(stage.options.recordPath);
      stage.scratch.run('mkfifo', stage.options.recordPath);
      assert.equal((await guards.thawRecorded(stage.options)).complete, false);
      fs.rmSync(stage.options.recordPath);
    });
  });

  describe('plan', () => {
    const manyLines = '0 r 7:0 /abc\n'.repeat(2000);
    const wrong: Record<string, string> = {
      'without a limit': 'freeze 12\n',
      'with a limit of years': 'freeze 99999999999 5\n',
      'without lines': 'freeze 1000 0\n',
      'with a line that has no end': `freeze 1000 9\n0 r 7:0 /`,
      'with an unknown word': 'freeze 1000 11\n0 x 7:0 /a\n',
      'with a number too large': 'freeze 1000 20\n0 r 7:9999999999999\n',
      'with stages out of order': 'freeze 1000 22\n1 r 7:0 /a\n0 r 7:1 /b\n',
      'that names a superblock twice': 'freeze 1000 22\n0 r 7:0 /a\n1 r 7:0 /b\n',
      'with more lines than anybody mounts': `freeze 1000 ${manyLines.length}\n${manyLines}`,
      'that is none': 'thaw\n',
      'that is something long': 'x'.repeat(100_000),
      'that ends too early': 'freeze 1000 100\n0 r 7:0 /a\n',
    };
    for (const [name, text] of Object.entries(wrong)) {
      it(`${name} is refused, and nothing frozen`, async () => {
        const child: ChildProcess = spawn(
          stage.options.program!,
          ['--record', stage.options.recordPath],
          {
            stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
          },
        );
        const ended = once(child, 'exit');
        const socket = child.stdio[3] as Duplex;
        // A guard that ended does not read the rest
        socket.on('error', () => {});
        // Heard first: what was said to a socket that then breaks may be lost
        let said = String((await once(socket, 'data'))[0]);
        socket.on('data', (chunk) => {
          said += chunk;
        });
        socket.end(text);
        assert.deepEqual(await ended, [1, null]);
        assert.match(said, /^hello 1 \d+\n$/);
        assert.ok(!fs.existsSync(stage.options.recordPath));
      });
    }
  });
});
