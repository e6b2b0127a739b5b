/** The clone as a way of installing. The suite of packages tests the other ways. */
import path from 'node:path';
import { describe, it } from 'node:test';
import { installedIn, loadsAddon, startsGuard } from './installed.ts';

describe('the programs of a clone', () => {
  const clone = installedIn(path.resolve(import.meta.dirname, '../../bin'));
  it('load the addon', () => loadsAddon(clone));
  it('start the guard', () => startsGuard(clone));
});
