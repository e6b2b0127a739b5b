#pragma once

#include <poll.h>

#include <cstdint>

#include "guard/pool.h"
#include "guard/target.h"

namespace vmic::guard {

/// Why a freeze, or a wait, ends.
enum class Reason : uint8_t {
  None,
  /// The daemon said so.
  Told,
  Limit,
  /// The daemon ended.
  Gone,
  Signal,
  /// A target that is not optional could not be frozen.
  Failed,
};

/// What can end a wait before its time.
class Interrupts {
 public:
  Interrupts(int socket, int signals) : socket_(socket), signals_(signals) {}

  int socket() const { return socket_; }
  int signals() const { return signals_; }
  /// Takes what has come. None: nothing that ends a wait.
  Reason take(bool fromSocket, bool fromSignals);

 private:
  int socket_;
  int signals_;
};

/// Freezes and thaws one set of targets. Its methods are the main thread's; none waits for a target
/// longer than it says.
class VolumeFreezer {
 public:
  /// On the heap for good, as its threads may be stuck for as long as the process lives. Null: no
  /// memory.
  static VolumeFreezer* make();
  /// Starts the threads.
  Failure start(const Targets& targets);
  const Targets& targets() const { return targets_; }

  /// Opens all and writes dirty data out. After `deadlineNs` those that aren't done count as
  /// failed.
  Reason prepare(int64_t deadlineNs, Interrupts& interrupts);
  /// Opens all, for their thaw.
  void open(int64_t deadlineNs);
  /// Freezes stage after stage. Any reason but None: what is frozen has to be thawed.
  Reason freeze(int64_t deadlineNs, Interrupts& interrupts);
  /// Waits while frozen.
  Reason hold(int64_t deadlineNs, Interrupts& interrupts);
  /// Thaws all that is frozen, last stage first, and gives up on what is being frozen.
  void thaw();
  /// Goes on trying until `deadlineNs` to thaw what could not be thawed. True: nothing of ours is
  /// frozen any more.
  bool finish(int64_t deadlineNs);
  bool isComplete() const;

  /// The first target which makes the freeze fail, if any.
  const Target* findFatal() const;

 private:
  template <typename Done>
  Reason await(int64_t deadlineNs, Interrupts* interrupts, Done done);
  bool isAwaited();
  void collect();
  Reason conclude(Reason reason);

  Targets targets_;
  Pool pool_;
  Fd timer_;
};

}  // namespace vmic::guard
