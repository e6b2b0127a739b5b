#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "guard/target.h"

namespace vmic::guard {

enum class Work : uint8_t {
  Open,
  /// Opens the superblock and writes its dirty data out.
  Prepare,
  Freeze,
  Thaw,
};

/// Threads that do what can block for ever: each target at most one thing at a time. They are there
/// before anything is frozen, and nothing they do to a frozen target allocates.
class Pool {
 public:
  /// No more threads than this, whatever the plan says.
  static constexpr size_t kMaxThreads = 64;

  Failure start(const Targets& targets);

  /// The target has to be idle.
  void post(Target& target, Work work);
  /// Whoever still freezes it thaws it. False: it was idle, and nothing is to come.
  bool abandon(Target& target);
  bool isBusy(const Target& target);
  /// Readable when something has been done since it was last read.
  int doneFd() const { return done_.get(); }

 private:
  struct Job {
    Target* target;
    Work work;
  };

  static void* enter(void* self);
  void work();
  /// Unlocks meanwhile.
  void perform(const Job& job);

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t posted_ = PTHREAD_COND_INITIALIZER;
  Job* queue_ = nullptr;
  size_t room_ = 0;
  size_t head_ = 0;
  size_t length_ = 0;
  Fd done_;
};

}  // namespace vmic::guard
