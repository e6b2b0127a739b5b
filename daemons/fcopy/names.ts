/** Where a file is to go, from the root of the file system. */
export interface Target {
  readonly folders: readonly string[];
  readonly fileName: string;
}

/** NAME_MAX: the longest name of an entry, in bytes. */
const MAX_NAME_BYTES = 255;

export const formatTarget = ({ folders, fileName }: Target): string =>
  `/${[...folders, fileName].join('/')}`;

/**
 * What a host's path and file name mean here, or why they mean nothing. In a path both "/" and "\"
 * separate, since hosts are Windows; "." and empty names in it mean nothing. It has to begin at the
 * root: where this process works is no business of a host's.
 */
export function parseTarget(path: string, fileName: string): Target | string {
  if (/^[A-Za-z]:/.test(path)) return 'a drive letter, which Linux does not have';
  if (!/^[/\\]/.test(path)) return 'a path that does not begin at the root';
  const folders = path.split(/[/\\]/).filter((name) => name !== '' && name !== '.');
  if (folders.includes('..')) return '".." in the path';
  if (fileName === '') return 'an empty file name';
  if (fileName === '.' || fileName === '..') return `the file name "${fileName}"`;
  if (/[/\\]/.test(fileName)) return 'a separator in the file name';
  const tooLong = [...folders, fileName].find((name) => Buffer.byteLength(name) > MAX_NAME_BYTES);
  if (tooLong !== undefined) return `a name longer than ${MAX_NAME_BYTES} bytes`;
  return { folders, fileName };
}

/** The innermost of the roots that folders lie in; undefined: they lie in none. */
export function rootOf<Root extends { readonly folders: readonly string[] }>(
  folders: readonly string[],
  roots: readonly Root[],
): Root | undefined {
  return roots
    .filter((root) => root.folders.every((name, depth) => name === folders[depth]))
    .reduce<Root | undefined>(
      (best, root) => (best && best.folders.length >= root.folders.length ? best : root),
      undefined,
    );
}
