#include "guard/superblock.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "guard/text.h"

namespace vmic::guard {
namespace {

/// More than any tree of mounts is deep: ends the search where mounts change under it.
constexpr int kMaxHidingMounts = 1000;

struct Mount {
  int id;
  int parent;
  Device device;
  /// As mountinfo shows it, with escapes.
  const char* point;
  size_t pointLength;
};

/// What the calling thread's mount namespace holds.
class MountTable {
 public:
  MountTable() = default;
  MountTable(const MountTable&) = delete;
  MountTable& operator=(const MountTable&) = delete;
  ~MountTable() {
    std::free(text_);
    std::free(mounts_);
  }

  Failure read();
  const Mount* begin() const { return mounts_; }
  const Mount* end() const { return mounts_ + count_; }
  const Mount* find(int id) const;
  /// True when `id` is `mount` or one of those it is mounted on.
  bool isAncestor(int id, const Mount& mount) const;

 private:
  Failure readText();

  char* text_ = nullptr;
  Mount* mounts_ = nullptr;
  size_t count_ = 0;
};

Failure MountTable::readText() {
  // Threads can have mount namespaces of their own.
  Fd file(::open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!file) return {errno, "mountinfo"};
  size_t room = 1 << 16;
  size_t length = 0;
  for (;;) {
    char* text = static_cast<char*>(std::realloc(text_, room));
    if (text == nullptr) return {ENOMEM, "mountinfo"};
    text_ = text;
    const ssize_t count = ::read(file.get(), text_ + length, room - length - 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {errno, "mountinfo"};
    length += static_cast<size_t>(count);
    text_[length] = '\0';
    if (count == 0) return {};
    if (room - length < 4096) room *= 2;
  }
}

/// "36 35 98:0 /root-in-the-file-system /mount/point options..."
bool parseMount(const char*& at, Mount& mount) {
  uint64_t id = 0;
  uint64_t parent = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
  if (!takeNumber(at, INT_MAX, id) || !take(at, " ") || !takeNumber(at, INT_MAX, parent) ||
      !take(at, " "))
    return false;
  if (!takeNumber(at, UINT32_MAX, major) || !take(at, ":") || !takeNumber(at, UINT32_MAX, minor))
    return false;
  if (!take(at, " ")) return false;
  takeWord(at);
  if (!take(at, " ")) return false;
  mount.id = static_cast<int>(id);
  mount.parent = static_cast<int>(parent);
  mount.device = {static_cast<uint32_t>(major), static_cast<uint32_t>(minor)};
  mount.point = at;
  mount.pointLength = takeWord(at);
  return true;
}

Failure MountTable::read() {
  if (const Failure failure = readText()) return failure;
  std::free(mounts_);
  mounts_ = static_cast<Mount*>(std::calloc(countLines(text_) + 1, sizeof(Mount)));
  count_ = 0;
  if (mounts_ == nullptr) return {ENOMEM, "mountinfo"};
  for (const char* at = text_; *at != '\0';) {
    if (parseMount(at, mounts_[count_])) ++count_;
    at += std::strcspn(at, "\n");
    if (*at == '\n') ++at;
  }
  return {};
}

const Mount* MountTable::find(int id) const {
  for (const Mount& mount : *this) {
    if (mount.id == id) return &mount;
  }
  return nullptr;
}

bool MountTable::isAncestor(int id, const Mount& mount) const {
  const Mount* at = &mount;
  // Ends also where the table was read while mounts changed and has a loop.
  for (size_t steps = 0; at != nullptr && steps <= count_; ++steps) {
    if (at->id == id || at->parent == id) return true;
    at = find(at->parent);
  }
  return false;
}

/// Every kernel tells the mount of an open file here.
Failure mountOf(int fd, int& id) {
  char path[64];
  putNumber(putText(path, "/proc/thread-self/fdinfo/"), fd);
  Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return {errno, "fdinfo"};
  char text[1024];
  const ssize_t count = ::read(file.get(), text, sizeof(text) - 1);
  if (count < 0) return {errno, "fdinfo"};
  text[count] = '\0';
  const char* at = std::strstr(text, "mnt_id:\t");
  uint64_t number = 0;
  if (at == nullptr || !take(at, "mnt_id:\t") || !takeNumber(at, INT_MAX, number))
    return {EPROTO, "fdinfo"};
  id = static_cast<int>(number);
  return {};
}

/// Looks where a path leads, without opening what is there: no device or pipe is touched.
Failure look(const char* path, Fd& seen, int& mountId) {
  seen = Fd(::open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!seen) return {errno, "open"};
  return mountOf(seen.get(), mountId);
}

Failure openSeen(const Fd& seen, Fd& opened) {
  struct stat file = {};
  if (::fstat(seen.get(), &file) < 0) return {errno, "fstat"};
  if (!S_ISDIR(file.st_mode) && !S_ISREG(file.st_mode)) return {EMEDIUMTYPE, "open"};
  char path[64];
  putNumber(putText(path, "/proc/thread-self/fd/"), seen.get());
  opened = Fd(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!opened) return {errno, "open"};
  return {};
}

bool pathOf(const Mount& mount, char (&path)[PATH_MAX]) {
  if (mount.pointLength >= PATH_MAX) return false;
  unescape(mount.point, mount.pointLength, path);
  return true;
}

/// Where other mounts hide it, its path leads elsewhere or nowhere.
bool isHidden(const Failure& failure) { return failure.code == ESTALE || failure.code == ENOENT; }

/// By the first of its mounts to which its path leads. `isMounted`: the table has any.
Failure openByPath(const MountTable& table, Device device, Fd& opened, bool& isMounted) {
  Failure why;
  isMounted = false;
  char path[PATH_MAX];
  for (const Mount& mount : table) {
    if (!(mount.device == device)) continue;
    isMounted = true;
    Fd seen;
    int mountId = -1;
    Failure failure = {ENAMETOOLONG, "open"};
    if (pathOf(mount, path)) failure = look(path, seen, mountId);
    if (!failure && mountId != mount.id) failure = {ESTALE, "open"};
    if (!failure) failure = openSeen(seen, opened);
    if (!failure) return {};
    why = failure;
  }
  return why;
}

/// Takes away what lies on the way to `mount`: goes down its path, and unmounts whatever is met
/// that it isn't mounted on.
Failure uncover(const MountTable& table, const Mount& mount, Fd& opened) {
  char path[PATH_MAX];
  if (!pathOf(mount, path)) return {ENAMETOOLONG, "open"};
  char* end = path + 1;
  for (int taken = 0; taken < kMaxHidingMounts;) {
    const char kept = *end;
    *end = '\0';
    Fd seen;
    int mountId = -1;
    if (const Failure failure = look(path, seen, mountId)) return failure;
    if (kept == '\0' && mountId == mount.id) return openSeen(seen, opened);
    // On the way all that it is mounted on is right; at the end only itself is.
    const Mount* met = table.find(mountId);
    const bool below = met != nullptr && table.isAncestor(mountId, mount);
    if (!below) {
      if (path[1] == '\0') return {ESTALE, "open"};
      if (::umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) return {errno, "umount"};
      ++taken;
    }
    *end = kept;
    if (!below) continue;
    if (kept == '\0') return {ESTALE, "open"};
    if (end > path + 1) ++end;
    end += std::strcspn(end, "/");
  }
  return {ELOOP, "umount"};
}

/// In a copy of the mount namespace, which ends with this; what was opened stays open.
Failure openHidden(Device device, Fd& opened) {
  Fd origin(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!origin) return {errno, "ns/mnt"};
  Failure why = {ESTALE, "open"};
  // Each attempt takes mounts away, so each gets a copy of its own.
  for (size_t attempt = 0;; ++attempt) {
    if (::unshare(CLONE_NEWNS) < 0) return {errno, "unshare"};
    MountTable table;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
      why = {errno, "mount"};
    } else if (const Failure failure = table.read()) {
      why = failure;
    }
    size_t skip = attempt;
    const Mount* wanted = nullptr;
    for (const Mount& mount : table) {
      if (mount.device == device && skip-- == 0) {
        wanted = &mount;
        break;
      }
    }
    const Failure failure = wanted == nullptr ? why : uncover(table, *wanted, opened);
    const bool isBack = ::setns(origin.get(), CLONE_NEWNS) == 0;
    if (!failure || wanted == nullptr || !isBack) return failure;
    why = failure;
  }
}

}  // namespace

Failure openSuperblock(Device device, Fd& opened) {
  MountTable table;
  if (const Failure failure = table.read()) return failure;
  bool isMounted = false;
  const Failure failure = openByPath(table, device, opened, isMounted);
  if (!isMounted) return {ENOENT, "mountinfo"};
  if (!failure) return {};
  const Failure hidden = openHidden(device, opened);
  if (!hidden) return {};
  // Whatever else was wrong tells more than that there is no other way either.
  const Failure& why = isHidden(failure) ? hidden : failure;
  return isHidden(why) ? Failure{ESTALE, why.call} : why;
}

Failure writeOut(int fd) {
  if (::syncfs(fd) < 0) return {errno, "syncfs"};
  return {};
}

Failure freeze(int fd) {
  if (::ioctl(fd, FIFREEZE, 0) < 0) return {errno, "FIFREEZE"};
  return {};
}

Failure thaw(int fd) {
  if (::ioctl(fd, FITHAW, 0) < 0) return {errno, "FITHAW"};
  return {};
}

}  // namespace vmic::guard
