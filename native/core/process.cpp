#include "core/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "core/birth.h"

namespace vmic {
namespace {

// Younger than the C library of some systems we are built on; the same number on every
// architecture (asm-generic/unistd.h).
constexpr long kPidfdOpen = 434;
/// What is still in a process' pipes comes within this time of its end; a child it left behind may
/// keep them open for ever.
constexpr std::chrono::milliseconds kDrain{200};
constexpr size_t kThreadStackBytes = 256 * 1024;
/// One of the outputs: read to its end, its beginning kept.
struct Output {
  std::unique_ptr<uint8_t[]> kept;
  size_t keptBytes = 0;
  Fd fd;

  void read(size_t limit) {
    uint8_t scratch[16 * 1024];
    const ssize_t count = ::read(fd.get(), scratch, sizeof(scratch));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (count <= 0) return fd.reset();
    const size_t taken = std::min(limit - keptBytes, static_cast<size_t>(count));
    if (taken == 0) return;
    std::memcpy(kept.get() + keptBytes, scratch, taken);
    keptBytes += taken;
  }
};

/// Starts a thread that nobody joins and that no signal is handled in.
Failure startThread(void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) return {error, "pthread_attr_init"};
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kThreadStackBytes);
  sigset_t every;
  sigset_t before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return error == 0 ? Failure{} : Failure{error, "pthread_create"};
}

void count(int eventFd) {
  const uint64_t one = 1;
  // Can't fail: the counter is far from full
  (void)!::write(eventFd, &one, sizeof(one));
}

/// Waits until the process has ended, and leaves it unreaped.
Failure awaitEnd(pid_t pid, siginfo_t& info) {
  // __WALL: a child that has executed nothing has no exit signal
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | __WALL) < 0) {
    if (errno != EINTR) return {errno, "waitid"};
  }
  return {};
}

/// A thread that stands in for a pidfd.
struct Waiter {
  pid_t pid;
  /// The thread's own.
  int eventFd;

  static void* body(void* argument) {
    // Whoever gave it waits for the event, and no longer
    const Waiter waiter = *static_cast<Waiter*>(argument);
    siginfo_t info;
    awaitEnd(waiter.pid, info);
    count(waiter.eventFd);
    ::close(waiter.eventFd);
    return nullptr;
  }
};

}  // namespace

/// Shared by the Process and its thread; the last of them deletes it. Nothing here is locked:
/// whoever uses the Process must not wait for a thread that may be nice.
struct Process::Run {
  explicit Run(ProcessOptions&& given) : options(std::move(given)) {}

  ProcessOptions options;
  // Made before the thread starts, which allocates nothing.
  std::vector<std::string> paths;
  std::vector<const char*> candidates;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  Output output;
  Output errors;
  Fd events;

  std::atomic<int> owners{1};
  int state = kUnderWay;
  /// Written by the kernel before the child runs.
  pid_t pid = 0;
  /// For a process that is not started yet.
  std::atomic<int> pendingSignal{0};
  /// Belongs to the thread until `state` is kEnded.
  ProcessEnd end;

  void drop() {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  pid_t currentPid() const { return __atomic_load_n(&pid, __ATOMIC_SEQ_CST); }
  bool isClosed() const { return __atomic_load_n(&state, __ATOMIC_SEQ_CST) == kClosed; }

  void signal(int number) const {
    const pid_t group = currentPid();
    // The group is made by the child itself, early
    if (::kill(-group, number) < 0 && errno == ESRCH) ::kill(group, number);
  }

  void reap() const {
    while (::waitpid(currentPid(), nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }

  bool prepare();
  Failure bear();
  Failure awaitEndAndDrain();
  void lookAfter();
};

/// False: no memory.
bool Process::Run::prepare() {
  const std::string& file = options.file;
  if (file.find('/') != std::string::npos) {
    paths.push_back(file);
  } else if (!file.empty()) {
    std::string path;
    for (const std::string& variable : options.environment) {
      if (variable.compare(0, 5, "PATH=") == 0) path = variable.substr(5);
    }
    for (size_t begin = 0; begin <= path.size();) {
      const size_t end = std::min(path.find(':', begin), path.size());
      // An empty one would be the working folder, which may be anybody's
      if (end > begin) paths.push_back(path.substr(begin, end - begin) + "/" + file);
      begin = end + 1;
    }
  }
  for (const std::string& path : paths) candidates.push_back(path.c_str());
  candidates.push_back(nullptr);
  for (std::string& argument : options.arguments) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  for (std::string& variable : options.environment) environment.push_back(variable.data());
  environment.push_back(nullptr);
  for (Output* each : {&output, &errors}) {
    each->kept.reset(new (std::nothrow) uint8_t[std::max<size_t>(options.outputBytes, 1)]);
    if (!each->kept) return false;
  }
  return true;
}

Failure Process::Run::bear() {
  Fd input;
  Fd outputEnd;
  Fd errorsEnd;
  if (const Failure failure = openInput(options.input, input)) return failure;
  if (const Failure failure = openPipe(output.fd, outputEnd)) return failure;
  if (const Failure failure = openPipe(errors.fd, errorsEnd)) return failure;

  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  Birth birth = {};
  birth.candidates = candidates.data();
  birth.arguments = arguments.data();
  birth.environment = environment.data();
  birth.folder = options.folder.empty() ? nullptr : options.folder.c_str();
  birth.input = input.get();
  birth.output = outputEnd.get();
  birth.errors = errorsEnd.get();
  birth.descriptors =
      static_cast<int>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int>::max()));
  birth.state = &state;
  birth.call = "";

  if (const Failure failure = bearChild(birth, pid)) return failure;
  if (birth.error == 0) return {};
  if (std::strcmp(birth.call, "execve") == 0) end.failurePath = options.file.c_str();
  if (std::strcmp(birth.call, "chdir") == 0) end.failurePath = options.folder.c_str();
  return {birth.error, birth.call};
}

Failure Process::Run::awaitEndAndDrain() {
  using Clock = std::chrono::steady_clock;
  Fd ended(static_cast<int>(::syscall(kPidfdOpen, currentPid(), 0)));
  Waiter waiter = {};
  if (!ended) {
    // Before Linux 5.3, or in a sandbox that does not know it
    ended = Fd(::eventfd(0, EFD_CLOEXEC));
    waiter = {currentPid(), ended ? ::fcntl(ended.get(), F_DUPFD_CLOEXEC, 0) : -1};
    Failure failure =
        waiter.eventFd < 0 ? Failure{errno, "eventfd"} : startThread(Waiter::body, &waiter);
    if (failure) {
      if (waiter.eventFd >= 0) ::close(waiter.eventFd);
      signal(SIGKILL);
      siginfo_t info;
      awaitEnd(currentPid(), info);
      return failure;
    }
  }

  Failure failure;
  bool isOver = false;
  Clock::time_point deadline;
  while (!isOver || output.fd || errors.fd) {
    int timeoutMs = -1;
    if (isOver) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0 || isClosed()) break;
      timeoutMs = static_cast<int>(left);
    }
    // A negative descriptor is passed over
    pollfd watched[3] = {{isOver ? -1 : ended.get(), POLLIN, 0},
                         {output.fd.get(), POLLIN, 0},
                         {errors.fd.get(), POLLIN, 0}};
    if (::poll(watched, 3, timeoutMs) < 0) continue;
    if (watched[1].revents != 0) output.read(options.outputBytes);
    if (watched[2].revents != 0) errors.read(options.outputBytes);
    if (watched[0].revents == 0) continue;
    isOver = true;
    deadline = Clock::now() + kDrain;
    siginfo_t info = {};
    failure = awaitEnd(currentPid(), info);
    if (info.si_code == CLD_EXITED) {
      end.exitStatus = info.si_status;
    } else {
      end.signal = info.si_status;
    }
  }
  return failure;
}

