import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { native } from '../../native/index.ts';
import { Stage } from '../../simulator/stages/stage.ts';
import { fuzz, growthBytes, kvpSubject, MAX_GROWTH_BYTES } from './fuzz.ts';
import { testFuzz, testVssFuzz } from './fuzz-run.ts';

testFuzz(20_000);
testVssFuzz(4000);

describe('the fuzz test itself', () => {
  const faulty = fileURLToPath(new URL('./faulty-guest.ts', import.meta.url));

  async function against(fault: string, messages: number) {
    const daemonCommand: NonNullable<Parameters<typeof Stage.open>[1]['daemonCommand']> = (
      ground,
    ) => [process.execPath, '--import', 'tsx', faulty, fault, ground.socketPath];
    const stage = await Stage.open('unix', { native, daemonCommand });
    try {
      return await fuzz(kvpSubject(stage), messages, 1);
    } finally {
      await stage.close();
    }
  }

  it('passes a guest without a fault', async () => {
    const { sent, rssBytes } = await against('none', 5000);
    assert.equal(sent, 5000);
    assert.ok(growthBytes(rssBytes) < MAX_GROWTH_BYTES);
  });

  it('finds a guest that dies', () =>
    assert.rejects(against('dies', 5000), /the daemon ended|took no message/));
  it('finds a guest that lies about success', () =>
    assert.rejects(against('lies', 5000), /answered with status 0/));
  it('finds a guest that forgets an answer', () =>
    assert.rejects(against('forgets', 5000), /answered with status|unanswered/));
  it('finds a guest that leaks', async () => {
    const { rssBytes } = await against('leaks', 9000);
    assert.ok(growthBytes(rssBytes) > MAX_GROWTH_BYTES, `${growthBytes(rssBytes)} bytes`);
  });
});
