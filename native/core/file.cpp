#include "core/file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <memory>
#include <new>

namespace vmic {
namespace {

Failure setOfdLock(int fd, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  // fcntl would take a byte range; 0 and 0 is the whole file however it grows.
  while (::fcntl(fd, F_OFD_SETLK, &lock) < 0) {
    if (errno != EINTR) return {errno, "fcntl"};
  }
  return {};
}

Failure setFlock(int fd, int operation) {
  while (::flock(fd, operation | LOCK_NB) < 0) {
    if (errno != EINTR) return {errno, "flock"};
  }
  return {};
}

/// What the child is to do and what came of it. It lies in the parent's stack, which the child
/// shares.
struct Job {
  int fd;
  // Writes `data`; or, when `data` is null, moves [from, size) to `position` through `scratch` and
  // cuts the file.
  const uint8_t* data;
  size_t bytes;
  off_t position;
  off_t from;
  off_t size;
  uint8_t* scratch;
  size_t scratchBytes;

  volatile size_t done;
  volatile int error;
  const char* volatile call;
};

// What runs in the child is on memory shared with the suspended parent: system calls only, no
// allocation, no lock, no exit handler. Nor does a sanitizer instrument it: its marks on a stack
// that is left without returning would stay.
#define IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

IN_CHILD void fail(Job& job, const char* call) {
  job.error = errno;
  job.call = call;
}

IN_CHILD bool writeAll(Job& job, const uint8_t* data, size_t bytes, off_t position) {
  size_t done = 0;
  while (done < bytes) {
    const long count = ::syscall(SYS_pwrite64, job.fd, data + done, bytes - done,
                                 position + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      if (count == 0) errno = ENOSPC;
      fail(job, "pwrite");
      return false;
    }
    done += static_cast<size_t>(count);
    job.done = job.done + static_cast<size_t>(count);
  }
  return true;
}

IN_CHILD void moveForward(Job& job) {
  off_t from = job.from;
  off_t to = job.position;
  while (from < job.size) {
    const size_t wanted =
        static_cast<size_t>(std::min<off_t>(static_cast<off_t>(job.scratchBytes), job.size - from));
    const long count = ::syscall(SYS_pread64, job.fd, job.scratch, wanted, from);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      // Shorter than the caller believes: cutting now would drop bytes somebody else knows about.
      if (count == 0) errno = ESTALE;
      return fail(job, "pread");
    }
    if (!writeAll(job, job.scratch, static_cast<size_t>(count), to)) return;
    from += count;
    to += count;
  }
  while (::syscall(SYS_ftruncate, job.fd, to) < 0) {
    if (errno != EINTR) return fail(job, "ftruncate");
  }
}

IN_CHILD void work(Job& job) {
  if (job.data != nullptr) {
    writeAll(job, job.data, job.bytes, job.position);
  } else {
    moveForward(job);
  }
}

IN_CHILD int child(void* argument) {
  work(*static_cast<Job*>(argument));
  ::syscall(SYS_exit_group, 0);
  return 0;
}

/**
 * Does the job in a process of its own which shares our memory. The kernel copies a write page by
 * page and gives up between two pages when the writing process has been killed
 * (generic_perform_write); the child is no target of a signal sent to us, and being suspended
 * (CLONE_VFORK) does not make its life depend on ours.
 *
 * Its exit signal is 0: no SIGCHLD, so that libuv's own children are not disturbed, and only a wait
 * that asks for such children (__WALL) sees it.
 *
 * Where there can be no such child (a limit on processes is reached, or what emulates the kernel
 * knows none) we do it: a change that a kill could tear is better than none.
 */
Failure runInChild(Job& job) {
  job.done = 0;
  job.error = 0;
  job.call = "";

  // The raw call, as glibc's keeps two signals of its own out of the set: nothing may run a handler
  // in the child.
  const uint64_t everySignal = std::numeric_limits<uint64_t>::max();
  uint64_t before = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &everySignal, &before, sizeof(everySignal));
  alignas(16) uint8_t stack[16 * 1024];
  const int pid = ::clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK, &job);
  if (pid < 0) {
    work(job);
  } else {
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  if (job.error != 0) return {job.error, job.call};
  return {};
}

struct Span {
  size_t begin;
  size_t end;
};

