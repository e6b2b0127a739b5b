#include "core/ring.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace vmic {
namespace {

// The builtins rather than std::atomic: the words lie in memory that others made, and
// std::atomic_ref is C++20. Stores and loads of aligned 32 and 64 bits are single instructions on
// x86-64 and arm64, so the other agent sees no half of one.

/// No order needed; only that it is one access, neither repeated nor split by the compiler.
uint32_t loadRelaxed(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
void storeRelaxed(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/// Acquire: what the peer stored before it released this index is visible after the load, and none
/// of our later accesses to the data (reading a packet, or overwriting a taken one) moves before
/// it.
uint32_t loadAcquire(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

/// Release: our accesses to the data (a packet's bytes stored, or a packet's bytes loaded) are done
/// before the peer sees the index move.
void storeRelease(uint32_t* word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/// A store of ours, then a load of what the peer stored: acquire and release do not order that
/// pair, on any machine. With a full barrier on both sides at least one of the two sees the other's
/// store, so that no wake-up is lost.
void fullBarrier() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

}  // namespace

const char* Ring::attach(uint8_t* memory, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(memory) % 8 != 0) return "ring memory is not aligned";
  if (bytes < 2 * kRingPageBytes || bytes > kMaxRingBytes || bytes % kRingPageBytes != 0)
    return "ring size is not valid";
  control_ = memory;
  data_ = memory + kRingPageBytes;
  dataBytes_ = static_cast<uint32_t>(bytes - kRingPageBytes);
  return nullptr;
}

uint32_t Ring::advance(uint32_t index, uint32_t bytes) const {
  const uint32_t next = index + bytes;  // both below 2^28
  return next >= dataBytes_ ? next - dataBytes_ : next;
}

const char* RingReader::attach(uint8_t* memory, size_t bytes) {
  if (const char* fault = Ring::attach(memory, bytes)) return fault;
  // Where whoever read before us stopped. Ours from here on.
  read_ = loadRelaxed(readIndex());
  return isIndex(read_) ? nullptr : "read index is not valid";
}

void RingReader::mask() {
  // Relaxed: a signal that still comes is only a needless wake-up.
  storeRelaxed(interruptMask(), 1);
}

bool RingReader::look() const { return loadAcquire(writeIndex()) != read_; }

bool RingReader::unmaskAndLook() {
  storeRelaxed(interruptMask(), 0);
  // Against the writer's pair: store write index, full barrier, load mask.
  fullBarrier();
  return look();
}

ReadResult RingReader::corrupt(const char* check) {
  fault_ = check;
  return ReadResult::corrupt;
}

void RingReader::copyOut(uint8_t* into, uint32_t index, uint32_t bytes) const {
  // Empty parts are left out: an empty buffer may have no address.
  const uint32_t first = std::min(bytes, dataBytes_ - index);
  if (first > 0) std::memcpy(into, data_ + index, first);
  if (bytes > first) std::memcpy(into + first, data_, bytes - first);
}

ReadResult RingReader::read(uint8_t* into, size_t capacity, Packet& packet) {
  const uint32_t write = loadAcquire(writeIndex());
  if (!isIndex(write)) return corrupt("write index is not valid");
  const uint32_t available = distance(read_, write);
  if (available == 0) return ReadResult::empty;
  if (available < kDescriptorBytes + kFooterBytes)
    return corrupt("packet is shorter than its descriptor");

  // Two single loads; from here on only the copies count. Indices are multiples of 8, so neither
  // word wraps.
  uint64_t word =
      __atomic_load_n(reinterpret_cast<const uint64_t*>(data_ + read_), __ATOMIC_RELAXED);
  packet.transactionId = __atomic_load_n(
      reinterpret_cast<const uint64_t*>(data_ + advance(read_, 8)), __ATOMIC_RELAXED);
  packet.type = static_cast<uint16_t>(word);
  packet.flags = static_cast<uint16_t>(word >> 48);
  const uint32_t offset = static_cast<uint32_t>(word >> 16 & 0xffff) * 8;
  const uint32_t length = static_cast<uint32_t>(word >> 32 & 0xffff) * 8;
  if (offset < kDescriptorBytes) return corrupt("packet data begins inside the descriptor");
  if (length < offset) return corrupt("packet data begins beyond the packet");
  if (length + kFooterBytes > available) return corrupt("packet is longer than what was written");
  packet.payloadBytes = length - offset;
  if (packet.payloadBytes > capacity) return corrupt("packet is longer than the receive buffer");

  copyOut(into, advance(read_, offset), packet.payloadBytes);
  packet.signalPeer = publish(length + kFooterBytes);
  return ReadResult::packet;
}

bool RingReader::publish(uint32_t packetBytes) {
  read_ = advance(read_, packetBytes);
  storeRelease(readIndex(), read_);
  if ((loadRelaxed(featureBits()) & 1) == 0) return false;
  // Against the writer's pair: store pending send size, full barrier, load read index.
  fullBarrier();
  // Acquire, as the write index must be no older than the pending send size: it would show more
  // room than there is.
  const uint32_t pending = loadAcquire(pendingSendSize());
  if (pending == 0) return false;
  const uint32_t write = loadRelaxed(writeIndex());
  if (!isIndex(write)) return false;  // the next read says so
  const uint32_t free = dataBytes_ - distance(read_, write);
  // Signal once, at the step from "not enough" to "enough": a host throttles guests that signal
  // needlessly. Exactly enough is not enough, since the last byte is never filled. The mask plays
  // no part here (hv_pkt_iter_close).
  return free > pending && free <= uint64_t{pending} + packetBytes;
}

const char* RingWriter::attach(uint8_t* memory, size_t bytes) {
  if (const char* fault = Ring::attach(memory, bytes)) return fault;
  write_ = loadRelaxed(writeIndex());
  return isIndex(write_) ? nullptr : "write index is not valid";
}

uint64_t RingWriter::packetBytes(size_t payloadBytes) {
  return kDescriptorBytes + (uint64_t{payloadBytes} + 7) / 8 * 8 + kFooterBytes;
}

bool RingWriter::canEverFit(size_t payloadBytes) const {
  // The length field counts 8-byte units in 16 bits; and a packet must leave a byte of an empty
  // ring free.
  return payloadBytes <= std::numeric_limits<uint16_t>::max() * 8u - kDescriptorBytes &&
         packetBytes(payloadBytes) < dataBytes_;
}

void RingWriter::copyIn(uint32_t index, const void* from, uint32_t bytes) {
  const auto* source = static_cast<const uint8_t*>(from);
  const uint32_t first = std::min(bytes, dataBytes_ - index);
  if (first > 0) std::memcpy(data_ + index, source, first);
  if (bytes > first) std::memcpy(data_, source + first, bytes - first);
}

WriteResult RingWriter::write(uint16_t type, uint16_t flags, uint64_t transactionId,
                              const uint8_t* payload, size_t bytes, bool& signalPeer) {
  signalPeer = false;
  if (!canEverFit(bytes)) return WriteResult::tooLong;
  const uint32_t total = static_cast<uint32_t>(packetBytes(bytes));
  const uint32_t read = loadAcquire(readIndex());
  if (!isIndex(read)) {
    fault_ = "read index is not valid";
    return WriteResult::corrupt;
  }
  const uint32_t free = dataBytes_ - distance(read, write_);
  if (free <= total) return WriteResult::full;

  const uint32_t start = write_;
  const uint32_t length = total - kFooterBytes;
  const uint16_t descriptor[4] = {type, kDescriptorBytes / 8, static_cast<uint16_t>(length / 8),
                                  flags};
  const uint32_t footer[2] = {0, start};
  const uint64_t padding = 0;
  const uint32_t count = static_cast<uint32_t>(bytes);
  copyIn(start, descriptor, sizeof(descriptor));
  copyIn(advance(start, 8), &transactionId, sizeof(transactionId));
  copyIn(advance(start, kDescriptorBytes), payload, count);
  copyIn(advance(start, kDescriptorBytes + count), &padding, length - kDescriptorBytes - count);
  copyIn(advance(start, length), footer, sizeof(footer));

  write_ = advance(start, total);
  storeRelease(writeIndex(), write_);
  // Against the reader's pair: store mask 0, full barrier, load write index.
  fullBarrier();
  if (loadRelaxed(interruptMask()) != 0) return WriteResult::written;
  // Only a reader that had taken everything sleeps. Acquire would add nothing: nothing is read by
  // this index.
  signalPeer = loadRelaxed(readIndex()) == start;
  return WriteResult::written;
}

bool RingWriter::awaitSpace(size_t payloadBytes) {
  const uint32_t total = static_cast<uint32_t>(packetBytes(payloadBytes));
  storeRelaxed(pendingSendSize(), total);
  // Against the reader's pair: store read index, full barrier, load pending send size.
  fullBarrier();
  const uint32_t read = loadAcquire(readIndex());
  // A broken index counts as room: the next write then says what is wrong.
  return !isIndex(read) || dataBytes_ - distance(read, write_) > total;
}

void RingWriter::stopWaiting() {
  // Relaxed: a reader that still sees the old value signals once too often.
  storeRelaxed(pendingSendSize(), 0);
}

void initialiseRing(uint8_t* memory) {
  std::memset(memory, 0, kRingPageBytes);
  memory[64] = 1;
}

}  // namespace vmic
