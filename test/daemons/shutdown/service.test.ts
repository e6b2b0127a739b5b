import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type {
  Action,
  Gone,
  ShutdownPolicy,
  ShutdownPorts,
  Urgency,
} from '../../../daemons/shutdown/ports.ts';
import { ShutdownService } from '../../../daemons/shutdown/service.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import type { ShutdownRequest } from '../../../protocol/shutdown/vmbus.ts';
import { levels } from '../../../runtime/log.ts';

const POLICY: ShutdownPolicy = {
  refuse: [],
  respectsInhibitors: true,
  hookShare: 0.5,
  defaultTimeoutSecs: 120,
  leastTimeoutSecs: 30,
  forcesAtDeadline: true,
};

type Flag = 'force' | 'restart' | 'hibernate';
const request = (
  names: readonly Flag[] = [],
  more: Partial<ShutdownRequest> = {},
): ShutdownRequest => ({
  reasonCode: 0x8000_0000,
  timeoutSecs: 100,
  flags: {
    force: names.includes('force'),
    restart: names.includes('restart'),
    hibernate: names.includes('hibernate'),
    unknown: 0,
  },
  message: 'made-up message',
  ...more,
});

/**
 * A system that does as it is told, on a clock that moves when somebody waits. What happens is
 * written down, with its second.
 */
class FakeSystem implements ShutdownPorts {
  nowMs = 0;
  readonly events: string[] = [];
  readonly lines: string[] = [];
  holders: readonly string[] = [];
  problem: string | undefined = undefined;
  hookFiles: readonly string[] = [];
  /** Called when a hook runs or the last command; may take time or ask for more. */
  onHook: (file: string) => void = () => {};
  onGo: (action: Action, urgency: Urgency) => Gone = () => ({ result: 'going' });
  /** Called before the clock moves on. */
  onWait: () => void = () => {};
  closed = false;
  readonly #after: (() => void)[] = [];

  readonly log = levels((severity, message, fields) => {
    this.lines.push(`${severity}: ${message} ${JSON.stringify(fields ?? {})}`);
  });
  readonly now = (): number => this.nowMs;

  service(policy: Partial<ShutdownPolicy> = {}): ShutdownService {
    return new ShutdownService({
      ports: this,
      policy: { ...POLICY, ...policy },
      log: this.log,
      hostLog: this.log,
    });
  }

  async inhibitors(action: Action): Promise<readonly string[]> {
    this.#note(`inhibitors ${action}`);
    return this.holders;
  }
  async hibernationProblem(): Promise<string | undefined> {
    return this.problem;
  }
  async announce(text: string): Promise<void> {
    this.#note(`announce ${text.trim().replace('\n', ' | ')}`);
  }
  hooks() {
    return { files: this.hookFiles, refused: [] };
  }
  async runHook(
    file: string,
    env: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<string | undefined> {
    this.#note(`hook ${file} ${env['VMIC_ACTION']} ${timeoutMs / 1000}`);
    this.onHook(file);
    return undefined;
  }
  async go(action: Action, urgency: Urgency): Promise<Gone> {
    this.#note(`go ${action} ${urgency}`);
    return this.onGo(action, urgency);
  }
  afterAnswer(work: () => void): void {
    this.#after.push(work);
  }
  wait(ms: number): { done: Promise<boolean>; cancel(): void } {
    let cancelled = false;
    const done = (async () => {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.closed) return false;
      this.onWait();
      if (this.closed) return false;
      if (!cancelled) this.nowMs += ms;
      return true;
    })();
    return {
      done,
      cancel: () => {
        cancelled = true;
      },
    };
  }
  close(): void {
    this.closed = true;
  }

  /** Sends the answer, so to speak, and lets everything happen that follows. */
  async answered(): Promise<readonly string[]> {
    for (const work of this.#after.splice(0)) work();
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
    return this.events;
  }

  #note(event: string): void {
    this.events.push(`${this.nowMs / 1000} ${event}`);
  }
}

const status = async (reply: ReturnType<ShutdownService['handle']>): Promise<number> =>
  (await reply).status;
/** What happens between order and the last command, left out. */
const gone = (events: readonly string[]): string[] => events.filter((event) => / go /.test(event));

