import type { FcopyReply } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { Result } from './status.ts';

export const OK: FcopyReply = { status: IcStatus.ok };
export const FAIL: FcopyReply = { status: IcStatus.fail };
export const INVALID: FcopyReply = { status: IcStatus.invalidArgument };
export const NOT_SUPPORTED: FcopyReply = { status: IcStatus.notSupported };

/** What a host is told; results that are not here are a plain failure. */
const REPLIES: { readonly [R in Result]?: FcopyReply } = {
  copied: OK,
  invalid: INVALID,
  exists: { status: IcStatus.alreadyExists },
  diskFull: { status: IcStatus.diskFull },
};

export const replyTo = (result: Result): FcopyReply => REPLIES[result] ?? FAIL;
