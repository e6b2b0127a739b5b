import { Cursor, type Layout } from './cursor.ts';
import { EncodeError, LayoutError } from './errors.ts';
import { type Field, FieldList } from './field-list.ts';

type With<A, N extends string, T> = A & { readonly [K in N]: T };

/**
 * A message: its fields in order, each declared once. The value's type follows from the
 * declaration. `Scope` is the value and the derived fields: what later fields can depend on.
 */
export class Struct<Value, Scope = Value> implements Layout<Value> {
  /** First part of the path in errors. */
  readonly name: string;
  readonly sizeBytes: number | undefined;
  /** Where each field lies, as far as no field of varying size comes before it. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly #list: FieldList;

  constructor(name: string, fields: readonly Field[] = []) {
    this.name = name;
    this.#list = new FieldList(fields);
    this.offsets = this.#list.offsets;
    this.sizeBytes = this.#list.sizeBytes;
  }

  /** The next field. */
  field<N extends string, T>(
    name: N,
    layout: Layout<T>,
  ): Struct<With<Value, N, T>, With<Scope, N, T>> {
    return this.#with({ name, layout, sizeBytes: layout.sizeBytes, derive: undefined });
  }

  /** A field whose layout depends on earlier ones; give `sizeBytes` when its size does not. */
  dependent<N extends string, T>(
    name: N,
    layout: (earlier: Scope) => Layout<T>,
    sizeBytes?: number,
  ): Struct<With<Value, N, T>, With<Scope, N, T>> {
    return this.#with({ name, layout, sizeBytes, derive: undefined });
  }

  /**
   * A field that follows from the value (a count, a size): later fields see it, the value does not
   * carry it.
   */
  derived<N extends string, T, From>(
    name: N,
    layout: Layout<T>,
    derive: (value: From) => T,
  ): Struct<Value, With<Scope, N, T>> {
    return this.#with({
      name,
      layout,
      sizeBytes: layout.sizeBytes,
      derive: derive as (value: never) => unknown,
    });
  }

  /**
   * Bytes nobody looks at: skipped by decode, left as they are by encode (zero in a new message).
   */
  reserved(sizeBytes: number): Struct<Value, Scope> {
    return this.#with({ name: 'reserved', layout: undefined, sizeBytes, derive: undefined });
  }

  #with<V, S>(field: Field): Struct<V, S> {
    return new Struct<V, S>(this.name, [...this.#list.fields, field]);
  }

  /** Throws DecodeError. Bytes after the message are ignored. */
  decode(bytes: Uint8Array, offset = 0): Value {
    try {
      return this.read(new Cursor(bytes, offset));
    } catch (error) {
      throw error instanceof LayoutError ? error.within(this.name) : error;
    }
  }

  /** A new message, zero where no field wrote. Throws EncodeError. */
  encode(value: Value): Uint8Array {
    const bytes = new Uint8Array(this.sizeOf(value));
    this.encodeInto(value, bytes);
    return bytes;
  }

  /**
   * Writes the fields into a buffer, touching nothing else, and gives where the message ends.
   * Throws EncodeError.
   */
  encodeInto(value: Value, bytes: Uint8Array, offset = 0): number {
    try {
      const cursor = new Cursor(bytes, offset);
      this.write(cursor, value);
      return cursor.offset;
    } catch (error) {
      throw error instanceof LayoutError ? error.within(this.name) : error;
    }
  }

  /** Where a field lies; the field must have a fixed place. */
  offsetOf(name: keyof Scope & string): number {
    const offset = this.offsets.get(name);
    if (offset === undefined) throw new RangeError(`${this.name}.${name} has no fixed place`);
    return offset;
  }

  sizeOf(value: Value): number {
    return this.#list.sizeOf(value);
  }

  read(cursor: Cursor): Value {
    return this.#list.read(cursor) as Value;
  }

  write(cursor: Cursor, value: Value): void {
    this.#list.write(cursor, value);
  }
}

/** Starts the declaration of a message; `name` is what errors call it. */
// biome-ignore lint/complexity/noBannedTypes: an empty message has no fields yet
export const struct = (name: string): Struct<{}> => new Struct<{}>(name);

/**
 * `count` values after each other, in room for `capacity`. The caller has made sure that there is
 * room (`atMost`).
 */
export function array<T>(item: Layout<T>, count: number, capacity = count): Layout<readonly T[]> {
  const sizeBytes = item.sizeBytes === undefined ? undefined : item.sizeBytes * capacity;
  const spare = (item.sizeBytes ?? 0) * (capacity - count);
  return {
    sizeBytes,
    sizeOf: (values) => sizeBytes ?? values.reduce((size, value) => size + item.sizeOf(value), 0),
    read: (cursor) => {
      // No room is set aside for a count from outside before its first byte is known to be there
      const values: T[] = [];
      for (let i = 0; i < count; i++) values.push(atIndex(i, () => item.read(cursor)));
      cursor.take(spare);
      return values;
    },
    write: (cursor, values) => {
      if (values.length !== count)
        throw new EncodeError('count', cursor.offset, `${count} items`, values.length);
      values.forEach((value, i) => {
        atIndex(i, () => item.write(cursor, value));
      });
      cursor.make(spare);
    },
  };
}

function atIndex<T>(index: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof LayoutError ? error.within(`[${index}]`) : error;
  }
}