describe('the answer to a request', () => {
  const cases: readonly (readonly [readonly Flag[], number, number, Action | undefined])[] = [
    [[], 0, IcStatus.ok, 'power-off'],
    [['force'], 0, IcStatus.ok, 'power-off'],
    [['restart'], 0, IcStatus.ok, 'restart'],
    [['restart', 'force'], 0, IcStatus.ok, 'restart'],
    [['hibernate'], 0, IcStatus.ok, 'hibernate'],
    [['hibernate', 'force'], 0, IcStatus.ok, 'hibernate'],
    [['restart', 'hibernate'], 0, IcStatus.fail, undefined],
    [['restart', 'hibernate', 'force'], 0, IcStatus.fail, undefined],
    [[], 8, IcStatus.fail, undefined],
    [['force'], 0x8000_0000, IcStatus.fail, undefined],
  ];
  for (const [names, unknown, expected, action] of cases) {
    const flags = `${names.join('+') || 'none'}${unknown ? ` and ${unknown}` : ''}`;
    it(`flags ${flags}: ${action ?? 'failure'}`, async () => {
      const system = new FakeSystem();
      const asked = request(names);
      assert.equal(
        await status(system.service().handle({ ...asked, flags: { ...asked.flags, unknown } })),
        expected,
      );
      assert.deepEqual(gone(system.events), [], 'nothing happens before the answer is out');
      const [first] = gone(await system.answered());
      assert.equal(first, action && `0 go ${action} orderly`);
    });
  }

  it('comes at once where nothing has to be asked', () => {
    const system = new FakeSystem();
    assert.deepEqual(system.service().handle(request(['force'])), { status: IcStatus.ok });
    assert.deepEqual(system.service({ respectsInhibitors: false }).handle(request()), {
      status: IcStatus.ok,
    });
    assert.deepEqual(system.events, []);
  });

  it(
    'is "machine locked" while programs block a shutdown, unless it is forced or the ' +
      'configuration says so',
    async () => {
      const system = new FakeSystem();
      system.holders = ['backup: halfway'];
      assert.equal(await status(system.service().handle(request())), IcStatus.machineLocked);
      assert.equal(
        await status(system.service().handle(request(['hibernate']))),
        IcStatus.machineLocked,
      );
      assert.deepEqual(gone(await system.answered()), []);
      assert.match(
        system.lines[0] ?? '',
        /^warning: Refused a shutdown request.*programs ask for that.*backup: halfway/,
      );
      assert.equal(
        await status(system.service({ respectsInhibitors: false }).handle(request())),
        IcStatus.ok,
      );
      assert.equal(await status(system.service().handle(request(['force']))), IcStatus.ok);
    },
  );

  it('is a failure where the system can not hibernate', async () => {
    const system = new FakeSystem();
    system.problem = 'there is no swap space';
    assert.equal(
      await status(system.service().handle(request(['hibernate', 'force']))),
      IcStatus.fail,
    );
    assert.match(system.lines[0] ?? '', /no swap space/);
  });

  it('is a failure for what the configuration refuses', async () => {
    const system = new FakeSystem();
    const service = system.service({ refuse: ['power-off', 'hibernate'] });
    for (const names of [[], ['force'], ['hibernate']] as const) {
      assert.equal(await status(service.handle(request(names))), IcStatus.fail);
    }
    assert.equal(await status(service.handle(request(['restart']))), IcStatus.ok);
  });
});

