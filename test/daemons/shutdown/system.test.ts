import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { blockingInhibitors } from '../../../daemons/shutdown/inhibitors.ts';
import type { Action, Urgency } from '../../../daemons/shutdown/ports.ts';
import { LinuxShutdown } from '../../../daemons/shutdown/system.ts';
import { levels } from '../../../runtime/log.ts';

let folder: string;
let lines: string[];
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-shutdown-'));
  lines = [];
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const at = (...parts: string[]): string => path.join(folder, ...parts);
const read = (name: string): string => fs.readFileSync(at(name), 'utf8');

function put(name: string, text: string): string {
  fs.mkdirSync(path.dirname(at(name)), { recursive: true });
  fs.writeFileSync(at(name), text);
  return at(name);
}

/**
 * A program that writes down how it was called. There is no other one in the path: nothing real can
 * be run.
 */
function program(name: string, text = ''): string {
  const file = put(
    name,
    `#!/bin/sh\nfor word; do printf '<%s>' "$word" >>${at('called')}; done\n${text}\n`,
  );
  fs.chmodSync(file, 0o755);
  return file;
}

function system({ systemd = true, rehearses = false, announces = true } = {}): LinuxShutdown {
  if (systemd) fs.mkdirSync(at('root/run/systemd/system'), { recursive: true });
  return new LinuxShutdown(
    {
      hooksDirectory: at('shutdown.d'),
      announces,
      rehearses,
      root: at('root'),
      programPath: at('bin'),
    },
    levels((severity, message, fields) =>
      lines.push(`${severity}: ${message} ${JSON.stringify(fields ?? {})}`),
    ),
  );
}

describe('the last command', () => {
  const withSystemd: readonly (readonly [Action, Urgency, string])[] = [
    ['power-off', 'orderly', '<--no-wall><-i><poweroff>'],
    ['restart', 'orderly', '<--no-wall><-i><reboot>'],
    ['hibernate', 'orderly', '<--no-wall><-i><hibernate>'],
    ['power-off', 'forced', '<--no-wall><-i><--force><poweroff>'],
    ['restart', 'immediate', '<--no-wall><-i><--force><--force><reboot>'],
  ];
  for (const [action, urgency, called] of withSystemd) {
    it(`with systemd: ${action}, ${urgency}`, async () => {
      program('bin/systemctl');
      assert.deepEqual(await system().go(action, urgency), { result: 'going' });
      assert.equal(read('called'), called);
    });
  }

  it("without systemd: the init system's own, then the kernel's", async () => {
    program('bin/poweroff', `printf poweroff >>${at('called')}`);
    program('bin/reboot', `printf reboot >>${at('called')}`);
    const own = system({ systemd: false });
    assert.deepEqual(await own.go('power-off', 'orderly'), { result: 'going' });
    assert.deepEqual(await own.go('restart', 'forced'), { result: 'going' });
    assert.equal(read('called'), 'poweroff<-f>reboot');
    const trigger = put('root/proc/sysrq-trigger', '-');
    const going = own.go('restart', 'immediate');
    assert.equal(fs.readFileSync(trigger, 'utf8'), 's', 'what is in memory is written out first');
    assert.deepEqual(await going, { result: 'going' });
    assert.equal(fs.readFileSync(trigger, 'utf8'), 'b');
    assert.equal((await own.go('hibernate', 'orderly')).result, 'failed');
  });

  it('says what went wrong', async () => {
    const why = async (systemd: boolean, urgency: Urgency): Promise<string> => {
      const gone = await system({ systemd }).go('power-off', urgency);
      return gone.result === 'failed' ? gone.why : gone.result;
    };
    assert.match(await why(false, 'orderly'), /^poweroff: .*ENOENT/);
    assert.match(await why(false, 'immediate'), /ENOENT.*sysrq-trigger/);
    program('bin/systemctl', 'printf "Failed: \\033[1mno" >&2; exit 1');
    assert.equal(
      await why(true, 'orderly'),
      'systemctl --no-wall -i poweroff: exit status 1 Failed: \\x1b[1mno',
    );
  });

  it('is only told in a rehearsal', async () => {
    program('bin/systemctl');
    assert.deepEqual(await system({ rehearses: true }).go('power-off', 'forced'), {
      result: 'rehearsed',
    });
    assert.equal(fs.existsSync(at('called')), false);
    assert.match(lines[0] ?? '', /^notice: A rehearsal.*systemctl --no-wall -i --force poweroff/);
  });
});

