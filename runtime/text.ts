/**
 * Text that can be shown on a terminal: whatever would control it, or is invisible (control and
 * format characters, line separators, lone surrogates), is written as an escape. What comes from a
 * host or from a program may be hostile.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const short = SHORT[character];
    if (short !== undefined) return short;
    const code = character.codePointAt(0) as number;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Breaks a text between words into lines of at most `columns`, each after `indent`. */
export function wrap(
  text: string,
  { columns, indent = '' }: { readonly columns: number; readonly indent?: string },
): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (word === '') continue;
    if (line !== '' && indent.length + line.length + 1 + word.length > columns) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, indent + line];
}

/** Returns a text of the manuals as a terminal shows it: without backquotes. */
export const plain = (text: string): string => text.replaceAll('`', '');
