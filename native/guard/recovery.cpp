#include "guard/recovery.h"

#include <algorithm>
#include <cerrno>

#include "guard/volume_freezer.h"

namespace vmic::guard {
namespace {

constexpr int64_t kRetryNs = 200'000'000;

bool isAnyHeld(const Targets& targets) {
  return std::any_of(targets.begin(), targets.end(),
                     [](const Target& target) { return target.isHeld(); });
}

}  // namespace

bool Recovery::wasFrozen(const Target& target) const {
  return target.getState() == State::Thawed && target.thawedNs != 0;
}

Failure Recovery::run(Record& record, int64_t deadlineNs) {
  if (const Failure failure = record.read(targets_)) return failure;
  complete_ = !isAnyHeld(targets_);
  if (complete_) return {};
  VolumeFreezer* freezer = VolumeFreezer::make();
  if (freezer == nullptr) return {ENOMEM, "calloc"};
  if (const Failure failure = freezer->start(targets_)) return failure;
  freezer->open(deadlineNs);
  for (Target& target : targets_) {
    // Not mounted any more: nobody waits for it.
    if (target.isHeld() && target.verdict.code == ENOENT) target.setState(State::Failed);
  }
  do {
    // Until the last thread of that guard is gone it may still be freezing.
    if (record.lock()) {
      for (Target& target : targets_) {
        if (target.getState() == State::Begun) target.setState(State::Frozen);
      }
    }
    freezer->thaw();
    complete_ = freezer->finish(std::min(nowNs() + kRetryNs, deadlineNs));
  } while (!complete_ && nowNs() < deadlineNs);
  return {};
}

}  // namespace vmic::guard