bool liesInOnePage(const Span& span, off_t position) {
  const off_t pageBytes = ::sysconf(_SC_PAGESIZE);
  return (position + static_cast<off_t>(span.begin)) / pageBytes ==
         (position + static_cast<off_t>(span.end) - 1) / pageBytes;
}

/**
 * The part of `data` that differs from what the file holds; all of it when that can't be told. Most
 * changes of a record are a few bytes of its value: they lie in one page although the record does
 * not, and a child costs as much as thirty writes.
 */
Span changed(int fd, const uint8_t* data, size_t bytes, off_t position) {
  uint8_t held[4096];
  if (bytes > sizeof(held)) return {0, bytes};
  if (::pread(fd, held, bytes, position) != static_cast<ssize_t>(bytes)) return {0, bytes};
  size_t begin = 0;
  // At least one byte, so that the file's times move as by any write.
  while (begin + 1 < bytes && held[begin] == data[begin]) ++begin;
  size_t end = bytes;
  while (end > begin + 1 && held[end - 1] == data[end - 1]) --end;
  return {begin, end};
}

}  // namespace

Failure tryLock(int fd, LockMode mode, bool& held) {
  held = false;
  Failure failure = setOfdLock(fd, mode == LockMode::shared ? F_RDLCK : F_WRLCK);
  if (!failure) {
    failure = setFlock(fd, mode == LockMode::shared ? LOCK_SH : LOCK_EX);
    if (!failure) {
      held = true;
      return {};
    }
  }
  // A failed conversion may have lost the flock and kept the other, so both are given up.
  unlock(fd);
  if (failure.code == EAGAIN || failure.code == EACCES) return {};
  return failure;
}

Failure unlock(int fd) {
  const Failure flocked = setFlock(fd, LOCK_UN);
  const Failure ofd = setOfdLock(fd, F_UNLCK);
  return flocked ? flocked : ofd;
}

Failure writeWhole(int fd, const uint8_t* data, size_t bytes, off_t position, size_t& written) {
  written = 0;
  if (position < 0 || bytes > static_cast<size_t>(std::numeric_limits<off_t>::max() - position)) {
    return {EINVAL, "pwrite"};
  }
  if (bytes == 0) return {};
  Span span = {0, bytes};
  if (!liesInOnePage(span, position)) span = changed(fd, data, bytes, position);
  if (liesInOnePage(span, position)) {
    ssize_t count;
    do {
      count = ::pwrite(fd, data + span.begin, span.end - span.begin,
                       position + static_cast<off_t>(span.begin));
    } while (count < 0 && errno == EINTR);
    if (count < 0) return {errno, "pwrite"};
    const size_t reached = span.begin + static_cast<size_t>(count);
    written = reached == span.end ? bytes : reached;
    return {};
  }
  Job job = {};
  job.fd = fd;
  job.data = data;
  job.bytes = bytes;
  job.position = position;
  const Failure failure = runInChild(job);
  written = job.done;
  return written > 0 ? Failure{} : failure;
}

Failure removeRange(int fd, off_t position, off_t length, off_t size) {
  if (position < 0 || length < 0 || size < 0 || position > size || length > size - position) {
    return {EINVAL, "pwrite"};
  }
  if (length == 0) return {};
  struct stat now = {};
  if (::fstat(fd, &now) < 0) return {errno, "fstat"};
  // Cutting by a stale size would drop what somebody appended meanwhile.
  if (now.st_size != size) return {ESTALE, "fstat"};
  Job job = {};
  job.fd = fd;
  job.position = position;
  job.from = position + length;
  job.size = size;
  // Whole multiples of what is removed: were a move to fail between two chunks, records would still
  // be aligned.
  constexpr off_t kScratchBytes = 256 * 1024;
  off_t chunk = length >= kScratchBytes ? kScratchBytes : kScratchBytes / length * length;
  chunk = std::max<off_t>(1, std::min(chunk, size - job.from));
  job.scratchBytes = static_cast<size_t>(chunk);
  const std::unique_ptr<uint8_t[]> scratch(new (std::nothrow) uint8_t[job.scratchBytes]);
  if (!scratch) return {ENOMEM, "malloc"};
  job.scratch = scratch.get();
  return runInChild(job);
}

}  // namespace vmic
