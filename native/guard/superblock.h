#pragma once

#include <cstdint>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic::guard {

/// A superblock's number, as mountinfo shows it. (What stat tells is something else on btrfs.)
struct Device {
  uint32_t major = 0;
  uint32_t minor = 0;

  bool operator==(const Device& other) const {
    return major == other.major && minor == other.minor;
  }
};

/// Opens a folder or file of a mounted superblock, by any of its mounts: read-only ones, subvolumes
/// and files that are bind-mounted will do. One that other mounts hide is reached in a mount
/// namespace of our own, from which those are taken away. ENOENT: it is not mounted (any more). For
/// a thread of its own: opening may take for ever.
Failure openSuperblock(Device device, Fd& opened);

/// Of the descriptor's superblock. Freezing one that is frozen fails with EBUSY, thawing one that
/// is not with EINVAL.
Failure writeOut(int fd);
Failure freeze(int fd);
Failure thaw(int fd);

}  // namespace vmic::guard