describe('what follows an answer', () => {
  it('is told, then hooks in their share of the time, then the end', async () => {
    const system = new FakeSystem();
    system.hookFiles = ['a', 'b'];
    system.onHook = (file) => {
      system.nowMs += file === 'a' ? 20_000 : 1000;
    };
    system.onWait = () => system.close();
    assert.equal(await status(system.service().handle(request(['restart', 'force']))), IcStatus.ok);
    assert.deepEqual(await system.answered(), [
      '0 announce The host of this virtual machine (Hyper-V) has asked it to restart within ' +
        '100 seconds. | Its message: made-up message',
      '0 hook a restart 25',
      '20 hook b restart 30',
      '21 go restart orderly',
    ]);
    assert.equal(system.lines[0]?.split(' {')[0], 'notice: The host asks for a shutdown');
    assert.deepEqual(JSON.parse(/\{.*\}/.exec(system.lines[0] ?? '')![0]), {
      action: 'restart',
      force: true,
      reason: '0x80000000',
      timeoutSecs: 100,
      text: 'made-up message',
    });
  });

  it('leaves hooks out when the others took all of the time', async () => {
    const system = new FakeSystem();
    system.hookFiles = ['a', 'b', 'c'];
    system.onHook = () => {
      system.nowMs += 60_000;
    };
    system.onWait = () => system.close();
    await system.service().handle(request(['force']));
    assert.deepEqual((await system.answered()).slice(1), [
      '0 hook a power-off 16.666',
      '60 go power-off orderly',
    ]);
    assert.ok(system.lines.some((line) => /No time left.*"b","c"/.test(line)));
  });

  it(
    'is escalated once at the deadline, and a second time only for a host that ' + 'forces',
    async () => {
      for (const force of [false, true]) {
        const system = new FakeSystem();
        await system.service().handle(request(force ? ['force'] : []));
        assert.deepEqual(gone(await system.answered()), [
          '0 go power-off orderly',
          '100 go power-off forced',
          ...(force ? ['160 go power-off immediate'] : []),
        ]);
      }
    },
  );

  it(
    'is not forced against programs that block it by then, or where the configuration says ' + 'so',
    async () => {
      const system = new FakeSystem();
      const service = system.service();
      await service.handle(request());
      system.holders = ['backup: just begun'];
      assert.deepEqual(gone(await system.answered()), ['0 go power-off orderly']);
      const other = new FakeSystem();
      await other.service({ forcesAtDeadline: false }).handle(request(['force']));
      assert.deepEqual(gone(await other.answered()), ['0 go power-off orderly']);
    },
  );

  it('is tried again until the deadline when the system refuses', async () => {
    const system = new FakeSystem();
    system.onGo = (_, urgency) =>
      urgency === 'orderly' ? { result: 'failed', why: 'busy' } : { result: 'going' };
    await system.service().handle(request([], { timeoutSecs: 32 }));
    assert.deepEqual(gone(await system.answered()), [
      ...[0, 5, 10, 15, 20, 25, 30].map((at) => `${at} go power-off orderly`),
      '32 go power-off forced',
    ]);
  });

  it('has the time the host gives, within what makes sense', async () => {
    for (const [given, used] of [
      [0, 120],
      [1, 30],
      [200, 200],
      [0xffff_ffff, 3600],
    ] as const) {
      const system = new FakeSystem();
      await system.service().handle(request([], { timeoutSecs: given }));
      assert.equal(gone(await system.answered())[1], `${used} go power-off forced`, `${given} s`);
    }
  });

  it('never escalates a hibernation; afterwards the host may ask again', async () => {
    const system = new FakeSystem();
    const service = system.service();
    for (const result of ['going', 'failed'] as const) {
      system.onGo = () => (result === 'going' ? { result } : { result, why: 'no' });
      assert.equal(await status(service.handle(request(['hibernate']))), IcStatus.ok);
      await system.answered();
    }
    assert.deepEqual(gone(system.events), ['0 go hibernate orderly', '0 go hibernate orderly']);
  });

  it('stops short of the last command in a rehearsal', async () => {
    const system = new FakeSystem();
    system.onGo = () => ({ result: 'rehearsed' });
    const service = system.service();
    await service.handle(request(['force']));
    assert.deepEqual(gone(await system.answered()), ['0 go power-off orderly']);
    assert.equal(
      await status(service.handle(request(['restart', 'force']))),
      IcStatus.ok,
      'another one can follow',
    );
  });

  it('ends with the daemon', async () => {
    const system = new FakeSystem();
    const service = system.service();
    await service.handle(request(['force']));
    system.onWait = () => service.close();
    assert.deepEqual(gone(await system.answered()), ['0 go power-off orderly']);
  });
});

describe('a second request while one is on its way', () => {
  it('is refused when it asks for something else', async () => {
    const system = new FakeSystem();
    const service = system.service();
    await service.handle(request(['force']));
    assert.equal(await status(service.handle(request(['restart', 'force']))), IcStatus.fail);
    assert.match(system.lines.at(-1) ?? '', /another one is on its way: power-off/);
  });

  it('may add force and take away time', async () => {
    const system = new FakeSystem();
    const service = system.service();
    await service.handle(request());
    let asked = false;
    system.onWait = () => {
      if (asked) return;
      asked = true;
      system.nowMs = 10_000;
      assert.deepEqual(service.handle(request(['force'], { timeoutSecs: 40 })), {
        status: IcStatus.ok,
      });
    };
    assert.deepEqual(gone(await system.answered()), [
      '0 go power-off orderly',
      '50 go power-off forced',
      '110 go power-off immediate',
    ]);
  });
});
