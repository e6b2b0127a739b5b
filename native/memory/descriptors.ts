/** Far above real descriptors, so that a mix-up fails with EBADF. */
const FIRST_FD = 1_000_000;

/** Numbers for descriptors and processes, each given out once. */
export class Descriptors {
  private last = FIRST_FD - 1;

  next(): number {
    this.last += 1;
    return this.last;
  }
}
