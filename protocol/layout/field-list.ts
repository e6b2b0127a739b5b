import type { Cursor, Layout } from './cursor.ts';
import { LayoutError } from './errors.ts';

/**
 * A layout, or how it follows from the fields before it (`sizeBytes` says its size where that is
 * always the same).
 */
type FieldLayout<Scope, T> = Layout<T> | ((earlier: Scope) => Layout<T>);

export interface Field {
  readonly name: string;
  /** undefined: reserved bytes. */
  readonly layout: FieldLayout<never, unknown> | undefined;
  readonly sizeBytes: number | undefined;
  /** Computes the field from the value: the field is no part of the value itself. */
  readonly derive: ((value: never) => unknown) | undefined;
}

/** The fields of a message in order: where they lie, and how they are read and written. */
export class FieldList {
  readonly fields: readonly Field[];
  /** Of all fields; undefined when it depends on the value. */
  readonly sizeBytes: number | undefined;
  /** Where each field lies, as far as no field of varying size comes before it. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly #derives: boolean;
  readonly #depends: boolean;

  constructor(fields: readonly Field[]) {
    this.fields = fields;
    this.#derives = fields.some((field) => field.derive);
    this.#depends = fields.some((field) => typeof field.layout === 'function');
    const offsets = new Map<string, number>();
    let at: number | undefined = 0;
    for (const field of fields) {
      if (at === undefined) break;
      if (field.layout) offsets.set(field.name, at);
      at = field.sizeBytes === undefined ? undefined : at + field.sizeBytes;
    }
    this.offsets = offsets;
    this.sizeBytes = at;
  }

  sizeOf(value: unknown): number {
    if (this.sizeBytes !== undefined) return this.sizeBytes;
    const scope: Record<string, unknown> = {};
    let size = 0;
    for (const { name, layout, sizeBytes, derive } of this.fields) {
      scope[name] = derive ? derive(value as never) : (value as Record<string, unknown>)[name];
      if (sizeBytes !== undefined) size += sizeBytes;
      else if (layout) size += resolve(layout, scope).sizeOf(scope[name]);
    }
    return size;
  }

  /** Returns the value that the fields make up. An error says in which field it is. */
  read(cursor: Cursor): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    const scope: Record<string, unknown> = this.#derives ? {} : value;
    const { fields } = this;
    let i = 0;
    try {
      for (; i < fields.length; i++) {
        const field = fields[i]!;
        if (!field.layout) {
          cursor.take(field.sizeBytes!);
          continue;
        }
        const read = resolve(field.layout, scope).read(cursor);
        scope[field.name] = read;
        if (scope !== value && !field.derive) value[field.name] = read;
      }
    } catch (error) {
      throw error instanceof LayoutError ? error.within(fields[i]!.name) : error;
    }
    return value;
  }

  /** An error says in which field it is. */
  write(cursor: Cursor, value: unknown): void {
    // Only dependent fields look at the scope, so a message without any needs none of its own
    const scope: Record<string, unknown> =
      this.#derives && this.#depends ? {} : (value as Record<string, unknown>);
    const { fields } = this;
    let i = 0;
    try {
      for (; i < fields.length; i++) {
        const field = fields[i]!;
        if (!field.layout) {
          cursor.make(field.sizeBytes!);
          continue;
        }
        const { name, derive } = field;
        const given = derive ? derive(value as never) : (value as Record<string, unknown>)[name];
        if (scope !== value) scope[name] = given;
        resolve(field.layout, scope).write(cursor, given);
      }
    } catch (error) {
      throw error instanceof LayoutError ? error.within(fields[i]!.name) : error;
    }
  }
}

function resolve(layout: FieldLayout<never, unknown>, scope: unknown): Layout<unknown> {
  return typeof layout === 'function' ? layout(scope as never) : layout;
}
