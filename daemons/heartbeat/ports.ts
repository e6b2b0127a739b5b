import type { SystemState } from './health.ts';

/**
 * What the guest's health is found out from. Nothing here rejects; everything ends within its time.
 */
export interface HealthPorts {
  systemState(): Promise<SystemState>;
  /** Those of the units that failed, with what is wrong. */
  failedUnits(units: readonly string[]): Promise<readonly string[]>;
  /** Checks there are now; those refused say why. */
  checks(): Promise<{ readonly files: readonly string[]; readonly refused: readonly string[] }>;
  /** Runs one check; what is wrong, or undefined. */
  runCheck(file: string): Promise<string | undefined>;
  /** False: it is over. */
  wait(ms: number): Promise<boolean>;
}

export interface HealthOptions {
  readonly units: readonly string[];
  readonly intervalSecs: number;
  readonly checksDirectory: string;
  readonly checkIntervalSecs: number;
  readonly checkTimeoutSecs: number;
}
