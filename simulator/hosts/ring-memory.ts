import { PacketType } from '../../protocol/ic/packet.ts';

/** Size of a ring's control page. */
export const CONTROL_PAGE_BYTES = 4096;

/** One ring as raw memory (layout: struct hv_ring_buffer in include/linux/hyperv.h). */
export class RawRing {
  readonly control: DataView;
  readonly data: Uint8Array;
  readonly dataBytes: number;
  constructor(memory: Uint8Array) {
    this.control = new DataView(memory.buffer, memory.byteOffset, CONTROL_PAGE_BYTES);
    this.data = memory.subarray(CONTROL_PAGE_BYTES);
    this.dataBytes = this.data.length;
  }
  get writeIndex(): number {
    return this.control.getUint32(0, true);
  }
  get readIndex(): number {
    return this.control.getUint32(4, true);
  }
  setWriteIndex(index: number): void {
    this.control.setUint32(0, index, true);
  }
  setReadIndex(index: number): void {
    this.control.setUint32(4, index, true);
  }
  get freeBytes(): number {
    const used = (this.writeIndex - this.readIndex + this.dataBytes) % this.dataBytes;
    return this.dataBytes - used;
  }
}

/** Both rings of a channel, named as the guest sees them. */
export class RingMemory {
  /** From guest to host. */
  readonly outbound: RawRing;
  /** From host to guest. */
  readonly inbound: RawRing;
  constructor(memory: Uint8Array) {
    this.outbound = new RawRing(memory.subarray(0, memory.length / 2));
    this.inbound = new RawRing(memory.subarray(memory.length / 2));
  }

  /**
   * Puts a descriptor of any content at the end of the inbound ring, as if 64 bytes had been
   * written.
   */
  plant({ offset8, length8 }: { readonly offset8: number; readonly length8: number }): void {
    const { inbound } = this;
    const start = inbound.writeIndex;
    const descriptor = new DataView(new ArrayBuffer(64));
    descriptor.setUint16(0, PacketType.inband, true);
    descriptor.setUint16(2, offset8, true);
    descriptor.setUint16(4, length8, true);
    for (let i = 0; i < 64; i++)
      inbound.data[(start + i) % inbound.dataBytes] = descriptor.getUint8(i);
    inbound.setWriteIndex((start + 64) % inbound.dataBytes);
  }
}
