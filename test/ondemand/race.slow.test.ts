import { after, describe, it } from 'node:test';
import { WIRES } from '../../simulator/wire.ts';
import { repetitions } from '../repetitions.ts';
import { buildHolder, missingHolder } from './holder.ts';
import { race } from './race.ts';

/** Over each wire. */
const WAKE_UPS = repetitions({ all: 500, part: 100 });

describe('requests that race the exit', {
  skip: missingHolder() ?? false,
  timeout: 1_800_000,
}, () => {
  const holder = missingHolder() === undefined ? buildHolder({ after }) : '';
  for (const wire of WIRES) {
    it(`${wire}: of ${WAKE_UPS} wake-ups none loses a request`, async (t) => {
      t.diagnostic(JSON.stringify(await race(wire, holder, WAKE_UPS)));
    });
  }
});
