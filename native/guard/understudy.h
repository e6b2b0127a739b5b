#pragma once

#include <sys/types.h>

#include "core/failure.h"
#include "core/fd.h"
#include "guard/record.h"
#include "guard/target.h"

namespace vmic::guard {

/// A second process, with the same descriptors open and locked in memory like the guard, which does
/// nothing until the guard is killed: then it thaws.
class Understudy {
 public:
  /// To be called before anything is frozen and after all is open. `socket` is the daemon's, which
  /// has to notice the guard's end.
  Failure start(const Targets& targets, Record& record, int socket);
  /// It isn't needed any more: waits until it has ended.
  void dismiss();

 private:
  pid_t pid_ = -1;
  /// Closed by our end, when also the last of our threads is gone.
  Fd alive_;
};

}  // namespace vmic::guard
