import type { FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { formatTarget, parseTarget } from './names.ts';
import { type FcopyLimits, type FcopyPorts, FileProblem, type Incoming } from './ports.ts';
import type { Result } from './status.ts';

export type Start = Extract<FcopyRequest, { readonly operation: 'start' }>;

/** A file that may come. */
export interface AdmittedFile {
  readonly target: string;
  readonly sizeBytes: number;
  readonly incoming: Incoming;
}

/** Why a file may not come. */
export interface Refusal {
  readonly target: string;
  readonly sizeBytes: number;
  readonly refused: Result;
  readonly reason: string;
}

/** Makes a file for what the host wants to copy, if it can be had and the limits allow it. */
export function admit(
  ports: Pick<FcopyPorts, 'create' | 'log'>,
  { maxSizeBytes, overwrite }: FcopyLimits,
  { fileName, path, flags, sizeBytes: announcedBytes }: Start,
): AdmittedFile | Refusal {
  const sizeBytes = Number(announcedBytes);
  const refuse = (target: string, refused: Result, reason: string): Refusal => ({
    target,
    sizeBytes,
    refused,
    reason,
  });
  const parsed = parseTarget(path, fileName);
  if (typeof parsed === 'string')
    return refuse(`${path} ${fileName}`, 'invalid', `the host sent ${parsed}`);
  const target = formatTarget(parsed);
  if (maxSizeBytes !== undefined && announcedBytes > maxSizeBytes)
    return refuse(target, 'refused', `fcopy.max_size_mib allows ${maxSizeBytes} bytes`);
  if (announcedBytes > BigInt(Number.MAX_SAFE_INTEGER))
    return refuse(target, 'diskFull', 'no disk has so much');
  if (flags.unknown !== 0)
    ports.log.notice('The host set flags that nobody knows', { flags: flags.unknown });
  try {
    const wishes = { overwrite: flags.overwrite && overwrite, createPath: flags.createPath };
    return { target, sizeBytes, incoming: ports.create(parsed, sizeBytes, wishes) };
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    return refuse(target, error.result, error.message);
  }
}
