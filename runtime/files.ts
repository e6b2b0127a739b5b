/**
 * Reading what may be missing: sysfs, /proc and configuration of other programs. These functions
 * never throw. A file that is absent and a file that may not be read give the same answer.
 */
import fs from 'node:fs';

/** Returns the names in a folder, sorted. Returns none when the folder can't be read. */
export function listFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** Returns a file's text as it stands. Returns undefined when the file can't be read. */
export function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Returns a file's text without white space at both ends, as attributes of sysfs are compared. */
export const readTrimmed = (file: string): string | undefined => readText(file)?.trim();

/** Returns where a symbolic link points to. Returns undefined when there is no such link. */
export function readLink(file: string): string | undefined {
  try {
    return fs.readlinkSync(file);
  } catch {
    return undefined;
  }
}

/** Returns a file's status, links followed. Returns undefined when there is no such file. */
export function statFile(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file);
  } catch {
    return undefined;
  }
}
