#include "guard/conversation.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "core/errno_name.h"
#include "guard/record.h"
#include "guard/recovery.h"
#include "guard/text.h"
#include "guard/understudy.h"
#include "guard/volume_freezer.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace vmic::guard {
namespace {

constexpr int64_t kRecoveryNs = 10'000'000'000;
constexpr uint64_t kMaxLimitMs = 24ull * 3600 * 1000;
constexpr size_t kMaxPlanBytes = kMaxTargets * (64 + 4 * PATH_MAX);
/// Room for one line of a report, with the longest errno name.
constexpr size_t kLineBytes = 160;

/// Signals that would end or stop us wait in a descriptor instead. Those of a crash stay what they
/// are.
int takeSignals() {
  sigset_t set;
  ::sigfillset(&set);
  for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&set, crash);
  ::sigprocmask(SIG_SETMASK, &set, nullptr);
  for (const int harmless : {SIGCHLD, SIGCONT, SIGWINCH, SIGURG, SIGPIPE, SIGIO})
    ::sigdelset(&set, harmless);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/// One heap for all threads: each would get one of its own, of 64 MiB of addresses to be locked.
void shareHeap() {
#ifdef M_ARENA_MAX
  ::mallopt(M_ARENA_MAX, 1);
#endif
}

/// Everybody waits for us while anything is frozen.
constexpr int kNice = -10;

/// What only makes us more certain to survive and to be quick, where it is allowed.
void harden() {
  // Memory we cause to be allocated in the kernel must not be got by writing to a file system that
  // is frozen.
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGUSR2);
  const Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  const bool isSafe = score && ::write(score.get(), "-1000", 5) == 5;
  const bool isFast = ::setpriority(PRIO_PROCESS, 0, kNice) == 0;
  static_cast<void>(isSafe && isFast);
}

int64_t toUs(int64_t ns) { return ns / 1000; }

const char* nameOf(Reason reason) {
  switch (reason) {
    case Reason::Told:
      return "told";
    case Reason::Limit:
      return "limit";
    case Reason::Gone:
      return "gone";
    case Reason::Signal:
      return "signal";
    default:
      return "failed";
  }
}

class Conversation {
 public:
  Conversation(int socket, int signals) : socket_(socket), interrupts_(socket, signals) {}

  int run(const char* recordPath);

 private:
  Failure recover(const char* recordPath, pid_t& holder);
  bool readPlan();
  bool readHead(size_t& bytes);
  bool readText(char* into, size_t bytes);
  bool parsePlan();
  Failure makeReady();
  void reportThaw(Reason reason);

  void begin() { at_ = report_; }
  void put(const char* text) { at_ = putText(putText(at_, text), " "); }
  void put(int64_t number) { at_ = putText(putNumber(at_, number), " "); }
  void putFailure(const Failure& failure) {
    put(failure ? errnoName(failure.code) : "-");
    put(*failure.call == '\0' ? "-" : failure.call);
  }
  void endLine() { at_[-1] = '\n'; }
  void send();
  void reportFreeze(Reason reason, const Failure& failure);

  int socket_;
  Interrupts interrupts_;
  Record record_;
  Understudy understudy_;
  VolumeFreezer* freezer_ = nullptr;
  Targets targets_;
  char* plan_ = nullptr;
  int64_t limitNs_ = 0;
  int64_t preparedNs_ = 0;
  int64_t startedNs_ = 0;
  char* report_ = nullptr;
  char* at_ = nullptr;
};

