/// What the parts of the ring core's tests share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "core/ring.h"

using vmic::Packet;
using vmic::ReadResult;
using vmic::RingReader;
using vmic::RingWriter;
using vmic::WriteResult;

constexpr uint32_t kDataBytes = 4096;
constexpr uint32_t kRingBytes = 4096 + kDataBytes;

/// Exactly as long as the ring, so that the sanitizer sees one byte beyond.
struct Memory {
  explicit Memory(size_t bytes = kRingBytes)
      : bytes(static_cast<uint8_t*>(std::aligned_alloc(4096, bytes))) {
    std::memset(this->bytes.get(), 0, bytes);
    vmic::initialiseRing(this->bytes.get());
  }
  uint8_t* get() { return bytes.get(); }
  uint32_t& word(size_t offset) { return *reinterpret_cast<uint32_t*>(bytes.get() + offset); }
  uint32_t& writeIndex() { return word(0); }
  uint32_t& readIndex() { return word(4); }
  uint32_t& mask() { return word(8); }
  uint32_t& pending() { return word(12); }
  uint32_t& features() { return word(64); }
  uint8_t* data() { return bytes.get() + 4096; }

  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t, Free> bytes;
};

/// A hostile other side: any bytes anywhere, changed between calls. Only the sanitizers and the
/// invariants judge.
void fuzz(uint64_t count, uint64_t seed);

/**
 * One thread writes, one reads, both sleep by the rules: the reader after unmasking and looking
 * again, the writer after setting its pending send size. A lost wake-up or a torn packet fails.
 * With one side slow ("writer", "reader"), the other one goes to sleep all the time, at ever
 * different moments: that is where a missing barrier shows.
 */
void stress(uint64_t count, uint64_t seed, const std::string& slow);
