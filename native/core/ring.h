#pragma once

#include <cstddef>
#include <cstdint>

namespace vmic {

constexpr size_t kRingPageBytes = 4096;
constexpr size_t kMaxRingBytes = size_t{256} << 20;

/**
 * One ring: a control page, then the data.
 *
 *   offset size
 *        0    4  write index, bytes into the data; the writer's
 *        4    4  read index, bytes into the data; the reader's
 *        8    4  interrupt mask; the reader's: 1 = do not signal me when you write
 *       12    4  pending send size; the writer's: bytes it waits to have free, 0 = not waiting
 *       64    4  feature bits; bit 0: pending send size is honoured
 *     4096       data, a multiple of 8 bytes
 *
 * Source: struct hv_ring_buffer in include/linux/hyperv.h. The other side is another agent (a host,
 * a process) which may write anything at any time, so:
 * - an index we own is kept privately and only ever stored, never read back;
 * - an index we do not own is loaded once, then checked;
 * - every byte of a packet is loaded once; decisions are made on that copy.
 *
 * Packet (struct vmpacket_descriptor): {type u16, data offset u16 and length u16 in units of 8
 * bytes, flags u16, transaction id u64}, payload padded to 8, footer {u32 0, start offset u32}. The
 * length counts descriptor and payload.
 */
class Ring {
 public:
  /// Null, or what is wrong with the size or the alignment.
  const char* attach(uint8_t* memory, size_t bytes);
  uint32_t dataBytes() const { return dataBytes_; }

 protected:
  static constexpr uint32_t kDescriptorBytes = 16;
  static constexpr uint32_t kFooterBytes = 8;

  uint32_t* field(size_t offset) const { return reinterpret_cast<uint32_t*>(control_ + offset); }
  uint32_t* writeIndex() const { return field(0); }
  uint32_t* readIndex() const { return field(4); }
  uint32_t* interruptMask() const { return field(8); }
  uint32_t* pendingSendSize() const { return field(12); }
  uint32_t* featureBits() const { return field(64); }

  bool isIndex(uint32_t value) const { return value < dataBytes_ && value % 8 == 0; }
  uint32_t advance(uint32_t index, uint32_t bytes) const;
  uint32_t distance(uint32_t from, uint32_t to) const {
    return to >= from ? to - from : dataBytes_ - from + to;
  }

  uint8_t* control_ = nullptr;
  uint8_t* data_ = nullptr;
  uint32_t dataBytes_ = 0;
};

struct Packet {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint64_t transactionId = 0;
  uint32_t payloadBytes = 0;
  /// The peer waited for space, and taking this packet made enough: signal it.
  bool signalPeer = false;
};

enum class ReadResult { packet, empty, corrupt };

/// The end that takes packets.
class RingReader : public Ring {
 public:
  const char* attach(uint8_t* memory, size_t bytes);

  /// Asks the writer not to signal.
  void mask();
  /// True when there is something (or something wrong) to read.
  bool look() const;
  /// Asks it to signal again, then looks: true when there is something (or something wrong) to
  /// read.
  bool unmaskAndLook();
  /// Copies one packet's payload to `into` and gives its space back.
  ReadResult read(uint8_t* into, size_t capacity, Packet& packet);
  /// The check that made `read` say corrupt.
  const char* fault() const { return fault_; }

 private:
  ReadResult corrupt(const char* check);
  void copyOut(uint8_t* into, uint32_t index, uint32_t bytes) const;
  bool publish(uint32_t packetBytes);

  uint32_t read_ = 0;
  const char* fault_ = "";
};

enum class WriteResult { written, full, tooLong, corrupt };

/// The end that puts packets.
class RingWriter : public Ring {
 public:
  const char* attach(uint8_t* memory, size_t bytes);

  /// Puts one packet. `signalPeer` (when written): the peer has to be woken.
  WriteResult write(uint16_t type, uint16_t flags, uint64_t transactionId, const uint8_t* payload,
                    size_t bytes, bool& signalPeer);
  bool canEverFit(size_t payloadBytes) const;
  /// After `full`: asks the reader to signal once a packet of this payload fits. True when it fits
  /// already.
  bool awaitSpace(size_t payloadBytes);
  /// Takes that back.
  void stopWaiting();
  const char* fault() const { return fault_; }

 private:
  static uint64_t packetBytes(size_t payloadBytes);
  void copyIn(uint32_t index, const void* from, uint32_t bytes);

  uint32_t write_ = 0;
  const char* fault_ = "";
};

/// Makes fresh memory a ring: indices 0, interrupts unmasked, pending send size honoured.
void initialiseRing(uint8_t* memory);

}  // namespace vmic
