/** A framework or message version, as {major u16, minor u16} on the wire. */
export interface Version {
  readonly major: number;
  readonly minor: number;
}

export const version = (major: number, minor: number): Version => ({ major, minor });
export const sameVersion = (a: Version, b: Version): boolean =>
  a.major === b.major && a.minor === b.minor;
export const formatVersion = (v: Version): string => `${v.major}.${v.minor}`;
