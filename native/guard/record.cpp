#include "guard/record.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "guard/text.h"

namespace vmic::guard {
namespace {

constexpr char kHeading[] = "vmic-vss 1 ";
/// Room for a line's numbers, and for the heading.
constexpr size_t kLineBytes = 64;
constexpr size_t kMaxBytes = kMaxTargets * (kLineBytes + 4 * PATH_MAX);

/// The process's state letter and start time; false when it is gone.
bool lookAtProcess(pid_t pid, char& state, uint64_t& started) {
  char path[64];
  putText(putNumber(putText(path, "/proc/"), pid), "/stat");
  Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char text[1024];
  const ssize_t count = ::read(file.get(), text, sizeof(text) - 1);
  if (count <= 0) return false;
  text[count] = '\0';
  // The name, in parentheses, may hold anything.
  const char* at = std::strrchr(text, ')');
  if (at == nullptr || !take(at, ") ")) return false;
  state = *at;
  for (int field = 3; field < 22; ++field) {
    takeWord(at);
    if (!take(at, " ")) return false;
  }
  return takeNumber(at, UINT64_MAX / 16, started);
}

/// The heading of a record. Moves behind it.
bool takeHeading(const char*& at, pid_t& pid, uint64_t& started) {
  uint64_t number = 0;
  if (!take(at, kHeading) || !takeNumber(at, INT_MAX, number) || !take(at, " ")) return false;
  pid = static_cast<pid_t>(number);
  return takeNumber(at, UINT64_MAX / 16, started) && take(at, "\n");
}

bool takeTarget(const char*& at, Target& target) {
  uint64_t stage = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
  ++at;
  if (!take(at, " ") || !takeNumber(at, kMaxTargets, stage) || !take(at, " ")) return false;
  if (!takeNumber(at, UINT32_MAX, major) || !take(at, ":") || !takeNumber(at, UINT32_MAX, minor))
    return false;
  if (!take(at, " ")) return false;
  target.stage = static_cast<uint32_t>(stage);
  target.device = {static_cast<uint32_t>(major), static_cast<uint32_t>(minor)};
  target.mountPoint = at;
  target.mountPointLength = takeWord(at);
  return take(at, "\n");
}

/// Makes the folder of a file.
void makeFolder(const char* path) {
  char folder[PATH_MAX];
  const char* end = std::strrchr(path, '/');
  if (end == nullptr || end == path || static_cast<size_t>(end - path) >= sizeof(folder)) return;
  std::memcpy(folder, path, static_cast<size_t>(end - path));
  folder[end - path] = '\0';
  // What is wrong shows when the file is opened.
  ::mkdir(folder, 0755);
}

}  // namespace

Record::~Record() {
  if (mapped_ != nullptr) ::munmap(mapped_, mappedBytes_);
  std::free(copy_);
}

bool Record::isAtPath() const {
  struct stat there = {};
  struct stat ours = {};
  return ::stat(path_, &there) == 0 && ::fstat(file_.get(), &ours) == 0 &&
         there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

bool Record::lock() {
  if (!locked_) locked_ = ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0;
  return locked_;
}

Failure Record::open(const char* path, int flags, pid_t& holder) {
  path_ = path;
  for (;;) {
    locked_ = false;
    file_ = Fd(::open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | flags, 0600));
    if (!file_) return {errno, "open"};
    struct statfs on = {};
    struct stat file = {};
    if (::fstatfs(file_.get(), &on) < 0 || ::fstat(file_.get(), &file) < 0) return {errno, "fstat"};
    const bool stays = on.f_type == TMPFS_MAGIC || on.f_type == RAMFS_MAGIC;
    // A store into a file of a frozen file system would wait for its thaw, which is ours to do.
    if (!stays || !S_ISREG(file.st_mode)) return {EINVAL, "tmpfs"};
    const bool isLocked = lock();
    // Its holder may have removed it between our open and our lock.
    if (!isAtPath()) continue;
    if (const Failure failure = copy()) return failure;
    if (isLocked) return {};
    const char* at = copy_;
    uint64_t started = 0;
    holder = 0;
    takeHeading(at, holder, started);
    return {EBUSY, "lock"};
  }
}

Failure Record::acquire(const char* path, pid_t& holder) {
  makeFolder(path);
  return open(path, O_CREAT, holder);
}

Failure Record::inherit(const char* path, pid_t& holder) {
  const Failure failure = open(path, 0, holder);
  if (failure.code != EBUSY) return failure;
  const char* at = copy_;
  uint64_t startedThen = 0;
  if (!takeHeading(at, holder, startedThen)) return failure;
  char state = 'X';
  uint64_t started = 0;
  const bool isAlive = lookAtProcess(holder, state, started) && started == startedThen &&
                       state != 'Z' && state != 'X';
  return isAlive ? failure : Failure{};
}

Failure Record::copy() {
  struct stat file = {};
  if (::fstat(file_.get(), &file) < 0) return {errno, "fstat"};
  if (file.st_size > static_cast<off_t>(kMaxBytes)) return {EFBIG, "read"};
  const size_t bytes = static_cast<size_t>(file.st_size);
  std::free(copy_);
  copy_ = static_cast<char*>(std::malloc(bytes + 1));
  if (copy_ == nullptr) return {ENOMEM, "read"};
  size_t length = 0;
  while (length < bytes) {
    const ssize_t count =
        ::pread(file_.get(), copy_ + length, bytes - length, static_cast<off_t>(length));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {errno, "read"};
    if (count == 0) break;
    length += static_cast<size_t>(count);
  }
  copy_[length] = '\0';
  return {};
}

Failure Record::map(size_t bytes) {
  if (mapped_ != nullptr) ::munmap(mapped_, mappedBytes_);
  mapped_ = nullptr;
  if (bytes == 0) return {};
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file_.get(), 0);
  if (memory == MAP_FAILED) return {errno, "mmap"};
  mapped_ = static_cast<char*>(memory);
  mappedBytes_ = bytes;
  return {};
}

