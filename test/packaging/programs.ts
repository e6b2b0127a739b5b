import { spawnSync } from 'node:child_process';

const isThere = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Why a test that takes these programs is skipped; false when they are all there. */
export const skipWithout = (...programs: string[]): string | false => {
  const absent = programs.filter((program) => !isThere(program));
  return absent.length > 0 && `not installed: ${absent.join(', ')}`;
};
