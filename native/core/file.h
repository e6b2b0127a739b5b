#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "core/failure.h"

namespace vmic {

enum class LockMode { shared, exclusive };

/// Takes an open-file-description lock on all of the file and a flock, without waiting. `held`
/// tells whether both are held; otherwise neither is.
Failure tryLock(int fd, LockMode mode, bool& held);
Failure unlock(int fd);

/// Writes `bytes` at `position` such that a SIGKILL of this process can't leave a part (unless no
/// process can be started). `written` is smaller than `bytes` only when the file system took less
/// (disk full after a part); a failure means that nothing was written. Bytes that the file holds
/// already may not be written again, so writers have to exclude each other. Locks of this process
/// outlive a kill until the change is done, as the child holds the open files, too.
Failure writeWhole(int fd, const uint8_t* data, size_t bytes, off_t position, size_t& written);

/// Removes [position, position + length) of a file of `size` bytes: moves what follows forward and
/// cuts the end, out of reach of a SIGKILL of this process. After a failure the file may hold a
/// part of what follows twice.
Failure removeRange(int fd, off_t position, off_t length, off_t size);

}  // namespace vmic
