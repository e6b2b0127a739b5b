// Sinks and the form of their messages, on memory of exactly the size they were told, for the
// sanitizers. By core.test.ts. Usage: core_sink ROUNDS SEED
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/sink.h"

using vmic::Fd;
using vmic::FileSink;
using vmic::PartForm;

namespace {

std::mt19937_64 generator;

size_t below(size_t limit) { return generator() % limit; }

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

/// A copy that ends where its last byte does, so that a sanitizer sees a read beyond.
std::unique_ptr<uint8_t[]> exact(const std::vector<uint8_t>& bytes) {
  auto copy = std::make_unique<uint8_t[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.get(), bytes.data(), bytes.size());
  return copy;
}

/// The same question, asked slowly: byte by byte.
size_t expected(const PartForm& form, const std::vector<uint8_t>& message, uint64_t position,
                uint64_t left) {
  if (message.size() != form.messageBytes) return 0;
  uint64_t offset = 0;
  uint32_t size = 0;
  for (size_t i = 0; i < form.sample.size(); ++i) {
    if (i >= form.offsetAt && i < form.offsetAt + 8) {
      offset |= uint64_t{message[i]} << 8 * (i - form.offsetAt);
    } else if (i >= form.sizeAt && i < form.sizeAt + 4) {
      size |= uint32_t{message[i]} << 8 * (i - form.sizeAt);
    } else if (message[i] != form.sample[i]) {
      return 0;
    }
  }
  return offset == position && size <= form.roomBytes && size <= left ? size : 0;
}

PartForm randomForm() {
  PartForm form;
  form.sample.resize(below(40));
  for (uint8_t& byte : form.sample) byte = static_cast<uint8_t>(below(3));
  form.messageBytes = below(80);
  form.offsetAt = below(40);
  form.sizeAt = below(40);
  form.roomBytes = below(50);
  return form;
}

bool isSoundSlowly(const PartForm& form) {
  std::vector<int> uses(form.sample.size());
  for (size_t i = form.offsetAt; i < form.offsetAt + 8; ++i) {
    if (i >= uses.size() || uses[i]++ > 0) return false;
  }
  for (size_t i = form.sizeAt; i < form.sizeAt + 4; ++i) {
    if (i >= uses.size() || uses[i]++ > 0) return false;
  }
  return form.sample.size() + form.roomBytes <= form.messageBytes;
}

void fuzzForm(size_t rounds) {
  size_t sound = 0;
  size_t parts = 0;
  for (size_t round = 0; round < rounds; ++round) {
    const PartForm form = randomForm();
    if (form.isSound() != isSoundSlowly(form)) fail("soundness");
    if (!form.isSound()) continue;
    ++sound;
    const uint64_t position = below(3) == 0 ? generator() : below(100);
    const uint64_t left = below(60);
    std::vector<uint8_t> message(below(8) == 0 ? below(80) : form.messageBytes);
    if (!message.empty())
      std::memcpy(message.data(), form.sample.data(), std::min(message.size(), form.sample.size()));
    if (message.size() >= form.sample.size()) {
      const uint64_t offset = below(6) == 0 ? generator() : position;
      const uint32_t size =
          below(6) == 0 ? static_cast<uint32_t>(generator()) : static_cast<uint32_t>(below(50));
      std::memcpy(message.data() + form.offsetAt, &offset, 8);
      std::memcpy(message.data() + form.sizeAt, &size, 4);
    }
    if (below(4) == 0 && !message.empty()) message[below(message.size())] ^= 1;
    const auto bytes = exact(message);
    const size_t part = form.partOf(bytes.get(), message.size(), position, left);
    if (part != expected(form, message, position, left)) fail("part");
    if (part > 0) ++parts;
  }
  if (sound < rounds / 100 || parts < rounds / 1000) fail("the fuzzer meets too little");
}

void fuzzSink(size_t rounds) {
  for (size_t round = 0; round < rounds / 1000; ++round) {
    const size_t size = below(20000);
    const int memory = ::memfd_create("sink", MFD_CLOEXEC);
    if (memory < 0) fail("memfd_create");
    FileSink sink(Fd(memory), size);
    std::vector<uint8_t> whole;
    while (sink.left() > 0) {
      std::vector<uint8_t> part(below(7000));
      for (uint8_t& byte : part) byte = static_cast<uint8_t>(generator());
      const auto bytes = exact(part);
      const bool fits = part.size() <= size - whole.size();
      if (static_cast<bool>(sink.write(bytes.get(), part.size())) == fits) fail("write");
      if (fits) whole.insert(whole.end(), part.begin(), part.end());
      if (sink.position() != whole.size() || sink.left() != size - whole.size()) fail("position");
    }
    std::vector<uint8_t> written(size + 1);
    if (::pread(memory, written.data(), written.size(), 0) != static_cast<ssize_t>(size))
      fail("size");
    written.resize(size);
    if (written != whole) fail("content");
    sink.close();
    if (!sink.write(written.data(), 0)) fail("a closed sink takes something");
  }
}

/// Beyond what is written back on the way.
void bigSink() {
  const int memory = ::memfd_create("sink", MFD_CLOEXEC);
  constexpr size_t kPart = 1 << 20;
  constexpr size_t kParts = 70;
  FileSink sink(Fd(memory), kPart * kParts);
  std::vector<uint8_t> part(kPart);
  for (size_t i = 0; i < kParts; ++i) {
    std::memset(part.data(), static_cast<int>(i), part.size());
    if (sink.write(part.data(), part.size())) fail("big write");
  }
  for (size_t i = 0; i < kParts; ++i) {
    uint8_t first = 0;
    if (::pread(memory, &first, 1, static_cast<off_t>(i * kPart)) != 1 || first != i)
      fail("big content");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const size_t rounds = std::strtoull(argv[1], nullptr, 10);
  generator.seed(std::strtoull(argv[2], nullptr, 10));
  fuzzForm(rounds);
  fuzzSink(rounds);
  bigSink();
  return 0;
}
