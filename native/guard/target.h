#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <new>

#include "core/failure.h"
#include "core/fd.h"
#include "guard/superblock.h"

namespace vmic::guard {

/// More than that is no plan of ours.
constexpr size_t kMaxTargets = 1024;

/// What is known of a target, as it stands in the record for whoever comes after us.
enum class State : char {
  Planned = 'p',
  /// FIFREEZE may be under way: by the time the record is read it may be frozen.
  Begun = 'b',
  Frozen = 'F',
  /// Somebody else froze it: never ours to thaw.
  Theirs = 'a',
  Failed = 'x',
  Thawed = 't',
  /// Somebody else thawed what we froze.
  ThawedByOthers = 'u',
};

/// One superblock. Workers change it only while it is `busy`, the main thread only while it is not.
struct Target {
  Device device;
  uint32_t stage = 0;
  bool optional = false;
  /// Within the plan's or the record's text, escaped; for people.
  const char* mountPoint = nullptr;
  size_t mountPointLength = 0;

  Fd fd;
  /// Lies in the record, which other processes map, too.
  char* state = nullptr;
  /// What the last work came to.
  Failure failure;
  int64_t frozenNs = 0;
  int64_t thawedNs = 0;

  bool busy = false;
  /// Nobody waits for its freeze any more: whoever freezes it thaws it at once.
  bool abandoned = false;

  /// Of the main thread only: why it counts as not frozen.
  Failure verdict;
  /// Of the main thread only: the thaw waits for what is being done to it.
  bool awaited = false;

  State getState() const { return static_cast<State>(__atomic_load_n(state, __ATOMIC_ACQUIRE)); }
  void setState(State next) { __atomic_store_n(state, static_cast<char>(next), __ATOMIC_RELEASE); }
  /// True when it may be frozen by us.
  bool isHeld() const {
    const State now = getState();
    return now == State::Begun || now == State::Frozen;
  }
};

struct Targets {
  Target* first = nullptr;
  size_t count = 0;

  Target* begin() const { return first; }
  Target* end() const { return first + count; }
  uint32_t stages() const { return count == 0 ? 0 : first[count - 1].stage + 1; }
};

/// Idle targets, on the heap for good; null when there is no memory.
inline Target* makeTargets(size_t count) {
  auto* memory = static_cast<Target*>(std::calloc(count + 1, sizeof(Target)));
  for (size_t i = 0; memory != nullptr && i < count; ++i) new (memory + i) Target;
  return memory;
}

/// Goes on while the machine sleeps, as a limit on something frozen has to.
inline int64_t nowNs() {
  timespec now = {};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace vmic::guard
