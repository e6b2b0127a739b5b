// Tests of the ring core, compiled with sanitizers by core.test.ts.
// Usage: core_ring unit | fuzz COUNT SEED | stress COUNT SEED [writer|reader]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "core_ring.h"

namespace {

bool same(const char* a, const char* b) { return std::strcmp(a, b) == 0; }

/// One packet as the kernel would lay it out: written by hand, not by RingWriter.
const uint8_t kPacket[] = {
    6,    0,    2,    0,    3,    0,    1,    0,     // type 6, data at 2 * 8, length 3 * 8, flags 1
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // transaction id
    'p',  'a',  'y',  'l',  'o',  'a',  'd',  0,     // payload, 7 bytes and padding
    0,    0,    0,    0,    0,    0,    0,    0,     // footer: start offset 0
};

void layout() {
  Memory memory;
  RingWriter writer;
  CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
  CHECK(writer.dataBytes() == kDataBytes);
  bool signal = false;
  const uint8_t payload[] = {'p', 'a', 'y', 'l', 'o', 'a', 'd'};
  CHECK(writer.write(6, 1, 0x1122334455667788, payload, 7, signal) == WriteResult::written);
  CHECK(std::memcmp(memory.data(), kPacket, sizeof(kPacket)) == 0);
  CHECK(memory.writeIndex() == 32);
  CHECK(signal);

  // The second one starts at 32, and says so in its footer. Nobody has read: no signal.
  CHECK(writer.write(11, 0, 1, nullptr, 0, signal) == WriteResult::written);
  const uint8_t second[] = {11, 0, 2, 0, 2, 0, 0, 0, 1,  0, 0, 0,
                            0,  0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0};
  CHECK(std::memcmp(memory.data() + 32, second, sizeof(second)) == 0);
  CHECK(memory.writeIndex() == 56);
  CHECK(!signal);
}

void reading() {
  Memory memory;
  RingReader reader;
  CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
  Packet packet;
  uint8_t into[64];
  CHECK(reader.read(into, sizeof(into), packet) == ReadResult::empty);
  std::memcpy(memory.data(), kPacket, sizeof(kPacket));
  memory.writeIndex() = 32;
  CHECK(reader.read(into, sizeof(into), packet) == ReadResult::packet);
  CHECK(packet.type == 6 && packet.flags == 1 && packet.transactionId == 0x1122334455667788 &&
        packet.payloadBytes == 8);
  CHECK(std::memcmp(into, "payload", 8) == 0);
  CHECK(memory.readIndex() == 32);
  CHECK(!packet.signalPeer);
  CHECK(reader.read(into, sizeof(into), packet) == ReadResult::empty);
}

/// Every place of the wrap: descriptor, payload and footer each across the end of the ring.
void wrapping() {
  for (uint32_t start = kDataBytes - 64; start < kDataBytes; start += 8) {
    Memory memory;
    memory.writeIndex() = memory.readIndex() = start;
    RingWriter writer;
    RingReader reader;
    CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
    CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
    uint8_t payload[29];
    for (uint8_t at = 0; at < sizeof(payload); ++at) payload[at] = static_cast<uint8_t>(at + start);
    bool signal = false;
    CHECK(writer.write(6, 0, start, payload, sizeof(payload), signal) == WriteResult::written);
    CHECK(memory.writeIndex() == (start + 16 + 32 + 8) % kDataBytes);
    // The footer's start offset, 4 bytes before the write index.
    const uint32_t footer = (memory.writeIndex() + kDataBytes - 4) % kDataBytes;
    CHECK(memory.word(4096 + footer) == start);
    Packet packet;
    uint8_t into[32];
    CHECK(reader.read(into, sizeof(into), packet) == ReadResult::packet);
    CHECK(packet.transactionId == start && packet.payloadBytes == 32);
    CHECK(std::memcmp(into, payload, sizeof(payload)) == 0);
    CHECK(into[29] == 0 && into[30] == 0 && into[31] == 0);
  }
}

/// Each breaks one thing of a good packet.
void malformedPackets() {
  struct Case {
    const char* name;
    uint32_t writeIndex;
    uint16_t offset8;
    uint16_t length8;
    size_t capacity;
    const char* fault;  // null: good
  };
  const Case cases[] = {
      {"good", 32, 2, 3, 8, nullptr},
      {"good without payload", 32, 3, 3, 8, nullptr},
      {"write index unaligned", 36, 2, 3, 8, "write index is not valid"},
      {"write index one past the end", kDataBytes, 2, 3, 8, "write index is not valid"},
      {"write index far away", 0xfffffff8, 2, 3, 8, "write index is not valid"},
      {"half a descriptor", 8, 2, 3, 8, "packet is shorter than its descriptor"},
      {"descriptor without footer", 16, 2, 2, 8, "packet is shorter than its descriptor"},
      {"data offset 0", 32, 0, 3, 64, "packet data begins inside the descriptor"},
      {"data offset in the descriptor", 32, 1, 3, 64, "packet data begins inside the descriptor"},
      {"data offset beyond the length", 32, 4, 3, 8, "packet data begins beyond the packet"},
      {"data offset enormous", 32, 0xffff, 3, 8, "packet data begins beyond the packet"},
      {"length 0", 32, 2, 0, 8, "packet data begins beyond the packet"},
      {"length shorter than the descriptor", 32, 2, 1, 8, "packet data begins beyond the packet"},
      {"length takes the footer", 32, 2, 4, 64, "packet is longer than what was written"},
      {"length beyond what was written", 32, 2, 5, 64, "packet is longer than what was written"},
      {"length enormous", 32, 2, 0xffff, 64, "packet is longer than what was written"},
      {"longer than the buffer", 32, 2, 3, 7, "packet is longer than the receive buffer"},
  };
  for (const Case& c : cases) {
    Memory memory;
    std::memcpy(memory.data(), kPacket, sizeof(kPacket));
    std::memcpy(memory.data() + 2, &c.offset8, 2);
    std::memcpy(memory.data() + 4, &c.length8, 2);
    RingReader reader;
    CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
    memory.writeIndex() = c.writeIndex;
    const std::unique_ptr<uint8_t[]> into(new uint8_t[c.capacity]);
    Packet packet;
    const ReadResult result = reader.read(into.get(), c.capacity, packet);
    const bool right = c.fault == nullptr
                           ? result == ReadResult::packet
                           : result == ReadResult::corrupt && same(reader.fault(), c.fault);
    if (!right)
      std::fprintf(stderr, "case '%s': result %d, fault '%s'\n", c.name, static_cast<int>(result),
                   reader.fault());
    CHECK(right);
    // What is broken is not taken.
    CHECK(memory.readIndex() == (c.fault == nullptr ? 32u : 0u));
  }
}

void malformedControlPages() {
  for (const uint32_t index :
       {4u, 4092u, kDataBytes, kDataBytes + 8, 0x80000000u, 0xfffffff8u, 0xffffffffu}) {
    Memory memory;
    RingReader reader;
    RingWriter writer;
    memory.readIndex() = index;
    CHECK(same(reader.attach(memory.get(), kRingBytes), "read index is not valid"));
    CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
    bool signal = false;
    CHECK(writer.write(6, 0, 0, nullptr, 0, signal) == WriteResult::corrupt);
    CHECK(same(writer.fault(), "read index is not valid"));
    CHECK(memory.writeIndex() == 0);
    memory.readIndex() = 0;
    memory.writeIndex() = index;
    CHECK(same(writer.attach(memory.get(), kRingBytes), "write index is not valid"));
  }
  Memory memory;
  RingReader reader;
  CHECK(reader.attach(memory.get(), 4096) != nullptr);        // no data
  CHECK(reader.attach(memory.get(), 4096 + 512) != nullptr);  // no whole pages
  CHECK(reader.attach(memory.get() + 4, kRingBytes) != nullptr);
  CHECK(reader.attach(memory.get(), vmic::kMaxRingBytes + 4096) != nullptr);
}

/// Our own index lies in shared memory for the other side only: what it writes there does not move
/// us.
void ownIndicesArePrivate() {
  Memory memory;
  RingReader reader;
  RingWriter writer;
  CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
  CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
  memory.writeIndex() = 800;
  bool signal = false;
  CHECK(writer.write(6, 0, 42, nullptr, 0, signal) == WriteResult::written);
  CHECK(memory.writeIndex() == 24);
  memory.readIndex() = 800;
  Packet packet;
  CHECK(reader.read(nullptr, 0, packet) == ReadResult::packet);
  CHECK(packet.transactionId == 42);
  CHECK(memory.readIndex() == 24);
}

void signalling() {
  Memory memory;
  RingReader reader;
  RingWriter writer;
  CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
  CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
  Packet packet;
  bool signal = false;
  const auto write = [&] {
    CHECK(writer.write(6, 0, 0, nullptr, 0, signal) == WriteResult::written);
  };
  const auto read = [&] { CHECK(reader.read(nullptr, 0, packet) == ReadResult::packet); };
  write();
  CHECK(signal);  // empty to non-empty
  write();
  CHECK(!signal);  // was not empty
  read();
  write();
  CHECK(!signal);  // one was left
  read();
  read();
  write();
  CHECK(signal);  // empty again, although not at offset 0
  read();
  reader.mask();
  CHECK(memory.mask() == 1);
  write();
  CHECK(!signal);                 // masked
  CHECK(reader.unmaskAndLook());  // so the reader has to look by itself
  CHECK(memory.mask() == 0);
  read();
  CHECK(!reader.unmaskAndLook());
  write();
  CHECK(signal);
}

void fullRing() {
  Memory memory;
  RingReader reader;
  RingWriter writer;
  CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
  CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
  Packet packet;
  bool signal = false;
  std::vector<uint8_t> payload(kDataBytes, 7);
  std::vector<uint8_t> into(kDataBytes);
  // 4,096 bytes: a packet of 4,096 would make full look like empty, 4,088 is the longest.
  CHECK(writer.write(6, 0, 0, payload.data(), kDataBytes - 24, signal) == WriteResult::tooLong);
  CHECK(!writer.canEverFit(kDataBytes - 24));
  CHECK(writer.write(6, 0, 0, payload.data(), kDataBytes - 32, signal) == WriteResult::written);
  CHECK(writer.write(6, 0, 0, nullptr, 0, signal) == WriteResult::full);
  CHECK(reader.read(into.data(), into.size(), packet) == ReadResult::packet);
  CHECK(packet.payloadBytes == kDataBytes - 32);

  // Four of 1,016 leave 32 bytes: 24 fit, 32 do not.
  for (int count = 0; count < 4; ++count) {
    CHECK(writer.write(6, 0, 0, payload.data(), 1016 - 24, signal) == WriteResult::written);
  }
  CHECK(writer.write(6, 0, 0, payload.data(), 8, signal) == WriteResult::full);
  CHECK(memory.pending() == 0);

  // Waiting for 2,032: after one packet 1,048 are free, after two 2,064.
  CHECK(!writer.awaitSpace(2032 - 24));
  CHECK(memory.pending() == 2032);
  const auto readOne = [&] {
    CHECK(reader.read(into.data(), into.size(), packet) == ReadResult::packet);
  };
  readOne();
  CHECK(!packet.signalPeer);
  readOne();
  CHECK(packet.signalPeer);  // at the step over the limit
  readOne();
  CHECK(!packet.signalPeer);  // not again, although still pending
  CHECK(writer.write(6, 0, 0, payload.data(), 2032 - 24, signal) == WriteResult::written);
  writer.stopWaiting();
  CHECK(memory.pending() == 0);
  readOne();
  CHECK(!packet.signalPeer);  // nobody waits
  readOne();

  // Exactly enough is not enough.
  for (int count = 0; count < 4; ++count) {
    CHECK(writer.write(6, 0, 0, payload.data(), 1016 - 24, signal) == WriteResult::written);
  }
  CHECK(!writer.awaitSpace(1048 - 24));
  readOne();
  CHECK(!packet.signalPeer);
  readOne();
  CHECK(packet.signalPeer);

  // The peer does not know pending send size: never.
  memory.features() = 0;
  CHECK(!writer.awaitSpace(3064 - 24));
  readOne();
  CHECK(!packet.signalPeer);
  readOne();
  CHECK(!packet.signalPeer);

  // Room that came before the wait is seen by the wait.
  CHECK(writer.awaitSpace(8));
}

void longestLengthField() {
  Memory memory(vmic::kRingPageBytes + (1u << 20));
  RingReader reader;
  RingWriter writer;
  CHECK(reader.attach(memory.get(), vmic::kRingPageBytes + (1u << 20)) == nullptr);
  CHECK(writer.attach(memory.get(), vmic::kRingPageBytes + (1u << 20)) == nullptr);
  const size_t longest = 65535 * 8 - 16;
  std::vector<uint8_t> payload(longest + 1, 9);
  bool signal = false;
  CHECK(writer.write(6, 0, 0, payload.data(), longest + 1, signal) == WriteResult::tooLong);
  CHECK(writer.write(6, 0, 0, payload.data(), longest, signal) == WriteResult::written);
  Packet packet;
  CHECK(reader.read(payload.data(), payload.size(), packet) == ReadResult::packet);
  CHECK(packet.payloadBytes == longest);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  if (mode == "unit") {
    layout();
    reading();
    wrapping();
    malformedPackets();
    malformedControlPages();
    ownIndicesArePrivate();
    signalling();
    fullRing();
    longestLengthField();
    std::printf("unit: good\n");
  } else if (mode == "fuzz") {
    fuzz(count, seed);
  } else if (mode == "stress") {
    stress(count, seed, argc > 4 ? argv[4] : "");
  } else {
    std::fprintf(stderr,
                 "usage: core_ring unit | fuzz COUNT SEED | stress COUNT SEED [writer|reader]\n");
    return 2;
  }
  return 0;
}
