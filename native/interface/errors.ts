/** A failed system call, or a broken ring. */
export interface NativeError extends Error {
  /**
   * The errno's name ("EIO"), or "ERING" for a ring whose control page or descriptors can't be
   * right.
   */
  readonly code: string;
  /** The positive errno; 0 for ERING. */
  readonly errno: number;
  /** The call that failed ("open", "read"), or the ring check that failed. */
  readonly syscall: string;
  readonly path?: string;
}

/** Why a channel ended by itself: the peer or the device went away ("gone"), or an error. */
export type ChannelEnd =
  | { readonly reason: 'gone' }
  | { readonly reason: 'error'; readonly error: NativeError };
