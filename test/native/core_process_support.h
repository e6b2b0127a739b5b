/// What the tests of starting programs stand on.
#pragma once

#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/process.h"

using vmic::Failure;
using vmic::Fd;
using vmic::Process;
using vmic::ProcessEnd;
using vmic::ProcessOptions;

/// Where the tests make their files.
extern std::string folder;

/// A process, its end awaited by its events.
struct Started {
  Process process;
  Fd events;
  uint64_t counted = 0;

  explicit Started(ProcessOptions given) {
    const Failure failure = Process::start(std::move(given), process, events);
    CHECK(!failure);
  }

  void awaitEvents(uint64_t wanted) {
    while (counted < wanted) {
      pollfd watched = {events.get(), POLLIN, 0};
      ::poll(&watched, 1, -1);
      uint64_t count = 0;
      if (::read(events.get(), &count, sizeof(count)) == sizeof(count)) counted += count;
    }
  }

  const ProcessEnd& end() {
    while (process.end() == nullptr) awaitEvents(counted + 1);
    return *process.end();
  }

  std::string output() { return {reinterpret_cast<const char*>(end().output), end().outputBytes}; }
  std::string errors() { return {reinterpret_cast<const char*>(end().errors), end().errorsBytes}; }
};

ProcessOptions options(const std::string& file, std::vector<std::string> arguments = {});
ProcessOptions shell(const std::string& text);
std::string outputOf(ProcessOptions given);
void failsWith(ProcessOptions given, int code, const char* call, const std::string& path);
std::string file(const std::string& name, const std::string& text, mode_t mode);
/// "name: value" of /proc/PID/status as text.
std::string field(const std::string& status, const std::string& name);
bool isAlive(pid_t pid);
void sleepOneMs();
void awaitDeath(pid_t pid);
size_t countDescriptors();
/// Threads let go of what they have on their own time.
void awaitNothingLeft(size_t descriptors);
