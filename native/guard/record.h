#pragma once

#include <sys/types.h>

#include <cstddef>

#include "core/failure.h"
#include "core/fd.h"
#include "guard/target.h"

namespace vmic::guard {

/// What is being frozen, on a tmpfs: text, mapped into memory, so that a change of state is one
/// store and is there however we end. Its lock is held as long as any thread of a guard lives.
///
///   vmic-vss 1 PID STARTED            of the guard; STARTED as in /proc/PID/stat
///   STATE STAGE MAJOR:MINOR MOUNT-POINT
class Record {
 public:
  Record() = default;
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record();

  /// Opens the record for a guard, and makes it and its folder when missing. EBUSY: another guard
  /// holds it (`holder`). EINVAL: it is on a file system that might get frozen itself.
  Failure acquire(const char* path, pid_t& holder);
  /// Opens a record left behind. ENOENT: there is none. EBUSY as above; but where the holder's main
  /// thread has ended and others are stuck, it is opened without the lock (`isLocked`).
  Failure inherit(const char* path, pid_t& holder);
  bool isLocked() const { return locked_; }
  /// Asks for the lock again. True: it is held now.
  bool lock();

  /// Reads what an earlier guard left: targets, whose states lie in the record. EPROTO: it isn't
  /// one.
  Failure read(Targets& targets);
  /// Writes all targets, as planned; from now on their states lie in the record.
  Failure write(const Targets& targets);
  /// Removes the file. Only with the lock, and when nothing listed is held.
  void remove();

 private:
  Failure open(const char* path, int flags, pid_t& holder);
  Failure map(size_t bytes);
  bool isAtPath() const;
  /// Copies the file into `copy_`.
  Failure copy();

  const char* path_ = nullptr;
  Fd file_;
  bool locked_ = false;
  char* mapped_ = nullptr;
  size_t mappedBytes_ = 0;
  char* copy_ = nullptr;
};

}  // namespace vmic::guard
