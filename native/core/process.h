#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

/// What is started, and how.
struct ProcessOptions {
  /// A path if there is a slash in it; otherwise a name to look for in the folders of PATH in
  /// `environment`.
  std::string file;
  /// argv, its first element included.
  std::vector<std::string> arguments;
  /// "NAME=value": all of the environment.
  std::vector<std::string> environment;
  /// Its working folder; empty: ours.
  std::string folder;
  /// What it reads from its standard input; nothing by default.
  std::vector<uint8_t> input;
  /// So much is kept of each of its outputs; the rest is read and dropped.
  size_t outputBytes = 0;
  /// It is made at least this nice; -20 leaves it as nice as the thread that starts it.
  int niceness = -20;
};

/// How a process ended, or why it was not started.
struct ProcessEnd {
  /// The system call that failed; then nothing else is set.
  Failure failure;
  /// The path that call was about, or nothing. Lives as long as the Process.
  const char* failurePath = "";
  int exitStatus = 0;
  /// The signal that ended it, or 0.
  int signal = 0;
  const uint8_t* output = nullptr;
  size_t outputBytes = 0;
  const uint8_t* errors = nullptr;
  size_t errorsBytes = 0;
};

/**
 * A process in a process group of its own, started and looked after by a thread of its own: whoever
 * calls this waits neither for a disk, nor for a copy of this process' page tables (the child
 * shares our memory until it executes the file), nor for pipes. The thread handles no signals. The
 * process keeps its number until `close`, so a signal can't go astray.
 *
 * It is used by one thread; all functions return at once.
 */
class Process {
 public:
  Process() = default;
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process() { close(); }

  /// `events` is an eventfd that counts: one when the process runs, one when it has ended. Only a
  /// lack of descriptors or threads fails here; all other failures are how the process ended.
  static Failure start(ProcessOptions options, Process& process, Fd& events);

  /// The process' and its group's number; 0 while it is not started, and after `close`.
  pid_t pid() const;
  /// Set once it has ended; valid until `close`.
  const ProcessEnd* end() const;
  /// Signals the group: what is left of it when the process has ended, and as soon as there is one
  /// when it is not started yet.
  void kill(int signal);
  /// Lets go of it. A process that has not ended is killed with its group; its thread stays until
  /// it is dead.
  void close();

 private:
  struct Run;
  Run* run_ = nullptr;
};

}  // namespace vmic
