import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type BlockDevice,
  type BlockFacts,
  type Plan,
  plan,
  type Selection,
} from '../../../../daemons/vss/freeze/plan.ts';

const EVERYTHING: Selection = { include: [], exclude: [], optional: [], freezesLoops: false };
const NO_FACTS: BlockFacts = { devices: new Map(), numbersOfPath: new Map() };

const fixtures = path.join(import.meta.dirname, '../../../../fixtures/mountinfo');

interface Expected {
  readonly swaps?: string;
  readonly devices: Record<string, BlockDevice>;
  readonly numbersOfPath?: Record<string, string[]>;
  readonly stages: string[][];
  readonly skipped: string[];
  /** Mount points of the stages when loops are frozen, too. */
  readonly loops?: string[][];
}

function load(name: string): { mountinfo: string; facts: BlockFacts; expected: Expected } {
  const expected: Expected = JSON.parse(
    fs.readFileSync(path.join(fixtures, `${name}.json`), 'utf8'),
  );
  return {
    mountinfo: fs.readFileSync(path.join(fixtures, `${name}.mountinfo`), 'utf8'),
    facts: {
      devices: new Map(Object.entries(expected.devices)),
      numbersOfPath: new Map(Object.entries(expected.numbersOfPath ?? {})),
    },
    expected,
  };
}

const names = fs
  .readdirSync(fixtures)
  .filter((name) => name.endsWith('.mountinfo'))
  .map((name) => path.basename(name, '.mountinfo'));

const shortStages = ({ stages }: Plan): string[][] =>
  stages.map((stage) =>
    stage.map((t) => `${t.mountPoint} ${t.deviceNumber} ${t.fileSystem} ${t.source}`),
  );
const mountPoints = ({ stages }: Plan): string[][] =>
  stages.map((stage) => stage.map((t) => t.mountPoint));
const shortSkipped = ({ skipped }: Plan): string[] =>
  skipped
    .filter(({ reason }) => reason !== 'no-device')
    .map(({ mountPoint, source, reason }) => `${mountPoint || source} ${reason}`);

describe('the plan of recorded mounts', () => {
  for (const name of names) {
    const { mountinfo, facts, expected } = load(name);
    it(`of ${name} is the one written by hand`, () => {
      const made = plan(mountinfo, expected.swaps ?? '', facts, EVERYTHING);
      assert.deepEqual(shortStages(made), expected.stages);
      assert.deepEqual(shortSkipped(made).sort(), [...expected.skipped].sort());
      assert.deepEqual(
        { unmatched: made.unmatched, strangeLines: made.strangeLines },
        { unmatched: [], strangeLines: 0 },
      );
    });
    const order = 'puts files of frozen file systems before those, when they are to be frozen';
    it(`of ${name} ${order}`, () => {
      const made = plan(mountinfo, '', facts, { ...EVERYTHING, freezesLoops: true });
      assert.deepEqual(
        mountPoints(made),
        expected.loops ?? expected.stages.map((s) => s.map((t) => t.split(/ (?=\d+:)/)[0])),
      );
      assert.ok(!made.skipped.some(({ reason }) => reason === 'in-frozen-file'));
    });
  }
});

const line = (
  id: number,
  device: string,
  mountPoint: string,
  rest = 'ext4 /dev/x rw',
  parent = 1,
  root = '/',
): string => `${id} ${parent} ${device} ${root} ${mountPoint} rw shared:1 - ${rest}`;
const reasonsOf = (made: Plan): Record<string, string> =>
  Object.fromEntries(made.skipped.map(({ mountPoint, reason }) => [mountPoint, reason]));

