// A process to be killed in the middle of changing a file, by core.test.ts.
// Usage: core_file whole|plain|remove|once FILE BYTES
//   whole, plain: write BYTES of 'A' and BYTES of 'B' in turn, 2,000 bytes into FILE, until killed:
//   by writeWhole, or by pwrite remove: FILE holds records of 2,560 bytes; remove the first and
//   append its successor, until killed once: write BYTES of 'A' at the beginning of FILE, take the
//   first away again, and end
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/file.h"

namespace {

constexpr size_t kRecordBytes = 2560;
constexpr off_t kPosition = 2000;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

/// Every byte pair of a record is its number, so that a torn or shifted one shows.
void fill(std::vector<uint8_t>& record, uint16_t number) {
  for (size_t at = 0; at < record.size(); at += 2) std::memcpy(record.data() + at, &number, 2);
}

}  // namespace

#ifdef clone
/// Stands in for the system's: no child can be had.
extern "C" int clone(int (*)(void*), void*, int, void*, ...) noexcept {
  errno = EAGAIN;
  return -1;
}
#endif

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string mode = argv[1];
  const int fd = ::open(argv[2], O_RDWR | O_CLOEXEC);
  if (fd < 0) fail("open");
  // Held by the child, too, that does the writing: whoever gets it afterwards sees a finished
  // change.
  bool held = false;
  if (vmic::tryLock(fd, vmic::LockMode::exclusive, held) || !held) fail("tryLock");
  // The test kills once it has seen this.
  if (::write(STDOUT_FILENO, "ready\n", 6) != 6) fail("write");
  if (mode == "remove") {
    std::vector<uint8_t> record(kRecordBytes);
    struct stat file;
    if (::fstat(fd, &file) < 0) fail("fstat");
    const off_t size = file.st_size;
    uint16_t number = 0;
    if (::pread(fd, &number, 2, size - 2) != 2) fail("pread");
    for (;;) {
      if (vmic::removeRange(fd, 0, kRecordBytes, size)) fail("removeRange");
      fill(record, ++number);
      size_t written = 0;
      if (vmic::writeWhole(fd, record.data(), record.size(),
                           size - static_cast<off_t>(kRecordBytes), written) ||
          written != record.size()) {
        fail("writeWhole");
      }
    }
  }
  std::vector<uint8_t> bytes(std::strtoull(argv[3], nullptr, 10));
  if (mode == "once") {
    std::memset(bytes.data(), 'A', bytes.size());
    size_t written = 0;
    if (vmic::writeWhole(fd, bytes.data(), bytes.size(), 0, written) || written != bytes.size())
      fail("writeWhole");
    if (vmic::removeRange(fd, 0, 1, static_cast<off_t>(written))) fail("removeRange");
    return 0;
  }
  for (uint8_t letter = 'A';; letter ^= 'A' ^ 'B') {
    std::memset(bytes.data(), letter, bytes.size());
    size_t written = 0;
    if (mode == "whole") {
      if (vmic::writeWhole(fd, bytes.data(), bytes.size(), kPosition, written)) fail("writeWhole");
    } else {
      const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), kPosition);
      if (count < 0) fail("pwrite");
      written = static_cast<size_t>(count);
    }
    if (written != bytes.size()) return 3;
  }
}
