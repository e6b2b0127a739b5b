#include "guard/understudy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

namespace vmic::guard {
namespace {

constexpr int kReadyMs = 5000;
constexpr int kRetryMs = 1000;
constexpr int kRetries = 60;

/// Last stage first. True: none is frozen any more.
bool thawFrozen(const Targets& targets) {
  bool all = true;
  for (size_t left = targets.count; left > 0; --left) {
    Target& target = targets.first[left - 1];
    if (target.getState() != State::Frozen) continue;
    const Failure failure = thaw(target.fd.get());
    if (!failure)
      target.setState(State::Thawed);
    else if (failure.code == EINVAL)
      target.setState(State::ThawedByOthers);
    else
      all = false;
  }
  return all;
}

/// The child's life. It was forked from a process with threads: system calls only.
[[noreturn]] void stand(const Targets& targets, Record& record, int guardAlive, int ready,
                        pid_t guard) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  const int signals = ::signalfd(-1, &set, SFD_CLOEXEC);
  // The main thread of the guard ended; others may be stuck in a freeze until long after.
  ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
  ::prctl(PR_SET_NAME, "vmic-vss-second");
  const bool isLocked = ::mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
  if (signals < 0 || !isLocked || ::getppid() != guard) ::_exit(1);
  const char word = 1;
  if (::write(ready, &word, 1) != 1) ::_exit(1);
  ::close(ready);
  for (bool isOver = false; !isOver;) {
    pollfd waited[] = {{guardAlive, POLLIN, 0}, {signals, POLLIN, 0}};
    if (::poll(waited, 2, -1) < 0) continue;
    isOver = waited[0].revents != 0;
    signalfd_siginfo signal = {};
    if (waited[1].revents != 0 && ::read(signals, &signal, sizeof(signal)) < 0) continue;
    // getppid would not tell: while any thread of the guard lives, that one is our parent.
    if (signal.ssi_pid == static_cast<uint32_t>(guard)) thawFrozen(targets);
  }
  // Now nobody is left who could still be freezing.
  for (Target& target : targets) {
    if (target.getState() == State::Begun) target.setState(State::Frozen);
  }
  for (int tried = 0; !thawFrozen(targets) && tried < kRetries; ++tried)
    ::poll(nullptr, 0, kRetryMs);
  if (thawFrozen(targets)) record.remove();
  ::_exit(0);
}

}  // namespace

Failure Understudy::start(const Targets& targets, Record& record, int socket) {
  int alive[2];
  int ready[2];
  if (::pipe2(alive, O_CLOEXEC) < 0) return {errno, "pipe"};
  Fd guardAlive(alive[0]);
  alive_ = Fd(alive[1]);
  if (::pipe2(ready, O_CLOEXEC) < 0) return {errno, "pipe"};
  Fd readyIn(ready[0]);
  Fd readyOut(ready[1]);
  const pid_t guard = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) return {errno, "fork"};
  if (pid_ == 0) {
    ::close(alive[1]);
    ::close(ready[0]);
    ::close(socket);
    stand(targets, record, alive[0], ready[1], guard);
  }
  readyOut.reset();
  pollfd waited = {readyIn.get(), POLLIN, 0};
  while (::poll(&waited, 1, kReadyMs) < 0 && errno == EINTR) continue;
  char word = 0;
  if (waited.revents == 0 || ::read(readyIn.get(), &word, 1) != 1) {
    ::kill(pid_, SIGKILL);
    return {ECHILD, "understudy"};
  }
  return {};
}

void Understudy::dismiss() {
  alive_.reset();
  if (pid_ < 0) return;
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
}

}  // namespace vmic::guard