describe('those who block a shutdown', () => {
  const row = (what: string, mode: string, who = 'backup') => [what, who, 'halfway', mode, 0, 4711];
  const json = (...rows: unknown[]): string => JSON.stringify({ type: 'a(ssssuu)', data: [rows] });

  it('are found in what logind says', () => {
    const all = json(
      row('shutdown:sleep', 'block', 'both'),
      row('sleep', 'block', 'sleeper'),
      row('shutdown', 'delay', 'slow'),
      row('shutdown', 'block-weak', 'weak'),
      row('idle:handle-lid-switch', 'block', 'lid'),
      row('shutdown', 'block', 'backup'),
    );
    assert.deepEqual(blockingInhibitors(all, 'power-off'), ['both: halfway', 'backup: halfway']);
    assert.deepEqual(blockingInhibitors(all, 'restart'), ['both: halfway', 'backup: halfway']);
    assert.deepEqual(blockingInhibitors(all, 'hibernate'), ['both: halfway', 'sleeper: halfway']);
  });

  it('are none in what can not be read', () => {
    for (const text of [
      '',
      'null',
      '{}',
      '[]',
      '{"data":7}',
      '{"data":[7]}',
      '{"data":[[7,[],null]]}',
      'a(ssssuu) 0',
    ]) {
      assert.deepEqual(blockingInhibitors(text, 'power-off'), [], text);
    }
  });

  it('are asked for by busctl', async () => {
    put('answer', json(row('shutdown', 'block')));
    program(
      'bin/busctl',
      `while read -r line; do echo "$line"; done <${at('answer')}; printf '%s' "$line"`,
    );
    fs.appendFileSync(at('answer'), '\n');
    assert.deepEqual(await system().inhibitors('power-off'), ['backup: halfway']);
    assert.equal(
      read('called'),
      '<--json=short><call><org.freedesktop.login1></org/freedesktop/login1><org.freedesktop.login1.Manager><ListInhibitors>',
    );
  });

  it(
    'are nobody where there is no systemd, and said to be not known where logind does not ' +
      'answer',
    async () => {
      assert.deepEqual(await system({ systemd: false }).inhibitors('power-off'), []);
      assert.deepEqual(lines, []);
      program('bin/busctl', 'exit 1');
      assert.deepEqual(await system().inhibitors('power-off'), []);
      assert.match(lines[0] ?? '', /^warning: Can't find out who inhibits.*exit status 1/);
    },
  );
});

describe('whether the system can hibernate', () => {
  it('takes the kernel, ACPI S4, swap and logind, looked at in this order', async () => {
    assert.match((await system().hibernationProblem()) ?? '', /kernel does not offer it/);
    put('root/sys/power/state', 'freeze mem disk\n');
    put('root/sys/power/disk', '[shutdown] reboot suspend test_resume\n');
    assert.match((await system().hibernationProblem()) ?? '', /ACPI S4/);
    put('root/sys/power/disk', '[platform] shutdown reboot\n');
    put('root/proc/swaps', 'Filename\tType\n');
    assert.match((await system().hibernationProblem()) ?? '', /no swap/);
    put('root/proc/swaps', 'Filename\tType\n/dev/sda2 partition\n');
    assert.match((await system().hibernationProblem()) ?? '', /could not be asked/);
    program('bin/busctl', 'echo \'s "na"\'');
    assert.match((await system().hibernationProblem()) ?? '', /logind says s "na"/);
    program('bin/busctl', 'echo \'s "yes"\'');
    assert.equal(await system().hibernationProblem(), undefined);
    fs.rmSync(at('root/run'), { recursive: true });
    assert.match(
      (await system({ systemd: false }).hibernationProblem()) ?? '',
      /no systemd-logind/,
    );
  });
});

describe('telling others', () => {
  it('goes through a pipe, never through arguments', async () => {
    program('bin/wall', `while read -r line; do printf '%s|' "$line" >>${at('told')}; done`);
    await system().announce('"; touch evil $(reboot)\n--help\n');
    assert.equal(read('told'), '"; touch evil $(reboot)|--help|');
    assert.equal(fs.existsSync(at('called')), false, 'no arguments');
  });

  it(
    'is no reason to stop when nobody can be told, and is left out when configured ' + 'so',
    async () => {
      await system().announce('text');
      assert.match(lines[0] ?? '', /^warning: Nobody could be told/);
      program('bin/wall', `: >${at('told')}`);
      await system({ announces: false }).announce('text');
      assert.equal(fs.existsSync(at('told')), false);
    },
  );

  it("gives hooks the host's words in their environment, and logs what they say", async () => {
    const hook = program(
      'shutdown.d/10-hook',
      `printf '%s' "$VMIC_MESSAGE" >${at('message')}; echo done; exit 4`,
    );
    const nasty = '$(touch evil) `id` "\'';
    assert.deepEqual(system().hooks().files, [hook]);
    assert.equal(await system().runHook(hook, { VMIC_MESSAGE: nasty }, 10_000), 'exit status 4');
    assert.equal(read('message'), nasty);
    assert.match(lines[0] ?? '', /^notice: A shutdown hook said.*10-hook.*done/);
  });

  it('ends waits and a hook when the daemon ends', async () => {
    const own = system();
    fs.symlinkSync('/bin/sleep', at('sleep'));
    const hook = program('shutdown.d/10-hangs', `exec ${at('sleep')} 1000`);
    const running = own.runHook(hook, {}, 60_000);
    const { done } = own.wait(60_000);
    setTimeout(() => own.close(), 100);
    assert.equal(await done, false);
    assert.equal(await running, 'ended by SIGKILL');
    const { done: next, cancel } = own.wait(60_000);
    cancel();
    assert.equal(await next, true);
  });
});
