/**
 * What chronyd takes from its SOCK reference clocks, one datagram a sample (source: chrony
 * refclock_sock.c, struct sock_sample, as on every system with 64-bit time):
 *   0  8  tvSecs    system time of the measurement
 *   8  8  tvUsecs
 *  16  8  offset    true time minus system time, seconds, a double
 *  24  4  pulse     0: the offset is whole, not just its part below a second
 *  28  4  leap      0: no leap second ahead
 *  32  4  padding
 *  36  4  magic     "SOCK"
 */
export function encodeChronySample(realtimeNs: bigint, offsetNs: bigint): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, realtimeNs / 1_000_000_000n, LITTLE_ENDIAN);
  view.setBigInt64(8, (realtimeNs % 1_000_000_000n) / 1000n, LITTLE_ENDIAN);
  // Of the time cut off above, too
  view.setFloat64(16, Number(offsetNs + (realtimeNs % 1000n)) / 1e9, LITTLE_ENDIAN);
  view.setInt32(36, 0x534f434b, LITTLE_ENDIAN);
  return bytes;
}

/** Hyper-V has guests on x86-64 and arm64 only. */
const LITTLE_ENDIAN = true;

/** A `refclock` line of chronyd's configuration. */
export interface Refclock {
  readonly driver: string;
  /** Device or socket, without the driver's options. */
  readonly parameter: string;
}

/** How configuration files are read: undefined for one that is not there. */
export interface ConfigurationFiles {
  read(path: string): string | undefined;
  /** Names in a folder, sorted; none where there is no folder. */
  list(folder: string): readonly string[];
}

const MAX_FILES = 100;

/**
 * The reference clocks of chronyd, following include, confdir and sourcedir. Directives that mean
 * nothing here are skipped.
 */
export function readRefclocks(files: ConfigurationFiles, mainFile: string): Refclock[] {
  const refclocks: Refclock[] = [];
  const seen = new Set<string>();
  const readFile = (path: string): void => {
    if (seen.size >= MAX_FILES || seen.has(path)) return;
    seen.add(path);
    for (const line of (files.read(path) ?? '').split('\n')) {
      const [directive = '', ...words] = line.trim().split(/\s+/);
      switch (directive.toLowerCase()) {
        case 'refclock': {
          const [driver, parameter] = words;
          if (driver !== undefined && parameter !== undefined) {
            refclocks.push({ driver: driver.toUpperCase(), parameter: parameter.split(':')[0]! });
          }
          break;
        }
        case 'include':
          for (const pattern of words) for (const file of matches(files, pattern)) readFile(file);
          break;
        case 'confdir':
          for (const folder of words)
            for (const file of matches(files, `${folder}/*.conf`)) readFile(file);
          break;
        case 'sourcedir':
          for (const folder of words)
            for (const file of matches(files, `${folder}/*.sources`)) readFile(file);
          break;
      }
    }
  };
  readFile(mainFile);
  return refclocks;
}

/** Files by a pattern with "*" in its last part, or by their plain name. */
function matches(files: ConfigurationFiles, pattern: string): string[] {
  const slash = pattern.lastIndexOf('/');
  const [folder, name] = [pattern.slice(0, slash), pattern.slice(slash + 1)];
  if (!name.includes('*')) return [pattern];
  const [before = '', ...rest] = name.split('*');
  const after = rest.join('*');
  return files
    .list(folder)
    .filter(
      (file) => file.length >= name.length - 1 && file.startsWith(before) && file.endsWith(after),
    )
    .map((file) => `${folder}/${file}`);
}
