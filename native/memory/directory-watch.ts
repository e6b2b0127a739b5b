import type { DirectoryChange, DirectoryWatch } from '../interface.ts';
import { nativeError } from './native-error.ts';
import { nextTurn } from './next-turn.ts';

export class MemoryDirectoryWatch implements DirectoryWatch {
  private pending: DirectoryChange[] = [];
  private closed = false;
  private readonly onReadable: (() => void) | undefined;
  private readonly release: (watch: MemoryDirectoryWatch) => void;

  constructor(
    onReadable: (() => void) | undefined,
    release: (watch: MemoryDirectoryWatch) => void,
  ) {
    this.onReadable = onReadable;
    this.release = release;
  }

  push(change: DirectoryChange): void {
    this.pending.push(change);
    if (this.pending.length > 1 || this.onReadable === undefined) return;
    nextTurn(() => {
      if (!this.closed && this.pending.length > 0) this.onReadable?.();
    });
  }

  drain(): readonly DirectoryChange[] | undefined {
    if (this.closed) throw nativeError('EBADF', 'read');
    const changes = this.pending;
    this.pending = [];
    return changes.length === 0 ? undefined : changes;
  }

  close(): void {
    this.closed = true;
    this.release(this);
  }
}
