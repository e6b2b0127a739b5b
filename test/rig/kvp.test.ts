/**
 * KVP on real kernels: the daemon as built, in a virtual machine whose VMBus has a pretended host behind it (README.md here).
 * VMIC_RIG_KERNELS names the kernels; the default is all three.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { impossible, runInRig, setUp, stage } from './vm.ts';

const kernels = (process.env['VMIC_RIG_KERNELS'] ?? '6.12 7.2 6.1').split(/[ ,]+/).filter(Boolean);

describe('kvp in the rig', { skip: impossible }, () => {
  let staged: string;
  before(() => {
    staged = stage();
  });
  after(() => fs.rmSync(staged, { recursive: true, force: true }));

  for (const kernel of kernels) {
    describe(`kernel ${kernel}`, () => {
      let missing: string | undefined;
      before(() => {
        missing = setUp(kernel);
      });
      const inGuest = (script: string, timeoutSecs: number) =>
        runInRig([
          ...['--kernel', kernel, '--timeout', String(timeoutSecs)],
          ...['--copy', `${staged}:/opt/vmic`, '--copy', `${path.join(import.meta.dirname, 'kvp')}:/opt/kvp`],
          ...['--', 'python3', `/opt/kvp/${script}`],
        ]);

      it('hv_utils over /dev/vmbus/hv_kvp', async (t) => {
        if (missing !== undefined) return t.skip(missing);
        assert.equal(await inGuest('chardev.py', 900), 0);
      });
      it('channel bound to uio_hv_generic', {
        skip: kernel === '6.1' && 'uio_hv_generic of 6.1 refuses channels without a monitor page (error 524)',
      }, async (t) => {
        if (missing !== undefined) return t.skip(missing);
        assert.equal(await inGuest('uio.py', 600), 0);
      });
    });
  }
});
