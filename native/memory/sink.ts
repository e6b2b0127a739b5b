import { closeSync, writeSync } from 'node:fs';
import type { FileSink } from '../interface.ts';
import { nativeError } from './native-error.ts';

export class MemorySink implements FileSink {
  fd: number;
  positionBytes = 0;
  private readonly sizeBytes: number;

  constructor(fd: number, sizeBytes: number) {
    this.fd = fd;
    this.sizeBytes = sizeBytes;
  }

  get leftBytes(): number {
    return this.sizeBytes - this.positionBytes;
  }

  write(bytes: Uint8Array): void {
    if (this.fd < 0) throw nativeError('EBADF', 'pwrite');
    if (bytes.length > this.leftBytes) throw nativeError('EFBIG', 'pwrite');
    writeSync(this.fd, bytes, 0, bytes.length, this.positionBytes);
    this.positionBytes += bytes.length;
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}
