#include "core/birth.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <limits>
#include <utility>

namespace vmic {
namespace {

// Younger than the C library of some systems we are built on; the same number on every
// architecture (asm-generic/unistd.h).
constexpr long kCloseRange = 436;
/// MFD_NOEXEC_SEAL: some systems allow no others (sysctl vm.memfd_noexec).
constexpr unsigned kMemfdNoexecSeal = 8;

/// Signals of Linux; those of the C library's own included.
constexpr int kSignals = 64;
constexpr size_t kSignalSetBytes = kSignals / 8;

// What runs in the child is on memory shared with the parent, one of whose threads is suspended
// while the others go on: system calls only, no allocation, no lock, no exit handler. Nor does a
// sanitizer instrument it: its marks on a stack that is left without returning would stay.
#define IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

[[noreturn]] IN_CHILD void fail(Birth& birth, int error, const char* call) {
  birth.error = error;
  birth.call = call;
  for (;;) ::syscall(SYS_exit_group, 127);
}

/// Their table is a copy: nothing of the parent's is closed.
IN_CHILD void closeOthers(const Birth& birth) {
  if (::syscall(kCloseRange, STDERR_FILENO + 1, ~0U, 0) == 0) return;
  // Before Linux 5.9, or in a sandbox that does not know it
  for (int fd = STDERR_FILENO + 1; fd < birth.descriptors; ++fd) ::syscall(SYS_close, fd);
}

IN_CHILD int child(void* argument) {
  Birth& birth = *static_cast<Birth*>(argument);
  // First of all, so that who signals the group reaches us
  if (::syscall(SYS_setpgid, 0, 0) < 0) fail(birth, errno, "setpgid");
  // Handlers are the parent's code, and what it ignores a program would ignore, too. All zero is
  // the default on every architecture.
  const uint64_t byDefault[8] = {};
  for (int signal = 1; signal <= kSignals; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, byDefault, nullptr, kSignalSetBytes);
  }
  if (::syscall(SYS_dup3, birth.input, 0, 0) < 0 || ::syscall(SYS_dup3, birth.output, 1, 0) < 0 ||
      ::syscall(SYS_dup3, birth.errors, 2, 0) < 0) {
    fail(birth, errno, "dup3");
  }
  closeOthers(birth);
  if (birth.folder != nullptr && ::syscall(SYS_chdir, birth.folder) < 0)
    fail(birth, errno, "chdir");
  const uint64_t noSignal = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &noSignal, nullptr, kSignalSetBytes);
  if (__atomic_load_n(birth.state, __ATOMIC_ACQUIRE) == kClosed) fail(birth, ECANCELED, "execve");
  // As a shell looks for a program: one that may not be executed does not hide a later one, but is
  // remembered.
  int error = ENOENT;
  for (const char* const* candidate = birth.candidates; *candidate != nullptr; ++candidate) {
    ::syscall(SYS_execve, *candidate, birth.arguments, birth.environment);
    const int reason = errno;
    if (reason == EACCES) {
      error = EACCES;
    } else if (reason != ENOENT && reason != ENOTDIR) {
      fail(birth, reason, "execve");
    }
  }
  fail(birth, error, "execve");
}

/// Moves `fd` above 2 so that the child's dup3 cannot overwrite it.
Failure keepAway(Fd& fd) {
  if (fd.get() > STDERR_FILENO) return {};
  Fd other(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!other) return {errno, "fcntl"};
  fd = std::move(other);
  return {};
}

}  // namespace

Failure openPipe(Fd& reading, Fd& writing) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {errno, "pipe2"};
  reading = Fd(ends[0]);
  writing = Fd(ends[1]);
  return keepAway(writing);
}

Failure openInput(const std::vector<uint8_t>& input, Fd& fd) {
  if (input.empty()) {
    fd = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd) return {errno, "open"};
    return keepAway(fd);
  }
  fd = Fd(::memfd_create("input", MFD_CLOEXEC | kMemfdNoexecSeal));
  // Before Linux 6.3
  if (!fd && errno == EINVAL) fd = Fd(::memfd_create("input", MFD_CLOEXEC));
  if (!fd) return {errno, "memfd_create"};
  for (size_t done = 0; done < input.size();) {
    const ssize_t count =
        ::pwrite(fd.get(), input.data() + done, input.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return {count < 0 ? errno : ENOSPC, "pwrite"};
    done += static_cast<size_t>(count);
  }
  return keepAway(fd);
}

Failure bearChild(Birth& birth, pid_t& pid) {
  // The raw call, as glibc's keeps two signals of its own out of the set: nothing may run a handler
  // in the child.
  const uint64_t everySignal = std::numeric_limits<uint64_t>::max();
  uint64_t before = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &everySignal, &before, kSignalSetBytes);
  alignas(16) uint8_t stack[16 * 1024];
  const int cloned = ::clone(child, stack + sizeof(stack),
                             CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID, &birth, &pid);
  const int cloneError = errno;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kSignalSetBytes);
  return cloned < 0 ? Failure{cloneError, "clone"} : Failure{};
}

}  // namespace vmic
