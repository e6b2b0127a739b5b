#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

/// Of a process, for its owner, its thread and the child.
enum ProcessState : int {
  /// Being started, or running.
  kUnderWay,
  /// The end is known; the process waits to be reaped by `close`.
  kEnded,
  /// Nobody is interested any more: its thread reaps it.
  kClosed,
};

/// What the child has to know, and what became of it. It lies in the stack of the parent's thread,
/// which the child shares.
struct Birth {
  /// Paths to try, ended by null.
  const char* const* candidates;
  char* const* arguments;
  char* const* environment;
  /// Null: no change.
  const char* folder;
  int input;
  int output;
  int errors;
  int descriptors;
  const int* state;

  volatile int error;
  const char* volatile call;
};

/// Opens a pipe for one of the child's outputs, whose end is `writing`.
Failure openPipe(Fd& reading, Fd& writing);

/// Opens a file in memory with the input: it needs nobody who writes while the process reads, or
/// does not read.
Failure openInput(const std::vector<uint8_t>& input, Fd& fd);

/**
 * Makes the child, and waits until it has executed the file or failed to. This thread alone is
 * suspended meanwhile (CLONE_VFORK), and no page tables are copied (CLONE_VM). A child that
 * executes nothing ends without a signal; of one that does, the kernel tells us by SIGCHLD, upon
 * which libuv looks after its own children only.
 */
Failure bearChild(Birth& birth, pid_t& pid);

}  // namespace vmic