describe('a plan', () => {
  const two = [
    line(1, '8:1', '/'),
    line(2, '8:2', '/data', 'xfs /dev/sdb rw'),
    line(3, '0:9', '/b', 'btrfs /dev/sdc rw'),
  ];
  const facts: BlockFacts = {
    devices: new Map(),
    numbersOfPath: new Map([
      ['/dev/sdc', ['8:32', '8:48']],
      ['/dev/disk/by-label/b', ['8:48']],
    ]),
  };
  const of = (selection: Partial<Selection>): Plan =>
    plan(two.join('\n'), '', facts, { ...EVERYTHING, ...selection });

  for (const item of ['/data', '/data/', 'xfs', '8:2', '/dev/sdb']) {
    it(`leaves out what ${item} names, freezes nothing else with it, or calls it optional`, () => {
      const excluded = of({ exclude: [item] });
      assert.deepEqual(mountPoints(excluded), [['/', '/b']]);
      assert.deepEqual(reasonsOf(excluded), { '/data': 'excluded' });
      const included = of({ include: [item] });
      assert.deepEqual(mountPoints(included), [['/data']]);
      assert.deepEqual(reasonsOf(included), { '/': 'not-included', '/b': 'not-included' });
      const optional = of({ optional: [item] });
      assert.deepEqual(
        optional.stages.flat().map((t) => t.optional),
        [false, true, false],
      );
    });
  }

  it('knows a file system on several devices by any of them, under any name', () => {
    assert.deepEqual(mountPoints(of({ include: ['/dev/disk/by-label/b'] })), [['/b']]);
  });

  it('knows a file system by any of its mounts', () => {
    const text = `${line(1, '8:1', '/')}\n${line(2, '8:1', '/bind', 'ext4 /dev/x rw', 1, '/sub')}`;
    const { stages } = plan(text, '', NO_FACTS, { ...EVERYTHING, exclude: ['/bind'] });
    assert.deepEqual(stages, []);
  });

  it('tells of items that nothing matches', () => {
    assert.deepEqual(
      of({ include: ['/'], exclude: ['/dtaa'], optional: ['zfs', '/dtaa'] }).unmatched,
      ['/dtaa', 'zfs'],
    );
  });

  it('goes by the superblock, not by the mount, where one is read-only', () => {
    const text = [
      '1 0 8:1 / / ro - ext4 /dev/a rw',
      '2 1 8:2 / /x rw - ext4 /dev/b ro,errors=remount-ro',
    ].join('\n');
    const made = plan(text, '', NO_FACTS, EVERYTHING);
    assert.deepEqual(mountPoints(made), [['/']]);
    assert.deepEqual(reasonsOf(made), { '/x': 'read-only' });
  });

  it('names a file system by a mount that can be reached, and by one that shows all of it', () => {
    const text = [
      line(1, '8:1', '/'),
      line(2, '8:2', '/a'),
      line(3, '8:3', '/a', 'xfs /dev/y rw', 2),
      line(4, '8:2', '/part', 'ext4 /dev/x rw', 1, '/sub'),
    ].join('\n');
    assert.deepEqual(mountPoints(plan(text, '', NO_FACTS, EVERYTHING)), [['/', '/part', '/a']]);
    const whole = `${text}\n${line(5, '8:2', '/a/long/way', 'ext4 /dev/x rw', 3)}`;
    assert.deepEqual(mountPoints(plan(whole, '', NO_FACTS, EVERYTHING)), [
      ['/', '/a/long/way', '/a'],
    ]);
  });

  it(
    'takes the file of a loop device to lie on what was there before, when its own mount ' +
      'covers it',
    () => {
      const text = [
        line(1, '8:1', '/'),
        line(2, '8:2', '/srv', 'xfs /dev/y rw'),
        line(3, '7:0', '/srv', 'ext4 /dev/loop0 rw', 2),
      ];
      const loop: BlockFacts = {
        devices: new Map([['7:0', { name: 'loop0', below: [], backingFile: '/srv/disk.img' }]]),
        numbersOfPath: new Map(),
      };
      const made = plan(text.join('\n'), '', loop, EVERYTHING);
      assert.deepEqual(mountPoints(made), [['/', '/srv']]);
      assert.match(made.skipped[0]!.why, /ends up on \/srv, which is frozen/);
      const without = plan(text.join('\n'), '', loop, { ...EVERYTHING, exclude: ['xfs'] });
      assert.deepEqual(mountPoints(without), [['/', '/srv']]);
      assert.deepEqual(
        without.stages[0]!.map((t) => t.deviceNumber),
        ['8:1', '7:0'],
      );
    },
  );

  it('orders files within files within files', () => {
    const text = [
      line(1, '8:1', '/'),
      line(2, '7:0', '/a'),
      line(3, '253:0', '/a/b', 'ext4 /dev/dm-0 rw', 2),
      line(4, '7:2', '/c'),
      line(5, '8:9', '/d'),
    ];
    const nested: BlockFacts = {
      devices: new Map<string, BlockDevice>([
        ['7:0', { name: 'loop0', below: [], backingFile: '/a.img' }],
        ['253:0', { name: 'dm-0', below: ['7:1'] }],
        ['7:1', { name: 'loop1', below: [], backingFile: '/a/b.img' }],
        ['7:2', { name: 'loop2', below: [], backingFile: '/a/b/c.img' }],
      ]),
      numbersOfPath: new Map(),
    };
    const made = plan(text.join('\n'), '', nested, { ...EVERYTHING, freezesLoops: true });
    assert.deepEqual(mountPoints(made), [['/c'], ['/a/b'], ['/a'], ['/', '/d']]);
    // What is left alone in between does not break the chain
    const gap = plan(text.join('\n'), '', nested, {
      ...EVERYTHING,
      freezesLoops: true,
      exclude: ['/a/b'],
    });
    assert.deepEqual(mountPoints(gap), [['/c'], ['/a'], ['/', '/d']]);
  });

  it('counts lines that it can not understand', () => {
    const text = [
      line(1, '8:1', '/'),
      'x',
      '1 2 3',
      '2 1 8:2 / relative rw - ext4 /dev/b rw',
      '3 1 8:3 / /a rw ext4 b rw',
    ];
    const made = plan(text.join('\n'), '', NO_FACTS, EVERYTHING);
    assert.deepEqual(
      { stages: mountPoints(made), strangeLines: made.strangeLines },
      { stages: [['/']], strangeLines: 4 },
    );
  });

  it('reads fields that are empty', () => {
    const made = plan('1 0 8:1 / / rw - ext4  rw', '', NO_FACTS, EVERYTHING);
    assert.deepEqual(made.stages, [
      [{ mountPoint: '/', deviceNumber: '8:1', fileSystem: 'ext4', source: '', optional: false }],
    ]);
  });
});

