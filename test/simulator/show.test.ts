import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AdminView, jsonShow, textShow, wireLine } from '../../simulator/show/show.ts';

const ESC = '\x1b';
const plain = (_style: string, text: string): string => text;

const view: AdminView = {
  services: [
    { service: 'Key-Value Pair Exchange', wire: 'unix', agreed: '3.1', pid: 42, state: 'OK' },
  ],
  items: [{ key: 'OSName', value: 'Debian GNU/Linux' }],
  pools: [{ wire: 'unix', pool: 1, items: [{ key: 'k', value: 'v' }] }],
};

function collected(terminal?: Parameters<typeof textShow>[2]) {
  let text = '';
  const show = textShow(
    (more) => {
      text += more;
    },
    () => 1234,
    terminal,
  );
  return { show, text: () => text };
}

describe('what the demonstration shows', () => {
  it('tells of a message in one line of 80 columns', () => {
    const line = wireLine(
      {
        wire: 'unix-ring',
        from: 'guest',
        operation: 'get',
        pool: 0,
        subject: 'key',
        value: 'text',
        status: 0,
        bytes: 7464,
      },
      1234,
      80,
      plain,
    );
    assert.equal(
      line,
      `   1.234 ring   ← get        external key = text${' '.repeat(22)}ok  7464 B`,
    );
    assert.equal(line.length, 80);
  });

  it('cuts what is too long and shows what would control the terminal', () => {
    const line = wireLine(
      {
        wire: 'unix',
        from: 'host',
        operation: 'set',
        pool: 7,
        subject: `${ESC}[2J${'x'.repeat(100)}`,
        bytes: 7432,
      },
      0,
      80,
      plain,
    );
    assert.equal(line.length, 80);
    assert.ok(line.includes('pool 7 \\x1b[2Jxxx') && line.includes('…'), line);
  });

  it('shows no more than a screen of messages a scene, and says how many more there were', () => {
    const { show, text } = collected();
    show.scene('Many');
    for (let i = 0; i < 100; i++)
      show.wire({ wire: 'unix', from: 'host', operation: 'get', bytes: 1 });
    show.result('done');
    assert.equal(text().match(/→/g)?.length, 14);
    assert.match(text(), /… 86 more messages\n {2}ok {6}done\n/);
  });

  it('tells of a failure and its reason', () => {
    const { show, text } = collected();
    show.result('step', new Error('first\nsecond'));
    assert.equal(text(), '  FAILED  step\n          first\n          second\n');
  });

  it('repeats the view in a file only when it changed', () => {
    const { show, text } = collected();
    show.view(view);
    show.view(view);
    assert.equal(text().match(/What the administrator sees/g)?.length, 1);
    show.view({ ...view, items: [] });
    assert.equal(text().match(/What the administrator sees/g)?.length, 2);
    assert.ok(!text().includes(ESC));
  });

  it(
    'keeps the view below the lines on a terminal, in no more rows than there are, and leaves ' +
      'the terminal as it was',
    async () => {
      const { show, text } = collected({ columns: 80, rows: 8, colour: true });
      show.view(view);
      await new Promise((resolve) => setImmediate(resolve));
      const before = text().length;
      show.say('a line');
      await new Promise((resolve) => setImmediate(resolve));
      // Four rows of view fit 8 rows: they are taken back, and drawn again under the new line
      const drawn = text()
        .slice(before)
        .split(ESC)
        .join('ESC')
        .replaceAll(/ESC\[\d+m/g, '');
      assert.match(drawn, /^ESC\[4A\rESC\[J {2}a line\n══ What .*\n.*\n.*\n.*\n$/);
      show.close();
      assert.ok(text().endsWith(`${ESC}[?7h${ESC}[?25h`));
    },
  );

  it('shows how far a file has come: four times in a file, in place on a terminal', async () => {
    const plainly = collected();
    for (let done = 1; done <= 100; done++)
      plainly.show.progress('name.bin', done * 2 ** 20, 100 * 2 ** 20);
    const lines = plainly.text().split('\n').slice(0, -1);
    assert.equal(lines.length, 4);
    assert.equal(lines[1], '  [############············]  50 %   50.0 of 100.0 MiB  name.bin');

    const drawn = () => new Promise((resolve) => setImmediate(resolve));
    const { show, text } = collected({ columns: 80, rows: 24, colour: false });
    show.progress('name.bin', 1, 4);
    await drawn();
    show.progress('name.bin', 2, 4);
    await drawn();
    show.progress('name.bin', 4, 4);
    show.say('over');
    await drawn();
    const shown = text().split(ESC).join('ESC');
    assert.match(
      shown,
      /\[#{6}·+\].*\nESC\[1A\rESC\[J {2}\[#{12}·+\].*\nESC\[1A\rESC\[J {2}over\n$/,
    );
  });

  it('gives programs one object a line', () => {
    const lines: string[] = [];
    const show = jsonShow(
      (line) => lines.push(line),
      () => 1.23456,
    );
    show.scene('One');
    show.wire({
      wire: 'unix',
      from: 'host',
      operation: 'get',
      pool: 1,
      subject: 'a\nb',
      bytes: 7432,
    });
    show.progress('name.bin', 6144, 12288);
    show.result('two', new Error('why'));
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [
        { event: 'scene', atMs: 1.235, title: 'One' },
        {
          event: 'wire',
          atMs: 1.235,
          wire: 'unix',
          from: 'host',
          operation: 'get',
          pool: 1,
          subject: 'a\nb',
          bytes: 7432,
        },
        { event: 'progress', atMs: 1.235, file: 'name.bin', doneBytes: 6144, sizeBytes: 12288 },
        { event: 'result', atMs: 1.235, what: 'two', ok: false, error: 'why' },
      ],
    );
    assert.ok(lines.every((line) => line.indexOf('\n') === line.length - 1));
  });
});
