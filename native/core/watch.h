#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

struct DirectoryChange {
  std::string name;
  uint32_t mask;
};

/// inotify on one folder.
Failure openDirectoryWatch(const char* path, Fd& fd);
/// Appends the changes since the last call; none when there were none.
Failure drainDirectoryWatch(int fd, std::vector<DirectoryChange>& changes);

/// rtnetlink's groups of links and addresses.
Failure openAddressWatch(Fd& fd);
/// Takes all notifications; `changed` when there were some, or some got lost.
Failure drainAddressWatch(int fd, bool& changed);

}  // namespace vmic
