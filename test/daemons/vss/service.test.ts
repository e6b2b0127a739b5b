import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ThawReport } from '../../../daemons/vss/freeze/guard-types.ts';
import type { FreezeOutcome, ThawOutcome } from '../../../daemons/vss/freeze/ports.ts';
import type { VssPorts } from '../../../daemons/vss/ports.ts';
import { VssService } from '../../../daemons/vss/service.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { NO_AUTO_RECOVERY, type VssRequest } from '../../../protocol/vss/types.ts';
import { levels } from '../../../runtime/log.ts';

const REPORT: ThawReport = { reason: 'told', complete: true, targets: [] };

class FakePorts implements VssPorts {
  busy = false;
  freezes: FreezeOutcome = { ok: false, problem: 'the hook /h/a refused', busy: false };
  thaws: ThawOutcome = { was: 'not-frozen', early: undefined };
  readonly calls: string[] = [];
  readonly lines: string[] = [];

  service(): VssService {
    const log = levels((severity, message, fields) => {
      this.lines.push(`${severity}: ${message} ${JSON.stringify(fields ?? {})}`);
    });
    return new VssService(this, log);
  }
  async freeze(): Promise<FreezeOutcome> {
    this.calls.push('freeze');
    return this.freezes;
  }
  async thaw(): Promise<ThawOutcome> {
    this.calls.push('thaw');
    return this.thaws;
  }
  async stop(why: string): Promise<void> {
    this.calls.push(`stop: ${why}`);
  }
}

const FREEZE: VssRequest = { operation: 'freeze', backupType: 0 };
const THAW: VssRequest = { operation: 'thaw', flags: 0 };

describe('the VSS service', () => {
  it('answers at once, without doing anything, what asks for nothing to be done', () => {
    const ports = new FakePorts();
    const service = ports.service();
    const answers = {
      checkHotBackup: { status: IcStatus.ok, flags: NO_AUTO_RECOVERY },
      getDmInfo: { status: IcStatus.ok, flags: 0 },
      create: { status: IcStatus.ok },
      delete: { status: IcStatus.ok },
      backupComplete: { status: IcStatus.ok },
      queryClusterInfo: { status: IcStatus.notSupported },
    } as const;
    for (const [operation, answer] of Object.entries(answers)) {
      assert.deepEqual(
        service.handle({ operation: operation as keyof typeof answers, flags: 7 }),
        answer,
        operation,
      );
    }
    assert.deepEqual(service.handle({ operation: 'autoRecover', backupType: 0 }), {
      status: IcStatus.ok,
    });
    assert.deepEqual(service.handle({ operation: 'unknown', operationCode: 99, flags: 0 }), {
      status: IcStatus.notSupported,
    });
    assert.deepEqual(ports.calls, []);
    assert.ok(ports.lines.some((line) => line.startsWith('warning: Refused an unknown operation')));
  });

  it('freezes, and tells the host when it could not', async () => {
    const ports = new FakePorts();
    assert.deepEqual(await ports.service().handle(FREEZE), { status: IcStatus.fail });
    assert.match(ports.lines[0]!, /^error: .*the hook \/h\/a refused/);
    const report = { ok: true, targets: [], preparedMs: 1, frozenMs: 1 };
    ports.freezes = {
      ok: true,
      plan: { stages: [], skipped: [], unmatched: [], strangeLines: 0 },
      report,
    };
    assert.deepEqual(await ports.service().handle(FREEZE), { status: IcStatus.ok });
  });

  const thaws: readonly [string, ThawOutcome, number][] = [
    ['that ends a freeze', { was: 'frozen', report: REPORT, problem: undefined }, IcStatus.ok],
    ['without a freeze', { was: 'not-frozen', early: undefined }, IcStatus.ok],
    [
      'of a freeze that ended before',
      { was: 'not-frozen', early: 'the limit had passed' },
      IcStatus.fail,
    ],
    [
      'of what somebody else thawed',
      { was: 'frozen', report: REPORT, problem: 'thawed before' },
      IcStatus.fail,
    ],
  ];
  for (const [what, outcome, status] of thaws) {
    it(`answers a thaw ${what} with status ${status.toString(16)}`, async () => {
      const ports = new FakePorts();
      ports.thaws = outcome;
      assert.deepEqual(await ports.service().handle(THAW), { status });
      assert.equal(ports.lines.length, status === IcStatus.ok ? 0 : 1);
    });
  }

  it('thaws when the channel ends, and before it ends itself', async () => {
    const ports = new FakePorts();
    const service = ports.service();
    service.disconnected();
    assert.deepEqual(ports.calls, ['stop: the channel to the host ended']);
    await service.close();
    assert.equal(ports.calls.length, 2);
  });

  it('says whether it is busy', () => {
    const ports = new FakePorts();
    const service = ports.service();
    assert.equal(service.busy, false);
    ports.busy = true;
    assert.equal(service.busy, true);
  });
});
