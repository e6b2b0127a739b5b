/// The ways to a RingChannel.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "addon/arguments.h"
#include "addon/error.h"
#include "addon/ring_channel.h"
#include "core/socket.h"

namespace vmic {
namespace {

constexpr int kMemoryTimeoutSecs = 5;

/// Two rings of at least a control page and a page of data, each a number of whole pages.
bool areRings(int64_t bytes) {
  return bytes >= int64_t{4 * kRingPageBytes} && bytes <= int64_t{2 * kMaxRingBytes} &&
         bytes % (2 * kRingPageBytes) == 0;
}

}  // namespace

Napi::Value RingChannel::wrap(Napi::Env env, Made& made) {
  return Environment::of(env).ringChannel.New({Napi::External<Made>::New(env, &made)});
}

Napi::Value RingChannel::openUio(const Napi::CallbackInfo& info) {
  Made made = {Kind::uio, {}, 0, {}, {}};
  if (!pathArgument(info[0], made.path))
    return throwType(info.Env(), "path must be a string without NUL");
  int64_t mapBytes = 0;
  if (!integerArgument(info[1], 0, kMaxSafeInteger, mapBytes) || !areRings(mapBytes)) {
    return throwFailure(info.Env(), {EINVAL, "mmap"}, made.path);
  }
  made.totalBytes = static_cast<size_t>(mapBytes);
  made.fd = Fd(::open(made.path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!made.fd) return throwFailure(info.Env(), {errno, "open"}, made.path);
  if (const Failure failure = made.mapping.map(made.fd.get(), made.totalBytes)) {
    return throwFailure(info.Env(), failure, made.path);
  }
  return wrap(info.Env(), made);
}

Napi::Value RingChannel::adopt(const Napi::CallbackInfo& info) {
  int fd = -1;
  int memoryFd = -1;
  int64_t mapBytes = 0;
  if (!fdArgument(info[0], fd) || !fdArgument(info[1], memoryFd)) {
    return throwType(info.Env(), "fd and memoryFd must be descriptors");
  }
  if (!integerArgument(info[2], 0, kMaxSafeInteger, mapBytes) || !areRings(mapBytes)) {
    return throwFailure(info.Env(), {EINVAL, "mmap"});
  }
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0) return throwFailure(info.Env(), {errno, "fcntl"});
  Fd memory(memoryFd == fd ? -1 : memoryFd);
  Made made = {Kind::uio, Fd(fd), static_cast<size_t>(mapBytes), {}, {}};
  struct stat file = {};
  if (::fstat(fd, &file) < 0) return throwFailure(info.Env(), {errno, "fstat"});
  if (S_ISSOCK(file.st_mode)) made.kind = Kind::guestSocket;
  // An inherited descriptor has neither.
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0) {
    return throwFailure(info.Env(), {errno, "fcntl"});
  }
  if (memory) {
    // A file that is shorter than its mapping ends its reader with SIGBUS; the memory itself can't
    // shrink (receiveRingMemory).
    if (::fstat(memory.get(), &file) < 0) return throwFailure(info.Env(), {errno, "fstat"});
    const int seals = ::fcntl(memory.get(), F_GET_SEALS);
    if (file.st_size != mapBytes || seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
      return throwFailure(info.Env(), {EPROTO, "fstat"});
    }
  }
  if (const Failure failure = made.mapping.map(memory ? memory.get() : fd, made.totalBytes)) {
    return throwFailure(info.Env(), failure);
  }
  return wrap(info.Env(), made);
}

Napi::Value RingChannel::connectSocket(const Napi::CallbackInfo& info) {
  Made made = {Kind::guestSocket, {}, 0, {}, {}};
  if (!pathArgument(info[0], made.path))
    return throwType(info.Env(), "path must be a string without NUL");
  Fd memory;
  Failure failure = connectSeqpacket(made.path.c_str(), made.fd);
  if (!failure)
    failure = receiveRingMemory(made.fd.get(), kMemoryTimeoutSecs, memory, made.totalBytes);
  if (!failure && !areRings(static_cast<int64_t>(made.totalBytes))) failure = {EPROTO, "recvmsg"};
  if (!failure) failure = made.mapping.map(memory.get(), made.totalBytes);
  if (failure) return throwFailure(info.Env(), failure, made.path);
  return wrap(info.Env(), made);
}

Napi::Value RingChannel::host(const Napi::CallbackInfo& info) {
  int fd = -1;
  int64_t ringBytes = 0;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (!integerArgument(info[1], 0, kMaxRingBytes, ringBytes))
    return throwType(info.Env(), "ringBytes must be a count");
  Made made = {Kind::hostSocket, {}, 2 * static_cast<size_t>(ringBytes), {}, {}};
  if (::fcntl(fd, F_GETFD) < 0) return throwFailure(info.Env(), {errno, "fcntl"});
  made.fd = Fd(fd);
  Fd memory;
  Failure failure = createRingMemory(static_cast<size_t>(ringBytes), memory);
  if (!failure) failure = made.mapping.map(memory.get(), made.totalBytes);
  if (!failure) {
    // Before the guest can see them.
    initialiseRing(made.mapping.data());
    initialiseRing(made.mapping.data() + ringBytes);
    failure = sendRingMemory(fd, memory.get(), made.totalBytes);
  }
  if (failure) return throwFailure(info.Env(), failure);
  return wrap(info.Env(), made);
}

}  // namespace vmic
