#include "core/folder.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace vmic {
namespace {

// From linux/openat2.h, which headers before 5.6 don't have. The number of the call is the same on
// every architecture.
struct OpenHow {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};
constexpr long kOpenat2 = 437;
constexpr uint64_t kResolveNoMagicLinks = 0x02;
constexpr uint64_t kResolveBeneath = 0x08;
constexpr uint64_t kResolveInRoot = 0x10;

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
constexpr mode_t kOwnFolderMode = 0700;
constexpr mode_t kOwnFileMode = 0600;
constexpr size_t kMaxAttributeBytes = 65536;  // XATTR_SIZE_MAX

/// How the kernel shows a descriptor as a path, for calls that take no descriptor.
struct ProcPath {
  char text[32];
  explicit ProcPath(int fd) { std::snprintf(text, sizeof(text), "/proc/self/fd/%d", fd); }
};

Failure opened(int fd, const char* call, Fd& into) {
  if (fd < 0) return {errno, call};
  into = Fd(fd);
  return {};
}

/// Copies one extended attribute, or takes the file's own away where the entry has none.
Failure copyAttribute(const char* from, int file, const char* name) {
  std::vector<uint8_t> value(kMaxAttributeBytes);
  const ssize_t bytes = ::getxattr(from, name, value.data(), value.size());
  if (bytes < 0) {
    if (errno == EOPNOTSUPP) return {};
    if (errno != ENODATA) return {errno, "getxattr"};
    if (::fremovexattr(file, name) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
      return {errno, "fremovexattr"};
    return {};
  }
  if (::fsetxattr(file, name, value.data(), static_cast<size_t>(bytes), 0) < 0)
    return {errno, "fsetxattr"};
  return {};
}

}  // namespace

Failure walkToFolder(int folder, const char* path, Fd& into) {
  Fd at;
  if (const Failure failure = opened(::openat(folder, ".", kFolderFlags), "openat", at))
    return failure;
  const std::string names = path;
  for (size_t begin = 0; begin < names.size();) {
    const size_t slash = names.find('/', begin);
    const std::string name = names.substr(begin, slash - begin);
    begin = slash == std::string::npos ? names.size() : slash + 1;
    if (name.empty() || name == ".") continue;
    if (name == "..") return {EXDEV, "openat"};
    Fd next;
    if (const Failure failure =
            opened(::openat(at.get(), name.c_str(), kFolderFlags | O_NOFOLLOW), "openat", next)) {
      return failure;
    }
    at = std::move(next);
  }
  into = std::move(at);
  return {};
}

Failure openFolder(int folder, const char* path, Links links, Fd& into) {
  if (*path == '\0') path = ".";
  const OpenHow how = {
      kFolderFlags, 0,
      kResolveNoMagicLinks | (links == Links::beneath ? kResolveBeneath : kResolveInRoot)};
  // EAGAIN: somebody renamed something meanwhile, and the kernel can't tell any more where it is.
  // Who goes on doing that gets an error.
  for (int attempt = 0;; ++attempt) {
    const long fd = ::syscall(kOpenat2, folder, path, &how, sizeof(how));
    if (fd >= 0) {
      into = Fd(static_cast<int>(fd));
      return {};
    }
    // EPERM: a filter of system calls that does not know this one
    if (errno == ENOSYS || errno == EPERM) return walkToFolder(folder, path, into);
    if (errno != EINTR && (errno != EAGAIN || attempt == 100)) return {errno, "openat2"};
  }
}

Failure makeFolder(int folder, const char* name, Fd& into) {
  if (::mkdirat(folder, name, kOwnFolderMode) < 0) return {errno, "mkdirat"};
  Fd made;
  Failure failure = opened(::openat(folder, name, kFolderFlags | O_NOFOLLOW), "openat", made);
  if (!failure) {
    struct stat now = {};
    if (::fstat(made.get(), &now) < 0) failure = {errno, "fstat"};
    // Whoever may write to `folder` could have put another one in its place, which is not ours to
    // give away
    if (!failure && (now.st_uid != ::geteuid() || (now.st_mode & 0777) != kOwnFolderMode))
      failure = {ESTALE, "openat"};
  }
  if (failure) {
    ::unlinkat(folder, name, AT_REMOVEDIR);
    return failure;
  }
  into = std::move(made);
  return {};
}

Failure createUnnamed(int folder, Fd& file) {
  return opened(::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kOwnFileMode), "openat",
                file);
}

Failure createNamed(int folder, const char* name, Fd& file) {
  return opened(
      ::openat(folder, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, kOwnFileMode),
      "openat", file);
}

Failure nameFile(int file, int folder, const char* name) {
  if (::linkat(file, "", folder, name, AT_EMPTY_PATH) == 0) return {};
  // Without CAP_DAC_READ_SEARCH that way is closed (ENOENT); this one is open to everybody
  if (errno == ENOENT || errno == EPERM) {
    if (::linkat(AT_FDCWD, ProcPath(file).text, folder, name, AT_SYMLINK_FOLLOW) == 0) return {};
  }
  return {errno, "linkat"};
}

Failure renameFile(int fromFolder, const char* from, int toFolder, const char* to, bool replace) {
  if (replace) {
    if (::renameat(fromFolder, from, toFolder, to) < 0) return {errno, "renameat"};
    return {};
  }
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE, which old headers don't have
  if (::syscall(SYS_renameat2, fromFolder, from, toFolder, to, kNoReplace) == 0) return {};
  // EINVAL: not on this file system. A second name and the end of the first do the same.
  if (errno != EINVAL && errno != ENOSYS) return {errno, "renameat2"};
  if (::linkat(fromFolder, from, toFolder, to, 0) < 0) return {errno, "linkat"};
  ::unlinkat(fromFolder, from, 0);
  return {};
}

Failure removeEntry(int folder, const char* name, bool isFolder) {
  if (::unlinkat(folder, name, isFolder ? AT_REMOVEDIR : 0) < 0) return {errno, "unlinkat"};
  return {};
}

Failure statEntry(int folder, const char* name, struct stat& entry, bool& exists) {
  exists = ::fstatat(folder, name, &entry, AT_SYMLINK_NOFOLLOW) == 0;
  if (!exists && errno != ENOENT) return {errno, "fstatat"};
  return {};
}

Failure copyOwnership(int folder, const char* name, int file) {
  // Opened without any effect on what it is: a device would notice more than that
  Fd entry;
  if (const Failure failure =
          opened(::openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), "openat", entry))
    return failure;
  struct stat owned = {};
  if (::fstat(entry.get(), &owned) < 0) return {errno, "fstat"};
  if (!S_ISREG(owned.st_mode)) return {EINVAL, "fstat"};
  if (::fchown(file, owned.st_uid, owned.st_gid) < 0) return {errno, "fchown"};
  const ProcPath path(entry.get());
  // With an access list the group's bits of the mode are its mask: without it they would give the
  // group more than it had
  if (const Failure failure = copyAttribute(path.text, file, "system.posix_acl_access"))
    return failure;
  // A label that can't be kept is the policy's decision
  copyAttribute(path.text, file, "security.selinux");
  if (::fchmod(file, owned.st_mode & 07777) < 0) return {errno, "fchmod"};
  return {};
}

}  // namespace vmic