void Process::Run::lookAfter() {
  // Who looks at our threads sees what this one is for
  ::prctl(PR_SET_NAME, "vmic-program");
  // This thread's alone on Linux, and inherited by the child
  errno = 0;
  const int now = ::getpriority(PRIO_PROCESS, 0);
  // A sandbox may forbid it: then all are alike
  if (errno == 0 && now < options.niceness) ::setpriority(PRIO_PROCESS, 0, options.niceness);

  Failure failure = isClosed() ? Failure{ECANCELED, "execve"} : bear();
  if (!failure) {
    if (isClosed()) signal(SIGKILL);
    if (const int waiting = pendingSignal.load()) signal(waiting);
    count(events.get());
    failure = awaitEndAndDrain();
  }
  // A child that was left behind and writes on gets SIGPIPE
  output.fd.reset();
  errors.fd.reset();
  end.failure = failure;
  if (!failure) {
    end.output = output.kept.get();
    end.outputBytes = output.keptBytes;
    end.errors = errors.kept.get();
    end.errorsBytes = errors.keptBytes;
  }
  int expected = kUnderWay;
  const bool wanted = __atomic_compare_exchange_n(&state, &expected, kEnded, false,
                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  if (wanted) {
    count(events.get());
  } else if (currentPid() > 0) {
    reap();
  }
}

Process::Process(Process&& other) noexcept : run_(std::exchange(other.run_, nullptr)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    close();
    run_ = std::exchange(other.run_, nullptr);
  }
  return *this;
}

Failure Process::start(ProcessOptions options, Process& process, Fd& events) {
  Process started;
  started.run_ = new Run(std::move(options));
  Run* run = started.run_;
  if (!run->prepare()) return {ENOMEM, "malloc"};
  Fd mine(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!mine) return {errno, "eventfd"};
  // The thread's own, as it may outlive the Process
  run->events = Fd(::fcntl(mine.get(), F_DUPFD_CLOEXEC, 0));
  if (!run->events) return {errno, "fcntl"};
  run->owners.fetch_add(1);
  const Failure failure = startThread(
      [](void* argument) -> void* {
        auto* own = static_cast<Run*>(argument);
        own->lookAfter();
        own->drop();
        return nullptr;
      },
      run);
  if (failure) {
    run->owners.fetch_sub(1);
    return failure;
  }
  process = std::move(started);
  events = std::move(mine);
  return {};
}

pid_t Process::pid() const { return run_ == nullptr ? 0 : run_->currentPid(); }

const ProcessEnd* Process::end() const {
  if (run_ == nullptr || __atomic_load_n(&run_->state, __ATOMIC_SEQ_CST) != kEnded) return nullptr;
  return &run_->end;
}

void Process::kill(int signal) {
  if (run_ == nullptr) return;
  if (run_->currentPid() == 0) run_->pendingSignal.store(signal);
  // Asked again: had it been started in between, its thread might have looked too early
  if (run_->currentPid() > 0) run_->signal(signal);
}

void Process::close() {
  if (run_ == nullptr) return;
  Run* run = std::exchange(run_, nullptr);
  // Before the state is changed, after which its thread reaps it and its number may become somebody
  // else's
  if (__atomic_load_n(&run->state, __ATOMIC_SEQ_CST) == kUnderWay && run->currentPid() > 0)
    run->signal(SIGKILL);
  const int before = __atomic_exchange_n(&run->state, kClosed, __ATOMIC_SEQ_CST);
  if (before == kEnded && run->currentPid() > 0) run->reap();
  run->drop();
}

}  // namespace vmic