/// A daemon that doesn't read has no need of it: nothing waits for room.
void Conversation::send() {
  const char* from = report_;
  while (from < at_) {
    const ssize_t count =
        ::send(socket_, from, static_cast<size_t>(at_ - from), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return;
    from += count;
  }
}

Failure Conversation::recover(const char* recordPath, pid_t& holder) {
  if (const Failure failure = record_.acquire(recordPath, holder)) return failure;
  Recovery recovery;
  if (const Failure failure = recovery.run(record_, nowNs() + kRecoveryNs)) return failure;
  Failure why;
  for (const Target& target : recovery.targets()) {
    if (target.isHeld()) why = target.verdict ? target.verdict : target.failure;
    if (!recovery.wasFrozen(target)) continue;
    begin();
    put("recovered");
    std::memcpy(at_, target.mountPoint, target.mountPointLength);
    at_ = putText(at_ + target.mountPointLength, "\n");
    send();
  }
  return recovery.isComplete() || why ? why : Failure{EBUSY, "recovery"};
}

/// Reads exactly so many bytes. False: the daemon is gone, or we have to stop.
bool Conversation::readText(char* into, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    pollfd waited[] = {{socket_, POLLIN, 0}, {interrupts_.signals(), POLLIN, 0}};
    if (::poll(waited, 2, -1) < 0) continue;
    if (waited[1].revents != 0) return false;
    const ssize_t count = ::recv(socket_, into + done, bytes - done, MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

bool Conversation::readHead(size_t& bytes) {
  char line[64];
  size_t length = 0;
  do {
    if (length == sizeof(line) - 1 || !readText(line + length, 1)) return false;
  } while (line[length++] != '\n');
  line[length] = '\0';
  const char* at = line;
  uint64_t limitMs = 0;
  uint64_t planBytes = 0;
  if (!take(at, "freeze ") || !takeNumber(at, kMaxLimitMs, limitMs) || !take(at, " ")) return false;
  if (!takeNumber(at, kMaxPlanBytes, planBytes) || !take(at, "\n")) return false;
  limitNs_ = static_cast<int64_t>(limitMs) * 1'000'000;
  bytes = static_cast<size_t>(planBytes);
  return true;
}

bool Conversation::parsePlan() {
  const size_t lines = countLines(plan_);
  if (lines == 0 || lines > kMaxTargets) return false;
  targets_.first = makeTargets(lines);
  report_ = static_cast<char*>(std::realloc(report_, (lines + 2) * kLineBytes));
  if (targets_.first == nullptr || report_ == nullptr) return false;
  const char* at = plan_;
  while (targets_.count < lines) {
    Target& target = targets_.first[targets_.count];
    uint64_t stage = 0;
    uint64_t major = 0;
    uint64_t minor = 0;
    if (!takeNumber(at, kMaxTargets, stage) || !take(at, " ")) return false;
    target.optional = *at == 'o';
    if ((!take(at, "o ") && !take(at, "r ")) || !takeNumber(at, UINT32_MAX, major) ||
        !take(at, ":"))
      return false;
    if (!takeNumber(at, UINT32_MAX, minor) || !take(at, " ")) return false;
    target.stage = static_cast<uint32_t>(stage);
    target.device = {static_cast<uint32_t>(major), static_cast<uint32_t>(minor)};
    target.mountPoint = at;
    target.mountPointLength = takeWord(at);
    if (!take(at, "\n") || target.stage + 1 < targets_.stages()) return false;
    // The second of the same would find it frozen, and take that for somebody else's doing.
    for (const Target& other : targets_) {
      if (other.device == target.device) return false;
    }
    ++targets_.count;
  }
  return *at == '\0';
}

bool Conversation::readPlan() {
  size_t bytes = 0;
  if (!readHead(bytes)) return false;
  plan_ = static_cast<char*>(std::malloc(bytes + 1));
  if (plan_ == nullptr || !readText(plan_, bytes)) return false;
  plan_[bytes] = '\0';
  return parsePlan();
}

/// All that takes memory, before the first freeze.
Failure Conversation::makeReady() {
  freezer_ = VolumeFreezer::make();
  if (freezer_ == nullptr) return {ENOMEM, "calloc"};
  if (const Failure failure = freezer_->start(targets_)) return failure;
  return record_.write(targets_);
}

void Conversation::reportFreeze(Reason reason, const Failure& failure) {
  begin();
  for (const Target& target : targets_) {
    const State state = target.state == nullptr ? State::Planned : target.getState();
    const bool wasFrozen =
        state == State::Frozen || state == State::Thawed || state == State::ThawedByOthers;
    const bool isTheirs = state == State::Theirs;
    const bool isFrozen = wasFrozen && !target.verdict;
    put("target");
    put(&target - targets_.first);
    put(isTheirs ? "already-frozen" : isFrozen ? "frozen" : "failed");
    const bool isTold = isTheirs || isFrozen;
    putFailure(isTold ? Failure{} : target.verdict ? target.verdict : Failure{ECANCELED, ""});
    put(state == State::Thawed ? toUs(target.thawedNs - target.frozenNs) : -1);
    endLine();
  }
  const Target* fatal = freezer_ == nullptr || failure ? nullptr : freezer_->findFatal();
  put("freeze");
  put(reason == Reason::None && !failure ? "ok" : "failed");
  put(fatal == nullptr ? -1 : fatal - targets_.first);
  putFailure(failure ? failure : fatal != nullptr ? fatal->verdict : Failure{});
  put(toUs(preparedNs_));
  put(startedNs_ == 0 ? 0 : toUs(nowNs() - startedNs_));
  endLine();
  send();
}

void Conversation::reportThaw(Reason reason) {
  begin();
  for (size_t left = targets_.count; left > 0; --left) {
    const Target& target = targets_.first[left - 1];
    const State state = target.getState();
    const bool isThawed = state == State::Thawed;
    const bool byOthers = state == State::ThawedByOthers;
    if (!isThawed && !byOthers && !target.isHeld()) continue;
    put("thawed");
    put(static_cast<int64_t>(left - 1));
    put(isThawed ? "thawed" : byOthers ? "already-thawed" : "failed");
    // One that is being worked on has not told yet why it takes so long.
    put(isThawed || byOthers ? "-" : "ETIMEDOUT");
    put(isThawed || byOthers ? toUs(target.thawedNs - target.frozenNs) : -1);
    endLine();
  }
  put("thaw");
  put(nameOf(reason));
  put(freezer_->isComplete() ? "complete" : "incomplete");
  endLine();
  send();
}

int Conversation::run(const char* recordPath) {
  report_ = static_cast<char*>(std::malloc(kLineBytes + 4 * PATH_MAX));
  if (report_ == nullptr) return 1;
  pid_t holder = 0;
  const Failure refused = recover(recordPath, holder);
  begin();
  if (refused) {
    put("refused");
    putFailure(refused);
    put(holder);
  } else {
    put("hello");
    put(1);
    put(::getpid());
  }
  endLine();
  send();
  if (refused) return 1;
  if (!readPlan()) {
    record_.remove();
    return 1;
  }
  Reason reason = Reason::None;
  Failure failure = makeReady();
  const int64_t beganNs = nowNs();
  if (!failure) reason = freezer_->prepare(beganNs + limitNs_, interrupts_);
  preparedNs_ = nowNs() - beganNs;
  if (!failure && reason == Reason::None) {
    failure = understudy_.start(targets_, record_, socket_);
    // After the fork: pages shared with the child until one writes to them become ours here.
    if (!failure && ::mlockall(MCL_CURRENT | MCL_FUTURE) < 0) failure = {errno, "mlockall"};
  }
  if (failure || reason != Reason::None) {
    reportFreeze(reason, failure);
    record_.remove();
    understudy_.dismiss();
    return 1;
  }
  startedNs_ = nowNs();
  reason = freezer_->freeze(startedNs_ + limitNs_ / 2, interrupts_);
  const bool isFrozen = reason == Reason::None;
  if (isFrozen) {
    reportFreeze(reason, {});
    reason = freezer_->hold(startedNs_ + limitNs_, interrupts_);
  }
  freezer_->thaw();
  if (!isFrozen) reportFreeze(reason, {});
  reportThaw(reason);
  freezer_->finish(INT64_MAX);
  record_.remove();
  understudy_.dismiss();
  return 0;
}

}  // namespace

int runConversation(int socket, const char* recordPath) {
  const int signals = takeSignals();
  if (signals < 0) return 1;
  harden();
  shareHeap();
  Conversation conversation(socket, signals);
  return conversation.run(recordPath);
}

}  // namespace vmic::guard
