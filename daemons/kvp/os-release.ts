/**
 * Assignments of an os-release file (os-release(5)): shell-like, one a line, quoted and escaped as
 * in a shell. Lines that are none are skipped.
 */
export function parseOsRelease(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match) values.set(match[1] as string, unquote(match[2] as string));
  }
  return values;
}

/** Quotes and backslashes as sh(1) reads them; a comment or a second word ends the value. */
function unquote(text: string): string {
  let out = '';
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string;
    if (quote === "'") {
      if (c === "'") quote = '';
      else out += c;
    } else if (c === '\\' && i + 1 < text.length) {
      const next = text[++i] as string;
      // Inside double quotes a backslash stands for itself before anything but these
      out += quote === '"' && !'"\\$`'.includes(next) ? c + next : next;
    } else if (quote === '"') {
      if (c === '"') quote = '';
      else out += c;
    } else if (c === '"' || c === "'") quote = c;
    else if (c === ' ' || c === '\t') break;
    else out += c;
  }
  return out;
}
