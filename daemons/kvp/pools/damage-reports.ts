import type { Damage } from './record.ts';
import type { PoolLog } from './types.ts';

const DAMAGE_TEXT: Record<Damage | 'fragment' | 'duplicates', string> = {
  unterminated:
    'A pool file holds a text that fills its field without a NUL; read up to the end of the field',
  invalidText:
    'A pool file holds a text that is not valid UTF-8; shown with replacement characters',
  fragment:
    'A pool file ends in a partial record; ignored, and set aside before the next record is added',
  duplicates:
    'A pool file holds several records of one key; the first one counts, a change goes to all',
};

/** Logs each kind of damage in a pool file once, until the file is opened again. */
export class DamageReports {
  readonly #path: string;
  readonly #log: PoolLog;
  readonly #reported = new Set<string>();

  constructor(path: string, log: PoolLog) {
    this.#path = path;
    this.#log = log;
  }

  report(kind: keyof typeof DAMAGE_TEXT, fields?: object): void {
    if (this.#reported.has(kind)) return;
    this.#reported.add(kind);
    this.#log.warning(DAMAGE_TEXT[kind], { path: this.#path, ...fields });
  }

  clear(): void {
    this.#reported.clear();
  }
}
