// The long runs of core_ring: see there.
#include <semaphore.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core_ring.h"

namespace {

void awaitSignal(sem_t& wake, const char* who) {
  timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 30;
  while (sem_timedwait(&wake, &deadline) != 0) {
    if (errno == EINTR) continue;
    std::fprintf(stderr, "%s: a wake-up was lost\n", who);
    std::exit(1);
  }
}

}  // namespace

void fuzz(uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Memory memory;
  std::vector<uint8_t> payload(2 * kDataBytes, 3);
  std::vector<uint8_t> into(512);
  uint64_t packets = 0, corrupt = 0, written = 0, refused = 0;
  for (uint64_t round = 0; round < count; ++round) {
    // Mostly plausible, so that not everything fails at the first check.
    const auto index = [&]() -> uint32_t {
      const uint64_t dice = random();
      if (dice % 16 == 0) return static_cast<uint32_t>(dice >> 32);
      return static_cast<uint32_t>(dice >> 32) % (kDataBytes / 8) * 8;
    };
    memory.writeIndex() = memory.readIndex() = index();
    memory.features() = static_cast<uint32_t>(random());
    RingReader reader;
    RingWriter writer;
    const bool readable = reader.attach(memory.get(), kRingBytes) == nullptr;
    const bool writable = writer.attach(memory.get(), kRingBytes) == nullptr;
    for (int step = 0; step < 8; ++step) {
      for (int damage = 0; damage < 16; ++damage) {
        const uint64_t dice = random();
        // A descriptor's words, small values preferred.
        const uint64_t value = dice % 4 == 0 ? random() : random() & 0x003f003f003f003f;
        std::memcpy(memory.data() + (dice >> 8) % (kDataBytes / 8) * 8, &value, 8);
      }
      memory.pending() =
          random() % 4 == 0 ? static_cast<uint32_t>(random()) : random() % kDataBytes;
      memory.mask() = random() % 2;
      if (readable) {
        memory.writeIndex() = index();
        Packet packet;
        const ReadResult result = reader.read(into.data(), into.size(), packet);
        if (result == ReadResult::packet) {
          ++packets;
          CHECK(packet.payloadBytes <= into.size() && packet.payloadBytes % 8 == 0);
          CHECK(memory.readIndex() < kDataBytes && memory.readIndex() % 8 == 0);
        } else if (result == ReadResult::corrupt) {
          ++corrupt;
          CHECK(reader.fault()[0] != 0);
        }
        reader.unmaskAndLook();
      }
      if (writable) {
        memory.readIndex() = index();
        bool signal = false;
        const size_t bytes = random() % 8 == 0 ? random() % payload.size() : random() % 256;
        const WriteResult result = writer.write(6, 0, round, payload.data(), bytes, signal);
        if (result == WriteResult::written) {
          ++written;
          CHECK(memory.writeIndex() < kDataBytes && memory.writeIndex() % 8 == 0);
        } else {
          ++refused;
          CHECK(!signal);
          if (result == WriteResult::full) writer.awaitSpace(bytes);
        }
      }
    }
  }
  std::printf("fuzz: %llu packets, %llu corrupt, %llu written, %llu refused\n",
              static_cast<unsigned long long>(packets), static_cast<unsigned long long>(corrupt),
              static_cast<unsigned long long>(written), static_cast<unsigned long long>(refused));
  // A run that only ever failed at the first check would prove nothing.
  CHECK(packets > count / 100 && corrupt > count / 100 && written > count / 100 &&
        refused > count / 100);
}

void stress(uint64_t count, uint64_t seed, const std::string& slow) {
  Memory memory;
  sem_t readerWake, writerWake;
  sem_init(&readerWake, 0, 0);
  sem_init(&writerWake, 0, 0);
  RingReader reader;
  RingWriter writer;
  CHECK(reader.attach(memory.get(), kRingBytes) == nullptr);
  CHECK(writer.attach(memory.get(), kRingBytes) == nullptr);
  uint64_t readerSignals = 0, writerSignals = 0, wraps = 0;
  // Long enough that the other side catches up, and of every length below that.
  const auto dawdle = [](std::mt19937_64& random) {
    for (uint64_t spin = random() % 512; spin > 0; --spin) __asm__ volatile("" ::: "memory");
  };

  std::thread writing([&] {
    std::mt19937_64 random(seed);
    std::vector<uint8_t> payload(1500);
    uint32_t last = 0;
    for (uint64_t sequence = 0; sequence < count; ++sequence) {
      if (slow == "writer") dawdle(random);
      const size_t bytes = random() % (random() % 8 == 0 ? payload.size() : 64);
      std::memset(payload.data(), static_cast<int>(sequence * 37 & 0xff), bytes);
      bool signal = false;
      while (writer.write(6, static_cast<uint16_t>(bytes), sequence, payload.data(), bytes,
                          signal) != WriteResult::written) {
        if (!writer.awaitSpace(bytes)) awaitSignal(writerWake, "writer");
      }
      writer.stopWaiting();
      if (signal) {
        ++writerSignals;
        sem_post(&readerWake);
      }
      const uint32_t now = memory.writeIndex();
      if (now < last) ++wraps;
      last = now;
    }
  });

  std::vector<uint8_t> into(1504);
  uint64_t expected = 0;
  std::mt19937_64 random(~seed);
  reader.mask();
  while (expected < count) {
    if (slow == "reader") dawdle(random);
    Packet packet;
    const ReadResult result = reader.read(into.data(), into.size(), packet);
    if (result == ReadResult::empty) {
      if (!reader.unmaskAndLook()) awaitSignal(readerWake, "reader");
      reader.mask();
      continue;
    }
    if (result == ReadResult::corrupt) std::fprintf(stderr, "fault: %s\n", reader.fault());
    CHECK(result == ReadResult::packet);
    CHECK(packet.transactionId == expected);
    const size_t bytes = packet.flags;
    CHECK(packet.payloadBytes == (bytes + 7) / 8 * 8);
    for (size_t at = 0; at < packet.payloadBytes; ++at) {
      CHECK(into[at] == (at < bytes ? static_cast<uint8_t>(expected * 37 & 0xff) : 0));
    }
    ++expected;
    if (packet.signalPeer) {
      ++readerSignals;
      sem_post(&writerWake);
    }
  }
  writing.join();
  std::printf("stress: %llu packets, %llu wraps, %llu signals by the writer, %llu by the reader\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(wraps),
              static_cast<unsigned long long>(writerSignals),
              static_cast<unsigned long long>(readerSignals));
  CHECK(wraps > 0);
  CHECK(slow == "reader" || writerSignals > 0);
  CHECK(slow == "writer" || readerSignals > 0);
  CHECK(memory.readIndex() == memory.writeIndex());
}
