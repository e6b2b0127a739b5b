import type { DamageReports } from './damage-reports.ts';
import { type Damage, decodeText, KEY_BYTES, VALUE_BYTES } from './record.ts';
import type { PoolRecord } from './types.ts';

/** Decodes records, each at `start` in `bytes`, and reports texts that are damaged. */
export class RecordDecoder {
  readonly #onDamage: (damage: Damage) => void;

  constructor(damage: DamageReports) {
    this.#onDamage = (kind) => damage.report(kind);
  }

  key(bytes: Buffer, start: number): string {
    return decodeText(bytes, start, KEY_BYTES, this.#onDamage);
  }

  value(bytes: Buffer, start: number): string {
    return decodeText(bytes, start + KEY_BYTES, VALUE_BYTES, this.#onDamage);
  }

  record(bytes: Buffer, start: number): PoolRecord {
    return { key: this.key(bytes, start), value: this.value(bytes, start) };
  }
}
