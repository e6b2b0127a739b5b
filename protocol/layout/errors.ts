/**
 * Why bytes could not be decoded, or a value not encoded.
 * - `truncated`: fewer bytes are left than the field needs.
 * - `size`: a size or length that cannot be: beyond its field, odd for UTF-16, not the type's.
 * - `unterminated`: text without its NUL.
 * - `text`: text that is no valid UTF-8 or UTF-16, or (encoding) contains a NUL.
 * - `tooLong`: (encoding) the value does not fit its field.
 * - `count`: more items than allowed, or lists that must be equally long are not.
 * - `value`: anything else a field cannot hold.
 */
export type LayoutErrorCode =
  | 'truncated'
  | 'size'
  | 'unterminated'
  | 'text'
  | 'tooLong'
  | 'count'
  | 'value';

/**
 * Common part of DecodeError and EncodeError. The message reads `shutdown.timeoutSecs at offset 4:
 * expected 4 bytes, got 2`.
 */
export abstract class LayoutError extends Error {
  readonly code: LayoutErrorCode;
  /** From the start of the bytes that were handed in. */
  readonly offset: number;
  readonly expected: string;
  readonly actual: string;
  #path = '';

  constructor(code: LayoutErrorCode, offset: number, expected: string, actual: string | number) {
    super();
    this.code = code;
    this.offset = offset;
    this.expected = expected;
    this.actual = String(actual);
    this.#describe();
  }

  /** The field, from the message's name down: `kvp.value.key`. */
  get path(): string {
    return this.#path;
  }

  /**
   * Called by each enclosing layout as the error passes through it: costs nothing while nothing
   * fails.
   */
  within(name: string): this {
    this.#path =
      this.#path === '' || this.#path.startsWith('[') ? name + this.#path : `${name}.${this.#path}`;
    this.#describe();
    return this;
  }

  #describe(): void {
    const where = this.#path === '' ? '' : `${this.#path} `;
    this.message =
      `${where}at offset ${this.offset}: expected ${this.expected}, got ` + `${this.actual}`;
  }
}

/** Bytes from outside that are not what their layout says. */
export class DecodeError extends LayoutError {
  override readonly name = 'DecodeError';
}

/** A value that its layout cannot carry. Nothing is ever cut to fit. */
export class EncodeError extends LayoutError {
  override readonly name = 'EncodeError';
}
