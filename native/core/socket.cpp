#include "core/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include "core/ring.h"

namespace vmic {
namespace {

constexpr uint32_t kRingMagic = 0x474e5256;  // "VRNG"

struct RingMemoryMessage {
  uint32_t magic;
  uint32_t totalBytes;
};

struct Address {
  sockaddr_un sun = {};
  socklen_t bytes = 0;
};

Failure pathAddress(const char* path, Address& address) {
  const size_t length = std::strlen(path);
  if (length == 0) return {ENOENT, "connect"};
  if (length >= sizeof(address.sun.sun_path)) return {ENAMETOOLONG, "connect"};
  address.sun.sun_family = AF_UNIX;
  std::memcpy(address.sun.sun_path, path, length + 1);
  address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + 1);
  return {};
}

Failure openSocket(int type, Fd& fd) {
  fd = Fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return {errno, "socket"};
  return {};
}

Failure bindAndListen(const Address& address, ListeningSocket& listening) {
  if (const Failure failure = openSocket(SOCK_SEQPACKET, listening.fd)) return failure;
  const auto* name = reinterpret_cast<const sockaddr*>(&address.sun);
  if (::bind(listening.fd.get(), name, address.bytes) < 0) return {errno, "bind"};
  if (::listen(listening.fd.get(), 16) < 0) return {errno, "listen"};
  struct stat file = {};
  if (::stat(address.sun.sun_path, &file) < 0) return {errno, "stat"};
  listening.device = file.st_dev;
  listening.inode = file.st_ino;
  return {};
}

int64_t nowMs() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

/// Waits until `fd` has something to read.
Failure awaitInput(int fd, int timeoutSecs) {
  const int64_t deadlineMs = nowMs() + int64_t{timeoutSecs} * 1000;
  for (;;) {
    const int64_t leftMs = deadlineMs - nowMs();
    pollfd waited = {fd, POLLIN, 0};
    const int ready = leftMs <= 0 ? 0 : ::poll(&waited, 1, static_cast<int>(leftMs));
    if (ready > 0) return {};
    if (ready == 0) return {ETIMEDOUT, "recvmsg"};
    if (errno != EINTR) return {errno, "poll"};
  }
}

}  // namespace

Failure connectSeqpacket(const char* path, Fd& connection) {
  Address address;
  if (const Failure failure = pathAddress(path, address)) return failure;
  if (const Failure failure = openSocket(SOCK_SEQPACKET, connection)) return failure;
  const auto* name = reinterpret_cast<const sockaddr*>(&address.sun);
  // On a Unix socket this never stays in progress: it connects, or the backlog is full (EAGAIN).
  while (::connect(connection.get(), name, address.bytes) < 0) {
    if (errno != EINTR) return {errno, "connect"};
  }
  return {};
}

Failure listenSeqpacket(const char* path, ListeningSocket& listening) {
  Address address;
  if (const Failure failure = pathAddress(path, address)) return failure;
  const Failure failure = bindAndListen(address, listening);
  if (failure.code != EADDRINUSE) return failure;
  struct stat file = {};
  if (::lstat(path, &file) < 0 || !S_ISSOCK(file.st_mode)) return failure;
  Fd probe;
  if (connectSeqpacket(path, probe).code != ECONNREFUSED) return failure;
  if (::unlink(path) < 0) return {errno, "unlink"};
  return bindAndListen(address, listening);
}

void removeSocketFile(const char* path, const ListeningSocket& listening) {
  struct stat file = {};
  if (::lstat(path, &file) < 0 || file.st_dev != listening.device || file.st_ino != listening.inode)
    return;
  ::unlink(path);
}

Failure sendNotify(const char* address, const char* message, size_t bytes, bool& heard) {
  heard = false;
  Address to;
  if (address[0] != '/' && address[0] != '@') return {EAFNOSUPPORT, "sendto"};
  if (const Failure failure = pathAddress(address, to)) return {failure.code, "sendto"};
  if (address[0] == '@') {
    to.sun.sun_path[0] = '\0';
    // An abstract name has no end but the address's length.
    to.bytes -= 1;
  }
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return {errno, "socket"};
  // Dropping READY=1 because the manager is busy would be as wrong as hanging because it is stuck.
  const timeval timeout = {1, 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
    return {errno, "setsockopt"};
  const auto* name = reinterpret_cast<const sockaddr*>(&to.sun);
  while (::sendto(fd.get(), message, bytes, MSG_NOSIGNAL, name, to.bytes) < 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNREFUSED || errno == ENOENT) return {};
    return {errno, "sendto"};
  }
  heard = true;
  return {};
}

Failure sendDatagram(const char* path, const uint8_t* data, size_t bytes, bool& taken) {
  taken = false;
  Address to;
  if (const Failure failure = pathAddress(path, to)) return {failure.code, "sendto"};
  Fd fd;
  if (const Failure failure = openSocket(SOCK_DGRAM, fd)) return failure;
  const auto* name = reinterpret_cast<const sockaddr*>(&to.sun);
  while (::sendto(fd.get(), data, bytes, MSG_NOSIGNAL, name, to.bytes) < 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNREFUSED || errno == ENOENT || errno == EAGAIN) return {};
    return {errno, "sendto"};
  }
  taken = true;
  return {};
}

Failure createRingMemory(size_t ringBytes, Fd& memory) {
  if (ringBytes % kRingPageBytes != 0 || ringBytes < 2 * kRingPageBytes ||
      ringBytes > kMaxRingBytes) {
    return {EINVAL, "mmap"};
  }
  memory = Fd(::memfd_create("vmic-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory) return {errno, "memfd_create"};
  if (::ftruncate(memory.get(), static_cast<off_t>(2 * ringBytes)) < 0) return {errno, "ftruncate"};
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return {errno, "fcntl"};
  return {};
}

Failure sendRingMemory(int connection, int memory, size_t totalBytes) {
  RingMemoryMessage message = {kRingMagic, static_cast<uint32_t>(totalBytes)};
  iovec part = {&message, sizeof(message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &memory, sizeof(memory));
  while (::sendmsg(connection, &header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return {errno, "sendmsg"};
  }
  return {};
}

Failure receiveRingMemory(int connection, int timeoutSecs, Fd& memory, size_t& totalBytes) {
  if (const Failure failure = awaitInput(connection, timeoutSecs)) return failure;
  RingMemoryMessage message = {};
  iovec part = {&message, sizeof(message)};
  // Room for one descriptor: the kernel closes further ones and sets MSG_CTRUNC.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t count;
  do {
    count = ::recvmsg(connection, &header, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return {errno, "recvmsg"};
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
      rights->cmsg_len == CMSG_LEN(sizeof(int))) {
    int received = -1;
    std::memcpy(&received, CMSG_DATA(rights), sizeof(received));
    memory = Fd(received);
  }
  if (count == 0) return {ECONNRESET, "recvmsg"};
  const bool whole = count == sizeof(message) && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!whole || !memory || message.magic != kRingMagic) return {EPROTO, "recvmsg"};
  struct stat file = {};
  if (::fstat(memory.get(), &file) < 0) return {errno, "fstat"};
  if (file.st_size != static_cast<off_t>(message.totalBytes)) return {EPROTO, "fstat"};
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return {EPROTO, "fcntl"};
  totalBytes = message.totalBytes;
  return {};
}

}  // namespace vmic
