/// vmic-vss-guard: see usage below. The daemon starts it; people use `vmic vss`.

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/errno_name.h"
#include "guard/conversation.h"
#include "guard/record.h"
#include "guard/recovery.h"

namespace {

constexpr int kSocket = 3;
constexpr int kUsage = 2;
constexpr int kGuarded = 3;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kRecoverySecs = 10;
/// A guard that was just killed needs a moment to be gone, and its understudy to thaw.
constexpr int64_t kAliveNs = 3 * kSecondNs;
constexpr int64_t kDyingNs = kSecondNs / 2;

const char kHelp[] =
    "usage: vmic-vss-guard --record FILE\n"
    "       vmic-vss-guard --thaw-recorded FILE\n"
    "\n"
    "Freezes file systems for the daemon at the other end of descriptor 3, and thaws them whatever "
    "happens to it.\n"
    "FILE lists what is frozen, and has to be on a tmpfs.\n"
    "\n"
    "--thaw-recorded: the last resort. Thaws what a guard that was killed left frozen, and nothing "
    "else.\n"
    "  exit status 0: nothing of it is frozen; 1: something still is; 3: the guard is alive, "
    "nothing was done.\n";

int failWith(const char* what, const vmic::Failure& failure) {
  std::fprintf(stderr, "vmic-vss-guard: %s: %s: %s\n", what, failure.call,
               std::strerror(failure.code));
  return 1;
}

int thawRecorded(const char* path) {
  using vmic::guard::nowNs;
  vmic::guard::Record record;
  pid_t holder = 0;
  vmic::Failure failure;
  const int64_t startNs = nowNs();
  for (;;) {
    failure = record.inherit(path, holder);
    const bool isHeld = failure ? failure.code == EBUSY : !record.isLocked();
    if (!isHeld || nowNs() - startNs > (failure ? kAliveNs : kDyingNs)) break;
    ::usleep(10'000);
  }
  if (failure.code == ENOENT) return 0;
  if (failure.code == EBUSY) {
    std::fprintf(stderr, "vmic-vss-guard: the guard (process %d) is alive: nothing was done\n",
                 holder);
    return kGuarded;
  }
  if (failure) return failWith(path, failure);
  vmic::guard::Recovery recovery;
  failure = recovery.run(record, nowNs() + kRecoverySecs * kSecondNs);
  if (failure) return failWith(path, failure);
  if (recovery.isComplete() && record.lock()) record.remove();
  // Only now: whoever reads this may be waiting for the thaw.
  for (const vmic::guard::Target& target : recovery.targets()) {
    const int length = static_cast<int>(target.mountPointLength);
    if (recovery.wasFrozen(target)) {
      std::printf("thawed %.*s\n", length, target.mountPoint);
    } else if (target.isHeld()) {
      const vmic::Failure& why = target.verdict ? target.verdict : target.failure;
      std::printf("failed %.*s %s\n", length, target.mountPoint,
                  why ? vmic::errnoName(why.code) : "ETIMEDOUT");
    }
  }
  std::fflush(stdout);
  return recovery.isComplete() ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--help") == 0) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  struct stat socket = {};
  const bool isGuard = count == 3 && std::strcmp(arguments[1], "--record") == 0;
  const bool isLastResort = count == 3 && std::strcmp(arguments[1], "--thaw-recorded") == 0;
  // What we freeze or thaw must stay free to be unmounted.
  const bool isUsable = (isGuard || isLastResort) && arguments[2][0] == '/' && ::chdir("/") == 0;
  if (isUsable && isLastResort) return thawRecorded(arguments[2]);
  if (isUsable && ::fstat(kSocket, &socket) == 0 && S_ISSOCK(socket.st_mode)) {
    ::fcntl(kSocket, F_SETFD, FD_CLOEXEC);
    const int status = vmic::guard::runConversation(kSocket, arguments[2]);
    // No destructors: threads may still be at work.
    ::_exit(status);
  }
  std::fputs(kHelp, stderr);
  return kUsage;
}
