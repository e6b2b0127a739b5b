#include "core/watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

namespace vmic {

Failure openDirectoryWatch(const char* path, Fd& fd) {
  fd = Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return {errno, "inotify_init1"};
  constexpr uint32_t kMask = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE |
                             IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                             IN_ONLYDIR;
  if (::inotify_add_watch(fd.get(), path, kMask) < 0) return {errno, "inotify_add_watch"};
  return {};
}

Failure drainDirectoryWatch(int fd, std::vector<DirectoryChange>& changes) {
  alignas(inotify_event) char buffer[64 * (sizeof(inotify_event) + NAME_MAX + 1)];
  for (;;) {
    const ssize_t count = ::read(fd, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return {};
    if (count < 0) return {errno, "read"};
    if (count == 0) return {};
    for (ssize_t at = 0; at < count;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof(event));
      const char* name = buffer + at + sizeof(event);
      // The name is padded with NULs up to event.len.
      changes.push_back({std::string(name, ::strnlen(name, event.len)), event.mask});
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
}

Failure openAddressWatch(Fd& fd) {
  fd = Fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return {errno, "socket"};
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
    return {errno, "bind"};
  return {};
}

Failure drainAddressWatch(int fd, bool& changed) {
  changed = false;
  // What changed is asked anew from the kernel, so a cut notification is as good as a whole one.
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::recv(fd, buffer, sizeof(buffer), 0);
    if (count >= 0) {
      changed = true;
    } else if (errno == ENOBUFS) {
      changed = true;  // notifications were lost
    } else if (errno == EAGAIN) {
      return {};
    } else if (errno != EINTR) {
      return {errno, "recv"};
    }
  }
}

}  // namespace vmic