Failure Record::read(Targets& targets) {
  targets = {};
  const size_t length = std::strlen(copy_);
  // A guard killed before it wrote anything
  if (length == 0) return {};
  const char* at = copy_;
  pid_t pid = 0;
  uint64_t started = 0;
  if (!takeHeading(at, pid, started)) return {EPROTO, "record"};
  if (const Failure failure = map(length)) return failure;
  // A last line without its end was being written by a guard that had frozen nothing yet.
  const size_t lines = countLines(at);
  if (lines > kMaxTargets) return {EPROTO, "record"};
  targets.first = makeTargets(lines);
  if (targets.first == nullptr) return {ENOMEM, "record"};
  while (targets.count < lines) {
    Target& target = targets.first[targets.count];
    target.state = mapped_ + (at - copy_);
    const bool inOrder = takeTarget(at, target) && target.stage + 1 >= targets.stages();
    if (!inOrder) return {EPROTO, "record"};
    ++targets.count;
  }
  return {};
}

Failure Record::write(const Targets& targets) {
  size_t room = kLineBytes;
  for (const Target& target : targets) room += kLineBytes + target.mountPointLength;
  char* text = static_cast<char*>(std::malloc(room));
  if (text == nullptr) return {ENOMEM, "record"};
  char state = 0;
  uint64_t started = 0;
  lookAtProcess(::getpid(), state, started);
  char* at = putNumber(putText(text, kHeading), ::getpid());
  at = putText(putNumber(putText(at, " "), static_cast<int64_t>(started)), "\n");
  for (Target& target : targets) {
    // An offset until the file is mapped
    target.state = text + (at - text);
    *at++ = static_cast<char>(State::Planned);
    at = putText(putNumber(putText(at, " "), target.stage), " ");
    at = putText(putNumber(putText(putNumber(at, target.device.major), ":"), target.device.minor),
                 " ");
    std::memcpy(at, target.mountPoint, target.mountPointLength);
    at = putText(at + target.mountPointLength, "\n");
  }
  const size_t length = static_cast<size_t>(at - text);
  Failure failure;
  if (::ftruncate(file_.get(), 0) < 0) failure = {errno, "record"};
  for (size_t done = 0; !failure && done < length;) {
    const ssize_t count =
        ::pwrite(file_.get(), text + done, length - done, static_cast<off_t>(done));
    if (count < 0 && errno != EINTR) failure = {errno, "record"};
    if (count > 0) done += static_cast<size_t>(count);
  }
  if (!failure) failure = map(length);
  for (Target& target : targets) target.state = failure ? nullptr : mapped_ + (target.state - text);
  std::free(text);
  return failure;
}

void Record::remove() {
  if (locked_ && isAtPath()) ::unlink(path_);
}

}  // namespace vmic::guard
