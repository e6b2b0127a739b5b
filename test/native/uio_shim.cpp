// Preloaded into a test's child: makes $VMIC_SHIM_UIO look like a device of uio_hv_generic, on top
// of a simulated host's seqpacket socket ($VMIC_SHIM_SOCKET). As in the driver, a write of 1 clears
// the inbound ring's interrupt mask and signals the host, a write of 0 sets the mask; a read gives
// the number of events so far, or EIO after a rescind.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/socket.h"

namespace {

int device = -1;
int memory = -1;
uint32_t events;
uint8_t* rings;
size_t mapBytes;

template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int attach() {
  vmic::Fd connection, shared;
  size_t totalBytes = 0;
  if (vmic::connectSeqpacket(std::getenv("VMIC_SHIM_SOCKET"), connection) ||
      vmic::receiveRingMemory(connection.get(), 5, shared, totalBytes)) {
    errno = ENXIO;
    return -1;
  }
  memory = shared.release();
  return device = connection.release();
}

int openAny(const char* path, int flags, int mode) {
  const char* ours = std::getenv("VMIC_SHIM_UIO");
  if (ours != nullptr && std::strcmp(path, ours) == 0) return attach();
  return real<int(const char*, int, ...)>("open64")(path, flags, mode);
}

void* mapAny(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  auto* map = real<void*(void*, size_t, int, int, int, off_t)>("mmap64");
  if (fd < 0 || fd != device) return map(at, bytes, protection, flags, fd, offset);
  mapBytes = bytes;
  rings = static_cast<uint8_t*>(map(at, bytes, protection, flags, memory, offset));
  return rings;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

#define OPEN(name)                                    \
  EXPORT int name(const char* path, int flags, ...) { \
    va_list list;                                     \
    va_start(list, flags);                            \
    const int mode = va_arg(list, int);               \
    va_end(list);                                     \
    return openAny(path, flags, mode);                \
  }
OPEN(open)
OPEN(open64)

EXPORT void* mmap(void* at, size_t bytes, int protection, int flags, int fd,
                  off_t offset) noexcept {
  return mapAny(at, bytes, protection, flags, fd, offset);
}
EXPORT void* mmap64(void* at, size_t bytes, int protection, int flags, int fd,
                    off64_t offset) noexcept {
  return mapAny(at, bytes, protection, flags, fd, offset);
}

EXPORT ssize_t write(int fd, const void* from, size_t bytes) {
  auto* next = real<ssize_t(int, const void*, size_t)>("write");
  if (fd < 0 || fd != device) return next(fd, from, bytes);
  uint32_t word = 0;
  if (bytes != sizeof(word)) {
    errno = EINVAL;
    return -1;
  }
  std::memcpy(&word, from, sizeof(word));
  // Inbound is the second half; the mask lies at 8.
  __atomic_store_n(reinterpret_cast<uint32_t*>(rings + mapBytes / 2 + 8), word == 0 ? 1 : 0,
                   __ATOMIC_SEQ_CST);
  if (word != 0 && next(fd, from, bytes) < 0 && errno != EAGAIN) return -1;
  return sizeof(word);
}

EXPORT ssize_t read(int fd, void* into, size_t bytes) {
  auto* next = real<ssize_t(int, void*, size_t)>("read");
  if (fd < 0 || fd != device) return next(fd, into, bytes);
  const uint32_t before = events;
  uint32_t word = 0;
  ssize_t got;
  while ((got = next(fd, &word, sizeof(word))) > 0) ++events;
  if (events == before) {
    errno = got < 0 && errno == EAGAIN ? EAGAIN : EIO;
    return -1;
  }
  std::memcpy(into, &events, sizeof(events));
  return sizeof(events);
}
