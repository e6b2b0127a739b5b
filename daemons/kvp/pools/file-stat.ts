import { STAT_SLOTS, StatSlot } from '../../../native/interface.ts';

const STAT_WORDS = STAT_SLOTS * 2;
const COMPARED_WORDS = (StatSlot.ctimeNs + 1) * 2;
const SIZE_WORD = StatSlot.sizeBytes * 2;
const IDENTITY_WORDS = (StatSlot.ino + 1) * 2;

/** A stat result, also as 32-bit words: comparing bigints would allocate on every operation. */
export class FileStat {
  readonly slots = new BigInt64Array(STAT_SLOTS);
  readonly #words = new Uint32Array(this.slots.buffer, 0, STAT_WORDS);

  get sizeBytes(): number {
    return (this.#words[SIZE_WORD] as number) + (this.#words[SIZE_WORD + 1] as number) * 2 ** 32;
  }

  equals(other: FileStat): boolean {
    return this.#sameWords(other, COMPARED_WORDS);
  }

  sameFile(other: FileStat): boolean {
    return this.#sameWords(other, IDENTITY_WORDS);
  }

  copyFrom(other: FileStat): void {
    this.#words.set(other.#words);
  }

  #sameWords(other: FileStat, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#words[i] !== other.#words[i]) return false;
    return true;
  }
}
