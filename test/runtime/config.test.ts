import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { ConfigError, loadConfig, type OptionTable } from '../../runtime/config.ts';
import { transportOption } from '../../runtime/transports/transport.ts';

const sections = {
  log: { level: { type: 'choice', default: 'info', choices: ['info', 'debug'], help: '' } },
  kvp: {
    pool_directory: {
      type: 'string',
      default: '/var/lib/hyperv',
      help: '',
      check: (value) => (value.startsWith('/') ? undefined : 'an absolute path'),
    },
    offer_version_5: { type: 'boolean', default: false, help: '' },
    limit: { type: 'integer', default: 5, min: 1, max: 10, help: '' },
    names: { type: 'strings', default: [], help: '' },
    log_file: { type: 'path', default: '/a', help: '' },
    device: { type: 'path', default: '', mayBeEmpty: true, help: '' },
    roots: { type: 'strings', default: ['/'], needsOne: true, help: '' },
    refuse: { type: 'strings', default: [], choices: ['restart', 'hibernate'], help: '' },
    units: {
      type: 'strings',
      default: [],
      help: '',
      check: (item) => (item.startsWith('-') ? 'is no name' : undefined),
    },
  },
} as const satisfies Record<string, OptionTable>;

/** Keys that few of the tests set. */
const untouched = { log_file: '/a', device: '', roots: ['/'], refuse: [], units: [] };

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-config-'));
after(() => fs.rmSync(folder, { recursive: true }));
let count = 0;

/** Writes a configuration of its own for one test. */
function write(main: string | undefined, dropIns: Record<string, string> = {}): string {
  const file = path.join(folder, `${count++}.toml`);
  if (main !== undefined) fs.writeFileSync(file, main);
  if (Object.keys(dropIns).length > 0) fs.mkdirSync(`${file}.d`);
  for (const [name, text] of Object.entries(dropIns))
    fs.writeFileSync(path.join(`${file}.d`, name), text);
  return file;
}
const load = (file: string, overrides: string[] = [], required = false) =>
  loadConfig({ file, required, overrides }, sections);
const fails = (promise: Promise<unknown>, pattern: RegExp) =>
  assert.rejects(promise, (error: Error) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, pattern);
    return true;
  });

describe('configuration', () => {
  it('has defaults when there is no file', async () => {
    const config = await load(write(undefined));
    assert.deepEqual(config.kvp, {
      pool_directory: '/var/lib/hyperv',
      offer_version_5: false,
      limit: 5,
      names: [],
      ...untouched,
    });
    assert.equal(config.log.level, 'info');
  });

  it('names file and line of a transport that is none', () =>
    fails(
      loadConfig(
        { file: write('[kvp]\n\ntransport = "serial:1"\n'), required: true, overrides: [] },
        { kvp: { transport: transportOption('uio:') } },
      ),
      /\.toml:3: kvp\.transport: expected chardev:.* got "serial:1"/,
    ));

  it('takes the file, then drop-ins in name order, then overrides', async () => {
    const file = write('[kvp]\nlimit = 2\npool_directory = "/a"\n[vss]\nanything = 1\n', {
      '20-b.toml': 'kvp.limit = 4\n',
      '10-a.toml': '[kvp]\nlimit = 3\nnames = ["x", "y"]\n',
      '.hidden.toml': 'broken',
      README: 'broken',
    });
    const config = await load(file, ['kvp.offer_version_5=true', 'log.level=debug']);
    assert.deepEqual(config.kvp, {
      pool_directory: '/a',
      offer_version_5: true,
      limit: 4,
      names: ['x', 'y'],
      ...untouched,
    });
    assert.equal(config.log.level, 'debug');
    assert.deepEqual((await load(file, ['kvp.names=p,q', 'kvp.limit=9'])).kvp.names, ['p', 'q']);
  });

  it('names file, line and key of what is wrong', async () => {
    await fails(
      load(write('[log]\nlevel = "info"\n\n[kvp]\n# limit\nlimit = 11\n')),
      /\.toml:6: kvp\.limit: expected a whole number from 1 to 10, got 11/,
    );
    await fails(
      load(write('[kvp]\nlimits = 1\n')),
      /\.toml:2: kvp\.limits: unknown key; there are pool_directory, /,
    );
    await fails(
      load(write('\nkvp.names = [1]\n')),
      /\.toml:2: kvp\.names: expected a list of strings, got \[1\]/,
    );
    await fails(
      load(write('[kpv]\nlimit = 1\n')),
      /\.toml:1: unknown section "kpv"; there are log, /,
    );
    await fails(load(write('kvp = 3\n')), /\.toml:1: "kvp" has to be a section/);
    await fails(
      load(write('[kvp]\npool_directory = "x"\n')),
      /:2: kvp\.pool_directory: expected an absolute path, got "x"/,
    );
    await fails(load(write('[kvp]\nlimit = \n')), /\.toml:2: not valid TOML/);
    await fails(
      load(write('[log]\nlevel = "loud"\n')),
      /:2: log\.level: expected one of info, debug, got "loud"/,
    );
    await fails(
      load(write('[kvp]\n', { 'a.toml': '[kvp]\noffer_version_5 = 1' })),
      /a\.toml:2: kvp\.offer_version_5: expected true or false, got 1/,
    );
  });

  it('checks paths, and the items of lists', async () => {
    const file = write(undefined);
    const { kvp } = await load(file, ['kvp.log_file=/b', 'kvp.device=', 'kvp.refuse=restart']);
    assert.deepEqual([kvp.log_file, kvp.device, kvp.refuse], ['/b', '', ['restart']]);
    for (const [override, problem] of [
      ['kvp.log_file=b', /kvp\.log_file: expected an absolute path, got "b"/],
      ['kvp.log_file=', /expected an absolute path, got ""/],
      ['kvp.device=./b', /expected an absolute path or an empty text, got ".\/b"/],
      ['kvp.roots=', /expected a list of one string at least, got \[\]/],
      ['kvp.refuse=restart,x', /kvp\.refuse: "x" is none of restart, hibernate/],
      ['kvp.units=a,-b', /kvp\.units: "-b" is no name/],
    ] as const)
      await fails(load(file, [override]), problem);
    await fails(
      load(write('[kvp]\n\nrefuse = ["x"]\n')),
      /\.toml:3: kvp\.refuse: "x" is none of restart, hibernate/,
    );
  });

  it('names a wrong override', async () => {
    const file = write(undefined);
    await fails(load(file, ['limit=3']), /--set limit=3: expected SECTION\.KEY=VALUE/);
    await fails(load(file, ['kvp.limit=three']), /--set kvp\.limit: expected a whole number/);
    await fails(load(file, ['vss.x=1']), /--set vss\.x: no such section here; there are log, kvp/);
    await fails(load(file, ['kvp.toString=1']), /unknown key|expected SECTION/);
  });

  it('wants a file that was named', async () => {
    await fails(load(path.join(folder, 'absent.toml'), [], true), /absent\.toml: no such file/);
  });

  it('says when a file cannot be read', async () => {
    const file = path.join(folder, 'folder.toml');
    fs.mkdirSync(file);
    await fails(load(file), /folder\.toml: .*EISDIR/);
  });
});
