/** The package's life on each kernel (life.ts). */
import { after, before, describe, it } from 'node:test';
import { chosenKernels, impossible, setUp } from '../vm.ts';
import { PackageLife } from './life.ts';

describe('the package in the rig', { skip: impossible }, () => {
  let life: PackageLife;
  before(() => {
    life = new PackageLife({ bundled: true });
  });
  after(() => life.remove());

  for (const kernel of chosenKernels(['6.12', '7.2', '6.1'])) {
    it(`from the C daemons to vmic and back, kernel ${kernel}`, async (t) => {
      const missing = setUp(kernel);
      if (missing !== undefined) return t.skip(missing);
      // The other flavour is the same on each kernel
      await life.live(kernel, { bundled: kernel === '6.12' });
    });
  }
});
