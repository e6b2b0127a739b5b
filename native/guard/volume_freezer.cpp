#include "guard/volume_freezer.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <new>

namespace vmic::guard {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
/// What a stage's thaw may take before the next one is thawed regardless. Normal is a few
/// milliseconds.
constexpr int64_t kThawNs = 5 * kSecondNs;

bool isFatal(const Target& target) {
  // One that was unmounted since the plan was made has nothing left to be inconsistent.
  return target.verdict && !target.optional && target.verdict.code != ENOENT &&
         target.getState() != State::Theirs;
}

}  // namespace

Reason Interrupts::take(bool fromSocket, bool fromSignals) {
  if (fromSignals) {
    signalfd_siginfo signal = {};
    while (::read(signals_, &signal, sizeof(signal)) == sizeof(signal)) {
      // Asked for by prctl: our parent ended.
      return signal.ssi_signo == SIGUSR2 ? Reason::Gone : Reason::Signal;
    }
  }
  if (fromSocket) {
    char said[64];
    const ssize_t count = ::recv(socket_, said, sizeof(said), MSG_DONTWAIT);
    // There is one thing left that can be said.
    if (count > 0) return Reason::Told;
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) return Reason::Gone;
  }
  return Reason::None;
}

VolumeFreezer* VolumeFreezer::make() {
  void* memory = std::calloc(1, sizeof(VolumeFreezer));
  return memory == nullptr ? nullptr : new (memory) VolumeFreezer;
}

Failure VolumeFreezer::start(const Targets& targets) {
  targets_ = targets;
  timer_ = Fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) return {errno, "timerfd_create"};
  return pool_.start(targets);
}

template <typename Done>
Reason VolumeFreezer::await(int64_t deadlineNs, Interrupts* interrupts, Done done) {
  itimerspec at = {};
  at.it_value.tv_sec = deadlineNs / kSecondNs;
  at.it_value.tv_nsec = deadlineNs % kSecondNs;
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
  while (!done()) {
    pollfd waited[] = {
        {pool_.doneFd(), POLLIN, 0},
        {timer_.get(), POLLIN, 0},
        {interrupts == nullptr ? -1 : interrupts->socket(), POLLIN, 0},
        {interrupts == nullptr ? -1 : interrupts->signals(), POLLIN, 0},
    };
    if (::poll(waited, 4, -1) < 0) continue;
    uint64_t count = 0;
    if (waited[0].revents != 0 && ::read(pool_.doneFd(), &count, sizeof(count)) < 0) continue;
    if (interrupts != nullptr) {
      const Reason reason = interrupts->take(waited[2].revents != 0, waited[3].revents != 0);
      if (reason != Reason::None) return reason;
    }
    if (waited[1].revents != 0 && !done()) return Reason::Limit;
  }
  return Reason::None;
}

bool VolumeFreezer::isAwaited() {
  for (Target& target : targets_) {
    if (target.awaited && pool_.isBusy(target)) return true;
  }
  return false;
}

/// Takes over what came of the awaited work. What isn't done is abandoned, and counts as failed.
void VolumeFreezer::collect() {
  for (Target& target : targets_) {
    if (!target.awaited) continue;
    target.awaited = false;
    target.verdict = pool_.abandon(target) ? Failure{ETIMEDOUT, ""} : target.failure;
  }
}

const Target* VolumeFreezer::findFatal() const {
  for (const Target& target : targets_) {
    if (isFatal(target)) return &target;
  }
  return nullptr;
}

/// What the end of a wait for work means.
Reason VolumeFreezer::conclude(Reason reason) {
  // What is still being done is left to `thaw`.
  if (reason != Reason::None && reason != Reason::Limit) return reason;
  if (findFatal() != nullptr) return Reason::Failed;
  collect();
  return findFatal() == nullptr ? Reason::None : Reason::Failed;
}

Reason VolumeFreezer::prepare(int64_t deadlineNs, Interrupts& interrupts) {
  for (Target& target : targets_) {
    target.awaited = true;
    pool_.post(target, Work::Prepare);
  }
  const Reason reason = await(deadlineNs, &interrupts, [this] { return !isAwaited(); });
  return conclude(reason);
}

void VolumeFreezer::open(int64_t deadlineNs) {
  for (Target& target : targets_) {
    if (!target.isHeld()) continue;
    target.awaited = true;
    pool_.post(target, Work::Open);
  }
  await(deadlineNs, nullptr, [this] { return !isAwaited(); });
  collect();
}

Reason VolumeFreezer::freeze(int64_t deadlineNs, Interrupts& interrupts) {
  const int64_t startNs = nowNs();
  for (uint32_t stage = 0; stage < targets_.stages(); ++stage) {
    for (Target& target : targets_) {
      if (target.stage != stage || target.verdict) continue;
      target.awaited = true;
      pool_.post(target, Work::Freeze);
    }
    // One that hangs leaves time for later stages.
    const int64_t stageNs = startNs + (deadlineNs - startNs) / targets_.stages() * (stage + 1);
    const Reason reason = await(stageNs, &interrupts, [this] {
      bool allDone = true;
      for (Target& target : targets_) {
        if (!target.awaited) continue;
        if (pool_.isBusy(target)) {
          allDone = false;
          continue;
        }
        target.awaited = false;
        target.verdict = target.failure;
        // The others needn't be waited for.
        if (isFatal(target)) return true;
      }
      return allDone;
    });
    if (const Reason ended = conclude(reason); ended != Reason::None) return ended;
  }
  return Reason::None;
}

Reason VolumeFreezer::hold(int64_t deadlineNs, Interrupts& interrupts) {
  return await(deadlineNs, &interrupts, [] { return false; });
}

void VolumeFreezer::thaw() {
  // What just started to freeze is waited for; what was given up before may take for ever.
  for (Target& target : targets_) target.awaited = !target.abandoned && pool_.abandon(target);
  for (uint32_t left = targets_.stages(); left > 0; --left) {
    const uint32_t stage = left - 1;
    for (Target& target : targets_) {
      if (target.stage != stage || target.getState() != State::Frozen || !target.fd ||
          pool_.isBusy(target))
        continue;
      target.awaited = true;
      pool_.post(target, Work::Thaw);
    }
    await(nowNs() + kThawNs, nullptr, [this, stage] {
      for (Target& target : targets_) {
        if (target.stage == stage && target.awaited && pool_.isBusy(target)) return false;
      }
      return true;
    });
  }
}

bool VolumeFreezer::finish(int64_t deadlineNs) {
  while (!isComplete() && nowNs() < deadlineNs) {
    for (Target& target : targets_) {
      if (target.getState() == State::Frozen && target.fd && !pool_.isBusy(target))
        pool_.post(target, Work::Thaw);
    }
    await(nowNs() + kSecondNs, nullptr, [this] { return isComplete(); });
  }
  return isComplete();
}

bool VolumeFreezer::isComplete() const {
  for (const Target& target : targets_) {
    if (target.isHeld()) return false;
  }
  return true;
}

}  // namespace vmic::guard
