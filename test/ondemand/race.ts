import assert from 'node:assert/strict';
import type { Wire } from '../../simulator/wire.ts';
import { OnDemandStage } from './stage.ts';

export interface RaceResult {
  readonly wakeUps: number;
  readonly requests: number;
  /** Requests that came while a process that had left was still ending, or just before it left. */
  readonly close: number;
}

const IDLE_MS = 20;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Sends requests such that each is as likely to meet a process that is about to leave as one that
 * has just left: one that came too early puts the next off, one that came too late brings it
 * forward. Ends after so many wake-ups; each request has to be answered, with what was asked for.
 */
export async function race(wire: Wire, holder: string, wakeUps: number): Promise<RaceResult> {
  const stage = new OnDemandStage({ wire, holder, idleExitMs: IDLE_MS });
  const { host, holder: manager } = stage;
  try {
    await host.link.ready();
    let pauseMs = 2 * IDLE_MS;
    let requests = 0;
    let close = 0;
    while (manager.starts <= wakeUps) {
      const ends = manager.ends;
      await sleep(pauseMs + Math.random() * IDLE_MS);
      const late = manager.ends > ends;
      pauseMs = Math.max(0, pauseMs + (late ? -2 : 2));
      const value = `request ${++requests}`;
      const starts = manager.starts;
      await host.set(0, 'serial', value);
      // It left after we looked, but before it read this: the request was kept for the next
      if (!late && manager.starts > starts) close++;
      assert.deepEqual(await host.get(0, 'serial'), { type: 'string', text: value });
    }
    assert.deepEqual(host.link.violations, [], 'the daemon kept to the protocol');
    assert.equal(host.link.readyCount, 1, 'it registered, or negotiated, once for all its lives');
    assert.deepEqual(manager.failures, []);
    assert.equal(manager.hungUp, false);
    return { wakeUps: manager.starts - 1, requests: 2 * requests, close };
  } catch (error) {
    throw new Error(`${error}\n${manager.log.slice(-10).join('\n')}`, { cause: error });
  } finally {
    await stage.close();
  }
}
