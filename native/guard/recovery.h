#pragma once

#include <cstdint>

#include "core/failure.h"
#include "guard/record.h"
#include "guard/target.h"

namespace vmic::guard {

/// Thaws what a guard that is no more left frozen, and nothing else.
class Recovery {
 public:
  /// Takes until `deadlineNs` at most; `record` is open, and removed when all is done. A failure:
  /// the record can't be used.
  Failure run(Record& record, int64_t deadlineNs);

  bool isComplete() const { return complete_; }
  /// What the record lists. Of those, whichever is Thawed was thawed by this.
  const Targets& targets() const { return targets_; }
  /// Thawed by this: it was frozen.
  bool wasFrozen(const Target& target) const;

 private:
  Targets targets_;
  bool complete_ = true;
};

}  // namespace vmic::guard