describe('any plan', () => {
  const kinds = [
    'ext4',
    'xfs',
    'btrfs',
    'tmpfs',
    'vfat',
    'overlay',
    'zfs',
    'nfs4',
    'fuse.x',
    'constructor',
  ];
  const paths = ['/', '/a', '/a/b', '/a/b/c', '/d', '/a\\040b', '/__proto__'];
  const number = fc.oneof(
    fc.integer({ min: 1, max: 6 }).map((minor) => `7:${minor}`),
    fc.integer({ min: 1, max: 4 }).map((minor) => `8:${minor}`),
    fc.integer({ min: 1, max: 3 }).map((minor) => `0:${minor}`),
  );
  const mount = fc.record({
    id: fc.integer({ min: 1, max: 12 }),
    parent: fc.integer({ min: 0, max: 12 }),
    number,
    path: fc.constantFrom(...paths),
    kind: fc.constantFrom(...kinds),
    options: fc.constantFrom('rw', 'ro', 'rw,upperdir=/a/b', 'rw,ro'),
  });
  const mounts = fc
    .array(mount, { maxLength: 12 })
    .map((all) =>
      all
        .map(
          (m) =>
            `${m.id} ${m.parent} ${m.number} / ${m.path} rw - ${m.kind} /dev/${m.number} ` +
            `${m.options}`,
        )
        .join('\n'),
    );
  const device = fc.record(
    {
      name: fc.constant('x'),
      below: fc.array(number, { maxLength: 2 }),
      backingFile: fc.constantFrom(...paths.map((path) => `${path}/file`), 'relative', '//'),
    },
    { requiredKeys: ['name', 'below'] },
  );
  const facts: fc.Arbitrary<BlockFacts> = fc.record({
    devices: fc.array(fc.tuple(number, device), { maxLength: 8 }).map((all) => new Map(all)),
    numbersOfPath: fc.constant(new Map([['/dev/0:1', ['7:1']]])),
  });
  const items = fc.array(fc.constantFrom('/', '/a', 'ext4', '8:1', '/dev/7:1', 'nothing'), {
    maxLength: 2,
  });
  const selection: fc.Arbitrary<Selection> = fc.record({
    include: items,
    exclude: items,
    optional: items,
    freezesLoops: fc.boolean(),
  });

  it('names each superblock once, frozen or left out', () => {
    fc.assert(
      fc.property(mounts, facts, selection, (text, known, chosen) => {
        const made = plan(text, '', known, chosen);
        const all = [...made.stages.flat(), ...made.skipped].map(
          ({ deviceNumber }) => deviceNumber,
        );
        const there = new Set(text.split('\n').flatMap((one) => one.split(' ')[2] ?? []));
        assert.deepEqual([...all].sort(), [...there].sort());
      }),
      { numRuns: 2000 },
    );
  });

  it('freezes nothing before what lies on it', () => {
    // Loop devices 7:n lie in files of 8:n or of loop devices with a higher number, so nothing lies
    // on itself
    const chain = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 2, max: 9 })),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(
        chain,
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 2 }),
        (links, freezesLoops, left) => {
          const on = new Map(links.filter(([upper, lower]) => upper < lower));
          const numberOf = (n: number): string => (on.has(n) ? `7:${n}` : `8:${n}`);
          const text = Array.from({ length: 9 }, (_, i) =>
            line(i + 2, numberOf(i + 1), `/m${i + 1}`),
          );
          const known: BlockFacts = {
            devices: new Map(
              [...on].map(([n, carrier]) => [
                `7:${n}`,
                { name: `loop${n}`, below: [], backingFile: `/m${carrier}/f` },
              ]),
            ),
            numbersOfPath: new Map(),
          };
          const chosen = { ...EVERYTHING, freezesLoops, exclude: left.map((n) => `/m${n}`) };
          const made = plan(
            [line(1, '8:100', '/', 'ext4 /dev/root rw', 0), ...text].join('\n'),
            '',
            known,
            chosen,
          );
          const stageOf = new Map(
            made.stages.flatMap((stage, i) => stage.map((t) => [t.mountPoint, i])),
          );
          for (let n = 1; n <= 9; n++) {
            const stage = stageOf.get(`/m${n}`);
            let held = false;
            for (let below = on.get(n); below !== undefined; below = on.get(below)) {
              const other = stageOf.get(`/m${below}`);
              if (other === undefined) continue;
              held = true;
              if (stage !== undefined)
                assert.ok(stage < other, `/m${n} in stage ${stage}, /m${below} in ${other}`);
            }
            const wanted = !left.includes(n) && (freezesLoops || !held);
            assert.equal(stage !== undefined, wanted, `/m${n}`);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('is made of any text', () => {
    const junk = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc
        .array(fc.constantFrom(...'0123456789:/ -,\\\n rwext4'.split('')), { maxLength: 200 })
        .map((c) => c.join('')),
    );
    fc.assert(
      fc.property(
        junk,
        junk,
        facts,
        selection,
        (text, swaps, known, chosen) => void plan(text, swaps, known, chosen),
      ),
      { numRuns: 2000 },
    );
  });
});
