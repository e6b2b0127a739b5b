import { fstatSync, ftruncateSync, readSync, statSync, writeSync } from 'node:fs';
import { type Native, StatSlot } from '../interface.ts';
import { nativeError } from './native-error.ts';
import { MemorySink } from './sink.ts';

/** What `MemoryNative` does to files, which are real. */
export class MemoryFiles {
  private readonly marks = new Set<number>();

  readonly isMarked: Native['isMarked'] = (fd) => this.marks.has(fd);

  readonly mark: Native['mark'] = (fd) => {
    this.marks.add(fd);
  };

  readonly openSink: Native['openSink'] = (fd, sizeBytes) => new MemorySink(fd, sizeBytes);

  readonly stat: Native['stat'] = (file, into) => {
    const options = { bigint: true } as const;
    const stats =
      typeof file === 'number'
        ? fstatSync(file, options)
        : statSync(file, { ...options, throwIfNoEntry: false });
    if (stats === undefined) return false;
    into[StatSlot.dev] = stats.dev;
    into[StatSlot.ino] = stats.ino;
    into[StatSlot.sizeBytes] = stats.size;
    into[StatSlot.mtimeNs] = stats.mtimeNs;
    into[StatSlot.ctimeNs] = stats.ctimeNs;
    into[StatSlot.mode] = stats.mode;
    into[StatSlot.nlink] = stats.nlink;
    into[StatSlot.uid] = stats.uid;
    return true;
  };

  readonly writeWhole: Native['writeWhole'] = (fd, bytes, position) =>
    writeSync(fd, bytes, 0, bytes.length, position);

  readonly removeRange: Native['removeRange'] = (fd, position, lengthBytes, sizeBytes) => {
    if (position < 0 || lengthBytes < 0 || position + lengthBytes > sizeBytes)
      throw nativeError('EINVAL', 'pwrite');
    if (fstatSync(fd).size !== sizeBytes) throw nativeError('ESTALE', 'fstat');
    const tail = new Uint8Array(sizeBytes - position - lengthBytes);
    readSync(fd, tail, 0, tail.length, position + lengthBytes);
    writeSync(fd, tail, 0, tail.length, position);
    ftruncateSync(fd, sizeBytes - lengthBytes);
  };
}
