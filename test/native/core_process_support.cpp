#include "core_process_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

std::string folder;

ProcessOptions options(const std::string& file, std::vector<std::string> arguments) {
  ProcessOptions made;
  made.file = file;
  arguments.insert(arguments.begin(), file);
  made.arguments = std::move(arguments);
  made.environment = {"PATH=/usr/bin:/bin"};
  made.outputBytes = 64 * 1024;
  return made;
}

ProcessOptions shell(const std::string& text) { return options("sh", {"-c", text}); }

std::string outputOf(ProcessOptions given) {
  Started started(std::move(given));
  const ProcessEnd& end = started.end();
  if (end.failure)
    std::fprintf(stderr, "%s: %s\n", end.failure.call, std::strerror(end.failure.code));
  CHECK(!end.failure);
  CHECK(end.signal == 0 && end.exitStatus == 0);
  return started.output();
}

void failsWith(ProcessOptions given, int code, const char* call, const std::string& path) {
  Started started(std::move(given));
  const ProcessEnd& end = started.end();
  if (end.failure.code != code)
    std::fprintf(stderr, "%s: %s\n", end.failure.call, std::strerror(end.failure.code));
  CHECK(end.failure.code == code);
  CHECK(std::strcmp(end.failure.call, call) == 0);
  CHECK(end.failurePath == path);
  CHECK(end.output == nullptr && end.errors == nullptr);
}

std::string file(const std::string& name, const std::string& text, mode_t mode) {
  const std::string path = folder + "/" + name;
  const size_t slash = path.rfind('/');
  ::mkdir(path.substr(0, slash).c_str(), 0755);
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  CHECK(fd);
  CHECK(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return path;
}

std::string field(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":\t");
  CHECK(at != std::string::npos);
  const size_t begin = at + name.size() + 3;
  return status.substr(begin, status.find('\n', begin) - begin);
}

bool isAlive(pid_t pid) {
  const Fd fd(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char text[512] = {};
  if (!fd || ::read(fd.get(), text, sizeof(text) - 1) <= 0) return false;
  const char* state = std::strrchr(text, ')');
  return state != nullptr && state[2] != 'Z';
}

void sleepOneMs() {
  const timespec moment = {0, 1000 * 1000};
  ::nanosleep(&moment, nullptr);
}

void awaitDeath(pid_t pid) {
  while (isAlive(pid)) sleepOneMs();
}

size_t countDescriptors() {
  DIR* open = ::opendir("/proc/self/fd");
  size_t count = 0;
  while (::readdir(open) != nullptr) ++count;
  ::closedir(open);
  return count;
}

void awaitNothingLeft(size_t descriptors) {
  for (;;) {
    // Reaps none, which is the thread's business
    siginfo_t info;
    const bool noChildren =
        ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
    if (noChildren && countDescriptors() == descriptors) return;
    sleepOneMs();
  }
}
