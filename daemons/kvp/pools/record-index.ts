import type { RawKey } from './record.ts';

/**
 * Where each key's records are in a pool file. It is a hint: who uses it compares the key in the
 * file, since other programs may have moved records. Records without a key are not in it.
 */
export class RecordIndex {
  /** Records looked at so far, from the start of the file. */
  records = 0;
  readonly #first = new Map<RawKey, number>();
  /** Later records of a key that has more than one, ascending. */
  readonly #duplicates = new Map<RawKey, number[]>();

  /** Takes in the record that follows the last one. */
  append(key: RawKey): void {
    const at = this.records++;
    if (key === '') return;
    if (!this.#first.has(key)) this.#first.set(key, at);
    else {
      const others = this.#duplicates.get(key);
      if (others) others.push(at);
      else this.#duplicates.set(key, [at]);
    }
  }

  find(key: RawKey): number | undefined {
    return this.#first.get(key);
  }

  duplicates(key: RawKey): readonly number[] {
    return this.#duplicates.get(key) ?? [];
  }

  get hasDuplicates(): boolean {
    return this.#duplicates.size > 0;
  }

  /** Takes out all records of a key; those after each one move up. */
  remove(key: RawKey): void {
    const first = this.#first.get(key);
    if (first === undefined) return;
    const removed = [first, ...this.duplicates(key)];
    this.#first.delete(key);
    this.#duplicates.delete(key);
    this.records -= removed.length;
    const moved = (at: number): number => at - removed.filter((gone) => gone < at).length;
    for (const [other, at] of this.#first) if (at > first) this.#first.set(other, moved(at));
    for (const others of this.#duplicates.values()) {
      for (let i = 0; i < others.length; i++) others[i] = moved(others[i] as number);
    }
  }
}
